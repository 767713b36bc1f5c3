// SPDX-License-Identifier: Apache-2.0
//
// The events of one run.
#include "ctl/sim/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/sim/check.h"
#include "ctl/sim/queue.h"
#include "ctl/sim/readings.h"

#define ENROLLED_BEFORE_S (30 * 86400)
#define NEWCOMER_SPAN_S   (14 * 86400)
#define DAY_S             86400
#define WEEK_S            (7 * DAY_S)
#define SWAP_MAX_S        8 // from the last look's yes to the swap, a power cut in between included
#define DRAIN_EVERY       16 // ticks between two looks at whether all is quiet

const char *const sim_run_end_names[SIM_RUN_ENDS] = {[SIM_RUN_FINISHED] = "finished",
                                                     [SIM_RUN_PAUSED] = "paused",
                                                     [SIM_RUN_REVERTED] = "reverted",
                                                     [SIM_RUN_INCONCLUSIVE] = "inconclusive",
                                                     [SIM_RUN_UNENDED] = "unended"};

enum kind { CHECKIN, WORK, RESTART, SILENCE, JOIN, TICK, RELOAD };

// What is in the queue for a device, so that nothing is put in twice.
struct put {
    int64_t checkin_s, work_s, silence_s;
};

struct run {
    const struct sim_world *world;
    const struct sim_run_options *options;
    struct sim_world_luck luck;
    struct sim_control control;
    struct sim_queue queue;
    struct sim_device *devices;
    struct put *put;
    struct sim_dice power, reloads;
    int64_t start_s, apply_s, end_s; // end_s: the duration is over
    int64_t zero_s;                  // what times are told from: applied, and not_before is over
    int64_t now_s;
    uint32_t *counters; // [device * gates + gate]: what its counters read
    int64_t stands_s;   // since when a person is waited for; 0 nobody is
    int64_t halted_s;   // since when nothing may be activated; 0 it may
    int64_t down_s;     // until when the controller is down
    bool starts;        // it was, and has not ticked since
    uint64_t resumes, ticks;
    bool judged, doubted, over;
    uint64_t sample_every;
    size_t samples_capacity;
    struct sim_run_result result;
};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "simulating: out of memory");
}

void sim_run_clear(struct sim_run_result *result) {
    free(result->samples);
    result->samples = NULL;
    result->n_samples = 0;
}

static void broken(struct run *r, uint64_t n, const char *text) {
    struct sim_run_broken *b = &r->result.broken;
    if (n > 0 && b->n == 0)
        (void)snprintf(b->first, sizeof b->first, "%.200s (at %lld s)", text,
                       (long long)(r->now_s - r->zero_s));
    b->n += n;
}

// ── The queue ──

static int put(struct run *r, enum kind kind, size_t subject, int64_t at_s, struct err *e) {
    const struct sim_event event = {.at_s = at_s, .kind = kind, .subject = (uint32_t)subject};
    return sim_queue_put(&r->queue, &event, e);
}

static int follow(struct run *r, size_t i, struct err *e) {
    const struct sim_device *d = &r->devices[i];
    struct put *p = &r->put[i];
    if (d->next.work_s != p->work_s && d->next.work_s != SIM_DEVICE_NEVER &&
        put(r, WORK, i, d->next.work_s, e) < 0)
        return -1;
    p->work_s = d->next.work_s;
    if (d->next.checkin_s != p->checkin_s && put(r, CHECKIN, i, d->next.checkin_s, e) < 0)
        return -1;
    p->checkin_s = d->next.checkin_s;
    // One deadline is enough: when it comes it says whether there is a later one.
    int64_t deadline_s = sim_control_deadline_s(&r->control, i);
    if (deadline_s != SIM_DEVICE_NEVER && !r->control.devices[i].overdue &&
        (p->silence_s == 0 || deadline_s < p->silence_s)) {
        if (put(r, SILENCE, i, deadline_s, e) < 0)
            return -1;
        p->silence_s = deadline_s;
    }
    return 0;
}

// Times a week, exponential enough: uniform between none and two means.
static int64_t pause_s(struct sim_dice *dice, uint64_t per_week_ppm) {
    uint64_t mean_s = (uint64_t)WEEK_S * SIM_DICE_PPM / per_week_ppm;
    return 1 + (int64_t)sim_dice_below(dice, 2 * mean_s + 1);
}

// ── Devices ──

static bool is_reached(struct run *r, size_t i) {
    const struct sim_world_device *d = &r->world->devices[i];
    uint32_t loss_ppm = r->world->fleet->kinds[d->kind].loss_ppm;
    return sim_world_reachable_s(&r->luck, i, r->now_s) <= r->now_s &&
           !(loss_ppm > 0 && sim_dice_chance(&r->devices[i].rhythm, loss_ppm));
}

static bool is_swapping(const struct sim_device *d) {
    return d->record != NULL && d->record->state == FSM_ACTIVATING;
}

static int check_in(struct run *r, size_t i, struct err *e) {
    struct sim_device *d = &r->devices[i];
    uint32_t loss_ppm = r->world->fleet->kinds[r->world->devices[i].kind].loss_ppm;
    struct sim_device_checkin checkin;
    struct sim_device_answer answer;
    char text[SIM_CHECK_TEXT_BYTES];
    if (d->death_s <= r->now_s)
        d->dead = true;
    if (d->dead)
        return 0;
    if (r->now_s < r->down_s || !is_reached(r, i)) {
        sim_device_miss(&r->luck, d, r->now_s);
        return 0;
    }
    sim_device_say(&r->luck, d, r->now_s, &checkin);
    sim_readings_take(&r->luck, r->control.score, d, r->counters, r->now_s, &checkin);
    if (sim_control_hear(&r->control, i, &checkin, r->now_s, &answer, e) < 0)
        return -1;
    r->result.checkins++;
    // The answer can be lost as well: what it said was said, and is not known.
    if (loss_ppm > 0 && sim_dice_chance(&d->rhythm, loss_ppm)) {
        sim_device_miss(&r->luck, d, r->now_s);
        return 0;
    }
    bool swapped = is_swapping(d);
    if (sim_device_hear(&r->luck, d, &answer, r->now_s, e) < 0)
        return -1;
    if (!swapped && is_swapping(d))
        broken(r, sim_check_window(r->world, i, r->now_s, text), text);
    return 0;
}

static int work(struct run *r, size_t i, struct err *e) {
    struct sim_device *d = &r->devices[i];
    (void)e;
    if (d->death_s <= r->now_s)
        d->dead = true;
    uint32_t before = d->installs;
    sim_device_work(&r->luck, d, r->now_s);
    if (d->installs == before || r->judged)
        return 0;
    r->result.activated++;
    return 0;
}

static int restart_one(struct run *r, size_t i, struct err *e) {
    uint64_t per_week_ppm = r->world->fleet->restarts_ppm;
    sim_device_restart(&r->luck, &r->devices[i], r->now_s);
    return put(r, RESTART, i, r->now_s + pause_s(&r->power, per_week_ppm), e);
}

static int silence(struct run *r, size_t i, struct err *e) {
    int64_t deadline_s = sim_control_deadline_s(&r->control, i);
    r->put[i].silence_s = 0;
    if (deadline_s == SIM_DEVICE_NEVER || deadline_s > r->now_s)
        return 0; // follow() puts in the next one
    return sim_control_overdue(&r->control, i, e);
}

// ── People ──

// For how long a person lets it stand, or -1 when it goes on by itself.
static int64_t patience_s(const struct run *r) {
    const struct rollout_progress *p = &r->control.progress;
    const struct rollout_gates *gates = &r->world->policy->gates;
    int64_t least_s = (int64_t)r->world->fleet->approve_s;
    bool late = r->now_s >= r->end_s;
    if (p->state == ROLLOUT_STATE_RUNNING)
        return p->why.code == ROLLOUT_WHY_approval || late ? least_s : -1;
    if (p->state == ROLLOUT_STATE_FAILED)
        return least_s;
    if (p->state != ROLLOUT_STATE_PAUSED || (p->silent && !late))
        return -1;
    // What is under way may take the doubt away.
    return p->doubt && !late ? least_s + (int64_t)(gates->horizon_s + gates->grace_s) : least_s;
}

static int act(struct run *r, struct err *e) {
    const struct rollout_progress *p = &r->control.progress;
    enum rollout_verb verb = ROLLOUT_VERB_ABORT;
    if (p->state == ROLLOUT_STATE_RUNNING && p->why.code == ROLLOUT_WHY_approval &&
        r->now_s < r->end_s)
        verb = ROLLOUT_VERB_APPROVE;
    else if (p->state != ROLLOUT_STATE_RUNNING && r->resumes < r->world->fleet->resumes &&
             r->now_s < r->end_s)
        verb = ROLLOUT_VERB_RESUME;
    if (verb == ROLLOUT_VERB_RESUME)
        r->resumes++;
    int done = sim_control_by_hand(&r->control, verb, r->now_s, e);
    if (done == ROLLOUT_REFUSED && verb == ROLLOUT_VERB_RESUME)
        done = sim_control_by_hand(&r->control, ROLLOUT_VERB_ABORT, r->now_s, e);
    return done < 0 ? -1 : 0;
}

static int people(struct run *r, struct err *e) {
    int64_t wait_s = r->control.applied ? patience_s(r) : -1;
    if (wait_s < 0) {
        r->stands_s = 0;
        return 0;
    }
    if (r->stands_s == 0)
        r->stands_s = r->now_s;
    if (r->now_s - r->stands_s < wait_s)
        return 0;
    r->stands_s = 0;
    return act(r, e);
}

// ── The verdict ──

static enum sim_run_end end_of(const struct rollout_progress *p) {
    switch (p->state) {
    case ROLLOUT_STATE_FINISHED:
        return SIM_RUN_FINISHED;
    case ROLLOUT_STATE_REVERTING:
    case ROLLOUT_STATE_REVERTED:
        return SIM_RUN_REVERTED;
    case ROLLOUT_STATE_FAILED:
        return SIM_RUN_PAUSED;
    case ROLLOUT_STATE_PAUSED:
        return SIM_RUN_INCONCLUSIVE;
    default:
        return SIM_RUN_UNENDED;
    }
}

// The first time that it finished, stopped or stood still. A doubt may go, and then it is clear how
// it ended; a silent fleet is no verdict.
static void look_for_verdict(struct run *r) {
    const struct rollout_progress *p = &r->control.progress;
    if (!r->control.applied || p->state == ROLLOUT_STATE_RUNNING ||
        (p->state == ROLLOUT_STATE_PAUSED && p->silent))
        return;
    if (r->judged && !r->doubted)
        return;
    if (!r->judged) {
        r->result.exposed = r->control.offered;
        r->result.verdict_s = r->now_s - r->zero_s;
    }
    // A person who ends it in doubt says nothing about the release.
    if (!(r->doubted && p->state == ROLLOUT_STATE_ABORTED)) {
        r->result.end = end_of(p);
        r->result.why = p->why.code;
        (void)snprintf(r->result.why_text, sizeof r->result.why_text, "%.250s", p->why.text);
    }
    r->judged = true;
    r->doubted = p->doubt;
    r->result.stopped = r->result.stopped || p->stopped || r->result.end == SIM_RUN_REVERTED ||
                        r->result.end == SIM_RUN_PAUSED;
}

// Of the line that says most.
static int64_t evidence(struct run *r) {
    const struct sim_score *score = r->control.score;
    if (score == NULL || r->control.progress.spend.runs == 0)
        return 0;
    const struct evidence_sum *sum = &sim_score_judge(r->control.score, &r->control.progress)->sum;
    int64_t most = sum->line[0];
    for (int i = 1; i < EVIDENCE_LINES; i++)
        most = sum->line[i] > most ? sum->line[i] : most;
    r->result.level = sum->level;
    return most;
}

static int keep_sample(struct run *r, struct err *e) {
    struct sim_run_result *result = &r->result;
    if (!r->options->keep_samples || r->now_s < r->zero_s || r->ticks % r->sample_every != 0 ||
        result->n_samples == SIM_RUN_SAMPLES_MAX)
        return 0;
    if (result->n_samples == r->samples_capacity) {
        size_t capacity = r->samples_capacity == 0 ? 256 : 2 * r->samples_capacity;
        void *grown = reallocarray(result->samples, capacity, sizeof *result->samples);
        if (grown == NULL)
            return no_memory(e);
        result->samples = grown;
        r->samples_capacity = capacity;
    }
    result->samples[result->n_samples++] =
        (struct sim_run_sample){.at_s = r->now_s - r->zero_s,
                                .stage = r->control.progress.stage,
                                .offered = r->control.offered,
                                .committed = rollout_tally_good(&r->control.all),
                                .bad = rollout_tally_bad(&r->control.all),
                                .evidence = evidence(r)};
    return 0;
}

// ── Time ──

static bool is_quiet(const struct run *r) {
    for (size_t i = 0; i < r->world->n; i++)
        if (sim_device_is_busy(&r->devices[i]) ||
            rollout_task_unresolved(r->control.devices[i].task))
            return false;
    return true;
}

static int tick(struct run *r, struct err *e) {
    char text[SIM_CHECK_TEXT_BYTES];
    if (r->now_s < r->down_s)
        return put(r, TICK, 0, r->now_s + SIM_CONTROL_TICK_S, e);
    if (r->starts)
        sim_control_start(&r->control, r->now_s);
    r->starts = false;
    if (!r->control.applied && r->now_s >= r->apply_s &&
        sim_control_apply(&r->control, r->now_s, e) < 0)
        return -1;
    if (sim_control_tick(&r->control, r->now_s, e) < 0)
        return -1;
    look_for_verdict(r);
    if (people(r, e) < 0 || keep_sample(r, e) < 0)
        return -1;
    r->ticks++;
    bool ended = r->control.applied && rollout_advance_ended(r->control.progress.state);
    if (ended && r->ticks % DRAIN_EVERY == 0 && (!r->options->whole || r->now_s >= r->end_s))
        r->over = is_quiet(r);
    if (r->now_s >= r->end_s + SIM_RUN_DRAIN_S)
        r->over = true;
    if (r->ticks % 512 == 0)
        broken(r, sim_check_tallies(&r->control, text), text);
    return put(r, TICK, 0, r->now_s + SIM_CONTROL_TICK_S, e);
}

static int happen(struct run *r, const struct sim_event *event, struct err *e) {
    size_t i = event->subject;
    switch ((enum kind)event->kind) {
    case CHECKIN:
        if (r->devices[i].next.checkin_s != r->now_s)
            return 0;
        return check_in(r, i, e) < 0 ? -1 : follow(r, i, e);
    case WORK:
        if (r->devices[i].next.work_s != r->now_s)
            return 0;
        return work(r, i, e) < 0 ? -1 : follow(r, i, e);
    case RESTART:
        return restart_one(r, i, e) < 0 ? -1 : follow(r, i, e);
    case SILENCE:
        return silence(r, i, e) < 0 ? -1 : follow(r, i, e);
    case JOIN:
        sim_control_enroll(&r->control, i, r->now_s);
        return 0;
    case TICK:
        return tick(r, e);
    case RELOAD:
        if (sim_control_reload(&r->control, e) < 0)
            return -1;
        r->down_s = r->now_s + (int64_t)r->world->fleet->controller_down_s;
        r->starts = r->world->fleet->controller_down_s > 0;
        return put(r, RELOAD, 0,
                   r->now_s + pause_s(&r->reloads, r->world->fleet->controller_restarts_ppm), e);
    }
    return 0;
}

// ── From beginning to end ──

static int begin_device(struct run *r, size_t i, struct err *e) {
    const struct sim_fleet *fleet = r->world->fleet;
    struct sim_dice join = sim_dice_make(r->options->seed, i, SIM_WORLD_JOIN);
    int64_t born_s = r->start_s - ENROLLED_BEFORE_S;
    if (sim_dice_chance(&join, fleet->newcomers_ppm))
        born_s = r->apply_s - NEWCOMER_SPAN_S / 2 + (int64_t)sim_dice_below(&join, NEWCOMER_SPAN_S);
    sim_device_begin(&r->luck, (uint32_t)i, r->start_s, born_s, &r->devices[i]);
    r->put[i] = (struct put){.work_s = SIM_DEVICE_NEVER};
    if (born_s <= r->start_s)
        sim_control_enroll(&r->control, i, born_s);
    else if (put(r, JOIN, i, born_s, e) < 0)
        return -1;
    if (fleet->restarts_ppm > 0 &&
        put(r, RESTART, i, r->start_s + pause_s(&r->power, fleet->restarts_ppm), e) < 0)
        return -1;
    return follow(r, i, e);
}

static uint64_t longest_poll_s(const struct sim_fleet *fleet) {
    uint64_t most = 0;
    for (size_t i = 0; i < fleet->n_kinds; i++)
        most = fleet->kinds[i].poll_s > most ? fleet->kinds[i].poll_s : most;
    return most;
}

static int begin(struct run *r, struct err *e) {
    const struct sim_fleet *fleet = r->world->fleet;
    int64_t not_before_s = r->world->policy->not_before_s;
    // One that is not to begin at once is applied so long before that metrics have been heard of.
    r->zero_s = not_before_s > 0 ? not_before_s : SIM_RUN_START_S;
    r->apply_s =
        not_before_s > 0
            ? r->zero_s - (int64_t)(r->world->policy->gates.window_s + longest_poll_s(fleet))
            : r->zero_s;
    r->start_s = r->apply_s - 2 * (int64_t)longest_poll_s(fleet);
    r->end_s = r->zero_s + (int64_t)fleet->duration_s;
    r->now_s = r->start_s;
    r->sample_every = fleet->duration_s / SIM_CONTROL_TICK_S / SIM_RUN_SAMPLES_MAX * 2 + 1;
    r->power = sim_dice_make(r->options->seed, 0, SIM_WORLD_RESTARTS);
    r->reloads = sim_dice_make(r->options->seed, 0, SIM_WORLD_RELOADS);
    r->devices = calloc(r->world->n, sizeof *r->devices);
    r->put = calloc(r->world->n, sizeof *r->put);
    r->counters = calloc(r->world->n * (r->world->policy->gates.n + 1), sizeof *r->counters);
    if (r->devices == NULL || r->put == NULL || r->counters == NULL)
        return no_memory(e);
    if (sim_world_roll(r->world, r->options->seed, r->start_s, r->end_s + SIM_RUN_DRAIN_S, &r->luck,
                       e) < 0 ||
        sim_control_open(r->world, r->options->seed, &r->control, e) < 0)
        return -1;
    for (size_t i = 0; i < r->world->n; i++)
        if (begin_device(r, i, e) < 0)
            return -1;
    uint64_t reloads_ppm = r->options->no_reloads ? 0 : fleet->controller_restarts_ppm;
    if (reloads_ppm > 0 && put(r, RELOAD, 0, r->start_s + pause_s(&r->reloads, reloads_ppm), e) < 0)
        return -1;
    return put(r, TICK, 0, r->start_s + SIM_CONTROL_TICK_S, e);
}

static int finish(struct run *r, struct err *e) {
    char text[SIM_CHECK_TEXT_BYTES];
    if (!r->judged) {
        r->result.end = SIM_RUN_UNENDED;
        r->result.exposed = r->control.offered;
        r->result.verdict_s = r->now_s - r->zero_s;
    }
    r->result.committed = rollout_tally_good(&r->control.all);
    r->result.reverted = r->control.all.now[ROLLOUT_TASK_REVERTED];
    r->result.failed = r->control.all.now[ROLLOUT_TASK_FAILED];
    r->result.lost = r->control.all.now[ROLLOUT_TASK_LOST];
    if (r->control.score != NULL) {
        r->result.sets_scored = r->control.score->score.sets_scored;
        r->result.sets_void = r->control.score->score.sets_void;
    }
    r->result.digest = r->control.digest;
    if (!rollout_advance_ended(r->control.progress.state))
        broken(r, 1, "the rollout did not end");
    uint64_t n = sim_check_end(&r->control, r->devices, text);
    broken(r, n, text);
    return e->kind == NULL ? 0 : -1;
}

static void drop(struct run *r) {
    for (size_t i = 0; r->devices != NULL && i < r->world->n; i++)
        sim_device_end(&r->devices[i]);
    free(r->devices);
    free(r->put);
    free(r->counters);
    sim_queue_clear(&r->queue);
    sim_control_close(&r->control);
    sim_world_luck_clear(&r->luck);
}

int sim_run(const struct sim_world *world, const struct sim_run_options *options,
            struct sim_run_result *ret, struct err *e) {
    struct run r = {.world = world, .options = options};
    struct sim_event event;
    int done = begin(&r, e);
    while (done == 0 && !r.over && sim_queue_take(&r.queue, &event) == 0) {
        r.now_s = event.at_s;
        r.result.events++;
        done = happen(&r, &event, e);
    }
    if (done == 0)
        done = finish(&r, e);
    drop(&r);
    if (done < 0)
        sim_run_clear(&r.result);
    else
        *ret = r.result;
    return done;
}
