// SPDX-License-Identifier: Apache-2.0
//
// What the agent answers to the requests of agent/talk.h.
#pragma once

#include "agent/checkin.h"
#include "agent/state.h"
#include "agent/talk.h"
#include "agent/update.h"

struct agent_serve {
    const struct agent_state *state;
    struct agent_update *update;
    struct agent_checkin *checkin; // NULL in a foreground install
    bool foreground;
};

// Kinds: permission, usage (unknown command), those of agent_update_offer and agent_update_ask.
int agent_serve_answer(const struct agent_serve *serve, struct agent_talk_request *request,
                       json_t **ret, struct err *e) __attribute__((nonnull));
