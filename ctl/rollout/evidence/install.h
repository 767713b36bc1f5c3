// SPDX-License-Identifier: Apache-2.0
//
// Installs that fail: more of them than the stated baseline share? A binomial test that may be
// looked at after every device.
//
// A device's outcome is 1 when its install failed (refused, reverted within the horizon, or lost on
// the way) and 0 when it did not. There is no comparison arm: nothing is installed there. So the
// baseline is stated, from past rollouts, and is part of what is promised.
//
// Promise. Let each device's chance to fail, given the outcomes of those activated before it, be at
// most the baseline. Then the probability that evidence_install_worse ever reaches
// evidence_num_level(alpha) is at most alpha. Likewise evidence_install_better for "at least the
// share", and the two bounds, with the level's error probability each.
//
// Formula. With s failures among the first n of the activation order, q the share and B(a, b; q)
// the integral of p^(a-1) (1-p)^(b-1) over (q, 1):
//
//     e = B(1+s, 1+n-s; q) / (B(1, 1; q) q^s (1-q)^(n-s))
//
// which is the mean, over p uniform above q, of the likelihood ratio of p against q: for every p a
// supermartingale under any share up to q. Against "at least q" the mean over p uniform below q.
// The state is n and s; any prior of the beta family can be asked for (evidence_install_mixture).
//
// Source: Robbins, "Statistical methods related to the law of the iterated logarithm", Ann. Math.
// Statist. 41(5), 1970; Ville 1939; in this form the one-sided beta-binomial mixture of Howard,
// Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
// Ann. Statist. 49(2), 2021 (arXiv:1810.08240), whose reference values are in the unit
// test.
//
// Activation order. A failure is known within minutes, a success when probation is over, so in the
// order of arrival failures come first and the promise does not hold. evidence_install_add takes
// outcomes in the order in which the devices activated, as a prefix: a device without an outcome
// holds back those behind it (until it is declared lost). What is known beyond the prefix counts
// all the same: evidence_install_worse also takes all devices activated so far with those without
// an outcome as if they had succeeded. That is at most the e of the same devices when all outcomes
// are known, because e rises with s; so on every course of events on which it reaches a level the
// prefix would reach it as well, and the promise holds. Against "at least" only the prefix counts.
// Gates that are added (combine.h) have to stand at the same place of the order: where a rollout
// has several install gates, only the prefix counts (NULL).
//
// Not promised. Anything when the baseline is understated: then stopping is what it should do.
// There is no second arm that would share a common cause: devices of one site that fail together
// for one reason break the condition, so where that happens the unit is the site (one outcome for
// each).
#pragma once

#include "ctl/rollout/evidence/num.h"

struct evidence_install {
    uint64_t scored; // outcomes, a prefix of the activation order
    uint64_t failed; // of them
};

// All devices activated so far, the prefix included.
struct evidence_install_known {
    uint64_t activated;
    uint64_t failed;
};

// The outcome of the next device in activation order.
void evidence_install_add(struct evidence_install *io, int has_failed) __attribute__((nonnull));

// ln e against "the share of failures is at most share_ppm" (1 … 999,999). With known, also by all
// that is known beyond the prefix; NULL: by the prefix alone.
int64_t evidence_install_worse(const struct evidence_install *state,
                               const struct evidence_install_known *known, uint32_t share_ppm)
    __attribute__((nonnull(1)));
// ln e against "the share of failures is at least share_ppm" (1 … 999,999).
int64_t evidence_install_better(const struct evidence_install *state, uint32_t share_ppm)
    __attribute__((nonnull));
// Bounds of the share: up to and including *ret_lower_ppm it is rejected at this level, and from
// *ret_upper_ppm on. 0 and EVIDENCE_PPM: nothing is.
void evidence_install_bounds(const struct evidence_install *state, int64_t level,
                             uint32_t *ret_lower_ppm, uint32_t *ret_upper_ppm)
    __attribute__((nonnull));

// ln e in nats for the prior beta(a, b) cut to the shares above `share`, and what it may be wrong.
double evidence_install_mixture(double a, double b, double share, uint64_t failed, uint64_t good,
                                double *ret_error) __attribute__((nonnull));
