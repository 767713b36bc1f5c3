// SPDX-License-Identifier: Apache-2.0
//
// A small fleet in virtual time that lives through a rollout with gates of evidence: the calls of
// score.h's play in their order, arrays for a store. Deterministic from its seed.
#pragma once

#include <stdlib.h>
#include <string.h>

#include "ctl/rollout/advance.h"
#include "ctl/rollout/decide.h"
#include "ctl/rollout/retry.h"

#define FLEET_MAX    400
#define FLEET_STRATA 2
#define FLEET_STEP_S 300

enum { FLEET_INSTALL, FLEET_LOST, FLEET_COUNTER, FLEET_METRIC, FLEET_GATES };

// How devices behave. Shares are in 0 … 1.
struct fleet_world {
    size_t n;
    double fails;       // of installs, for reasons of their own
    double breaks;      // of installs, because of the release
    double crashes_day; // of each device
    double crash_ratio; // with the release
    double dies_day;    // falls silent for good, with the release alone
    double shift_sd;    // of the metric, with the release
    double rare;        // share of devices that check in eight times more seldom
    double sites;       // devices of a site of ten fail installs and crash together
    int heavy;          // tails of the metric
    int days;
    size_t stages;
};

struct fleet_device {
    struct rollout_score_device row;
    enum rollout_task task;
    uint32_t site;
    int64_t next_s, rhythm_s, seen_s, ready_s;
    double crashes, level, noise;
    bool bad, dead;
};

struct fleet {
    struct fleet_world world;
    struct rollout_policy policy;
    struct rollout_progress progress;
    struct rollout_score score;
    struct rollout_judgement judgement;
    struct rollout_stratum_plan plan[FLEET_STRATA];
    struct rollout_tally tallies[ROLLOUT_POLICY_STAGES_MAX * FLEET_STRATA];
    struct fleet_device d[FLEET_MAX];
    uint64_t random;
    int64_t now_s;
    uint32_t news; // gates whose evidence changed since they were judged
    enum rollout_silence silence;
    size_t most_unresolved, over_size;
};

static inline uint64_t fleet_bits(struct fleet *f) {
    uint64_t z = f->random += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static inline double fleet_uniform(struct fleet *f) {
    return (double)(fleet_bits(f) >> 11) / 9007199254740992.0;
}

static inline double fleet_normal(struct fleet *f) {
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += fleet_uniform(f);
    return sum;
}

static inline void fleet_policy(struct fleet *f) {
    struct rollout_policy *p = &f->policy;
    struct rollout_gates *g = &p->gates;
    static const uint32_t ppm[] = {50000, 200000, 500000, 1000000};
    p->n_stages = f->world.stages;
    p->timeout_s = 14400;
    p->on_failure = ROLLOUT_ON_FAILURE_REVERT;
    for (size_t i = 0; i < p->n_stages; i++)
        p->stages[i].ppm = ppm[i + 4 - p->n_stages];
    *g = (struct rollout_gates){.n = FLEET_GATES,
                                .alpha_ppm = 25000,
                                .alpha_pass_ppm = 50000,
                                .compared = 4,
                                .horizon_s = 28800,
                                .window_s = 14400,
                                .grace_s = 3600,
                                .settle_s = 900,
                                .newcomer_s = 7 * 86400,
                                .rhythm_s = 1800,
                                .drift_ppm = 200000,
                                .reach_ppm = 800000,
                                .max_soak_s = 36000,
                                .advance_on_max_soak = true};
    static const enum rollout_gate_kind kinds[] = {ROLLOUT_GATE_INSTALL, ROLLOUT_GATE_LOST,
                                                   ROLLOUT_GATE_COUNTER, ROLLOUT_GATE_METRIC};
    for (size_t i = 0; i < FLEET_GATES; i++)
        g->gate[i] = (struct rollout_gate_policy){.kind = kinds[i],
                                                  .weight_ppm = 250000,
                                                  .baseline_ppm = 50000,
                                                  .intolerable_ppm = 200000,
                                                  .ratio_ok_ppm = 1000000,
                                                  .ratio_bad_ppm = 2000000,
                                                  .tolerable = {0},
                                                  .intolerable = {NUM_DECIMAL_SCALE}};
}

static inline void fleet_make(struct fleet *f, const struct fleet_world *world, uint64_t seed) {
    static struct rollout_member members[FLEET_MAX];
    memset(f, 0, sizeof *f);
    f->world = *world;
    f->random = seed;
    f->now_s = 1700000000;
    f->progress = (struct rollout_progress){.attempt = 1, .failed_stage = world->stages};
    fleet_policy(f);
    for (size_t i = 0; i < world->n; i++) {
        struct fleet_device *d = &f->d[i];
        members[i] = (struct rollout_member){.stratum = i % FLEET_STRATA, .rank = fleet_bits(f)};
        d->row.stratum = i % FLEET_STRATA;
        d->row.rank = members[i].rank;
        d->site = (uint32_t)(i / 10);
        d->rhythm_s = 1800 * (fleet_uniform(f) < world->rare ? 8 : 1);
        d->next_s = f->now_s + (int64_t)(fleet_uniform(f) * (double)d->rhythm_s);
        d->seen_s = f->now_s;
        d->level = 10 * fleet_normal(f);
    }
    rollout_strata_plan(&f->policy, members, world->n, f->plan, FLEET_STRATA);
    for (size_t s = 0; s < FLEET_STRATA; s++)
        for (size_t i = 0; i < f->policy.n_stages; i++)
            f->tallies[i * FLEET_STRATA + s].planned = f->plan[s].planned[i];
}

static inline void fleet_follow(struct fleet *f) {
    if (f->progress.spend.runs > 0)
        (void)rollout_score_follow(f->progress.spend.runs, f->progress.batch.number, &f->score);
}

static inline void fleet_advance(struct fleet *f) {
    struct rollout_counts counts = {
        .tallies = f->tallies, .n_strata = FLEET_STRATA, .now_s = f->now_s, .silence = f->silence};
    if (f->score.run > 0) {
        if (f->news != 0 || f->judgement.n_gates == 0)
            rollout_score_judge(&f->score, &f->policy.gates, f->progress.spend.alpha_ppm,
                                &f->judgement);
        f->news = 0;
        counts.evidence = &f->judgement;
    }
    (void)rollout_advance(&f->policy, &rollout_gate_threshold, &counts, &f->progress);
    fleet_follow(f);
}

static inline void fleet_move(struct fleet *f, struct fleet_device *d, enum rollout_task to) {
    rollout_tally_move(&f->tallies[d->row.stage * FLEET_STRATA + d->row.stratum], d->task, to);
    d->task = to;
}

static inline enum rollout_admission fleet_admission(const struct fleet *f,
                                                     const struct fleet_device *d) {
    struct rollout_batch_place open = {.stage = f->progress.stage, .batch = &f->progress.batch};
    open.started = open.stage < f->policy.n_stages && f->progress.started_s[open.stage] != 0;
    return rollout_batch_admission(&f->policy, &open, &f->plan[d->row.stratum], d->row.rank);
}

static inline void fleet_set(struct fleet *f, struct fleet_device *treated) {
    struct rollout_score_device *members[EVIDENCE_RANK_COMPARED_MAX];
    size_t n = 0;
    while (n < f->policy.gates.compared) {
        struct fleet_device *best = NULL;
        for (size_t i = 0; i < f->world.n; i++) {
            struct fleet_device *d = &f->d[i];
            bool drawn = false;
            for (size_t m = 0; m < n; m++)
                drawn = drawn || members[m] == &d->row;
            if (!drawn && d->row.stratum == treated->row.stratum &&
                rollout_score_may_compare(&f->score, &f->policy.gates, &d->row,
                                          fleet_admission(f, d) == ROLLOUT_ADMISSION_OPEN,
                                          f->now_s) &&
                (best == NULL || d->row.rank > best->row.rank))
                best = d;
        }
        if (best == NULL)
            break;
        members[n++] = &best->row;
    }
    (void)rollout_score_set_begin(&f->score, &f->policy.gates, &treated->row, members, n, f->now_s);
}

static inline void fleet_prefix(struct fleet *f) {
    struct rollout_score_news news;
    for (;;) {
        const struct fleet_device *next = NULL;
        for (size_t i = 0; i < f->world.n; i++)
            if (f->d[i].row.number == f->score.prefix)
                next = &f->d[i];
        if (next == NULL || next->row.outcome == ROLLOUT_OUTCOME_NONE)
            return;
        rollout_score_install_next(&f->score, &f->policy.gates, next->row.outcome, &news);
        f->news |= news.gates;
    }
}

static inline void fleet_outcome(struct fleet *f, struct fleet_device *d, enum rollout_task task) {
    struct rollout_score_news news;
    fleet_move(f, d, task);
    if (d->row.base_s == 0)
        fleet_set(f, d);
    if (rollout_task_unresolved(task))
        return;
    rollout_score_outcome(&f->score, &f->policy.gates, task != ROLLOUT_TASK_COMMITTED, &d->row,
                          &news);
    f->news |= news.gates;
    fleet_prefix(f);
}

static inline void fleet_behave(struct fleet *f, struct fleet_device *d, int64_t since_s) {
    const struct fleet_world *w = &f->world;
    bool has = d->task == ROLLOUT_TASK_COMMITTED || d->task == ROLLOUT_TASK_ACTIVATED;
    double days = (double)since_s / 86400, rate = w->crashes_day * (has ? w->crash_ratio : 1);
    if (w->sites > 0 && (f->now_s / 7200 + d->site) % 37 == 0)
        rate += w->sites * 20;
    if (fleet_uniform(f) < 1 - evidence_num_exp(-rate * days))
        d->crashes += 1;
    if (has && fleet_uniform(f) < w->dies_day * days)
        d->dead = true;
    double noise = fleet_normal(f);
    if (w->heavy)
        noise = noise * noise * noise;
    // A slow wave of its own, and the day's that all share.
    d->noise = 0.9 * d->noise + 0.4 * noise;
}

static inline void fleet_check_in(struct fleet *f, struct fleet_device *d) {
    const struct fleet_world *w = &f->world;
    struct rollout_score_news news;
    struct rollout_score_checkin said = {.now_s = f->now_s, .given = 1U << FLEET_COUNTER};
    if (d->task == ROLLOUT_TASK_OFFERED && f->now_s >= d->ready_s)
        fleet_outcome(f, d, d->bad && d->site % 2 ? ROLLOUT_TASK_FAILED : ROLLOUT_TASK_ACTIVATED);
    else if (d->task == ROLLOUT_TASK_ACTIVATED && f->now_s >= d->ready_s + 900)
        fleet_outcome(f, d, d->bad ? ROLLOUT_TASK_REVERTED : ROLLOUT_TASK_COMMITTED);
    if (f->score.run > 0) {
        if (d->row.run == 0) {
            uint32_t stage =
                (uint32_t)rollout_strata_stage(&f->policy, &f->plan[d->row.stratum], d->row.rank);
            struct rollout_score_seen seen = {.enrolled_s = 1, .seen_s = d->seen_s, .fits = true};
            bool counted = rollout_score_counts(&f->policy.gates, &seen, f->now_s);
            rollout_score_device_init(&f->score, d->row.stratum, stage, d->row.rank, counted,
                                      &d->row);
        }
        bool has = d->task == ROLLOUT_TASK_COMMITTED || d->task == ROLLOUT_TASK_ACTIVATED;
        double hour = (double)(f->now_s % 86400) / 86400;
        double value = d->level + d->noise + 8 * hour * (1 - hour) + (has ? w->shift_sd : 0);
        said.admitted = fleet_admission(f, d) == ROLLOUT_ADMISSION_OPEN;
        said.given |= 1U << FLEET_METRIC;
        said.nano[FLEET_METRIC] = (int64_t)(value * 1e9);
        said.nano[FLEET_COUNTER] = (int64_t)(d->crashes * 1e9);
        rollout_score_heard(&f->score, &f->policy.gates, &said, &d->row, &news);
        f->news |= news.gates;
    }
    d->seen_s = f->now_s;
    struct rollout_tally all = {0};
    for (size_t i = 0; i < f->policy.n_stages * FLEET_STRATA; i++)
        rollout_tally_add(&all, &f->tallies[i]);
    uint64_t working = rollout_tally_unresolved(&all);
    bool room = working < f->progress.batch.size;
    if (!said.admitted || d->task != ROLLOUT_TASK_NONE || !room || d->row.due_s > 0 ||
        f->progress.state != ROLLOUT_STATE_RUNNING)
        return;
    rollout_score_offered(&f->score, &f->policy.gates, &d->row, &news);
    fleet_move(f, d, ROLLOUT_TASK_OFFERED);
    f->most_unresolved = working + 1 > f->most_unresolved ? working + 1 : f->most_unresolved;
    f->over_size += working + 1 > f->progress.batch.size;
    d->ready_s = f->now_s + 600 + (int64_t)(fleet_uniform(f) * 1200);
    bool together = w->sites > 0 && (d->site * 7 + (uint32_t)f->plan[0].bound[0]) % 10 == 0;
    d->bad = fleet_uniform(f) < (w->sites > 0 ? (together ? 0.2 : 0.01) : w->fails) + w->breaks;
}

static inline void fleet_silence(struct fleet *f) {
    int64_t before_s = f->now_s - rollout_score_silence_s(&f->policy);
    struct rollout_score_tie ties[FLEET_STRATA] = {{.stratum = 0}};
    struct rollout_score_news news;
    uint32_t lost = rollout_score_lost_gates(&f->policy.gates);
    uint64_t silent = 0;
    for (size_t i = 0; i < f->world.n; i++) {
        struct rollout_score_device *row = &f->d[i].row;
        if (row->epoch != f->score.epoch || !(row->at_risk & lost) || row->heard_s >= before_s)
            continue;
        silent++;
        *(row->arm == ROLLOUT_ARM_TREATED ? &ties[row->stratum].treated
                                          : &ties[row->stratum].comparison) += 1;
    }
    f->silence = rollout_score_silent(&f->score, &f->policy.gates, silent) ? ROLLOUT_SILENCE_SILENT
                                                                           : ROLLOUT_SILENCE_HEARD;
    if (silent == 0 || f->silence == ROLLOUT_SILENCE_SILENT)
        return;
    for (uint32_t s = 0; s < FLEET_STRATA; s++) {
        ties[s].stratum = s;
        if (ties[s].comparison + ties[s].treated == 0)
            continue;
        rollout_score_lose(&f->score, &f->policy.gates, &ties[s], &news);
        f->news |= news.gates;
    }
    for (size_t i = 0; i < f->world.n; i++) {
        struct rollout_score_device *row = &f->d[i].row;
        if (row->epoch == f->score.epoch && (row->at_risk & lost) && row->heard_s < before_s)
            rollout_score_lost(&f->score, &f->policy.gates, &ties[row->stratum], row, &news);
    }
}

static inline void fleet_tick(struct fleet *f) {
    struct rollout_score_news news;
    for (size_t i = 0; i < f->world.n; i++) {
        struct fleet_device *d = &f->d[i];
        if (rollout_task_unresolved(d->task) &&
            f->now_s - d->seen_s >
                (int64_t)rollout_retry_silence_s(&f->policy, d->task) + d->rhythm_s)
            fleet_outcome(f, d, ROLLOUT_TASK_LOST);
        if (d->row.due_s == 0 || d->row.place != 0 || d->row.due_s > f->now_s)
            continue;
        struct rollout_score_device *members[EVIDENCE_RANK_COMPARED_MAX];
        size_t n = 0;
        for (uint32_t place = 1; place <= f->policy.gates.compared; place++)
            for (size_t m = 0; m < f->world.n; m++)
                if (f->d[m].row.set_no == d->row.set_no && f->d[m].row.place == place)
                    members[n++] = &f->d[m].row;
        (void)rollout_score_set_score(&f->score, &f->policy.gates, &d->row, members, n, &news);
        f->news |= news.gates;
    }
    fleet_silence(f);
}

// Until it stopped, or all days are over. true: the gates stopped it.
static inline bool fleet_run(struct fleet *f) {
    int64_t end_s = f->now_s + (int64_t)f->world.days * 86400;
    for (; f->now_s < end_s && !f->progress.stopped; f->now_s += FLEET_STEP_S) {
        fleet_advance(f);
        for (size_t i = 0; i < f->world.n; i++) {
            struct fleet_device *d = &f->d[i];
            if (d->dead || d->next_s > f->now_s)
                continue;
            fleet_behave(f, d, f->now_s - d->seen_s);
            fleet_check_in(f, d);
            d->next_s += (int64_t)((double)d->rhythm_s * (0.5 + fleet_uniform(f)));
            if (f->news != 0)
                fleet_advance(f);
        }
        if (f->score.run > 0 && f->now_s / FLEET_STEP_S % 2 == 0)
            fleet_tick(f);
        if (f->progress.state == ROLLOUT_STATE_FINISHED)
            break;
    }
    return f->progress.stopped;
}
