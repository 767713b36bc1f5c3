// SPDX-License-Identifier: Apache-2.0
//
// Taking over what the judge accepted: files below private/tuf, the root, dates, floors.
//
// In this order, so that a power cut anywhere leaves what the next refresh goes on from: the chain
// of roots is verified once more, here, from what lies in the incoming directory; dates of keys
// that it takes away are forgotten, durably; each file is hashed against the verdict and replaced,
// in the order of the steps; then what it all says is learned: expiries, dates, floors (one that
// rose raises the anchor). What a cut keeps from being learned is in the next verdict again.
#pragma once

#include "agent/state.h"
#include "agent/trust/verdict.h"

// Kinds: worker_failed (what lies there is not what was judged), root_chain and the others of a
// root, those of the file system. Borrowed: everything; state->root may become another one.
int trust_adopt(struct agent_state *state, int incoming, const struct trust_verdict *verdict,
                struct err *e) __attribute__((nonnull));
