// SPDX-License-Identifier: Apache-2.0
//
// Check-ins, offers, outcomes.
#include "ctl/serve/evidence.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "ctl/rollout/retry.h"
#include "ctl/rollout/trial.h"
#include "ctl/serve/evidence_parts.h"

static struct rollout_score_device *make_room(struct err *e) {
    struct rollout_score_device *row = calloc(1, sizeof *row);
    if (row == NULL)
        (void)err_set(e, &err_memory, "counting for a rollout: out of memory");
    return row;
}

static bool tried_again(const struct serve_engine_rollout *r, const struct store_device_task *t) {
    return rollout_retry_left(&r->row.policy, t->state, r->row.progress.attempt, t->attempt,
                              t->code);
}

// ── Heard of ──

static void read_metrics(const struct rollout_gates *gates, const json_t *metrics,
                         struct rollout_score_checkin *io) {
    for (size_t g = 0; g < gates->n; g++) {
        const struct rollout_gate_policy *gate = &gates->gate[g];
        struct err ignored = ERR_NONE;
        struct decimal value;
        if (gate->kind != ROLLOUT_GATE_COUNTER && gate->kind != ROLLOUT_GATE_METRIC)
            continue;
        const char *text = json_string_value(json_object_get(metrics, gate->metric));
        if (text == NULL || num_parse_decimal(text, gate->metric, &value, &ignored) < 0)
            continue;
        io->given |= 1U << g;
        io->nano[g] = value.nano;
    }
}

static struct serve_evidence_standing standing_of(const struct serve_fleet *fleet,
                                                  const struct serve_engine_rollout *r,
                                                  const struct rollout_score_device *row) {
    return (struct serve_evidence_standing){
        .compared = row->place > 0 && row->due_s > 0,
        .sham = rollout_trial_wanted(r->score, &r->row.policy.gates, row, fleet->now_ms / 1000)};
}

static int leave(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                 const char *device, struct serve_evidence_rows *io, struct err *e) {
    struct rollout_score_news news;
    if (io->of_site ? io->member.gone : io->row.gone)
        return 0;
    if (io->of_site)
        rollout_score_member_leave(r->score, &io->member, &io->row, &news);
    else
        rollout_score_leave(r->score, &io->row, &news);
    io->member_changed = true;
    if (serve_evidence_rows_keep(fleet, r, device, io, &news, e) < 0)
        return -1;
    return serve_evidence_drain(fleet, r, e);
}

// It is of another site than it was: that one is without it from now on, and with this one it waits.
static int heard_elsewhere(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                           const char *device, const struct serve_evidence_place *place,
                           struct serve_evidence_rows *rows, struct serve_evidence_standing *ret,
                           struct err *e) {
    if (leave(fleet, r, device, rows, e) < 0)
        return -1;
    return serve_evidence_compared(fleet, r, device, place->facts, ret, e);
}

static bool was_offered(const struct serve_engine_rollout *r, const struct store_device *device) {
    const struct store_device_task *task = &device->task;
    return strcmp(task->rollout, r->row.policy.name) == 0 &&
           (rollout_task_took(task->state) || task->state == ROLLOUT_TASK_FAILED ||
            task->state == ROLLOUT_TASK_REVERTED);
}

// Whoever was offered the release stays with the site that it was offered it with: that it says something
// else since may be what the release does.
static bool has_left(const struct serve_engine_rollout *r, const struct store_device *device,
                     const struct serve_evidence_rows *rows) {
    return rows->moved && !(was_offered(r, device) && rows->row.arm == ROLLOUT_ARM_TREATED);
}

// What it says while it leaves is of the time before, and counts as that of one that stays does.
static bool counts_once_more(const struct serve_engine_rollout *r,
                             const struct serve_evidence_rows *rows) {
    return rows->row.arm == ROLLOUT_ARM_COMPARISON && rows->row.run == r->score->run &&
           rows->row.epoch == r->score->epoch;
}

// Whether it is heard of now; it counts for the fleet's pulse all the same.
static int is_heard(const struct serve_fleet *fleet, struct serve_engine_rollout *r, bool *ret,
                    struct err *e) {
    struct rollout_pulse pulse = r->pulse;
    int64_t now_s = fleet->now_ms / 1000;
    rollout_pulse_heard(&r->row.policy.gates, fleet->before_s, now_s, &r->pulse);
    *ret = rollout_advance_hears(&r->row.policy, &r->row.progress, now_s);
    return serve_evidence_keep_pulse(fleet, r, &pulse, e);
}

// What it says counts for its unit. *ret_news: there is something to judge.
static int hear(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                const struct store_device *device, bool admitted, struct serve_evidence_rows *io,
                bool *ret_news, struct err *e) {
    const struct rollout_gates *gates = &r->row.policy.gates;
    struct rollout_score_checkin checkin = {.now_s = fleet->now_ms / 1000, .admitted = admitted};
    struct rollout_score_news news;
    read_metrics(gates, json_object_get(device->said, "metrics"), &checkin);
    if (!io->of_site)
        rollout_score_heard(r->score, gates, &checkin, &io->row, &news);
    else if (rollout_score_member_heard(r->score, gates, &checkin, &io->member, &io->row, &news))
        io->member_changed = true;
    news.device = news.device || io->counted_again;
    *ret_news = news.gates != 0;
    return serve_evidence_rows_keep(fleet, r, device->id, io, &news, e);
}

int serve_evidence_heard(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                         const struct store_device *device,
                         const struct serve_evidence_place *place,
                         struct serve_evidence_standing *ret, struct err *e) {
    OWN(mem) struct serve_evidence_rows *rows = NULL;
    bool heard = false, news = false;
    if (is_heard(fleet, r, &heard, e) < 0)
        return -1;
    if (!heard)
        return 0;
    if (serve_evidence_rows_open(fleet, r, device, place, &rows, e) < 0)
        return -1;
    bool left = has_left(r, device, rows);
    if (left && !counts_once_more(r, rows))
        return heard_elsewhere(fleet, r, device->id, place, rows, ret, e);
    // Not as that of the other site.
    if (hear(fleet, r, device, place->admitted && !left, rows, &news, e) < 0)
        return -1;
    *ret = standing_of(fleet, r, &rows->row);
    if (left && heard_elsewhere(fleet, r, device->id, place, rows, ret, e) < 0)
        return -1;
    return news ? serve_fleet_advance(fleet, r, e) : 0;
}

// ── Selected no more ──

// Whether it was dealt an arm, or drawn for a set, by the facts that it had then. Of a treated site
// those stay that were offered the release: for the others the site would be waited for without end.
static bool has_part(const struct serve_engine_rollout *r, const struct store_device *device,
                     const struct serve_evidence_rows *rows) {
    const struct rollout_score_device *row = &rows->row;
    if (row->arm == ROLLOUT_ARM_TREATED)
        return !rows->of_site || rows->member.outcome != ROLLOUT_OUTCOME_NONE ||
               was_offered(r, device);
    return row->arm == ROLLOUT_ARM_COMPARISON || (row->place > 0 && row->due_s > 0);
}

// By its rank, and the stratum that it was counted in.
static bool is_admitted(const struct serve_engine_rollout *r,
                        const struct rollout_score_device *row) {
    const struct rollout_batch_place open = serve_evidence_open(r);
    return row->stratum < r->n_strata &&
           rollout_batch_admission(&r->row.policy, &open, &r->strata[row->stratum].plan,
                                   row->rank) == ROLLOUT_ADMISSION_OPEN;
}

// A try that was left to it is not offered any more: that it failed was its outcome.
static int end_tries(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                     const struct store_device *device, struct err *e) {
    bool left = serve_fleet_is_part(device, r) && tried_again(r, &device->task);
    return left ? serve_evidence_note(fleet, r, device->id, device->task.state, e) : 0;
}

int serve_evidence_unselected(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                              const struct store_device *device, const struct bundle_facts *facts,
                              struct err *e) {
    OWN(mem) struct serve_evidence_rows *rows = NULL;
    char unit[ROLLOUT_UNIT_ID_MAX + 1];
    bool heard = false, news = false;
    if (end_tries(fleet, r, device, e) < 0)
        return -1;
    int found = serve_evidence_rows_get(fleet, r, device->id, &rows, e);
    if (found != 0 || (rows->of_site ? rows->member.gone : rows->row.gone))
        return found < 0 ? -1 : 0;
    (void)rollout_unit_of(&r->row.policy.gates, device->id, facts, unit);
    rows->moved = strcmp(unit, rows->unit) != 0;
    bool left = !has_part(r, device, rows) || has_left(r, device, rows);
    if (left && !counts_once_more(r, rows))
        return leave(fleet, r, device->id, rows, e);
    if (is_heard(fleet, r, &heard, e) < 0)
        return -1;
    if (!heard)
        return 0;
    if (hear(fleet, r, device, !left && is_admitted(r, &rows->row), rows, &news, e) < 0 ||
        (left && leave(fleet, r, device->id, rows, e) < 0))
        return -1;
    return news ? serve_fleet_advance(fleet, r, e) : 0;
}

int serve_evidence_compared(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                            const char *device, const struct bundle_facts *facts,
                            struct serve_evidence_standing *ret, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    char unit[ROLLOUT_UNIT_ID_MAX + 1];
    OWN(mem) struct rollout_score_device *row = make_room(e);
    (void)rollout_unit_of(of.gates, device, facts, unit);
    if (row == NULL || store_cohort_get(&of, unit, row, e) < 0)
        return -1;
    *ret = standing_of(fleet, r, row);
    return 0;
}

int serve_evidence_bounds(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                          const char *device, const struct bundle_facts *facts, size_t *io,
                          struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    char unit[ROLLOUT_UNIT_ID_MAX + 1];
    if (r->score == NULL || !rollout_unit_is_site(of.gates))
        return 0;
    OWN(mem) struct rollout_score_device *row = make_room(e);
    (void)rollout_unit_of(of.gates, device, facts, unit);
    int found = row == NULL ? -1 : store_cohort_get(&of, unit, row, e);
    if (found == 0 && row->stratum < r->n_strata)
        *io = row->stratum;
    return found < 0 ? -1 : 0;
}

// ── Taking part ──

int serve_evidence_leave(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                         const char *device, struct err *e) {
    OWN(mem) struct serve_evidence_rows *rows = NULL;
    for (size_t i = 0; r == NULL && i < fleet->engine->n_rollouts; i++)
        if (serve_evidence_leave(fleet, fleet->engine->rollouts[i], device, e) < 0)
            return -1;
    if (r == NULL || !serve_evidence_counts(r))
        return 0;
    int found = serve_evidence_rows_get(fleet, r, device, &rows, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    return leave(fleet, r, device, rows, e);
}

int serve_evidence_offered(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                           const char *device, struct err *e) {
    struct rollout_score_news news;
    OWN(mem) struct serve_evidence_rows *rows = NULL;
    for (size_t i = 0; i < fleet->engine->n_rollouts; i++) {
        struct serve_engine_rollout *other = fleet->engine->rollouts[i];
        if (other != r && serve_evidence_leave(fleet, other, device, e) < 0)
            return -1;
    }
    if (r == NULL || !serve_evidence_counts(r))
        return 0;
    const struct rollout_gates *gates = &r->row.policy.gates;
    int found = serve_evidence_rows_get(fleet, r, device, &rows, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (rows->of_site) {
        rollout_score_member_offered(r->score, gates, &rows->member, &rows->row, &news);
        rows->member_changed = true;
    } else
        rollout_score_offered(r->score, gates, &rows->row, &news);
    return serve_evidence_rows_keep(fleet, r, device, rows, &news, e);
}

// ── Outcomes ──

// Its activation is known, or its outcome.
static void take(struct serve_engine_rollout *r, enum rollout_task task, int64_t now_s,
                 struct serve_evidence_rows *io, struct rollout_score_news *ret) {
    const struct rollout_gates *gates = &r->row.policy.gates;
    bool has_outcome = task != ROLLOUT_TASK_ACTIVATED, bad = task != ROLLOUT_TASK_COMMITTED;
    enum rollout_outcome outcome = !has_outcome ? ROLLOUT_OUTCOME_NONE
                                   : bad        ? ROLLOUT_OUTCOME_BAD
                                                : ROLLOUT_OUTCOME_GOOD;
    *ret = (struct rollout_score_news){.shared = false};
    if (io->of_site) {
        rollout_score_member_moved(r->score, gates, outcome, now_s, &io->member, &io->row, ret);
        io->member_changed = true;
    } else if (has_outcome)
        rollout_score_outcome(r->score, gates, bad, &io->row, ret);
}

int serve_evidence_note(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                        const char *device, enum rollout_task task, struct err *e) {
    struct rollout_score_news news;
    OWN(mem) struct serve_evidence_rows *rows = NULL;
    int found = serve_evidence_rows_get(fleet, r, device, &rows, e);
    if (found != 0 || rows->row.run != r->score->run || (rows->of_site && rows->member.gone))
        return found < 0 ? -1 : 0;
    take(r, task, fleet->now_ms / 1000, rows, &news);
    bool tried = !rows->of_site && rollout_trial_moved(r->score, task, &rows->row);
    news.device = news.device || tried;
    if (serve_evidence_rows_keep(fleet, r, device, rows, &news, e) < 0)
        return -1;
    if (rows->row.arm == ROLLOUT_ARM_TREATED && rows->row.base_s == 0 &&
        serve_evidence_begin_set(fleet, r, rows->unit, &rows->row, e) < 0)
        return -1;
    if (task != ROLLOUT_TASK_ACTIVATED && serve_evidence_drain(fleet, r, e) < 0)
        return -1;
    return tried ? serve_evidence_score_trials(fleet, r, e) : 0;
}

int serve_evidence_gave_up(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                           const char *device, struct err *e) {
    return serve_evidence_counts(r) ? serve_evidence_note(fleet, r, device, ROLLOUT_TASK_FAILED, e)
                                    : 0;
}

// Who was told to give it up has no outcome and leaves; who did so by itself has one, and stays.
static int cancelled(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                     const char *device, struct err *e) {
    OWN(mem) struct serve_evidence_rows *rows = NULL;
    int found = serve_evidence_rows_get(fleet, r, device, &rows, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    uint32_t run = rows->of_site ? rows->member.run : rows->row.run;
    enum rollout_outcome outcome = rows->of_site ? rows->member.outcome : rows->row.outcome;
    if (run == r->score->run && outcome == ROLLOUT_OUTCOME_BAD)
        return 0;
    return leave(fleet, r, device, rows, e);
}

int serve_evidence_moved(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                         const char *device, const struct store_device_task *task, struct err *e) {
    if (!serve_evidence_counts(r) || tried_again(r, task))
        return 0;
    switch (task->state) {
    case ROLLOUT_TASK_ACTIVATED:
    case ROLLOUT_TASK_COMMITTED:
    case ROLLOUT_TASK_FAILED:
    case ROLLOUT_TASK_REVERTED:
    case ROLLOUT_TASK_LOST:
        return serve_evidence_note(fleet, r, device, task->state, e);
    case ROLLOUT_TASK_CANCELLED:
        return cancelled(fleet, r, device, e);
    default:
        return 0;
    }
}

int serve_evidence_shammed(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                           const char *device, enum bundle_event event, struct err *e) {
    const struct rollout_score_news news = {.device = true};
    OWN(mem) struct rollout_score_device *row = NULL;
    if (!serve_evidence_counts(r))
        return 0;
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    row = make_room(e);
    if (row == NULL)
        return -1;
    int found = store_cohort_get(&of, device, row, e);
    if (found != 0 || !rollout_trial_told(r->score, of.gates, event, fleet->now_ms / 1000, row))
        return found < 0 ? -1 : 0;
    if (serve_evidence_keep(fleet, r, device, row, &news, NULL, e) < 0 ||
        serve_evidence_score_trials(fleet, r, e) < 0)
        return -1;
    return serve_fleet_advance(fleet, r, e);
}
