// SPDX-License-Identifier: Apache-2.0
//
// Check-ins, offers, outcomes.
#include "ctl/serve/evidence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "bundle/rank.h"
#include "ctl/kind.h"
#include "ctl/rollout/retry.h"
#include "ctl/rollout/trial.h"
#include "ctl/serve/evidence_parts.h"

// The fact by which clusters are looked for when the policy names none.
#define SITE_DEFAULT "label.site"

static struct rollout_score_device *make_room(struct err *e) {
    struct rollout_score_device *row = calloc(1, sizeof *row);
    if (row == NULL)
        (void)err_set(e, &err_memory, "counting for a rollout: out of memory");
    return row;
}

// ── Heard of ──

static void read_site(const struct rollout_gates *gates, const struct bundle_facts *facts,
                      char ret[static BUNDLE_FACT_NAME_MAX + 1]) {
    const json_t *value =
        bundle_facts_find(facts, gates->site[0] == '\0' ? SITE_DEFAULT : gates->site);
    const char *text = json_string_value(value);
    // One that is longer is cut: two sites that begin alike for so long count as one.
    (void)snprintf(ret, BUNDLE_FACT_NAME_MAX + 1, "%.*s", BUNDLE_FACT_NAME_MAX,
                   text == NULL ? "" : text);
}

static struct rollout_score_seen what_is_known(const struct serve_fleet *fleet,
                                               const struct store_device *device,
                                               const struct serve_evidence_place *place) {
    return (struct rollout_score_seen){.enrolled_s = device->created_s,
                                       .seen_s = fleet->before_s,
                                       .fits = place->fits,
                                       .named = place->named,
                                       .shams = place->shams,
                                       .apart = device->held || device->pin_name[0] != '\0' ||
                                                device->clone_s != 0};
}

// Its first check-in since the rollout began: who it is is settled now.
static int enlist(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                  const struct store_device *device, const struct serve_evidence_place *place,
                  struct rollout_score_device *ret, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    const struct rollout_score_seen seen = what_is_known(fleet, device, place);
    struct store_cohort_origin origin = {.enrolled_s = device->created_s};
    read_site(of.gates, place->facts, origin.site);
    (void)snprintf(origin.token, sizeof origin.token, "%s", device->token);
    size_t stratum = rollout_strata_pool(&r->strata[place->stratum].plan, place->stratum);
    rollout_score_device_init(r->score, (uint32_t)stratum, (uint32_t)place->stage, place->rank,
                              rollout_score_counts(of.gates, &seen, fleet->now_ms / 1000), ret);
    if (origin.site[0] != '\0')
        ret->site = bundle_rank(origin.site, r->row.seed);
    return store_cohort_add(&of, device->id, &origin, ret, e);
}

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

int serve_evidence_heard(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                         const struct store_device *device,
                         const struct serve_evidence_place *place,
                         struct serve_evidence_standing *ret, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct rollout_score_checkin checkin = {.now_s = fleet->now_ms / 1000,
                                            .admitted = place->admitted};
    struct rollout_score_news news;
    struct rollout_pulse pulse = r->pulse;
    rollout_pulse_heard(of.gates, fleet->before_s, checkin.now_s, &r->pulse);
    if (serve_evidence_keep_pulse(fleet, r, &pulse, e) < 0)
        return -1;
    if (!rollout_advance_hears(&r->row.policy, &r->row.progress, checkin.now_s))
        return 0;
    OWN(mem) struct rollout_score_device *row = make_room(e);
    if (row == NULL)
        return -1;
    int found = store_cohort_get(&of, device->id, row, e);
    if (found < 0 || (found == STORE_ABSENT && enlist(fleet, r, device, place, row, e) < 0))
        return -1;
    const struct rollout_score_seen seen = what_is_known(fleet, device, place);
    bool again = rollout_score_count_again(r->score, of.gates, &seen, checkin.now_s, row);
    read_metrics(of.gates, json_object_get(device->said, "metrics"), &checkin);
    rollout_score_heard(r->score, of.gates, &checkin, row, &news);
    news.device = news.device || again;
    if (serve_evidence_keep(fleet, r, device->id, row, &news, NULL, e) < 0)
        return -1;
    *ret = standing_of(fleet, r, row);
    return news.gates == 0 ? 0 : serve_fleet_advance(fleet, r, e);
}

int serve_evidence_compared(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                            const char *device, struct serve_evidence_standing *ret,
                            struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    OWN(mem) struct rollout_score_device *row = make_room(e);
    if (row == NULL || store_cohort_get(&of, device, row, e) < 0)
        return -1;
    *ret = standing_of(fleet, r, row);
    return 0;
}

// ── Taking part ──

int serve_evidence_leave(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                         const char *device, struct err *e) {
    struct rollout_score_news news;
    for (size_t i = 0; r == NULL && i < fleet->engine->n_rollouts; i++)
        if (serve_evidence_leave(fleet, fleet->engine->rollouts[i], device, e) < 0)
            return -1;
    if (r == NULL || !serve_evidence_counts(r))
        return 0;
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    OWN(mem) struct rollout_score_device *row = make_room(e);
    if (row == NULL)
        return -1;
    int found = store_cohort_get(&of, device, row, e);
    if (found != 0 || row->gone)
        return found < 0 ? -1 : 0;
    rollout_score_leave(r->score, row, &news);
    if (serve_evidence_keep(fleet, r, device, row, &news, NULL, e) < 0)
        return -1;
    return serve_evidence_drain(fleet, r, e);
}

int serve_evidence_offered(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                           const char *device, struct err *e) {
    struct rollout_score_news news;
    for (size_t i = 0; i < fleet->engine->n_rollouts; i++) {
        struct serve_engine_rollout *other = fleet->engine->rollouts[i];
        if (other != r && serve_evidence_leave(fleet, other, device, e) < 0)
            return -1;
    }
    if (r == NULL || !serve_evidence_counts(r))
        return 0;
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    OWN(mem) struct rollout_score_device *row = make_room(e);
    if (row == NULL)
        return -1;
    int found = store_cohort_get(&of, device, row, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    rollout_score_offered(r->score, of.gates, row, &news);
    return serve_evidence_keep(fleet, r, device, row, &news, NULL, e);
}

// ── Outcomes ──

static bool tried_again(const struct serve_engine_rollout *r, const struct store_device_task *t) {
    return rollout_retry_left(&r->row.policy, t->state, r->row.progress.attempt, t->attempt,
                              t->code);
}

int serve_evidence_note(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                        const char *device, enum rollout_task task, struct err *e) {
    bool has_outcome = task != ROLLOUT_TASK_ACTIVATED, bad = task != ROLLOUT_TASK_COMMITTED;
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct rollout_score_news news = {.shared = false};
    OWN(mem) struct rollout_score_device *row = make_room(e);
    if (row == NULL)
        return -1;
    int found = store_cohort_get(&of, device, row, e);
    if (found != 0 || row->run != r->score->run)
        return found < 0 ? -1 : 0;
    if (has_outcome)
        rollout_score_outcome(r->score, of.gates, bad, row, &news);
    bool tried = rollout_trial_moved(r->score, task, row);
    news.device = news.device || tried;
    if (serve_evidence_keep(fleet, r, device, row, &news, NULL, e) < 0)
        return -1;
    if (row->arm == ROLLOUT_ARM_TREATED && row->base_s == 0 &&
        serve_evidence_begin_set(fleet, r, device, row, e) < 0)
        return -1;
    if (has_outcome && serve_evidence_drain(fleet, r, e) < 0)
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
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    OWN(mem) struct rollout_score_device *row = make_room(e);
    if (row == NULL)
        return -1;
    int found = store_cohort_get(&of, device, row, e);
    if (found != 0 || (row->run == r->score->run && row->outcome == ROLLOUT_OUTCOME_BAD))
        return found < 0 ? -1 : 0;
    return serve_evidence_leave(fleet, r, device, e);
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
