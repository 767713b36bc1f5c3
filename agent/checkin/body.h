// SPDX-License-Identifier: Apache-2.0
//
// What a check-in says, put together from the durable state (bundle/checkin.h has the form).
#pragma once

#include "agent/state.h"
#include "agent/update.h"
#include "base/buf.h"

struct checkin_body {
    const struct agent_state *state;
    const struct agent_update *update;
    const json_t *facts;
    const struct keys_digest *facts_digest;
    bool send_facts;
};

// Appends the JSON. Reports are the oldest ones of the queue.
int checkin_body_format(const struct checkin_body *what, struct buf *ret, struct err *e)
    __attribute__((nonnull));
