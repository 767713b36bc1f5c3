// SPDX-License-Identifier: Apache-2.0
//
// A call's way through the store: authorise, run, commit, and then `ready`; or wait for news and
// run again. Calls that wait are parked here, at most SERVE_WORK_WAITING_MAX, and woken when a
// commit brought news, when their time is over, and when the controller stops.
#pragma once

#include "ctl/serve/call.h"

#define SERVE_WORK_WAITING_MAX 256

struct serve_work {
    struct serve_call *call;
    bool only_authorise;          // look who asks, and no more
    void (*ready)(void *context); // on the store's thread; the answer is in the call
    void *context;
    // Its own.
    bool refused; // the call has failed
    struct store_job job;
    struct serve_work *next;
};

// Hands the call to the store's thread. When that cannot be, the call fails and ready is called at
// once.
void serve_work_submit(struct serve_work *work) __attribute__((nonnull));

struct serve_waiting;
int serve_work_open_waiting(struct serve_waiting **ret, struct err *e) __attribute__((nonnull));
void serve_work_close_waiting(struct serve_waiting *waiting);
// Wakes those whose time is over; all of them, and all that come later, with `stop`.
void serve_work_wake(struct serve_waiting *waiting, int64_t boot_ms, bool stop)
    __attribute__((nonnull));
