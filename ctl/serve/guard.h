// SPDX-License-Identifier: Apache-2.0
//
// Deadlines for connections. The HTTP library only knows how long a peer was silent, so one that
// sends a byte now and then could hold a connection for ever. Here each connection has a time by
// which what it is doing must be over; a sweep ends those that are late. Thread-safe.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SERVE_GUARD_HEADERS_S                                                                      \
    15 // from the connection (or the last answer, see KEEP) to the end of headers
#define SERVE_GUARD_KEEP_S     75          // idle between two requests
#define SERVE_GUARD_BODY_S     30          // a message's body
#define SERVE_GUARD_UPLOAD_BPS (64 * 1024) // an upload's least average rate, after BODY_S
#define SERVE_GUARD_ANSWER_S   120         // to run and take the answer
#define SERVE_GUARD_FILE_BPS   1024        // a download's least average rate, after ANSWER_S

struct serve_guard;
struct serve_guard_entry; // one connection

int serve_guard_open(struct serve_guard **ret, struct err *e) __attribute__((nonnull));
void serve_guard_close(struct serve_guard *guard);
// NULL when memory is out: the connection is to be refused.
struct serve_guard_entry *serve_guard_add(struct serve_guard *guard, int fd, int64_t deadline_ms)
    __attribute__((nonnull));
void serve_guard_remove(struct serve_guard *guard, struct serve_guard_entry *entry)
    __attribute__((nonnull(1)));
void serve_guard_set(struct serve_guard *guard, struct serve_guard_entry *entry,
                     int64_t deadline_ms) __attribute__((nonnull));
// Shuts those down that are late; the library then closes them. How many.
size_t serve_guard_sweep(struct serve_guard *guard, int64_t now_ms) __attribute__((nonnull));
