// SPDX-License-Identifier: Apache-2.0
//
// Counting again, and looking at the devices.
#include "ctl/sim/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

// ── Tallies ──

// What became of each device, from the notes alone.
static void replay(const struct sim_control *c, uint8_t *tasks, bool *stuck) {
    for (size_t i = 0; i < c->n_notes; i++) {
        const struct sim_control_note *n = &c->notes[i];
        enum rollout_task task = (enum rollout_task)tasks[n->device];
        const char *code = stuck[n->device] ? rollout_why_name(ROLLOUT_WHY_stuck) : "";
        if (n->kind == SIM_CONTROL_MARK)
            task = (enum rollout_task)n->what;
        else if (n->kind == SIM_CONTROL_REPORT)
            task = rollout_task_reported(task, code, (enum bundle_event)n->what);
        else {
            task = ROLLOUT_TASK_LOST;
            stuck[n->device] = n->what == 1;
        }
        tasks[n->device] = (uint8_t)task;
    }
}

static bool is_bad(enum rollout_task task) {
    return task == ROLLOUT_TASK_FAILED || task == ROLLOUT_TASK_REVERTED ||
           task == ROLLOUT_TASK_LOST;
}

static uint64_t compare(const struct sim_control *c, const uint8_t *tasks,
                        struct rollout_tally *again, char text[static SIM_CHECK_TEXT_BYTES]) {
    size_t n_strata = c->world->n_strata;
    for (size_t i = 0; i < c->n; i++) {
        const struct sim_control_device *d = &c->devices[i];
        enum rollout_task task = (enum rollout_task)tasks[i];
        // What failed in an earlier attempt was forgotten when the rollout was resumed.
        if (task == ROLLOUT_TASK_NONE || (is_bad(task) && d->attempt < c->progress.attempt) ||
            d->stage >= c->policy->n_stages)
            continue;
        again[d->stage * n_strata + d->stratum].now[task]++;
    }
    for (size_t i = 0; i < n_strata * c->policy->n_stages; i++)
        for (unsigned t = 0; t < ROLLOUT_TASKS; t++)
            if (again[i].now[t] != c->tallies[i].now[t]) {
                (void)snprintf(text, SIM_CHECK_TEXT_BYTES,
                               "tallies: stage %zu, stratum %zu has %llu devices %s, and a recount "
                               "finds %llu",
                               i / n_strata, i % n_strata, (unsigned long long)c->tallies[i].now[t],
                               rollout_task_name((enum rollout_task)t),
                               (unsigned long long)again[i].now[t]);
                return 1;
            }
    return 0;
}

uint64_t sim_check_tallies(const struct sim_control *c, char text[static SIM_CHECK_TEXT_BYTES]) {
    size_t n = c->world->n_strata * c->policy->n_stages;
    OWN(mem) uint8_t *tasks = calloc(c->n, 1);
    OWN(mem) bool *stuck = calloc(c->n, sizeof *stuck);
    OWN(mem) struct rollout_tally *again = calloc(n, sizeof *again);
    if (tasks == NULL || stuck == NULL || again == NULL || !c->applied)
        return 0;
    replay(c, tasks, stuck);
    return compare(c, tasks, again, text);
}

// ── Devices ──

// Whether the controller and the device say the same; what is not heard of any more says nothing.
static const char *disagrees(const struct sim_control_device *d, const struct sim_device *device) {
    bool runs = device->running_s >= 0;
    if (d->offered_s == 0)
        return NULL;
    if (rollout_task_unresolved(d->task))
        return "was offered the release and has no outcome";
    if (device->dead)
        return d->task == ROLLOUT_TASK_LOST || d->task == ROLLOUT_TASK_COMMITTED ||
                       is_bad(d->task) || d->task == ROLLOUT_TASK_CANCELLED
                   ? NULL
                   : "fell silent and is not listed as lost";
    if (d->task == ROLLOUT_TASK_COMMITTED && !runs)
        return "counts as committed and does not run the release";
    if ((d->task == ROLLOUT_TASK_REVERTED || d->task == ROLLOUT_TASK_CANCELLED) && runs)
        return "counts as gone back and runs the release";
    if (d->task == ROLLOUT_TASK_NONE || d->task == ROLLOUT_TASK_SKIPPED)
        return "was offered the release and is not counted";
    return NULL;
}

static uint64_t check_devices(const struct sim_control *c, const struct sim_device *devices,
                              char text[static SIM_CHECK_TEXT_BYTES]) {
    uint64_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const char *what = disagrees(&c->devices[i], &devices[i]);
        if (what == NULL)
            continue;
        if (n++ == 0)
            (void)snprintf(text, SIM_CHECK_TEXT_BYTES, "device %zu %s (%s)", i, what,
                           rollout_task_name(c->devices[i].task));
    }
    return n;
}

// ── Bounds ──

static uint64_t check_bounds(const struct sim_control *c, char text[static SIM_CHECK_TEXT_BYTES]) {
    const struct sim_control_breaches *b = &c->breaches;
    uint64_t n = b->beyond_bound + b->beyond_limit + b->while_halted + b->again;
    if (n > 0)
        (void)snprintf(
            text, SIM_CHECK_TEXT_BYTES,
            "%llu offers beyond the bound of the stage, %llu above the limits, %llu while "
            "the rollout did not run, %llu of what failed there; the first to device %llu",
            (unsigned long long)b->beyond_bound, (unsigned long long)b->beyond_limit,
            (unsigned long long)b->while_halted, (unsigned long long)b->again,
            (unsigned long long)b->first_outside);
    return n;
}

// Of the devices that were known when the rollout was applied no stratum had more offered to than the
// stages that began were planned for.
static uint64_t check_planned(const struct sim_control *c, char text[static SIM_CHECK_TEXT_BYTES]) {
    uint64_t offered[BUNDLE_STRATA_MAX] = {0};
    for (size_t i = 0; i < c->n; i++)
        if (c->devices[i].offered_s > 0 && c->devices[i].enrolled_s <= c->applied_s)
            offered[c->devices[i].stratum]++;
    for (size_t s = 0; s < c->world->n_strata && c->applied; s++) {
        uint64_t planned = c->plans[s].held_back;
        for (size_t i = 0; i < c->policy->n_stages; i++)
            planned += i < c->reached ? c->plans[s].planned[i] : 0;
        if (offered[s] <= planned)
            continue;
        (void)snprintf(
            text, SIM_CHECK_TEXT_BYTES,
            "stratum %zu: %llu devices were offered the release, and %llu were planned for", s,
            (unsigned long long)offered[s], (unsigned long long)planned);
        return 1;
    }
    return 0;
}

uint64_t sim_check_end(const struct sim_control *c, const struct sim_device *devices,
                       char text[static SIM_CHECK_TEXT_BYTES]) {
    uint64_t n = check_bounds(c, text);
    if (n == 0)
        n = check_planned(c, text);
    if (n == 0)
        n = check_devices(c, devices, text);
    return n > 0 ? n : sim_check_tallies(c, text);
}

// ── Windows ──

// By the hands of a clock, and not by what the devices go by.
static bool is_within(const struct bundle_window *w, int64_t local_min) {
    int64_t minute = local_min % 1440, day = (local_min / 1440 + 4) % 7;
    int64_t length =
        w->end_min > w->start_min ? w->end_min - w->start_min : 1440 + w->end_min - w->start_min;
    for (int64_t back = 0; back < 2; back++)
        if ((w->days >> ((day + 7 - back) % 7) & 1) && minute + back * 1440 >= w->start_min &&
            minute + back * 1440 < w->start_min + length)
            return true;
    return false;
}

uint64_t sim_check_window(const struct sim_world *world, size_t device, int64_t now_s,
                          char text[static SIM_CHECK_TEXT_BYTES]) {
    const struct bundle_window_list *windows = &world->policy->windows.install;
    bool open = windows->n == 0;
    for (size_t i = 0; i < windows->n; i++)
        open = open || is_within(&windows->list[i], now_s / 60 + world->devices[device].zone_min);
    if (open)
        return 0;
    (void)snprintf(text, SIM_CHECK_TEXT_BYTES,
                   "device %zu began to activate at %lld, which is outside of its windows", device,
                   (long long)now_s);
    return 1;
}
