// SPDX-License-Identifier: Apache-2.0
//
// The floors (I6): for each component the lowest security version this device will ever install or
// go back to. Kept in two checksummed copies (agent/pair.h), private/floors, as {COMPONENT:N,…}.
// They only rise, and only by signed word: the `floors` of a manifest, taken over when a generation
// from it is committed outside of any rollout, that is when the director's instruction named no
// rollout (so it is closed and has become the baseline) or an operator installed the bundle by
// hand.
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "bundle/generation.h"

struct agent_floors {
    uint64_t serial;
    json_t *object; // owned
};

// An absent file is an empty set.
int agent_floors_read(int private_dir, struct agent_floors *ret, struct err *e)
    __attribute__((nonnull));
void agent_floors_clear(struct agent_floors *floors) __attribute__((nonnull));
// Raises to `wanted` (object COMPONENT → integer, or NULL) where that is higher; durable when it
// returns.
int agent_floors_raise(int private_dir, struct agent_floors *floors, const json_t *wanted,
                       struct err *e) __attribute__((nonnull(2, 4)));
// Kind below_floor when a component of the generation lies below.
int agent_floors_admit(const struct agent_floors *floors, const struct bundle_generation *g,
                       struct err *e) __attribute__((nonnull));
