// SPDX-License-Identifier: Apache-2.0
//
// Talking to the controller: when, what is said, and what the answer does. Each check-in is one job
// of a worker. The next one comes after poll_s ± 50 %, after a decorrelated back-off when it
// failed, when the server says (Retry-After, at most a day), or soon when there is something to
// report. 401 and 403 never make the device forget who it is: it enrols (again) with the same key.
//
// An instruction is verified here by the director's role, for this device, with a sequence higher
// than the last; the sequence is durable before it is acted upon, so that none is obeyed twice.
#pragma once

#include "agent/loop.h"
#include "agent/state.h"
#include "agent/update.h"

struct agent_checkin;

struct agent_checkin_host {
    struct agent_loop *loop;
    struct agent_state *state;
    struct agent_update *update;
    struct agent_trust *trust; // told what the controller says of the repository
    const json_t *facts;       // borrowed
};

int agent_checkin_open(const struct agent_checkin_host *host, struct agent_checkin **ret,
                       struct err *e) __attribute__((nonnull));
void agent_checkin_close(struct agent_checkin *checkin);
// Within a moment, unless one is under way (then once more after it).
void agent_checkin_soon(struct agent_checkin *checkin) __attribute__((nonnull));
// Enrols with the token of the configuration, also when the controller knew the device already.
void agent_checkin_enroll(struct agent_checkin *checkin) __attribute__((nonnull));
void agent_checkin_set_facts(struct agent_checkin *checkin, const json_t *facts)
    __attribute__((nonnull));

void agent_checkin_fill_net(const struct agent_state *state, struct agent_job_net *ret)
    __attribute__((nonnull));
const char *agent_checkin_token(const struct agent_checkin *checkin) __attribute__((nonnull));
// Adds "controller" to a status object: {"last":{"code","text"},"next_s":N,"enrolment":…}.
int agent_checkin_describe(const struct agent_checkin *checkin, json_t *status, struct err *e)
    __attribute__((nonnull));
