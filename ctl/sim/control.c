// SPDX-License-Identifier: Apache-2.0
//
// One rollout over the fleet.
#include "ctl/sim/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/retry.h"
#include "ctl/sim/control_parts.h"

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
    if (policy->gates.n > 0 && sim_score_open(world, control.plans, &control.score, e) < 0) {
        sim_control_close(&control);
        return -1;
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
    sim_score_close(control->score);
    *control = (struct sim_control){.n = 0};
}

static struct rollout_tally *tally_of(struct sim_control *c, const struct sim_control_device *d) {
    return &c->tallies[d->stage * c->world->n_strata + d->stratum];
}

int sim_control_note(struct sim_control *c, size_t device, enum sim_control_note_kind kind,
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

static void place(struct sim_control *c, size_t device) {
    char id[SIM_WORLD_DEVICE_ID_BYTES];
    struct sim_control_device *d = &c->devices[device];
    d->admits = (uint16_t)rollout_strata_admits(c->policy, &c->plans[d->stratum],
                                                sim_world_id(device, id), d->rank);
}

// That of the first device of its unit stands for the unit's.
static uint64_t rank_of(const struct sim_control *c, size_t device) {
    char id[SIM_WORLD_DEVICE_ID_BYTES];
    return bundle_rank(sim_world_id(c->world->devices[device].unit, id), c->seed);
}

void sim_control_enroll(struct sim_control *c, size_t device, int64_t now_s) {
    struct sim_control_device *d = &c->devices[device];
    d->enrolled = true;
    d->enrolled_s = now_s;
    d->rank = rank_of(c, device);
    d->stratum = c->world->devices[device].stratum;
    place(c, device);
}

struct census {
    size_t n;
    struct rollout_member *members;
    uint32_t *devices;
    uint64_t *ranks;
};

static void own_drop_census(struct census *census) {
    free(census->members);
    free(census->devices);
    free(census->ranks);
}

static int count_fleet(const struct sim_control *c, struct census *ret, struct err *e) {
    char id[SIM_WORLD_DEVICE_ID_BYTES];
    ret->members = calloc(c->n, sizeof *ret->members);
    ret->devices = calloc(c->n, sizeof *ret->devices);
    ret->ranks = calloc(c->n, sizeof *ret->ranks);
    if (ret->members == NULL || ret->devices == NULL || ret->ranks == NULL)
        return no_memory(e);
    for (size_t i = 0; i < c->n; i++) {
        const struct sim_control_device *d = &c->devices[i];
        if (!d->enrolled || !c->world->devices[i].selected)
            continue;
        size_t named = c->policy->n_devices == 0
                           ? c->policy->n_stages
                           : rollout_policy_named(c->policy, sim_world_id(i, id));
        ret->members[ret->n] =
            (struct rollout_member){.stratum = d->stratum,
                                    .named = named < c->policy->n_stages ? (uint32_t)named + 1 : 0,
                                    .rank = d->rank};
        ret->devices[ret->n] = (uint32_t)i;
        ret->ranks[ret->n++] = d->rank;
    }
    return 0;
}

int sim_control_apply(struct sim_control *c, int64_t now_s, struct err *e) {
    OWN(census) struct census census = {.n = 0};
    if (count_fleet(c, &census, e) < 0)
        return -1;
    rollout_strata_plan(c->policy, census.members, census.n, c->plans, c->world->n_strata);
    c->members = census.n;
    for (size_t s = 0; s < c->world->n_strata; s++) {
        for (size_t i = 0; i < c->policy->n_stages; i++) {
            c->tallies[i * c->world->n_strata + s].planned = c->plans[s].planned[i];
            c->all.planned += c->plans[s].planned[i];
        }
        c->held_back += c->plans[s].held_back;
    }
    for (size_t i = 0; i < c->n; i++)
        if (c->devices[i].enrolled)
            place(c, i);
    c->progress = (struct rollout_progress){
        .state = ROLLOUT_STATE_RUNNING, .attempt = 1, .failed_stage = c->policy->n_stages};
    c->applied = true;
    c->applied_s = now_s;
    return c->score == NULL ? 0
                            : sim_score_begin(c->score, census.devices, census.ranks, census.n, e);
}

// ── Progress ──

static int advance(struct sim_control *c, int64_t now_s, enum rollout_silence silence,
                   struct err *e) {
    struct rollout_counts counts = {.tallies = c->tallies,
                                    .n_strata = c->world->n_strata,
                                    .now_s = now_s,
                                    .held_back = c->held_back,
                                    .silence = silence};
    if (c->score != NULL && c->progress.spend.runs > 0)
        counts.evidence = sim_score_judge(c->score, &c->progress);
    if (counts.evidence != NULL && counts.evidence->overall == ROLLOUT_VERDICT_FAIL) {
        counts.verdict = sim_score_verdict(c->score, &c->progress, e);
        if (counts.verdict == NULL)
            return -1;
    }
    (void)rollout_advance(c->policy, &rollout_gate_threshold, &counts, &c->progress);
    while (c->reached < c->policy->n_stages && c->progress.started_s[c->reached] != 0)
        c->reached++;
    if (c->score != NULL)
        sim_score_follow(c->score, &c->progress);
    return 0;
}

// What the tally counts the device as: bad outcomes of an earlier attempt were forgotten, and those
// that come later than the new one are as well.
static enum rollout_task counted(const struct sim_control *c, const struct sim_control_device *d,
                                 enum rollout_task task) {
    bool bad =
        task == ROLLOUT_TASK_FAILED || task == ROLLOUT_TASK_REVERTED || task == ROLLOUT_TASK_LOST;
    return bad && d->attempt < c->progress.attempt ? ROLLOUT_TASK_NONE : task;
}

int sim_control_move(struct sim_control *c, size_t device, enum rollout_task to, int64_t now_s,
                     struct err *e) {
    struct sim_control_device *d = &c->devices[device];
    if (d->task == to)
        return 0;
    if (d->stage < c->policy->n_stages) {
        enum rollout_task from = counted(c, d, d->task), as = counted(c, d, to);
        rollout_tally_move(tally_of(c, d), from, as);
        rollout_tally_move(&c->all, from, as);
    }
    d->task = to;
    d->since_s = now_s;
    bool retry = rollout_retry_left(c->policy, to, c->progress.attempt, d->attempt, d->code);
    if (c->score != NULL && !rollout_advance_ended(c->progress.state) &&
        sim_score_became(c->score, &c->progress, device, to, retry, now_s, e) < 0)
        return -1;
    return advance(c, now_s, ROLLOUT_SILENCE_UNKNOWN, e);
}

static int take_report(struct sim_control *c, size_t device, const struct sim_device_report *report,
                       int64_t now_s, struct err *e) {
    struct sim_control_device *d = &c->devices[device];
    if (report->id <= d->last_report) // known already
        return 0;
    d->last_report = report->id;
    if (BUNDLE_EVENT_IS_SHAM(report->event)) {
        if (c->score == NULL || rollout_advance_ended(c->progress.state) ||
            report->attempt != c->progress.attempt)
            return 0;
        sim_score_shammed(c->score, device, report->event, now_s);
        return advance(c, now_s, ROLLOUT_SILENCE_UNKNOWN, e);
    }
    if (d->task == ROLLOUT_TASK_NONE || d->attempt != report->attempt)
        return 0;
    if (sim_control_note(c, device, SIM_CONTROL_REPORT, report->event, e) < 0)
        return -1;
    enum rollout_task to = rollout_task_reported(d->task, d->code, report->event);
    if (to == ROLLOUT_TASK_FAILED || to == ROLLOUT_TASK_REVERTED)
        (void)snprintf(d->code, sizeof d->code, "%s", report->code);
    return sim_control_move(c, device, to, now_s, e);
}

// ── Check-ins ──

// What the gates make of a check-in, before anything is decided for it.
static int score(struct sim_control *c, size_t device, const struct sim_device_checkin *m,
                 int64_t seen_s, int64_t now_s, struct err *e) {
    const struct sim_control_device *d = &c->devices[device];
    struct sim_score_seen seen = {
        .seen = {.enrolled_s = d->enrolled_s, .seen_s = seen_s, .fits = !m->runs, .shams = true},
        .checkin = {.now_s = now_s, .given = m->given},
        .stage = d->admits,
        .rank = d->rank};
    if (c->score == NULL || !c->world->devices[device].selected ||
        rollout_advance_ended(c->progress.state))
        return 0;
    char id[SIM_WORLD_DEVICE_ID_BYTES];
    seen.seen.named =
        c->policy->n_devices > 0 &&
        rollout_policy_named(c->policy, sim_world_id(device, id)) < c->policy->n_stages;
    seen.checkin.admitted = sim_control_admission(c, device) == ROLLOUT_ADMISSION_OPEN;
    memcpy(seen.checkin.nano, m->nano, sizeof seen.checkin.nano);
    rollout_pulse_heard(&c->policy->gates, seen_s, now_s, &c->pulse);
    if (!rollout_advance_hears(c->policy, &c->progress, now_s))
        return 0;
    sim_score_heard(c->score, device, &seen);
    return c->score->is_dirty ? advance(c, now_s, ROLLOUT_SILENCE_UNKNOWN, e) : 0;
}

int sim_control_hear(struct sim_control *c, size_t device, const struct sim_device_checkin *m,
                     int64_t now_s, struct sim_device_answer *ret, struct err *e) {
    struct sim_control_device *d = &c->devices[device];
    int64_t seen_s = d->seen_s;
    *ret = (struct sim_device_answer){.action = SIM_DEVICE_NOTHING};
    d->seen_s = now_s;
    d->overdue = false;
    for (size_t i = 0; i < m->n_reports; i++)
        if (take_report(c, device, &m->reports[i], now_s, e) < 0)
            return -1;
    ret->acked = d->last_report;
    if (!c->applied)
        return 0;
    if (score(c, device, m, seen_s, now_s, e) < 0)
        return -1;
    return sim_control_decide(c, device, m, now_s, ret, e);
}

// ── Time ──

static int64_t task_deadline_s(const struct sim_control *c, size_t device) {
    const struct sim_control_device *d = &c->devices[device];
    if (!rollout_task_unresolved(d->task))
        return SIM_DEVICE_NEVER;
    return d->seen_s + (int64_t)rollout_retry_silence_s(c->policy, d->task);
}

// Since when it is as far as it is, while the rollout goes on.
static int64_t at_work_since_s(const struct sim_control *c, const struct sim_control_device *d) {
    return d->since_s > c->progress.going_s ? d->since_s : c->progress.going_s;
}

static int64_t stuck_deadline_s(const struct sim_control *c, size_t device) {
    const struct sim_control_device *d = &c->devices[device];
    if (!rollout_task_unresolved(d->task) || c->progress.state != ROLLOUT_STATE_RUNNING)
        return SIM_DEVICE_NEVER;
    return at_work_since_s(c, d) + (int64_t)rollout_retry_stuck_s(c->policy);
}

static int64_t score_deadline_s(const struct sim_control *c, size_t device) {
    if (c->score == NULL || rollout_advance_ended(c->progress.state))
        return SIM_DEVICE_NEVER;
    return sim_score_deadline_s(c->score, device);
}

int64_t sim_control_deadline_s(const struct sim_control *c, size_t device) {
    int64_t all_s[] = {task_deadline_s(c, device), score_deadline_s(c, device),
                       stuck_deadline_s(c, device)};
    int64_t first_s = all_s[0] < all_s[1] ? all_s[0] : all_s[1];
    return first_s < all_s[2] ? first_s : all_s[2];
}

int sim_control_overdue(struct sim_control *c, size_t device, struct err *e) {
    c->devices[device].overdue = true;
    if (c->devices[device].listed)
        return 0;
    if (c->n_overdue == c->overdue_capacity) {
        size_t capacity = c->overdue_capacity == 0 ? 64 : 2 * c->overdue_capacity;
        void *grown = reallocarray(c->overdue, capacity, sizeof *c->overdue);
        if (grown == NULL)
            return no_memory(e);
        c->overdue = grown;
        c->overdue_capacity = capacity;
    }
    c->devices[device].listed = true;
    c->overdue[c->n_overdue++] = (uint32_t)device;
    return 0;
}

// Whether the deadline has come, counted from when the fleet was heard of again, and of the time in
// which it could be heard.
static bool is_over(const struct sim_control *c, int64_t deadline_s, uint64_t timeout_s,
                    int64_t now_s) {
    int64_t before_s = rollout_downtime_before_s(&c->down, now_s, timeout_s);
    return deadline_s != SIM_DEVICE_NEVER && deadline_s - (int64_t)timeout_s <= before_s &&
           rollout_pulse_since_s(&c->pulse) <= before_s;
}

static bool is_stuck(const struct sim_control *c, size_t device, int64_t now_s) {
    return stuck_deadline_s(c, device) != SIM_DEVICE_NEVER &&
           at_work_since_s(c, &c->devices[device]) <=
               rollout_downtime_before_s(&c->down, now_s, rollout_retry_stuck_s(c->policy));
}

// And whether the gates heard of anybody since.
static bool is_over_for_gates(const struct sim_control *c, size_t device, int64_t now_s) {
    int64_t silence_s = rollout_score_silence_s(c->policy);
    return now_s - c->progress.resumed_s >= silence_s &&
           is_over(c, score_deadline_s(c, device), (uint64_t)silence_s, now_s);
}

// Those at risk of being lost to the gates, all at once: they tie.
static int score_silent(struct sim_control *c, int64_t now_s, enum rollout_silence *ret,
                        struct err *e) {
    OWN(mem) uint32_t *lost = calloc(c->n_overdue + 1, sizeof *lost);
    size_t n = 0;
    if (lost == NULL)
        return no_memory(e);
    bool hears = rollout_advance_hears(c->policy, &c->progress, now_s);
    for (size_t i = 0; i < c->n_overdue && hears; i++)
        if (is_over_for_gates(c, c->overdue[i], now_s))
            lost[n++] = c->overdue[i];
    *ret = sim_score_silence(c->score, lost, n, now_s);
    return 0;
}

static int lose_overdue(struct sim_control *c, int64_t now_s, struct err *e) {
    size_t n = c->n_overdue;
    c->n_overdue = 0;
    for (size_t i = 0; i < n; i++) {
        size_t device = c->overdue[i];
        uint64_t timeout_s = rollout_retry_silence_s(c->policy, c->devices[device].task);
        // Overdue, but the fleet was silent, or for the gates and not for its task: looked at again.
        bool later = sim_control_deadline_s(c, device) != SIM_DEVICE_NEVER;
        c->devices[device].overdue = c->devices[device].listed = later;
        if (later)
            c->overdue[c->n_overdue++] = (uint32_t)device;
        bool silent = is_over(c, task_deadline_s(c, device), timeout_s, now_s);
        if (!silent && !is_stuck(c, device, now_s))
            continue;
        (void)snprintf(c->devices[device].code, sizeof c->devices[device].code, "%s",
                       silent ? "" : rollout_why_name(ROLLOUT_WHY_stuck));
        if (sim_control_note(c, device, SIM_CONTROL_LOSE, !silent, e) < 0 ||
            sim_control_move(c, device, ROLLOUT_TASK_LOST, now_s, e) < 0)
            return -1;
    }
    return 0;
}

// Who was heard of meanwhile is not looked at again.
static void forget_heard(struct sim_control *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n_overdue; i++) {
        size_t device = c->overdue[i];
        bool late =
            c->devices[device].overdue && sim_control_deadline_s(c, device) != SIM_DEVICE_NEVER;
        c->devices[device].overdue = c->devices[device].listed = late;
        if (late)
            c->overdue[n++] = (uint32_t)device;
    }
    c->n_overdue = n;
}

// The device that the install gate waits for failed, has a try left, and does not return for it.
static int give_up(struct sim_control *c, int64_t now_s, struct err *e) {
    size_t device = 0;
    if (c->pulse.silent || !sim_score_awaits(c->score, &device))
        return 0;
    const struct sim_control_device *d = &c->devices[device];
    const struct rollout_retry_wait wait = {.first = c->progress.attempt,
                                            .attempt = d->attempt,
                                            .task = d->task,
                                            .code = d->code,
                                            .since_s = d->since_s,
                                            .seen_s = d->seen_s,
                                            .silent_s = rollout_pulse_since_s(&c->pulse)};
    return rollout_retry_gone(c->policy, &wait, &c->down, now_s)
               ? sim_score_became(c->score, &c->progress, device, d->task, false, now_s, e)
               : 0;
}

void sim_control_start(struct sim_control *c, int64_t now_s) {
    rollout_downtime_start(&c->down, now_s);
    rollout_pulse_break(&c->policy->gates, now_s, &c->pulse);
}

int sim_control_tick(struct sim_control *c, int64_t now_s, struct err *e) {
    enum rollout_silence silence = ROLLOUT_SILENCE_HEARD;
    bool live = c->applied && !rollout_advance_ended(c->progress.state);
    c->baseline_room = BASELINE_PER_MINUTE * SIM_CONTROL_TICK_S / 60;
    c->revert_room = (uint64_t)c->policy->revert_rate * SIM_CONTROL_TICK_S / 60;
    (void)rollout_downtime_tick(&c->down, now_s);
    forget_heard(c);
    if (live && c->score != NULL) {
        if (rollout_pulse_tick(&c->policy->gates, now_s, &c->pulse))
            silence = ROLLOUT_SILENCE_SILENT;
        else if (score_silent(c, now_s, &silence, e) < 0 || give_up(c, now_s, e) < 0)
            return -1;
        sim_score_due(c->score, now_s);
    }
    // While the fleet is silent nobody is lost: they are looked at again.
    if (silence != ROLLOUT_SILENCE_SILENT && lose_overdue(c, now_s, e) < 0)
        return -1;
    return live ? advance(c, now_s, silence, e) : 0;
}

static void forget_bad(struct sim_control *c) {
    static const enum rollout_task bad[] = {ROLLOUT_TASK_FAILED, ROLLOUT_TASK_REVERTED,
                                            ROLLOUT_TASK_LOST};
    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        for (size_t i = 0; i < c->policy->n_stages * c->world->n_strata; i++)
            c->tallies[i].now[bad[b]] = 0;
        c->all.now[bad[b]] = 0;
    }
}

int sim_control_by_hand(struct sim_control *c, enum rollout_verb verb, int64_t now_s,
                        struct err *e) {
    struct rollout_why ignored;
    uint64_t before = c->progress.attempt;
    int done = rollout_advance_by_hand(c->policy, verb, now_s, &c->progress, &ignored);
    if (done == 0 && c->progress.attempt > before)
        forget_bad(c);
    if (done == 0 && c->score != NULL)
        sim_score_follow(c->score, &c->progress);
    return done == 0 ? advance(c, now_s, ROLLOUT_SILENCE_UNKNOWN, e) : done;
}
