// SPDX-License-Identifier: Apache-2.0
//
// Which deltas are worth making for a rollout: from the bundles that its devices run to the bundles
// that they would get. Pure: whoever walks the fleet says of each device which bundle it would get
// and which one it could start from; what comes out is the pairs of (new bundle, base), for each
// new bundle those bases that most devices run, until a share of its devices is reached.
//
// A device that runs no bundle whole has no base: it counts among those to be reached, so that the
// share is one of all devices, and nothing reaches it. One that has the new bundle counts as
// reached: otherwise each straggler would be worth a delta of its own in the end.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "keys/digest.h"

#define ROLLOUT_BASES_MAX              8 // bases of one new bundle
#define ROLLOUT_BASES_SHARE_DEFAULT_PC 95
#define ROLLOUT_BASES_PAIRS_MAX        4096 // told apart; further ones count as without a base

struct rollout_bases_pair {
    struct keys_digest bundle; // to be got
    struct keys_digest base;   // to start from; zeros: none
    uint64_t devices;
};

// What was counted so far. Zeroed it is empty.
struct rollout_bases {
    size_t n, capacity;
    struct rollout_bases_pair *pairs; // by bundle, then by base
};

// One device more: base NULL when it has none, the bundle itself when it has that. Kind memory.
int rollout_bases_count(struct rollout_bases *bases, const struct keys_digest *bundle,
                        const struct keys_digest *base, struct err *e)
    __attribute__((nonnull(1, 2, 4)));
// Back to nothing.
void rollout_bases_clear(struct rollout_bases *bases) __attribute__((nonnull));
#define own_drop_bases rollout_bases_clear

// What there is of a pair: nothing; a delta that devices are offered; an attempt that failed, or a
// delta that would not be smaller than the bundle.
enum rollout_bases_state { ROLLOUT_BASES_WANTED, ROLLOUT_BASES_THERE, ROLLOUT_BASES_TRIED };

struct rollout_bases_how {
    unsigned share_pc; // of the devices that would get a bundle
    size_t most;       // bases of one bundle; at most ROLLOUT_BASES_MAX
    enum rollout_bases_state (*state)(void *context, const struct keys_digest *bundle,
                                      const struct keys_digest *base);
    void *context;
};

struct rollout_bases_choice {
    struct rollout_bases_pair pair;
    enum rollout_bases_state state;
};

struct rollout_bases_plan {
    uint64_t devices; // all of them
    uint64_t had;     // of them: those that have their bundle
    uint64_t based;   // of the others: those that have a base
    uint64_t reached; // of them: those for whose base there is a delta, chosen or not
    size_t n;
    struct rollout_bases_choice *choices; // most devices first, then by bundle and base
};

// Chooses. A pair that was tried takes its place among the bases of its bundle all the same: what
// can be made does not get more worthwhile because something else cannot. *ret is the caller's
// (rollout_bases_drop). Kind memory.
int rollout_bases_choose(const struct rollout_bases *bases, const struct rollout_bases_how *how,
                         struct rollout_bases_plan *ret, struct err *e) __attribute__((nonnull));
void rollout_bases_drop(struct rollout_bases_plan *plan) __attribute__((nonnull));
#define own_drop_bases_plan rollout_bases_drop
