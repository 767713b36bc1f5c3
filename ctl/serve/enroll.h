// SPDX-License-Identifier: Apache-2.0
//
// How a device comes in: a challenge, its own key, a token. bundle/checkin.h has the messages.
//
// A device with a valid enrolment token is accepted at once and gets the token's labels; one
// without stays pending until an operator accepts it (at most SERVE_ENROLL_PENDING_MAX do); one
// with a token that does not hold is refused. An id belongs to the first key that came with it,
// until an operator says that the hardware was replaced.
#pragma once

#include "ctl/serve/call.h"

#define SERVE_ENROLL_PENDING_MAX 1000

int serve_enroll_challenge(struct serve_call *call, struct err *e) __attribute__((nonnull));
int serve_enroll_prepare(struct serve_call *call, struct err *e) __attribute__((nonnull));
int serve_enroll_run(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_enroll_prepare_token(struct serve_call *call, struct err *e) __attribute__((nonnull));
int serve_enroll_run_token(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
