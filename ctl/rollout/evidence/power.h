// SPDX-License-Identifier: Apache-2.0
//
// What a gate can see: the probability that it has failed a release by the time n devices, events
// or sets were scored, and the smallest effect it sees with a given probability. For `rollout
// plan`, which says so before anybody is exposed, and says plainly when a stage is too small to see
// anything.
//
// Method: recursion, no simulation. The number of failures (or of events in the treated arm) after
// m steps is a binomial walk; the gate stops it at the least count at which its e-process reaches
// the level. The probability that is left without having stopped is carried from step to step
// exactly (Armitage, McPherson, Rowe, "Repeated significance tests on accumulating data", J. R.
// Statist. Soc. A 132, 1969).
//
// Levels are the gate's own: evidence_num_level(alpha) minus evidence_num_part(weight).
//
// Limits. Installs: exact for the prefix; with what is known beyond it the gate is a little sooner.
// Events: exact while the treated share of those at risk stays what it is; n counts events of both
// arms, and how many there will be is the caller's to know from past rates. Metrics: for a normally
// distributed change and a shift in its standard deviations. The mean of the bets is at least its
// best term, so the two bets that grow fastest are followed by themselves, on a lattice of 1/32 nat
// (what lies between two points is shared between them, so that means are exact; what falls 16 nats
// below the start is given up), and the better answer counts: a little less than what the gate
// does. It is the same for all metrics of equal weight: ask once.
#pragma once

#include "ctl/rollout/evidence/num.h"

#define EVIDENCE_POWER_STEPS_MAX 8000 // n is cut to it: more shows more, and is not asked for here
#define EVIDENCE_POWER_SETS_MAX  1000
#define EVIDENCE_POWER_LEVEL_MAX (32 * EVIDENCE_NAT) // higher levels are taken as out of reach
#define EVIDENCE_POWER_NOTHING   0                   // no effect is seen with that probability

// The probability of having failed a release whose installs fail with true_ppm, after n devices.
double evidence_power_install(uint32_t baseline_ppm, uint32_t true_ppm, uint64_t n, int64_t level);
// How many devices have an outcome when such a release was stopped with this probability (500,000:
// the median); more than n (or EVIDENCE_POWER_STEPS_MAX) when it is not within n. Those who were
// offered it and have no outcome then are exposed as well.
uint64_t evidence_power_exposure(uint32_t baseline_ppm, uint32_t true_ppm, uint64_t n,
                                 int64_t level, uint32_t probability_ppm);
// As evidence_power_install, for events: treated_ppm is the share of treated devices among those at
// risk (1 … 999,999), node the tolerable ratio, ratio the true one, n the number of events in both
// arms.
double evidence_power_events(uint32_t treated_ppm, unsigned node, double ratio, uint64_t n,
                             int64_t level);
// The same for a metric: k compared devices each, by how many standard deviations of a device's
// change the shift exceeds the tolerable one, n sets.
double evidence_power_rank(unsigned compared, uint32_t baseline_ppm, double shift_sd, uint64_t n,
                           int64_t level);

// The smallest effect that is seen with at least this probability (parts per million), or
// EVIDENCE_POWER_NOTHING: a share of failures in parts per million; a hazard ratio in parts per
// million, up to 1,000,000,000; a shift in thousandths of a standard deviation, up to 5.
uint32_t evidence_power_least_install(uint32_t baseline_ppm, uint64_t n, int64_t level,
                                      uint32_t power_ppm);
uint32_t evidence_power_least_events(uint32_t treated_ppm, unsigned node, uint64_t n, int64_t level,
                                     uint32_t power_ppm);
uint32_t evidence_power_least_rank(unsigned compared, uint32_t baseline_ppm, uint64_t n,
                                   int64_t level, uint32_t power_ppm);
// The probability of having passed a release after n events: e against "at least the ratio of the
// node" reached the level. For the others passing is failing seen in a mirror: of installs
// evidence_power_install(1,000,000 - intolerable, 1,000,000 - true share, n, level), of metrics
// evidence_power_rank(k, 0, (intolerable - true shift) / standard deviation, n, level).
double evidence_power_passing_events(uint32_t treated_ppm, unsigned node, double ratio, uint64_t n,
                                     int64_t level);
// Fills ret[rank - 1] with the probability of each rank of the treated device.
void evidence_power_ranks(unsigned compared, double shift_sd, double *ret) __attribute__((nonnull));
