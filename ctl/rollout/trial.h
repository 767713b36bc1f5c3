// SPDX-License-Identifier: Apache-2.0
//
// Trials: the restart that an activation is, and the probation behind it. A treated device's is its
// activation; a member of its set (score.h) has one when the policy says `sham`: it is told to
// restart what it runs, with the same hooks and the probes of what it runs (agent/update/sham.c). A gate of
// kind REVERT compares what becomes of them.
//
// The play, beside that of score.h. C is the caller.
//
//   a treated device activated, committed, failed, reverted, or is declared lost
//       C: rollout_trial_moved, before its set is begun
//   a member of a set checks in
//       C: tells it to sham when rollout_trial_wanted says so
//   a member reports sham_begun, shammed, sham_failed, sham_refused
//       C: rollout_trial_told
//   any of these, and the tick
//       C: while rollout_trial_score does not say OPEN for the set score->next_trial
//
// Formula. Of a set whose trials are over let a members and b = 1 treated device have begun theirs, x
// of the members and y of the treated have failed. That is one tie (events.h) of the log-rank test
// in a stratum of its own, on the time scale that begins with each device's restart: evidence_events_add with
// (a, 1) at risk and (x, y) events. This is the conditional likelihood of matched sets: given that d of a + 1
// failed, the treated one is among them with odds r : 1 against each member. Mantel and Haenszel, JNCI
// 22, 1959; Breslow and Day, Statistical Methods in Cancer Research I, IARC 1980, ch. 7; Cox,
// Biometrika 62, 1975 (partial likelihood). Why not the risk sets of the other events: the hazard of
// a restart is that of its first minutes, and the arms do not restart at the same times, so that in calendar
// time devices at risk together would differ without any release.
//
// Why it may be believed. Members are drawn by rank when the treated device's activation is known, and not by
// what became of anybody's trial. If a release does to devices what being activated does, who of the set
// fails is exchangeable, and the factor of each set has a mean of at most 1 given all sets before.
// Sets are scored in the order in which they began, each when the trials of all its members are over,
// or at the horizon and grace at the latest: scored as they are over, sets in which trials fail
// sooner would come first. A trial that never began is none, in either arm, for a reason that lies before the
// restart: the device refused (another bundle runs, an older agent), was not reached within
// ROLLOUT_SCORE_SILENCE rhythms, or never activated (which is the install gate's business). One that began
// and of which nothing more was heard did not fail: its silence is the lost gate's, in either arm.
//
// What is not compared: hashing before the swap and the swap itself, which a sham does not have.
//
// Pure.
#pragma once

#include "bundle/report.h"
#include "ctl/rollout/score.h"
#include "ctl/rollout/task.h"

// Bits of the gates that trials are for.
uint32_t rollout_trial_gates(const struct rollout_gates *gates) __attribute__((nonnull));
// Whether devices are compared in sets at all.
bool rollout_trial_has_sets(const struct rollout_gates *gates) __attribute__((nonnull));
// Whether the trial began: the device restarted.
bool rollout_trial_began(const struct rollout_score_device *device) __attribute__((nonnull));

// Whether the device is to be told to sham now.
bool rollout_trial_wanted(const struct rollout_score *score, const struct rollout_gates *gates,
                          const struct rollout_score_device *device, int64_t now_s)
    __attribute__((nonnull));
// A member reported a sham's event. true when its row changed.
bool rollout_trial_told(const struct rollout_score *score, const struct rollout_gates *gates,
                        enum bundle_event event, int64_t now_s, struct rollout_score_device *io)
    __attribute__((nonnull));
// A treated device's task became this one, and is not tried again. true when its row changed.
bool rollout_trial_moved(const struct rollout_score *score, enum rollout_task task,
                         struct rollout_score_device *io) __attribute__((nonnull));

// What a set came to.
struct rollout_trial {
    struct evidence_risk risk;    // that began
    uint64_t comparison, treated; // of them, that failed
};
// The set score->next_trial: its treated device and its members in order of their places. OPEN: some trial
// is not over, and nothing changed. Else the set was scored for the gates of ret_news (none when it had
// nobody to compare), the next one is waited for, and rows of its devices may have changed.
enum { ROLLOUT_TRIAL_OPEN = 1 };
int rollout_trial_score(struct rollout_score *score, const struct rollout_gates *gates,
                        struct rollout_score_device *treated,
                        struct rollout_score_device *const *members, size_t n, int64_t now_s,
                        struct rollout_trial *ret, struct rollout_score_news *ret_news)
    __attribute__((nonnull(1, 2, 3, 7, 8)));
// The units of one of its devices, when that failed: for each gate, with the numbers at risk before the tie.
void rollout_trial_units(const struct rollout_gates *gates, const struct rollout_trial *trial,
                         const struct rollout_score_device *device, struct rollout_score_news *ret)
    __attribute__((nonnull));
