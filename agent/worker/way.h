// SPDX-License-Identifier: Apache-2.0
//
// In which packing an update is fetched, by cost: a delta, or the bundle, of which only the ranges
// that are not held are read. Pure: facts in, a choice out.
//
// What a delta costs is known: its size. What a bundle costs at most is known too; how much less it
// is shows when its index was read, which costs little; so a bundle that is too large for the
// budget is begun all the same where the device holds contents that it may share, and gone on with
// only when the rest then fits (agent/worker/spend.h). Where a staging was begun, what was fetched
// for it counts for the packing that began it, so that it is gone on with unless the other one is
// cheaper still.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define WORKER_WAY_NO_LIMIT UINT64_MAX

enum worker_way {
    WORKER_WAY_NONE, // nothing fits the budget
    WORKER_WAY_DELTA,
    WORKER_WAY_BUNDLE,
    WORKER_WAYS
};

struct worker_way_facts {
    // The delta: offered (one that was found wrong is not any more), named by the targets, its
    // base held.
    bool delta_offered, delta_named, base_held;
    uint64_t delta_bytes;
    uint64_t bundle_bytes; // 0 unknown
    bool holds_contents;   // of any generation, or of an unfinished staging
    enum worker_way begun; // the packing of an unfinished staging; NONE: there is none
    uint64_t begun_bytes;  // fetched for it
    uint64_t left_bytes;   // of the budget; WORKER_WAY_NO_LIMIT none
};

struct worker_way_choice {
    enum worker_way way;
    uint64_t cost_bytes;  // at most, from now on; of NONE what the cheapest way would cost
    const char *no_delta; // why it is not a delta, though one was offered; NULL
};

struct worker_way_choice worker_way_choose(const struct worker_way_facts *facts)
    __attribute__((nonnull));

// What becomes of an update whose delta failed.
enum worker_way_next {
    WORKER_WAY_BUNDLE_NOW, // the delta is wrong, or not to be had: the bundle, in the same job
    WORKER_WAY_AGAIN,      // it may be had later, and goes on then from what is there
    WORKER_WAY_END         // the bundle would fail in the same way
};
// `tries` counts this one. A server that cannot be reached is asked for WORKER_WAY_DELTA_TRIES
// tries; it may be another one than the bundle's. asked_to_wait: it said when to come back.
#define WORKER_WAY_DELTA_TRIES 3
enum worker_way_next worker_way_after(const struct err_kind *failed, bool asked_to_wait,
                                      uint64_t tries) __attribute__((nonnull));
