// SPDX-License-Identifier: Apache-2.0
//
// GET /rollouts/{}/failures: of a rollout that goes back, or went, the devices that did not: those that
// could not, with what they reported, those that said nothing since they were told, and those that have
// not called since. By id, in pages; a rollout that does not go back has none.
#pragma once

#include "ctl/serve/call.h"

#define SERVE_ROLLOUT_BEHIND_MAX     1000 // devices of one answer
#define SERVE_ROLLOUT_BEHIND_DEFAULT 100

int serve_rollout_behind(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
