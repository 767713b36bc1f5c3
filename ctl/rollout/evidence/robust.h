// SPDX-License-Identifier: Apache-2.0
//
// What a verdict rests on: how many devices, and whose. Pure functions over the scores that were
// stored with the devices; asked when a gate has failed, before anything is reverted.
//
// A gate's ln e is, up to its prior's weight, the log of a sum of products: for each term (a bet, a
// hazard ratio) the sum of what each unit added to it. A unit is a treated device: of its event
// (evidence_events_score) or of its set (evidence_rank_score); the scores are computed again from
// the few integers stored of it.
//
// Fragility: the fewest units that could have kept the gate from failing by having done better. For
// each unit and term, `gain` is how much the log would have been less: for an event the score
// itself (had it not happened), for a set the score minus that of the best place. No m units can
// take more from each term than the m largest gains of that term, so the answer is the least m for
// which the sum of the terms so reduced stays below the level. It never says more devices than are
// needed; it is exact when the terms rank the units alike, as the bets on ranks do. One or two
// means: one or two lying or broken devices decide.
//
// Concentration: whether the verdict still stands when everything of one cluster (a site, an
// enrolment token, an age) is taken out. A verdict that one cluster alone carries is about the
// cluster, and pauses the rollout instead of reverting it.
//
// Control drift: comparison devices are compared with their own past. Each that has a change of its
// own is worse or better than it was (equal ones do not count); while the chance to be worse lies
// within bound_ppm of one half, for each given those before it, the probability that
// evidence_robust_drift ever reaches the level is at most the level's. Reaching it means that the
// comparison does not stand for an undisturbed fleet: `control-suspect`, and what was compared with
// it is void. Both directions have half the weight; each is the mixture of install.h against the
// share 1/2 + bound. Common trends (day and night) move all devices at once, so the bound is the
// policy's and wide, and drift is counted once for a device.
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "ctl/rollout/evidence/num.h"

#define EVIDENCE_ROBUST_UNITS_MAX    10000000
#define EVIDENCE_ROBUST_CLUSTERS_MAX 1000000

// A gate that reached its level. Terms as evidence_events_terms and evidence_rank_terms give them.
struct evidence_case {
    const int64_t *terms; // logs, weights included
    size_t n_terms;
    // taken[unit * n_terms + term]: what the log loses to the unit's change; for the fragility its
    // gain, for the concentration its score.
    const int64_t *taken;
    const uint32_t *clusters; // of each unit, below n_clusters; the fragility needs none
    size_t n_units, n_clusters;
    int64_t level;
};

// *ret: the fewest units; n_units + 1 when not even all of them are enough. Kinds: limit (more than
// EVIDENCE_ROBUST_UNITS_MAX), memory.
int evidence_robust_fragility(const struct evidence_case *of, size_t *ret, struct err *e)
    __attribute__((nonnull));
// The same for installs: the fewest failures that, had they been none, keep e below the level.
uint64_t evidence_robust_install(uint64_t scored, uint64_t failed, uint32_t baseline_ppm,
                                 int64_t level);

struct evidence_cluster {
    size_t cluster; // the one without which least is left
    size_t units;   // of it
    int64_t left;   // ln e without it
    bool alone;     // without it the level is not reached
};

// Kinds: limit (units, or more than EVIDENCE_ROBUST_CLUSTERS_MAX clusters), memory. There is at
// least one cluster.
int evidence_robust_cluster(const struct evidence_case *of, struct evidence_cluster *ret,
                            struct err *e) __attribute__((nonnull));

// ln e against "the comparison is as it was". bound_ppm below 500,000.
int64_t evidence_robust_drift(uint64_t worse, uint64_t better, uint32_t bound_ppm);
