// SPDX-License-Identifier: Apache-2.0
//
// Carrying a plan out: contents one after another in the order of the new stream. Those that are
// the same as something else are taken, coded ones are made from the frames, of which those are
// left out that make nothing needed. A coded content is compared with its digest before the next
// one begins.
#pragma once

#include "bundle/unpack/delta/plan.h"

struct delta_apply_ops {
    // A content that is the same as another one, and is needed.
    int (*take)(void *context, const struct delta_plan_content *content, struct err *e);
    // A coded content begins, of which `keep` bytes are there from an earlier try: they go into
    // *hash.
    int (*begin)(void *context, const struct delta_plan_content *content, uint64_t keep,
                 struct keys_digest_state *hash, struct err *e);
    int (*write)(void *context, const void *data, size_t len, uint64_t offset, struct err *e);
    // It ends; `right`: its bytes are those that were signed. What is not right is thrown away.
    int (*end)(void *context, const struct delta_plan_content *content, bool right, struct err *e);
    int (*progress)(void *context, uint64_t position, struct err *e); // after each frame
};

// Kinds: bad_delta, those of stream, base and ops.
int delta_apply(struct delta_plan *plan, const struct delta_apply_ops *ops, void *context,
                struct err *e) __attribute__((nonnull));
