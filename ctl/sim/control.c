// SPDX-License-Identifier: Apache-2.0
//
// One rollout over the fleet.
#include "ctl/sim/control.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BASELINE_PER_MINUTE 600

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "simulating: out of memory");
}

int sim_control_open(const struct sim_world *world, uint64_t seed, struct sim_control *ret,
                     struct err *e) {
    const struct rollout_policy *policy = world->policy;
    size_t n_tallies = world->n_strata * policy->n_stages;
    struct sim_dice dice = sim_dice_make(seed, 0, SIM_WORLD_SEED);
    struct sim_control control = {
        .world = world, .policy = policy, .n = world->n, .digest = 1469598103934665603ULL};
    for (size_t i = 0; i < sizeof control.seed; i++)
        control.seed[i] = (uint8_t)(sim_dice_bits(&dice) >> 56);
    keys_digest_of(control.seed, sizeof control.seed, &control.bundle);
    control.devices = calloc(world->n, sizeof *control.devices);
    control.plans = calloc(world->n_strata, sizeof *control.plans);
    control.tallies = calloc(n_tallies, sizeof *control.tallies);
    if (control.devices == NULL || control.plans == NULL || control.tallies == NULL) {
        sim_control_close(&control);
        return no_memory(e);
    }
    *ret = control;
    return 0;
}

void sim_control_close(struct sim_control *control) {
    free(control->devices);
    free(control->plans);
    free(control->tallies);
    free(control->overdue);
    free(control->notes);
    *control = (struct sim_control){.n = 0};
}

struct rollout_tally sim_control_sum(const struct sim_control *c) {
    struct rollout_tally all = {0};
    for (size_t i = 0; i < c->policy->n_stages * c->world->n_strata; i++)
        rollout_tally_add(&all, &c->tallies[i]);
    return all;
}

static struct rollout_tally *tally_of(struct sim_control *c, const struct sim_control_device *d) {
    return &c->tallies[d->stage * c->world->n_strata + d->stratum];
}

static int note(struct sim_control *c, size_t device, enum sim_control_note_kind kind,
                unsigned what, struct err *e) {
    if (c->n_notes == c->notes_capacity) {
        size_t capacity = c->notes_capacity == 0 ? 1024 : 2 * c->notes_capacity;
        void *grown = reallocarray(c->notes, capacity, sizeof *c->notes);
        if (grown == NULL)
            return no_memory(e);
        c->notes = grown;
        c->notes_capacity = capacity;
    }
    c->notes[c->n_notes++] =
        (struct sim_control_note){.device = (uint32_t)device,
                                  .kind = (uint8_t)kind,
                                  .what = (uint8_t)what,
                                  .attempt = (uint16_t)c->devices[device].attempt};
    return 0;
}

// ── The beginning ──

void sim_control_enroll(struct sim_control *c, size_t device, int64_t now_s) {
    char id[SIM_WORLD_DEVICE_ID_BYTES];
    struct sim_control_device *d = &c->devices[device];
    d->enrolled = true;
    d->enrolled_s = d->seen_s = now_s;
    d->rank = bundle_rank(sim_world_id(device, id), c->seed);
    d->stratum = c->world->devices[device].stratum;
}

int sim_control_apply(struct sim_control *c, int64_t now_s, struct err *e) {
    struct rollout_member *members = calloc(c->n, sizeof *members);
    size_t n = 0;
    if (members == NULL)
        return no_memory(e);
    for (size_t i = 0; i < c->n; i++)
        if (c->devices[i].enrolled && c->world->devices[i].selected)
            members[n++] = (struct rollout_member){.stratum = c->devices[i].stratum,
                                                   .rank = c->devices[i].rank};
    rollout_strata_plan(c->policy, members, n, c->plans, c->world->n_strata);
    free(members);
    c->members = n;
    for (size_t s = 0; s < c->world->n_strata; s++)
        for (size_t i = 0; i < c->policy->n_stages; i++)
            c->tallies[i * c->world->n_strata + s].planned = c->plans[s].planned[i];
    c->progress = (struct rollout_progress){
        .state = ROLLOUT_STATE_RUNNING, .attempt = 1, .failed_stage = c->policy->n_stages};
    c->applied = true;
    c->applied_s = now_s;
    return 0;
}

// ── Progress ──

static int advance(struct sim_control *c, int64_t now_s) {
    const struct rollout_counts counts = {
        .tallies = c->tallies, .n_strata = c->world->n_strata, .now_s = now_s};
    return rollout_advance(c->policy, &rollout_gate_threshold, &counts, &c->progress);
}

// What the tally counts the device as: bad outcomes of an earlier attempt were forgotten.
static enum rollout_task counted(const struct sim_control *c, const struct sim_control_device *d) {
    bool bad = d->task == ROLLOUT_TASK_FAILED || d->task == ROLLOUT_TASK_REVERTED ||
               d->task == ROLLOUT_TASK_LOST;
    return bad && d->attempt < c->progress.attempt ? ROLLOUT_TASK_NONE : d->task;
}

static void move(struct sim_control *c, struct sim_control_device *d, enum rollout_task to,
                 int64_t now_s) {
    if (d->task == to)
        return;
    if (d->stage < c->policy->n_stages)
        rollout_tally_move(tally_of(c, d), counted(c, d), to);
    d->task = to;
    d->since_s = now_s;
    (void)advance(c, now_s);
}

static int take_report(struct sim_control *c, size_t device, const struct sim_device_report *report,
                       int64_t now_s, struct err *e) {
    struct sim_control_device *d = &c->devices[device];
    if (report->id <= d->last_report) // known already
        return 0;
    d->last_report = report->id;
    if (d->task == ROLLOUT_TASK_NONE || d->attempt != report->attempt)
        return 0;
    if (note(c, device, SIM_CONTROL_REPORT, report->event, e) < 0)
        return -1;
    move(c, d, rollout_task_after(d->task, report->event), now_s);
    return 0;
}

// ── Decisions ──

// A stage by count has taken as many as it says (or one of each kind), newcomers included.
static bool is_full(const struct sim_control *c, size_t stage) {
    struct rollout_tally all = {0};
    if (!c->policy->stages[stage].by_count)
        return false;
    for (size_t i = 0; i < (stage + 1) * c->world->n_strata; i++)
        rollout_tally_add(&all, &c->tallies[i]);
    uint64_t room = c->policy->stages[stage].count;
    room = room < all.planned ? all.planned : room;
    return rollout_tally_offered(&all) + rollout_tally_moot(&all) -
               all.now[ROLLOUT_TASK_CANCELLED] >=
           room;
}

static void view_candidate(const struct sim_control *c, size_t device,
                           const struct sim_device_checkin *m, struct rollout_candidate *ret) {
    const struct sim_control_device *d = &c->devices[device];
    *ret = (struct rollout_candidate){
        .policy = c->policy,
        .progress = &c->progress,
        .selected = c->world->devices[device].selected,
        .stage = c->policy->n_stages,
        .fit = {
            .published = true, .fits = true, .bundle = c->bundle, .runs = m->runs, .reason = ""}};
    struct rollout_tally all = sim_control_sum(c);
    ret->unresolved = rollout_tally_unresolved(&all);
    if (!ret->selected || rollout_advance_ended(c->progress.state))
        return;
    ret->stage = rollout_strata_stage(c->policy, &c->plans[d->stratum], d->rank);
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
                                   .update_rollout = ""};
    if (record == NULL)
        return;
    ret->updating = record->has_update;
    ret->look = m->look;
    ret->going_back = record->state == FSM_REVERTING;
    ret->probation = record->state == FSM_ACTIVATING || record->state == FSM_REBOOTING ||
                     record->state == FSM_PROBATION || record->state == FSM_COMMITTED;
    if (!record->has_update)
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
    if (baseline ? p->state != ROLLOUT_STATE_FINISHED : p->state != ROLLOUT_STATE_RUNNING)
        breach(c, &c->breaches.while_halted, device, now_s);
    if (!install || baseline)
        return;
    struct rollout_tally all = sim_control_sum(c);
    bool again = rollout_task_unresolved(d->task);
    size_t open = p->stage < c->policy->n_stages ? p->stage : c->policy->n_stages - 1;
    if (d->rank > c->plans[d->stratum].bound[open] || p->started_s[0] == 0)
        breach(c, &c->breaches.beyond_bound, device, now_s);
    if (!again && c->policy->max_unresolved > 0 &&
        rollout_tally_unresolved(&all) + 1 > c->policy->max_unresolved)
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
    if (d->task == decision->mark && d->attempt == c->progress.attempt)
        return 0;
    move(c, d, decision->mark, now_s);
    d->attempt =
        decision->action == ROLLOUT_ACTION_INSTALL ? decision->attempt : c->progress.attempt;
    return note(c, device, SIM_CONTROL_MARK, decision->mark, e);
}

static int decide(struct sim_control *c, size_t device, const struct sim_device_checkin *m,
                  int64_t now_s, struct sim_device_answer *ret, struct err *e) {
    static const enum sim_device_action actions[] = {[ROLLOUT_ACTION_NONE] = SIM_DEVICE_NOTHING,
                                                     [ROLLOUT_ACTION_INSTALL] = SIM_DEVICE_INSTALL,
                                                     [ROLLOUT_ACTION_ACTIVATE] =
                                                         SIM_DEVICE_ACTIVATE,
                                                     [ROLLOUT_ACTION_CANCEL] = SIM_DEVICE_CANCEL,
                                                     [ROLLOUT_ACTION_REVERT] = SIM_DEVICE_REVERT};
    struct rollout_candidate candidate;
    struct rollout_decision decision;
    struct rollout_inputs in = {.candidates = &candidate, .now_s = now_s};
    struct rollout_target baseline = {.release_name = c->policy->release_name,
                                      .release_version = c->policy->release_version};
    view_candidate(c, device, m, &candidate);
    view_device(c, device, m, &in.device);
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
    ret->action = actions[decision.action];
    ret->attempt = decision.attempt;
    ret->bundle = decision.bundle;
    return decision.mark == ROLLOUT_TASK_NONE ? 0
                                              : mark(c, device, &candidate, &decision, now_s, e);
}

int sim_control_hear(struct sim_control *c, size_t device, const struct sim_device_checkin *m,
                     int64_t now_s, struct sim_device_answer *ret, struct err *e) {
    struct sim_control_device *d = &c->devices[device];
    *ret = (struct sim_device_answer){.action = SIM_DEVICE_NOTHING};
    d->seen_s = now_s;
    for (size_t i = 0; i < m->n_reports; i++)
        if (take_report(c, device, &m->reports[i], now_s, e) < 0)
            return -1;
    ret->acked = d->last_report;
    return c->applied ? decide(c, device, m, now_s, ret, e) : 0;
}

// ── Time ──

int64_t sim_control_deadline_s(const struct sim_control *c, size_t device) {
    const struct sim_control_device *d = &c->devices[device];
    if (!rollout_task_unresolved(d->task))
        return SIM_DEVICE_NEVER;
    return d->seen_s + (int64_t)c->policy->timeout_s;
}

int sim_control_overdue(struct sim_control *c, size_t device, struct err *e) {
    if (c->devices[device].overdue)
        return 0;
    if (c->n_overdue == c->overdue_capacity) {
        size_t capacity = c->overdue_capacity == 0 ? 64 : 2 * c->overdue_capacity;
        void *grown = reallocarray(c->overdue, capacity, sizeof *c->overdue);
        if (grown == NULL)
            return no_memory(e);
        c->overdue = grown;
        c->overdue_capacity = capacity;
    }
    c->devices[device].overdue = true;
    c->overdue[c->n_overdue++] = (uint32_t)device;
    return 0;
}

int sim_control_tick(struct sim_control *c, int64_t now_s, struct err *e) {
    c->baseline_room = BASELINE_PER_MINUTE * SIM_CONTROL_TICK_S / 60;
    for (size_t i = 0; i < c->n_overdue; i++) {
        size_t device = c->overdue[i];
        struct sim_control_device *d = &c->devices[device];
        d->overdue = false;
        if (sim_control_deadline_s(c, device) > now_s)
            continue;
        if (note(c, device, SIM_CONTROL_LOSE, 0, e) < 0)
            return -1;
        move(c, d, ROLLOUT_TASK_LOST, now_s);
    }
    c->n_overdue = 0;
    if (c->applied && !rollout_advance_ended(c->progress.state))
        (void)advance(c, now_s);
    return 0;
}

static void forget_bad(struct sim_control *c) {
    for (size_t i = 0; i < c->policy->n_stages * c->world->n_strata; i++) {
        c->tallies[i].now[ROLLOUT_TASK_FAILED] = 0;
        c->tallies[i].now[ROLLOUT_TASK_REVERTED] = 0;
        c->tallies[i].now[ROLLOUT_TASK_LOST] = 0;
    }
}

int sim_control_by_hand(struct sim_control *c, enum rollout_verb verb, int64_t now_s,
                        struct err *e) {
    struct rollout_why ignored;
    uint64_t before = c->progress.attempt;
    (void)e;
    int done = rollout_advance_by_hand(c->policy, verb, now_s, &c->progress, &ignored);
    if (done == 0 && c->progress.attempt > before)
        forget_bad(c);
    if (done == 0)
        (void)advance(c, now_s);
    return done;
}
