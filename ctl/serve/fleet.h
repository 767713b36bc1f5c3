// SPDX-License-Identifier: Apache-2.0
//
// Where devices and rollouts meet: what a report changes, what a device is told, what time alone
// brings. Each changes store and memory together; the decisions are ctl/rollout's. The store's
// thread only.
#pragma once

#include "ctl/serve/engine.h"

struct serve_fleet {
    struct serve_engine *engine;
    struct store_db *db;
    int64_t now_ms;
    int64_t before_s; // in a check-in: when the device was heard of before; 0 never
};

// Counts it in a rollout's tally of task's stage and stratum as `to` in place of what task says.
int serve_fleet_count(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                      const char *device, const struct store_device_task *task,
                      enum rollout_task to, struct err *e) __attribute__((nonnull));
// Moves the device's task (memory, tallies, progress of the rollout). The device's row is the
// caller's to put.
int serve_fleet_move(const struct serve_fleet *fleet, struct store_device *device,
                     enum rollout_task to, struct err *e) __attribute__((nonnull));
// Whether the device's task is this rollout's; else it may be aside there (ctl/store/part.h).
bool serve_fleet_is_part(const struct store_device *device,
                         const struct serve_engine_rollout *rollout) __attribute__((nonnull));
// Gives the device a task of the rollout ("" without one): as what it counts there already. What it
// did before has no outcome any more, or keeps the one it had.
int serve_fleet_turn(const struct serve_fleet *fleet, struct store_device *device,
                     const struct store_device_task *to, struct err *e) __attribute__((nonnull));
// It counts as `as` (skipped, already) in a rollout that is not its task's; an outcome stays.
int serve_fleet_aside(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                      const char *device, const struct store_device_task *as, struct err *e)
    __attribute__((nonnull));
// No rollout waits for an offer to it that an operator has taken out of: out of all that select the
// device now, but not as it is in `after` (NULL: of all).
int serve_fleet_excuse(const struct serve_fleet *fleet, const struct store_device *device,
                       const struct store_device *after, struct err *e)
    __attribute__((nonnull(1, 2, 4)));
// Takes a report into account: keeps it, moves the task it is about, tells those who watch. 1 when
// it was known already.
int serve_fleet_report(const struct serve_fleet *fleet, struct store_device *device,
                       const struct bundle_report *report, struct err *e) __attribute__((nonnull));
// Decides for a device that says `checkin`, notes what it was told in the device and the tallies.
int serve_fleet_decide(const struct serve_fleet *fleet, struct store_device *device,
                       const struct bundle_checkin *checkin, struct rollout_decision *ret,
                       struct err *e) __attribute__((nonnull));

// What a device would be told now, going by what it said last; notes nothing.
int serve_fleet_foresee(const struct serve_fleet *fleet, const struct store_device *device,
                        struct rollout_decision *ret, struct err *e) __attribute__((nonnull));

// What each rollout that has not ended means for the device now, by itself: newest first. visit < 0
// fails.
typedef int (*serve_fleet_visit_why)(void *context, const char *rollout,
                                     const struct rollout_why *why, struct err *e);
int serve_fleet_foresee_each(const struct serve_fleet *fleet, const struct store_device *device,
                             serve_fleet_visit_why visit, void *context, struct err *e)
    __attribute__((nonnull(1, 2, 3, 5)));

// Judges a rollout, keeps its progress when that moved, tells those who watch.
int serve_fleet_advance(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                        struct err *e) __attribute__((nonnull));
// Keeps progress that was changed by hand.
int serve_fleet_keep(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                     const struct rollout_progress *before, struct err *e) __attribute__((nonnull));
// Finds bounds and planned numbers from the devices that are known now.
int serve_fleet_plan(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                     struct err *e) __attribute__((nonnull));
// An event for those who watch.
int serve_fleet_tell(const struct serve_fleet *fleet, const char *kind, const char *subject,
                     const char *rollout, const char *code, const char *text, struct err *e)
    __attribute__((nonnull));

// The process has started: nobody could be heard since its last tick.
int serve_fleet_start(const struct serve_fleet *fleet, struct err *e) __attribute__((nonnull));
// The clock was set by so much: what it says more is no silence, and after less nobody is waited for as
// long as it was ahead.
int serve_fleet_jump(const struct serve_fleet *fleet, int64_t jump_s, struct err *e)
    __attribute__((nonnull));
// What time brings: stages that are over, devices that are lost. Time in which nobody could be heard
// does not count (ctl/rollout/downtime.h).
int serve_fleet_tick(const struct serve_fleet *fleet, struct err *e) __attribute__((nonnull));
