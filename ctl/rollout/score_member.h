// SPDX-License-Identifier: Apache-2.0
//
// Sites as units (unit.h): how the check-ins of a site's devices become evidence of one unit. Inside
// score.h, whose rules hold for the unit's row (struct rollout_score_device, of the whole site) with
// "site" for "device"; this says what a site's events, readings and outcomes are. With devices as units
// nothing here is called.
//
// Sources: Donner & Klar, Design and Analysis of Cluster Randomization Trials in Health Research, 2000,
// ch. 1, 5, 7 and 8 (unit of analysis; a summary of each cluster; time to event); Hayes & Moulton, Cluster
// Randomised Trials, 2nd ed. 2017, ch. 2, 3 and 10 (the same; contamination between arms). One summary a
// cluster makes the tests of single devices valid as they are: each gate's claim is about draws of units,
// and whatever goes on inside of a unit (devices that fail together, that are of different kinds, that
// call oftener) is part of its value, in both arms.
//
// What a site is counted as.
//   counted    when its row is made, and where it was not at its first check-in of each epoch: more than
//              half of its devices that were heard of since the rollout began (the one that calls
//              included) would be counted by rollout_score_counts, each by what is known of it then, and
//              a stage names none of its devices. Not of all devices that ever were of the site: those
//              that are off are known only from a walk of the fleet, and it does not matter which ones are
//              asked, as long as they are asked before the release can matter, in both arms alike. One
//              that is named brings the release to the site whatever the site's rank, so that neither arm
//              is a place for it.
//   treated    from the first offer to any of its devices: one number a site
//   install    one outcome a site, that of the device that was offered first. It is fixed before anything
//              is known of it, so that the stated baseline is the share of installs that fail, whatever the
//              size of sites. (Any or most of the site's installs would fail oftener or seldomer than one.)
//              When it leaves without an outcome the number counts for nothing.
//   metrics    the mean of what its devices say, of each the first reading in a slot. Its set begins when
//              the first activation, or the first outcome before one, of any of them is known. Worst when
//              nothing of the whole site was heard in the later window, or more than half of its devices
//              that have an outcome have a bad one.
//   counters   the first of its devices that reads more than at its check-in before is the event, when the
//              site was at risk at both; of a treated site only once this device's own activation, or
//              outcome, is known for longer than the settling time. A treated site is at risk only when
//              that holds for all its devices that were heard of: with some of them it would have fewer
//              events than a site of the comparison with all, and pass for it. A device that the release was
//              nothing for when it was first heard of (no bundle fits, it runs the release, it is held) is
//              waited for by nobody, until it is offered it all the same: it counts in both arms alike,
//              and its site is at risk like the others of its kind.
//   losses     the first of its devices that is silent for as long as a lost one, at an instant at which
//              the site is at risk of it. One that was silent for so long before the site was at risk is no
//              event: a site that enters sooner than others would have those that were waiting, and no
//              more. Then the site is at risk of losses no more, of counters it is. A whole site that goes dark
//              is one event: nothing within it is compared, since it has one arm.
//   leaving    a device leaves the site, and the site when the last one of those heard of has left. One that
//              the rollout selects no more stays (score.h), but for one of a treated site that was not
//              offered the release: it will not be, and the site would wait for it.
//
// A device is of the unit that it was of when its row was made. When it names another site it leaves
// that, and is counted by none in this rollout: its offers are the other site's. What it says with that
// check-in still counts, and one that was offered the release stays: a release that changes what devices
// say of their site would otherwise not be seen.
//
// The play. C is the caller; M is the device's row (struct rollout_score_member), U the unit's. After each
// call it keeps U when news say so, and M.
//
//   a device checks in            C: rollout_score_member_know; without U, or when U is not counted: a
//                                 ballot of U's members, then rollout_score_device_init or
//                                 rollout_score_count_ballot; then rollout_score_member_heard
//   it is offered the release     C: rollout_score_member_offered
//   activated, or an outcome      C: rollout_score_member_moved; then for U as score.h says (the set when
//                                 its base_s is 0, the prefix)
//   it takes part no more         C: rollout_score_member_leave, and the prefix as after an outcome
//   the tick: devices that wait (waits) and were not heard of for rollout_score_silence_s
//                                 C: rollout_score_silent with their number; unless the fleet is silent, for
//                                 each of them rollout_score_member_lost, and of the units for which that
//                                 was true, each once, ties by stratum: rollout_score_lose, rollout_score_lost
//
// Pure; no allocation.
#pragma once

#include "ctl/rollout/score.h"

// What a device said last, for one gate.
struct rollout_score_reading {
    bool has_last;
    int64_t last_nano; // COUNTER: the reading before
    int64_t slot;      // METRIC: of its last reading that counted, and one more; 0 none
};

// Of one device of a unit, and rollout.
struct rollout_score_member {
    uint32_t run; // of which the rest is
    bool gone;
    bool first; // of its unit it was offered the release first: the unit's number is its
    bool
        idle; // the release was nothing for it when it was first heard of, and it was not offered it
    bool waits; // its silence may be the unit's event
    enum rollout_outcome outcome;
    uint64_t epoch;   // of its last check-in
    uint32_t at_risk; // bit per gate: its unit's then
    int64_t heard_s;  // last check-in, to the grid of score.h
    int64_t base_s;   // when its own activation, or an outcome before, was known; 0 none
    struct rollout_score_seen seen; // as of its last check-in; seen_s: heard_s
    struct rollout_score_reading reading[ROLLOUT_GATES_MAX];
};

// ── Counted ──

// Of a unit's devices: how many there are, and would be counted.
struct rollout_score_ballot {
    uint64_t devices, counted;
    bool named; // one of them is named by a stage
};
void rollout_score_ballot_add(const struct rollout_gates *gates,
                              const struct rollout_score_seen *seen, int64_t now_s,
                              struct rollout_score_ballot *io) __attribute__((nonnull));
bool rollout_score_ballot_counts(const struct rollout_score_ballot *ballot)
    __attribute__((nonnull));
// rollout_score_count_again, of a unit. The ballot is asked for only when rollout_score_is_asked.
bool rollout_score_count_ballot(const struct rollout_score *score,
                                const struct rollout_score_ballot *ballot,
                                struct rollout_score_device *io) __attribute__((nonnull));

// ── Devices of a unit ──

// What is known of a device at this check-in; a row of all zeros is a new one. true when that changed.
bool rollout_score_member_know(const struct rollout_score_seen *seen,
                               struct rollout_score_member *io) __attribute__((nonnull));
// rollout_score_heard. true when the member's row changed.
bool rollout_score_member_heard(struct rollout_score *score, const struct rollout_gates *gates,
                                const struct rollout_score_checkin *checkin,
                                struct rollout_score_member *member,
                                struct rollout_score_device *unit, struct rollout_score_news *ret)
    __attribute__((nonnull));
// rollout_score_offered.
void rollout_score_member_offered(struct rollout_score *score, const struct rollout_gates *gates,
                                  struct rollout_score_member *member,
                                  struct rollout_score_device *unit, struct rollout_score_news *ret)
    __attribute__((nonnull));
// Its activation is known (NONE), or its outcome.
void rollout_score_member_moved(struct rollout_score *score, const struct rollout_gates *gates,
                                enum rollout_outcome outcome, int64_t now_s,
                                struct rollout_score_member *member,
                                struct rollout_score_device *unit, struct rollout_score_news *ret)
    __attribute__((nonnull));
// rollout_score_leave.
void rollout_score_member_leave(struct rollout_score *score, struct rollout_score_member *member,
                                struct rollout_score_device *unit, struct rollout_score_news *ret)
    __attribute__((nonnull));
// A device that waits has been silent for silence_s (rollout_score_silence_s). It waits no more, until it is
// heard of; true when its silence is an event of its unit.
bool rollout_score_member_lost(struct rollout_score *score, const struct rollout_gates *gates,
                               int64_t silence_s, struct rollout_score_member *member,
                               const struct rollout_score_device *unit) __attribute__((nonnull));

// Whether a unit's devices came to nothing good: the device's outcome, or that of more than half of a
// site's that have one.
bool rollout_score_member_failed(const struct rollout_score_device *unit) __attribute__((nonnull));
