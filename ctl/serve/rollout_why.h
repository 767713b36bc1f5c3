// SPDX-License-Identifier: Apache-2.0
//
// GET /rollouts/NAME/why: everything that holds a rollout, and the verdicts that were found on it.
#pragma once

#include "ctl/serve/call.h"

int serve_rollout_why(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
