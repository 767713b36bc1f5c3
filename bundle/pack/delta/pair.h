// SPDX-License-Identifier: Apache-2.0
//
// Which old content each new one is made from. One with the same bytes, wherever it stands, costs
// nothing but its record of the map (bundle/delta.h); else it is coded against the old content at
// the same path, at the same path but for version numbers, or of the same name but for version
// numbers; else against nothing.
#pragma once

#include "bundle/pack/delta/side.h"

struct pack_delta_pair {
    bool coded;
    uint64_t record;                       // of the map
    const struct pack_delta_content *base; // coded: the old content, or NULL
};

// ret: one for each new content. Kind memory.
int pack_delta_pair_all(const struct pack_delta_side *old_side,
                        const struct pack_delta_side *new_side, struct pack_delta_pair *ret,
                        struct err *e) __attribute__((nonnull));
