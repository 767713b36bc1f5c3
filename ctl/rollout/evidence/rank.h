// SPDX-License-Identifier: Apache-2.0
//
// Metrics: is the treated device's change worse than that of devices like it? Betting on its rank
// among k comparison devices.
//
// A set is one treated device and k >= 4 comparison devices of its stratum, each device in one set
// at most. Each has one value: the change of the metric, mean over the window that ends at the
// fixed horizon after activation minus mean over the same span before it, over the same clock times
// for all of the set, oriented so that larger is worse. A device that has none is worst
// (evidence_rank_value.worst): reverted, lost, or refused by its own golden inputs, in either arm
// (intention to treat).
//
// Promise. Let the k + 1 values of a set be exchangeable given the sets before it, but that with
// probability at most the stated baseline the treated device's value is replaced by the worst one
// (an install that fails for reasons of its own). Then the probability that
// evidence_rank_worse(…, EVIDENCE_RANK_TOLERABLE) ever reaches evidence_num_level(alpha) is at most
// alpha, when the treated change is larger than its like's by the tolerable shift or by less.
// Nothing is assumed of the values' distribution: tails, ties, strata and common trends drop out.
// evidence_rank_bounds gives for each shift of the grid whether "at most" or "at least" it is
// rejected, with the level's error probability each (under the shift model: treated changes are
// distributed as the others plus one number).
//
// The condition holds when the treated member of each set was drawn by the keyed hash
// (bundle/rank.h) and the values do not depend on the arm, whatever sites, gateways and hours
// the members share.
//
// Formula. Under the promise's condition the rank R of the treated value is uniform on 1 … k+1. A
// bet is a function f with mean 1 over the ranks: then f(R) is an e-value, its product over sets a
// test martingale, and so is the mean of the products of several bets. Here f runs over
//
//   Lehmann's alternatives (treated ~ F^t): f(r) proportional to (t)(t+1)…(t+r-2) / (r-1)!
//     for t = 6/5, 3/2, 2, 3, 5: shifts from about 0.15 to 1.5 standard deviations of a normal
//     change;
//   a mixture for a release that breaks a share of the devices: f(r) = 3/4, and
//     3/4 + (k+1)/4 at the worst rank.
//
// Against "at least" the same bets are laid on the rank from the other end.
//
// Ties need no random number: the score is the mean of f over the ranks that the treated device
// shares with its equals. Given the multiset of values the treated device is equally likely to be
// any of them, so the mean of the score over the set is the mean of f, 1, exactly; it is what
// breaking ties at random would give on average, and its logarithm grows no slower (Jensen).
//
// The baseline. Replacing the treated value with the worst one with probability at most q, in
// whatever way that depends on the values, raises the mean of the score by at most
// q (max f - min f). So the score is divided by 1 + q (max f - min f). It costs power: with k = 4
// and q = 2 % about 0.06 nats a set.
//
// Source: exchangeability tests by betting on ranks (conformal test martingales): Vovk, Gammerman,
// Shafer, Algorithmic Learning in a Random World, 2nd ed., 2022, part III; Vovk, "Testing
// randomness online", Statistical Science 36(4), 2021 (arXiv:1906.09256). A set with several
// devices is the shrunk filtration of Saha and Ramdas, "Testing exchangeability by pairwise
// betting", AISTATS 2024 (arXiv:2310.14293), with k + 1 in place of 2. Alternatives: Lehmann, "The
// power of rank tests", Ann. Math. Statist. 24, 1953. Inversion for shifts: Hodges and
// Lehmann, Ann. Math. Statist. 34, 1963.
//
// When a set is scored. Once, when the horizon of all its members is over, and the grace for late
// reports; never sooner because its treated member is known to be lost: who is known early would
// then be scored early, and the prefix of sets would not be exchangeable. Which devices form a set
// is fixed before any of their values is known, in the order of activation, by the order of ranks
// (bundle/rank.h). Sets are scored in any order that does not depend on their values.
//
// Fast and slow devices. Sets begin in the order of activation, which is that of devices that call
// often and download fast; those compared with them are the highest ranks, fast or slow, and when
// they run out it is the slow ones that get no set. So one more thing has to hold: the *change* of
// the metric must not hang together with how fast a device takes an update. Its level may (it drops
// out), and the hour may (all of a set are read over the same clock times). Allotting sets by rank
// when a batch opens would not help: a set is scored a horizon after its activation, so the first
// scores would be the fast ones' all the same, and to wait for the slowest is to wait for who never
// calls. Where it does not hold, stratify by what makes the difference (the kind of link).
//
// Not promised. Effects at other times than the horizon; effects in the comparison too (a shared
// gateway); metrics that depend on the time since a restart, unless the comparison restarts too.
// Values are decimals in units of 1e-9 (base/num.h), so that taking a shift from one is exact and
// two that are equal stay equal.
//
// Cost: O(grid (k + bets)) a set. Order: sets in any order give the same state.
#pragma once

#include <stdbool.h>

#include "base/num.h"
#include "ctl/rollout/evidence/num.h"

#define EVIDENCE_RANK_COMPARED_MIN 4
#define EVIDENCE_RANK_COMPARED_MAX 32
#define EVIDENCE_RANK_BETS         6
// Shifts: the two margins, three between them, four below and four above at the same distance.
#define EVIDENCE_RANK_NODES       13
#define EVIDENCE_RANK_TOLERABLE   4
#define EVIDENCE_RANK_INTOLERABLE 8
#define EVIDENCE_RANK_CHANGE_MAX  (2 * NUM_DECIMAL_MAX * NUM_DECIMAL_SCALE) // of two decimals

// Fixed when the rollout is planned. Decimals in the metric's unit.
struct evidence_rank_design {
    struct decimal tolerable;   // a shift that need not stop the rollout
    struct decimal intolerable; // one that must not pass; larger by 4e-9 or more
    uint32_t baseline_ppm;      // share of installs that may fail for reasons of their own
};

struct evidence_rank_value {
    int64_t change_nano; // larger is worse; within ±EVIDENCE_RANK_CHANGE_MAX, or cut to it
    bool worst;          // there is none: reverted, lost, refused
};

struct evidence_rank {
    uint64_t sets;
    int64_t at_most[EVIDENCE_RANK_NODES][EVIDENCE_RANK_BETS];
    int64_t at_least[EVIDENCE_RANK_NODES][EVIDENCE_RANK_BETS];
};

// Where a treated device stands: how many of the compared are better, how many are equal.
struct evidence_rank_place {
    unsigned compared, better, equal;
};

// Scores a set of n compared devices (EVIDENCE_RANK_COMPARED_MIN … _MAX).
void evidence_rank_add(struct evidence_rank *io, const struct evidence_rank_design *design,
                       const struct evidence_rank_value *treated,
                       const struct evidence_rank_value *compared, size_t n)
    __attribute__((nonnull));

// The place when the shift is taken from the treated device's change.
void evidence_rank_find(const struct evidence_rank_value *treated,
                        const struct evidence_rank_value *compared, size_t n, int64_t shift_nano,
                        struct evidence_rank_place *ret) __attribute__((nonnull));
// What a place adds to each bet that it is bad: what is stored of a set to judge later what a
// verdict rests on (robust.h).
void evidence_rank_score(const struct evidence_rank_place *place, uint32_t baseline_ppm,
                         int64_t ret[static EVIDENCE_RANK_BETS]) __attribute__((nonnull));
// The bets themselves, for ranks 1 … compared + 1, as ret[bet][rank - 1]: mean 1 each.
void evidence_rank_bets(unsigned compared,
                        double ret[static EVIDENCE_RANK_BETS][EVIDENCE_RANK_COMPARED_MAX + 1]);

// ln e against "the shift is at most (at least) that of the node".
int64_t evidence_rank_worse(const struct evidence_rank *state, unsigned node)
    __attribute__((nonnull));
int64_t evidence_rank_better(const struct evidence_rank *state, unsigned node)
    __attribute__((nonnull));
// The terms whose sum evidence_rank_worse is the log of.
void evidence_rank_terms(const struct evidence_rank *state, unsigned node,
                         int64_t ret[static EVIDENCE_RANK_BETS]) __attribute__((nonnull));

// Bounds of the shift, as nodes: every shift up to and including *ret_lower is rejected at this
// level, and every one from *ret_upper on. -1 and EVIDENCE_RANK_NODES: none is.
void evidence_rank_bounds(const struct evidence_rank *state, int64_t level, int *ret_lower,
                          int *ret_upper) __attribute__((nonnull));
// The shift of a node.
struct decimal evidence_rank_shift(const struct evidence_rank_design *design, unsigned node)
    __attribute__((nonnull));
