// SPDX-License-Identifier: Apache-2.0
//
// The check-in: one request, one transaction. Its reports are durable, and the instruction's
// sequence is drawn, before anything is answered; the signature is made after the commit.
#pragma once

#include "ctl/serve/call.h"

#define SERVE_CHECKIN_INSTRUCTION_S 86400 // an instruction holds for so long

int serve_checkin_prepare(struct serve_call *call, struct err *e) __attribute__((nonnull));
int serve_checkin_run(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_checkin_finish(struct serve_call *call, struct err *e) __attribute__((nonnull));
