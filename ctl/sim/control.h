// SPDX-License-Identifier: Apache-2.0
//
// The controller of the simulator: one rollout over the fleet, by the same decisions as `edgectl
// serve` (rollout_strata_plan, rollout_decide, rollout_advance, …), with arrays in place of a store.
// What it does around them is what ctl/serve/fleet.c does around them: reports are counted once,
// tallies move, a device that is silent for too long is lost by the tick.
//
// Everything that was done is noted (struct sim_control_note), so that what was counted as it came
// can be counted again from the beginning (check.h).
#pragma once

#include "bundle/rank.h"
#include "ctl/rollout/advance.h"
#include "ctl/rollout/bucket.h"
#include "ctl/rollout/decide.h"
#include "ctl/rollout/downtime.h"
#include "ctl/rollout/pulse.h"
#include "ctl/rollout/strata.h"
#include "ctl/sim/device.h"
#include "ctl/sim/score.h"

#define SIM_CONTROL_TICK_S 60 // between two ticks

// What the controller knows of one device.
struct sim_control_device {
    enum rollout_task task;
    uint16_t stage, stratum;
    bool enrolled;
    bool overdue;              // its deadline came, and it was not heard of since
    bool listed;               // in the list of the next tick
    uint16_t admits;           // the first stage that admits it
    char code[ERR_NAME_BYTES]; // of its last failure, or why it was lost
    uint64_t attempt;
    uint64_t rank;
    uint64_t last_report;
    int64_t seen_s; // enrolled_s before the first check-in
    int64_t enrolled_s;
    int64_t since_s;   // of the task
    int64_t offered_s; // first; 0 never
};

// What happened, in order.
enum sim_control_note_kind { SIM_CONTROL_MARK, SIM_CONTROL_REPORT, SIM_CONTROL_LOSE };
struct sim_control_note {
    uint32_t device;
    uint8_t kind;
    uint8_t what;     // MARK: the task; REPORT: the event; LOSE: 1 it calls and is stuck
    uint16_t attempt; // of the device's task then; RESUME: of the rollout
};

// What the rules forbid, counted where it would happen (check.h has the rest).
struct sim_control_breaches {
    uint64_t beyond_bound;  // offers to a rank above the bound of the open stage
    uint64_t beyond_limit;  // offers above the limits of what is without an outcome
    uint64_t while_halted;  // offers and activations while the rollout did not run
    uint64_t again;         // second offers of an attempt that failed there
    uint64_t first_outside; // the first device that any of these was for, and when
    int64_t first_s;
};

struct sim_control {
    const struct sim_world *world;       // borrowed
    const struct rollout_policy *policy; // borrowed
    uint8_t seed[BUNDLE_RANK_SEED_BYTES];
    struct keys_digest bundle;
    bool applied;
    int64_t applied_s;
    size_t n;
    struct sim_control_device *devices;
    size_t members; // known when it was applied
    struct rollout_stratum_plan *plans;
    struct rollout_tally *tallies; // [stage * n_strata + stratum]
    struct rollout_tally all;      // their sum
    uint64_t held_back;            // known devices that the hold-back keeps
    struct rollout_progress progress;
    struct rollout_pulse pulse; // with gates of evidence
    struct rollout_downtime down;
    size_t n_overdue, overdue_capacity;
    uint32_t *overdue;
    uint64_t baseline_room;       // offers of the baseline left in this minute
    uint64_t revert_room;         // devices that may be told to go back in this minute
    struct rollout_bucket offers; // policy's offer_rate
    struct sim_score *score;      // NULL: the policy has no gates of evidence
    uint64_t offered;             // devices, ever
    uint64_t reached;             // stages that began, ever
    uint64_t digest;              // of all decisions, in order
    size_t n_notes, notes_capacity;
    struct sim_control_note *notes;
    struct sim_control_breaches breaches;
};

// An empty one. seed: of the run. *ret is the caller's (sim_control_close). Kind memory.
int sim_control_open(const struct sim_world *world, uint64_t seed, struct sim_control *ret,
                     struct err *e) __attribute__((nonnull));
void sim_control_close(struct sim_control *control) __attribute__((nonnull));
#define own_drop_control sim_control_close

// A device enrolls.
void sim_control_enroll(struct sim_control *control, size_t device, int64_t now_s)
    __attribute__((nonnull));
// The rollout is applied: its bounds are found from the devices that are known.
int sim_control_apply(struct sim_control *control, int64_t now_s, struct err *e)
    __attribute__((nonnull));
// A check-in and its answer. Kind memory.
int sim_control_hear(struct sim_control *control, size_t device,
                     const struct sim_device_checkin *checkin, int64_t now_s,
                     struct sim_device_answer *ret, struct err *e) __attribute__((nonnull));
// When the device will be overdue if nothing more is heard of it; SIM_DEVICE_NEVER when its silence
// means nothing.
int64_t sim_control_deadline_s(const struct sim_control *control, size_t device)
    __attribute__((nonnull));
// It is overdue: the next tick looks at it. Kind memory.
int sim_control_overdue(struct sim_control *control, size_t device, struct err *e)
    __attribute__((nonnull));
// What time brings.
int sim_control_tick(struct sim_control *control, int64_t now_s, struct err *e)
    __attribute__((nonnull));
// A person says so. ROLLOUT_UNCHANGED, ROLLOUT_REFUSED as rollout_advance_by_hand.
int sim_control_by_hand(struct sim_control *control, enum rollout_verb verb, int64_t now_s,
                        struct err *e) __attribute__((nonnull));
// It was down until now: nobody was heard since its last tick.
void sim_control_start(struct sim_control *control, int64_t now_s) __attribute__((nonnull));
// The controller is restarted: everything is read again from what is stored, and has to be the same.
// Kinds: internal (it is not), those of reading and writing.
int sim_control_reload(struct sim_control *control, struct err *e) __attribute__((nonnull));
