// SPDX-License-Identifier: Apache-2.0
//
// The status object, for `edge-agent status` and whoever asks the socket:
//
//   {"agent":VERSION,"anchor":"none"|"held"|"restored"|"unknown",
//    "components":{NAME:{"digest","manifest","name","security_version","version", and of an image
//    "slot":0|1}},"bytes":{…}|null,"device","generation":N,"previous":N|null,"progress":{"done","total"}|null,
//    "queue":{"dropped","refused","waiting"},"state","trusted_time":DATE|null,
//    "update":{"attempt","bundle","generation","local","name","rollout","version"}|null,
//    "why":{"code","text"}, and from a running agent:
//    "controller","inhibit","last","probation","probes"}
//
// `components` is what `current` names, `update` the one under way or what a sham is of, `bytes` what
// the update under way, else the last one, cost (bundle/report.h). `why.code` is "" when all is well.
#pragma once

#include "agent/state.h"
#include "agent/update.h"

// From open state; update may be NULL. A new object for the caller.
int agent_status_make(const struct agent_state *state, const struct agent_update *update,
                      json_t **ret, struct err *e) __attribute__((nonnull(1, 3, 4)));
// From disk, when no agent runs; takes no lock and changes nothing.
int agent_status_read(const struct agent_config *config, json_t **ret, struct err *e)
    __attribute__((nonnull));
// For people, on a terminal.
void agent_status_print(const json_t *status) __attribute__((nonnull));
