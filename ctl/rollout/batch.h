// SPDX-License-Identifier: Apache-2.0
//
// Batches: how far the open stage is open. A stage's share of the fleet is not admitted at once but
// batch by batch, so that few devices are without an outcome at any instant, and so that it is the
// rank (bundle/rank.h) that says who comes next, never who happens to call first: those who call
// often would be treated first, and be compared with those who call seldom.
//
//   rank  0 ─────────┬──────────────────┬ ─ ─ ─ ─ ─ ─ ─ ─ ┬──────────────────── 2^64
//          stages     batches so far     of this stage,     stages to come,
//          before     (share)            not admitted yet   hold-back at the end
//
// The open bound of a stratum lies between its bounds (strata.h) of the stage before and of the open
// stage, as far as `share` of the way. Known devices are spread evenly over the ranks, so a batch of
// `size` devices is a share of size / planned; it is as many on average, and the limit on devices
// without an outcome (decide.h) is what holds exactly.
//
// The next batch opens when
//   * every device that the stage offered the release to has an outcome (on_notified: no condition),
//     and as many as were expected of the batch were offered it, or it has been open for two rhythms
//     (gates.h): some devices are off;
//   * or it has been open for two rhythms and at most half of `size` are without an outcome: a few
//     that fell silent do not hold up everybody. The batch then only fills up what is free.
// It is larger by the policy's factor when the one before was full and clean. Full: as many as were
// expected of it (with gates: reach_ppm of them) were really offered the release; one that opened
// only because some are off goes on under the same size until it is. Clean (on_notified: no
// condition): every device has an outcome, and no more of them are bad than the install gate's
// baseline share of it, rounded down (without such a gate: none). Else it is of the same size: a
// fleet that is off makes no batch larger. A new stage goes on with the size reached.
//
// Rollouts with gates of evidence always have batches (10 devices at first, doubling, when the
// policy does not say); others when the policy gives them. Without batches each stage is admitted
// at once, as one batch without a size.
//
// Where sites are drawn (unit.h) sizes stay in devices, and what lies between two openings may hold no
// site, or one that is larger than the batch: it is then brought in parts, as devices have outcomes.
//
// `number` rises with every opening of any kind: a batch, a stage, the hold-back, a resumed run. It
// is the epoch of score.h. It is durable with the rollout's progress before the first offer of the
// batch, so that a restart of the controller neither widens nor forgets it.
//
// Where people sign how far a rollout may go (bundle/mandate.h) they sign how fast, too: of a stage no
// more is open than its ramp says. A batch that would open more is smaller, and the next one waits for
// the time.
//
// Hold-back. With holdback_ppm the highest ranks are admitted by no stage until they are released
// (advance.h), whichever stage's bounds they are within; then the last stage goes on with them, in
// batches as before.
//
// Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ctl/rollout/policy.h"
#include "ctl/rollout/strata.h"
#include "ctl/rollout/tally.h"

#define ROLLOUT_BATCH_WHOLE   (UINT64_C(1) << 32) // of share
#define ROLLOUT_BATCH_RHYTHMS 2

// How a stage may open: a share of it from a time on, all of it from whole_s on. n 0: at once.
#define ROLLOUT_BATCH_STEPS_MAX 16
struct rollout_batch_ramp {
    size_t n;
    struct rollout_batch_ramp_step {
        int64_t from_s;
        uint64_t share; // of ROLLOUT_BATCH_WHOLE
    } steps[ROLLOUT_BATCH_STEPS_MAX];
    int64_t whole_s;
};
// The share that may be open now, 1 at least; *ret_next_s is when it rises, 0 when all is open.
uint64_t rollout_batch_ramp_share(const struct rollout_batch_ramp *ramp, int64_t now_s,
                                  int64_t *ret_next_s) __attribute__((nonnull));

// All zero before the first stage begins.
struct rollout_batch {
    uint64_t number;   // of openings so far, from 1
    uint64_t size;     // devices without an outcome at most; 0: no batches, no limit
    uint64_t share;    // of the open stage that is admitted, of ROLLOUT_BATCH_WHOLE
    uint64_t expected; // devices that this batch adds on average, those it went on from included
    int64_t opened_s;
    uint64_t offered_before, bad_before; // of the stage, when it opened
    bool held_back_open;                 // the hold-back is released
    uint64_t most; // the highest share that may be open now, set before each call; 0: no bound
};

// Whether the policy has batches at all.
bool rollout_batch_used(const struct rollout_policy *policy) __attribute__((nonnull));

// Opens the first batch of a stage, or of the hold-back. stage: the tally of the open stage as it
// is now, all strata; planned: its known devices (once the hold-back is open: those of that alone). What the batch
// before left in *io says how large this one is.
void rollout_batch_begin(const struct rollout_policy *policy, const struct rollout_tally *stage,
                         uint64_t planned, int64_t now_s, struct rollout_batch *io)
    __attribute__((nonnull));
// Opens the next batch of the stage when it is time to. ROLLOUT_BATCH_OPENED, or 0.
enum { ROLLOUT_BATCH_OPENED = 1 };
int rollout_batch_step(const struct rollout_policy *policy, const struct rollout_tally *stage,
                       uint64_t planned, int64_t now_s, struct rollout_batch *io)
    __attribute__((nonnull));
// Whether all is open that may be: the next batch waits for the time.
bool rollout_batch_is_bounded(const struct rollout_batch *batch) __attribute__((nonnull));
// Goes on where it was, with the smallest batch: a resumed run.
void rollout_batch_again(const struct rollout_policy *policy, int64_t now_s,
                         struct rollout_batch *io) __attribute__((nonnull));
// The stage is done: the next batch will be larger when the last one was clean.
void rollout_batch_end(const struct rollout_policy *policy, const struct rollout_tally *stage,
                       struct rollout_batch *io) __attribute__((nonnull));

// Whether a rank is admitted now. stage: the open one; started: it has begun to offer.
enum rollout_admission {
    ROLLOUT_ADMISSION_OPEN,      // by a stage before, or by the batches of the open one
    ROLLOUT_ADMISSION_BATCH,     // by the open stage, but by none of its batches so far
    ROLLOUT_ADMISSION_STAGE,     // by a stage to come (also one that has not begun)
    ROLLOUT_ADMISSION_HELD_BACK, // by some stage, but it is kept back
    ROLLOUT_ADMISSION_NEVER      // by no stage
};
struct rollout_batch_place {
    size_t stage; // the open one; policy->n_stages: all are done
    bool started;
    const struct rollout_batch *batch;
};
enum rollout_admission rollout_batch_admission(const struct rollout_policy *policy,
                                               const struct rollout_batch_place *open,
                                               const struct rollout_stratum_plan *plan,
                                               uint64_t rank) __attribute__((nonnull));
// The highest rank that is admitted now; false when none is.
bool rollout_batch_bound(const struct rollout_policy *policy,
                         const struct rollout_batch_place *open,
                         const struct rollout_stratum_plan *plan, uint64_t *ret)
    __attribute__((nonnull));
// The highest rank that is not held back.
uint64_t rollout_batch_holdback(const struct rollout_policy *policy) __attribute__((nonnull));
