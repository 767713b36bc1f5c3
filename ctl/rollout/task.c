// SPDX-License-Identifier: Apache-2.0
//
// What became of a device in a rollout.
#include "ctl/rollout/task.h"

#include <assert.h>
#include <string.h>

#include "bundle/kind.h"
#include "ctl/rollout/why.h"

static const char *const names[ROLLOUT_TASKS] = {
    "none",     "offered", "staged",    "activated", "committed", "failed",
    "reverted", "lost",    "cancelled", "already",   "skipped",
};

// A report is news about what the device did last, so it decides, whatever we thought before; only
// a wait says nothing of itself.
static const enum rollout_task after[BUNDLE_EVENTS] = {
    [BUNDLE_EVENT_OFFERED] = ROLLOUT_TASK_OFFERED,
    [BUNDLE_EVENT_STAGED] = ROLLOUT_TASK_STAGED,
    [BUNDLE_EVENT_WAITING] = ROLLOUT_TASK_NONE,
    [BUNDLE_EVENT_ACTIVATED] = ROLLOUT_TASK_ACTIVATED,
    [BUNDLE_EVENT_COMMITTED] = ROLLOUT_TASK_COMMITTED,
    [BUNDLE_EVENT_REFUSED] = ROLLOUT_TASK_FAILED,
    [BUNDLE_EVENT_REVERTED] = ROLLOUT_TASK_REVERTED,
    [BUNDLE_EVENT_CANCELLED] = ROLLOUT_TASK_CANCELLED,
    [BUNDLE_EVENT_FAILED] = ROLLOUT_TASK_FAILED,
};

const char *rollout_task_name(enum rollout_task task) {
    assert(task < ROLLOUT_TASKS);
    return names[task];
}

bool rollout_task_unresolved(enum rollout_task task) {
    return task == ROLLOUT_TASK_OFFERED || task == ROLLOUT_TASK_STAGED ||
           task == ROLLOUT_TASK_ACTIVATED;
}

bool rollout_task_took(enum rollout_task task) {
    return rollout_task_unresolved(task) || task == ROLLOUT_TASK_COMMITTED ||
           task == ROLLOUT_TASK_LOST;
}

// No step: who goes to and fro does not finish either, and would be waited for without end. A device that is at work
// goes on, or has an outcome; one with an outcome may have another, and is at work only when it is offered it again.
static bool leads_back(enum rollout_task from, enum rollout_task to) {
    if (from == ROLLOUT_TASK_ACTIVATED && to == ROLLOUT_TASK_CANCELLED)
        return true;
    if (from == ROLLOUT_TASK_CANCELLED && to == ROLLOUT_TASK_ACTIVATED) // it came too late
        return false;
    if (rollout_task_unresolved(from))
        return rollout_task_unresolved(to) && to < from;
    return from != ROLLOUT_TASK_LOST && rollout_task_unresolved(to);
}

enum rollout_task rollout_task_after(enum rollout_task task, enum bundle_event event) {
    assert(event < BUNDLE_EVENTS);
    bool apart =
        task == ROLLOUT_TASK_NONE || task == ROLLOUT_TASK_ALREADY || task == ROLLOUT_TASK_SKIPPED;
    if (apart || BUNDLE_EVENT_IS_SHAM(event)) // a sham is of what it runs, not of the release
        return task;
    if (event == BUNDLE_EVENT_WAITING) // still there after all
        return task == ROLLOUT_TASK_LOST ? ROLLOUT_TASK_STAGED : task;
    return leads_back(task, after[event]) ? task : after[event];
}

bool rollout_task_is_stuck(enum rollout_task task, const char *code) {
    return task == ROLLOUT_TASK_LOST && strcmp(code, rollout_why_name(ROLLOUT_WHY_stuck)) == 0;
}

enum rollout_task rollout_task_reported(enum rollout_task task, const char *code,
                                        enum bundle_event event) {
    bool at_work = event == BUNDLE_EVENT_OFFERED || event == BUNDLE_EVENT_STAGED ||
                   event == BUNDLE_EVENT_WAITING || event == BUNDLE_EVENT_ACTIVATED;
    return at_work && rollout_task_is_stuck(task, code) ? task : rollout_task_after(task, event);
}

bool rollout_task_unsigned(const char *code) {
    const struct err_kind *const kinds[] = {&err_no_mandate, &err_outside_mandate,
                                            &err_mandate_expired, &err_rank_beyond, &err_too_early};
    for (size_t i = 0; i < sizeof kinds / sizeof(const struct err_kind *); i++)
        if (strcmp(code, kinds[i]->name) == 0)
            return true;
    return false;
}
