// SPDX-License-Identifier: Apache-2.0
//
// What became of a device in a rollout.
#pragma once

#include <stdbool.h>

#include "bundle/report.h"

enum rollout_task {
    ROLLOUT_TASK_NONE,
    ROLLOUT_TASK_OFFERED,   // the offer was given; without outcome
    ROLLOUT_TASK_STAGED,    // fetched and verified; without outcome
    ROLLOUT_TASK_ACTIVATED, // in probation; without outcome
    ROLLOUT_TASK_COMMITTED,
    ROLLOUT_TASK_FAILED,   // refused before the swap, or could not even go back
    ROLLOUT_TASK_REVERTED, // went back after the swap
    ROLLOUT_TASK_LOST,     // took the offer and fell silent
    ROLLOUT_TASK_CANCELLED,
    ROLLOUT_TASK_ALREADY, // had it before it was offered
    ROLLOUT_TASK_SKIPPED, // held, pinned, or nothing fits it
    ROLLOUT_TASKS
};

// "offered", …; static.
const char *rollout_task_name(enum rollout_task task);
// Without an outcome: offered, staged or activated.
bool rollout_task_unresolved(enum rollout_task task);
// May hold the release because of the rollout: without outcome, committed or lost.
bool rollout_task_took(enum rollout_task task);
// What a report makes of it. Only who was offered it can say what became of it: where nothing was
// (none, already, skipped) a report changes nothing. None leads back to work that is behind it.
enum rollout_task rollout_task_after(enum rollout_task task, enum bundle_event event);
// Lost although it calls: it did not finish in time. code: what the task was noted with.
bool rollout_task_is_stuck(enum rollout_task task, const char *code) __attribute__((nonnull));
// What the report makes of it: as rollout_task_after, but one that is stuck comes back with the
// release alone. That it is at work on it is what it has said all the time.
enum rollout_task rollout_task_reported(enum rollout_task task, const char *code,
                                        enum bundle_event event) __attribute__((nonnull));
// Whether a report with this code says that the device refused what people did not sign for
// (bundle/mandate.h). That is the controller's fault, and no outcome of the release.
bool rollout_task_unsigned(const char *code) __attribute__((nonnull));
