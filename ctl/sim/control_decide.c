// SPDX-License-Identifier: Apache-2.0
//
// What one device is told, and a look at it with other eyes.
#include "ctl/rollout/unit.h"
#include "ctl/sim/control_parts.h"

// A stage by count has taken as many as it says (or one of each kind), newcomers included.
static bool is_full(const struct sim_control *c, size_t stage) {
    struct rollout_tally all = {0};
    if (!c->policy->stages[stage].by_count || rollout_unit_is_site(&c->policy->gates))
        return false;
    for (size_t i = 0; i < (stage + 1) * c->world->n_strata; i++)
        rollout_tally_add(&all, &c->tallies[i]);
    uint64_t room = c->policy->stages[stage].count;
    room = room < all.planned ? all.planned : room;
    return rollout_tally_offered(&all) + rollout_tally_moot(&all) -
               all.now[ROLLOUT_TASK_CANCELLED] >=
           room;
}

enum rollout_admission sim_control_admission(const struct sim_control *c, size_t device) {
    char id[SIM_WORLD_DEVICE_ID_BYTES];
    const struct sim_control_device *d = &c->devices[device];
    const struct rollout_progress *p = &c->progress;
    const struct rollout_batch_place open = {.stage = p->stage,
                                             .started = p->stage < c->policy->n_stages &&
                                                        p->started_s[p->stage] != 0,
                                             .batch = &p->batch};
    if (c->policy->n_devices > 0) {
        size_t named = rollout_policy_named(c->policy, sim_world_id(device, id));
        if (named < c->policy->n_stages && named <= p->stage && p->started_s[named] != 0)
            return ROLLOUT_ADMISSION_OPEN;
    }
    return rollout_batch_admission(c->policy, &open, &c->plans[d->stratum], d->rank);
}

static void view_candidate(const struct sim_control *c, size_t device,
                           const struct sim_device_checkin *m, int64_t now_s,
                           struct rollout_candidate *ret) {
    const struct sim_control_device *d = &c->devices[device];
    *ret = (struct rollout_candidate){
        .policy = c->policy,
        .progress = &c->progress,
        .selected = c->world->devices[device].selected,
        .stage = c->policy->n_stages,
        .fit = {
            .published = true, .fits = true, .bundle = c->bundle, .runs = m->runs, .reason = ""}};
    ret->unresolved = rollout_tally_unresolved(&c->all);
    ret->revert_full = c->policy->revert_rate > 0 && c->revert_room == 0;
    if (!ret->selected || rollout_advance_ended(c->progress.state))
        return;
    ret->stage = d->admits;
    ret->admission = sim_control_admission(c, device);
    ret->compared = c->score != NULL && sim_score_is_compared(c->score, device);
    ret->sham = c->score != NULL && sim_score_wants_sham(c->score, device, now_s);
    while (d->task == ROLLOUT_TASK_NONE && ret->stage < c->policy->n_stages &&
           is_full(c, ret->stage))
        ret->stage++;
}

static void view_device(const struct sim_control *c, size_t device,
                        const struct sim_device_checkin *m, struct rollout_device *ret) {
    const struct sim_control_device *d = &c->devices[device];
    const struct fsm_record *record = m->record;
    *ret = (struct rollout_device){.rollout = c->policy->name,
                                   .attempt = d->attempt,
                                   .task = d->task,
                                   .bundle = c->bundle,
                                   .since_s = d->since_s,
                                   .code = d->code,
                                   .update_rollout = ""};
    if (record == NULL)
        return;
    ret->updating = record->has_update && !fsm_machine_is_sham(record->state);
    ret->shamming = record->state == FSM_SHAM_RESTARTING || record->state == FSM_SHAM_PROBATION;
    ret->look = m->look;
    ret->going_back = record->state == FSM_REVERTING;
    ret->probation = record->state == FSM_ACTIVATING || record->state == FSM_REBOOTING ||
                     record->state == FSM_PROBATION || record->state == FSM_COMMITTED;
    if (!ret->updating)
        return;
    ret->update_rollout = record->update.rollout;
    ret->update_attempt = record->update.attempt;
    ret->update_bundle = record->update.bundle;
}

static void breach(struct sim_control *c, uint64_t *count, size_t device, int64_t now_s) {
    struct sim_control_breaches *b = &c->breaches;
    if (b->beyond_bound + b->beyond_limit + b->while_halted + b->again == 0) {
        b->first_outside = device;
        b->first_s = now_s;
    }
    (*count)++;
}

// Looks at what was decided with other eyes than those that decided.
static void check_decision(struct sim_control *c, size_t device,
                           const struct rollout_decision *decision, int64_t now_s) {
    const struct sim_control_device *d = &c->devices[device];
    const struct rollout_progress *p = &c->progress;
    bool install = decision->action == ROLLOUT_ACTION_INSTALL;
    bool baseline = decision->candidate == ROLLOUT_DECIDE_NO_CANDIDATE;
    if (!install && decision->action != ROLLOUT_ACTION_ACTIVATE)
        return;
    // What is under way when the rollout finishes (it was lost, say, and is heard of again) goes on.
    bool finished = p->state == ROLLOUT_STATE_FINISHED && (baseline || !install);
    if (!finished && (baseline || p->state != ROLLOUT_STATE_RUNNING))
        breach(c, &c->breaches.while_halted, device, now_s);
    if (!install || baseline)
        return;
    bool again = rollout_task_unresolved(d->task);
    size_t open = p->stage < c->policy->n_stages ? p->stage : c->policy->n_stages - 1;
    bool held_back =
        d->rank > UINT64_MAX / ROLLOUT_PPM * (ROLLOUT_PPM - c->policy->gates.holdback_ppm) +
                      ROLLOUT_PPM &&
        c->policy->gates.holdback_ppm > 0 && !p->batch.held_back_open;
    // By the bounds themselves; a device that a stage names is admitted by its name.
    bool outside =
        held_back ||
        (c->policy->n_devices == 0 ? d->rank > c->plans[d->stratum].bound[open] : d->admits > open);
    if (!again && d->offered_s == 0 && (outside || p->started_s[d->admits] == 0))
        breach(c, &c->breaches.beyond_bound, device, now_s);
    uint64_t most = c->policy->max_unresolved > 0 ? c->policy->max_unresolved : UINT64_MAX;
    most = p->batch.size > 0 && p->batch.size < most ? p->batch.size : most;
    if (!again && rollout_tally_unresolved(&c->all) + 1 > most)
        breach(c, &c->breaches.beyond_limit, device, now_s);
    if ((d->task == ROLLOUT_TASK_FAILED || d->task == ROLLOUT_TASK_REVERTED) &&
        d->attempt >= decision->attempt)
        breach(c, &c->breaches.again, device, now_s);
}

static void fold(struct sim_control *c, uint64_t value) {
    c->digest = (c->digest ^ value) * 1099511628211ULL;
    c->digest ^= c->digest >> 29;
}

static int mark(struct sim_control *c, size_t device, const struct rollout_candidate *candidate,
                const struct rollout_decision *decision, int64_t now_s, struct err *e) {
    struct sim_control_device *d = &c->devices[device];
    if (decision->candidate == ROLLOUT_DECIDE_NO_CANDIDATE)
        return 0; // a baseline is outside of the tallies
    if (d->task == ROLLOUT_TASK_NONE)
        d->stage = (uint16_t)candidate->stage;
    if (decision->mark == ROLLOUT_TASK_OFFERED && d->offered_s == 0) {
        d->offered_s = now_s;
        c->offered++;
    }
    if (decision->mark == ROLLOUT_TASK_OFFERED && c->score != NULL &&
        sim_score_offered(c->score, device, e) < 0)
        return -1;
    uint64_t attempt =
        decision->action == ROLLOUT_ACTION_INSTALL ? decision->attempt : c->progress.attempt;
    if (d->task == decision->mark && d->attempt == attempt)
        return 0;
    if (sim_control_move(c, device, decision->mark, now_s, e) < 0)
        return -1;
    if (decision->mark != ROLLOUT_TASK_CANCELLED)
        d->attempt = attempt;
    return sim_control_note(c, device, SIM_CONTROL_MARK, decision->mark, e);
}

int sim_control_decide(struct sim_control *c, size_t device, const struct sim_device_checkin *m,
                       int64_t now_s, struct sim_device_answer *ret, struct err *e) {
    static const enum sim_device_action actions[] = {
        [ROLLOUT_ACTION_NONE] = SIM_DEVICE_NOTHING,
        [ROLLOUT_ACTION_INSTALL] = SIM_DEVICE_INSTALL,
        [ROLLOUT_ACTION_ACTIVATE] = SIM_DEVICE_ACTIVATE,
        [ROLLOUT_ACTION_CANCEL] = SIM_DEVICE_CANCEL,
        [ROLLOUT_ACTION_REVERT] = SIM_DEVICE_REVERT,
        [ROLLOUT_ACTION_SHAM] = SIM_DEVICE_SHAM};
    struct rollout_candidate candidate;
    struct rollout_decision decision;
    struct rollout_inputs in = {.candidates = &candidate, .now_s = now_s};
    struct rollout_target baseline = {.release_name = c->policy->release_name,
                                      .release_version = c->policy->release_version};
    view_candidate(c, device, m, now_s, &candidate);
    view_device(c, device, m, &in.device);
    uint32_t rate = c->policy->offer_rate;
    candidate.offer_full =
        rate > 0 &&
        !rollout_bucket_has(&c->offers, rate, rollout_bucket_second(rate), now_s * 1000);
    bool finished = c->progress.state == ROLLOUT_STATE_FINISHED;
    in.n_candidates = !finished || in.device.task != ROLLOUT_TASK_NONE ? 1 : 0;
    if (finished && candidate.selected && c->policy->baseline) {
        baseline.fit = candidate.fit;
        in.baselines = &baseline;
        in.n_baselines = 1;
        in.baseline_allowed = c->baseline_room > 0;
    }
    rollout_decide(&in, &decision);
    check_decision(c, device, &decision, now_s);
    fold(c, (uint64_t)device << 32 | (uint64_t)decision.action << 24 |
                (uint64_t)decision.mark << 16 | (uint64_t)decision.why.code);
    fold(c, (uint64_t)now_s);
    if (decision.spent_baseline)
        c->baseline_room--;
    if (decision.spent_offer)
        rollout_bucket_take(&c->offers);
    if (decision.spent_revert && c->revert_room > 0)
        c->revert_room--;
    ret->action = actions[decision.action];
    ret->attempt = decision.attempt;
    ret->bundle = decision.bundle;
    return decision.mark == ROLLOUT_TASK_NONE ? 0
                                              : mark(c, device, &candidate, &decision, now_s, e);
}
