// SPDX-License-Identifier: Apache-2.0
//
// What the gates of evidence of a rollout say, as JSON and as sentences. Odds are those of an
// e-value: "1 : 12 of 1 : 40" is evidence of 12, where 40 is what the gate alone would need.
#pragma once

#include <jansson.h>

#include "ctl/serve/engine.h"

// The object "evidence" of ctl/openapi.json; null when the policy has no gates. A new value; NULL
// when memory is out.
json_t *serve_show_evidence(const struct serve_engine_rollout *rollout) __attribute__((nonnull));
// How far the open stage is open: the object "batch"; null without batches.
json_t *serve_show_batch(const struct serve_engine_rollout *rollout) __attribute__((nonnull));
// Everything that holds the rollout, as an array of reasons: its own first, then each gate that has
// not passed, its batch, devices that an operator holds (held), its hold-back, and who was not
// reached.
json_t *serve_show_holds(const struct serve_engine_rollout *rollout, uint64_t held)
    __attribute__((nonnull));
