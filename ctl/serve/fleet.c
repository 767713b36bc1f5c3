// SPDX-License-Identifier: Apache-2.0
//
// Reports and progress.
#include "ctl/serve/fleet.h"

#include <stdio.h>
#include <string.h>

#include "ctl/serve/evidence.h"
#include "ctl/serve/spent.h"
#include "ctl/store/part.h"
#include "ctl/store/report.h"
#include "ctl/store/undone.h"

static int64_t now_s(const struct serve_fleet *fleet) {
    return fleet->now_ms / 1000;
}

int serve_fleet_tell(const struct serve_fleet *fleet, const char *kind, const char *subject,
                     const char *rollout, const char *code, const char *text, struct err *e) {
    struct store_event event = {.id = 0};
    (void)snprintf(event.kind, sizeof event.kind, "%s", kind);
    (void)snprintf(event.subject, sizeof event.subject, "%s", subject);
    (void)snprintf(event.rollout, sizeof event.rollout, "%s", rollout);
    (void)snprintf(event.code, sizeof event.code, "%s", code);
    (void)snprintf(event.text, sizeof event.text, "%s", text);
    return serve_engine_tell(fleet->engine, fleet->db, fleet->now_ms, &event, e);
}

// ── Progress ──

// Tells of the stages that changed, and of the rollout's state.
static int tell_progress(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                         const struct rollout_progress *before, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    const struct rollout_progress *now = &r->row.progress;
    char kind[ERR_NAME_BYTES];
    for (size_t i = 0; i < policy->n_stages; i++) {
        enum rollout_stage_state was = rollout_advance_stage(policy, before, i);
        enum rollout_stage_state is = rollout_advance_stage(policy, now, i);
        if (was == is)
            continue;
        (void)snprintf(kind, sizeof kind, "stage_%s", rollout_advance_stage_name(is));
        if (serve_fleet_tell(fleet, kind, policy->stages[i].name, policy->name,
                             rollout_why_name(now->why.code), now->why.text, e) < 0)
            return -1;
    }
    if (before->state == now->state)
        return 0;
    (void)snprintf(kind, sizeof kind, "rollout_%s", rollout_advance_state_name(now->state));
    return serve_fleet_tell(fleet, kind, policy->name, policy->name,
                            rollout_why_name(now->why.code), now->why.text, e);
}

// Devices that have left are not waited for while the others go back: nothing would ever be heard.
static int count_gone(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                      struct err *e) {
    struct rollout_tally all = serve_engine_sum(r, r->row.policy.n_stages);
    uint64_t counted = rollout_tally_took(&all), there = 0;
    if (store_device_took(fleet->db, r->row.policy.name, &there, e) < 0)
        return -1;
    r->row.progress.gone = counted > there ? counted - there : 0;
    return 0;
}

int serve_fleet_keep(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                     const struct rollout_progress *before, struct err *e) {
    enum rollout_state is = r->row.progress.state;
    if (is == ROLLOUT_STATE_REVERTING && before->state != is && count_gone(fleet, r, e) < 0)
        return -1;
    if (rollout_advance_ended(is) && before->state != is &&
        store_part_forget(fleet->db, r->row.policy.name, e) < 0)
        return -1;
    if (store_rollout_put(fleet->db, &r->row, e) < 0 ||
        serve_evidence_archive(fleet, r, before, e) < 0 || serve_evidence_follow(fleet, r, e) < 0)
        return -1;
    return tell_progress(fleet, r, before, e);
}

int serve_fleet_advance(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                        struct err *e) {
    struct rollout_progress before = r->row.progress;
    struct rollout_counts counts = {
        .tallies = r->tallies, .n_strata = r->n_strata, .now_s = now_s(fleet)};
    if (before.state == ROLLOUT_STATE_RUNNING &&
        store_device_count_held(fleet->db, r->row.policy.name, &counts.held, e) < 0)
        return -1;
    if (serve_evidence_judge(fleet, r, &counts, e) < 0)
        return -1;
    if (rollout_advance(&r->row.policy, &rollout_gate_threshold, &counts, &r->row.progress) !=
        ROLLOUT_MOVED)
        return 0;
    return serve_fleet_keep(fleet, r, &before, e);
}

// ── Tasks ──

// What the tally counts a device as: bad outcomes of an earlier attempt were forgotten, and those
// that come after the new one began are as well.
static enum rollout_task counted(const struct serve_engine_rollout *r, enum rollout_task state,
                                 uint64_t attempt) {
    bool bad = state == ROLLOUT_TASK_FAILED || state == ROLLOUT_TASK_REVERTED ||
               state == ROLLOUT_TASK_LOST;
    return bad && attempt < r->row.progress.attempt ? ROLLOUT_TASK_NONE : state;
}

int serve_fleet_count(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                      const char *device, const struct store_device_task *task,
                      enum rollout_task to, struct err *e) {
    if (task->stage >= r->row.policy.n_stages || task->stratum >= r->n_strata)
        return 0;
    enum rollout_task from = counted(r, task->state, task->attempt);
    to = counted(r, to, task->attempt);
    struct store_rollout_move move = {.bucket = store_db_bucket(device),
                                      .rollout = r->row.policy.name,
                                      .stage = task->stage,
                                      .stratum = task->stratum,
                                      .from = from,
                                      .to = to};
    if (store_rollout_move(fleet->db, &move, e) < 0)
        return -1;
    rollout_tally_move(serve_engine_tally(r, task->stage, task->stratum), from, to);
    return 0;
}

int serve_fleet_move(const struct serve_fleet *fleet, struct store_device *device,
                     enum rollout_task to, struct err *e) {
    struct store_device_task *task = &device->task;
    struct serve_engine_rollout *r = serve_engine_find(fleet->engine, task->rollout);
    if (task->state == to)
        return 0;
    if (r != NULL && serve_fleet_count(fleet, r, device->id, task, to, e) < 0)
        return -1;
    task->state = to;
    task->since_s = now_s(fleet);
    if (r == NULL)
        return 0;
    if (serve_evidence_moved(fleet, r, device->id, task, e) < 0)
        return -1;
    return serve_fleet_advance(fleet, r, e);
}

// Whether the device was told to give its update up: then that is no outcome of the release.
static bool was_told(const struct store_device *device) {
    return strcmp(device->why_code, rollout_why_name(ROLLOUT_WHY_cancelling)) == 0 ||
           strcmp(device->why_code, rollout_why_name(ROLLOUT_WHY_going_back)) == 0;
}

static int take_cancelled(const struct serve_fleet *fleet, struct store_device *device,
                          struct err *e) {
    struct serve_engine_rollout *r = serve_engine_find(fleet->engine, device->task.rollout);
    return r == NULL || was_told(device) ? 0 : serve_evidence_gave_up(fleet, r, device->id, e);
}

// Of a rollout that goes back: it did, or cannot. What it was told before the rollout went back is no
// word about that; then it was not told to.
static int note_way_back(const struct serve_fleet *fleet, const char *device,
                         const struct bundle_report *report, struct err *e) {
    const struct serve_engine_rollout *r = serve_engine_find(fleet->engine, report->rollout);
    bool back = report->event == BUNDLE_EVENT_REVERTED;
    if (r == NULL || (r->row.progress.state != ROLLOUT_STATE_REVERTING &&
                      r->row.progress.state != ROLLOUT_STATE_REVERTED))
        return 0;
    if (!back && report->event != BUNDLE_EVENT_REFUSED && report->event != BUNDLE_EVENT_FAILED)
        return 0;
    const struct store_undone_said said = {.rollout = r->row.policy.name,
                                           .code = back ? "" : report->code,
                                           .text = back ? "" : report->text};
    return store_undone_say(fleet->db, device, r->row.policy.release_name,
                            r->row.policy.release_version, &said, e);
}

int serve_fleet_report(const struct serve_fleet *fleet, struct store_device *device,
                       const struct bundle_report *report, struct err *e) {
    char kind[ERR_NAME_BYTES];
    int added = store_report_add(fleet->db, device->id, report, now_s(fleet), e);
    if (added != 0)
        return added;
    if (serve_spent_take(fleet, device, report, e) < 0)
        return -1;
    struct store_device_task *task = &device->task;
    if (task->state != ROLLOUT_TASK_NONE && strcmp(task->rollout, report->rollout) == 0 &&
        task->attempt == report->attempt) {
        enum rollout_task to = rollout_task_reported(task->state, task->code, report->event);
        if (to != task->state || !rollout_task_is_stuck(task->state, task->code))
            (void)snprintf(task->code, sizeof task->code, "%s", report->code);
        if (to == ROLLOUT_TASK_FAILED && rollout_task_unsigned(report->code))
            to = ROLLOUT_TASK_CANCELLED;
        if (report->event == BUNDLE_EVENT_CANCELLED && take_cancelled(fleet, device, e) < 0)
            return -1;
        if (serve_fleet_move(fleet, device, to, e) < 0)
            return -1;
    }
    if (note_way_back(fleet, device->id, report, e) < 0)
        return -1;
    struct serve_engine_rollout *r = serve_engine_find(fleet->engine, report->rollout);
    if (r != NULL && BUNDLE_EVENT_IS_SHAM(report->event) &&
        report->attempt == r->row.progress.attempt &&
        serve_evidence_shammed(fleet, r, device->id, report->event, e) < 0)
        return -1;
    (void)snprintf(kind, sizeof kind, "device_%s", bundle_event_names[report->event]);
    return serve_fleet_tell(fleet, kind, device->id, report->rollout, report->code, report->text,
                            e);
}
