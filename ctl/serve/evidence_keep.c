// SPDX-License-Identifier: Apache-2.0
//
// The score of a rollout: read, followed, judged, and written where it changed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/rollout/score_state.h"
#include "ctl/serve/evidence_parts.h"
#include "ctl/store/score.h"
#include "ctl/store/unit.h"

// One unit for so many treated devices is looked at anew each second, not oftener.
#define VERDICT_UNITS_PER_S 10000

struct store_cohort serve_evidence_cohort(const struct serve_fleet *fleet,
                                          const struct serve_engine_rollout *r) {
    return (struct store_cohort){
        .db = fleet->db, .rollout = r->row.policy.name, .gates = &r->row.policy.gates};
}

struct rollout_batch_place serve_evidence_open(const struct serve_engine_rollout *r) {
    const struct rollout_progress *p = &r->row.progress;
    return (struct rollout_batch_place){.stage = (size_t)p->stage,
                                        .started = p->stage < r->row.policy.n_stages &&
                                                   p->started_s[p->stage] != 0,
                                        .batch = &p->batch};
}

// While it is paused devices that have the release go on reporting, and a doubt may be resolved.
bool serve_evidence_counts(const struct serve_engine_rollout *r) {
    const struct rollout_progress *p = &r->row.progress;
    return r->score != NULL && r->score->run > 0 && !p->back &&
           (p->state == ROLLOUT_STATE_RUNNING || p->state == ROLLOUT_STATE_PAUSED);
}

// ── Reading ──

struct reading {
    struct serve_engine_rollout *rollout;
};

static int read_line(void *context, int gate, const char *state, struct err *e) {
    struct serve_engine_rollout *r = ((struct reading *)context)->rollout;
    const struct rollout_gates *gates = &r->row.policy.gates;
    if (gate == STORE_SCORE_SHARED)
        return rollout_score_state_parse_shared(state, gates, r->score, e);
    if (gate <= STORE_SCORE_SITES && gate > STORE_SCORE_SITES - ROLLOUT_SCORE_SITE_BLOCKS)
        return rollout_score_state_parse_sites(state, r->score, e);
    if (gate < 0 || (size_t)gate >= gates->n)
        return err_set(e, &err_bad_store, "reading the store: the score of rollout %s is damaged",
                       r->row.policy.name);
    return rollout_score_state_parse_gate(state, gates, (size_t)gate, r->score, e);
}

int serve_evidence_load(struct store_db *db, struct serve_engine_rollout *r, struct err *e) {
    struct reading reading = {r};
    uint64_t run = 0;
    if (r->score == NULL)
        return 0;
    r->stale = true;
    if (store_score_run(db, r->row.policy.name, &run, e) < 0 ||
        store_score_list(db, r->row.policy.name, run, read_line, &reading, e) < 0 ||
        serve_evidence_load_pulse(db, r, e) < 0)
        return err_prefix(e, "rollout %s", r->row.policy.name);
    return 0;
}

// ── Writing ──

static int format_line(const struct serve_engine_rollout *r, int gate, struct buf *ret,
                       struct err *e) {
    const struct rollout_gates *gates = &r->row.policy.gates;
    if (gate <= STORE_SCORE_SITES)
        return rollout_score_state_format_sites(r->score, (size_t)(STORE_SCORE_SITES - gate), ret,
                                                e);
    return gate == STORE_SCORE_SHARED
               ? rollout_score_state_format_shared(r->score, gates, ret, e)
               : rollout_score_state_format_gate(r->score, gates, (size_t)gate, ret, e);
}

static int put_line(const struct serve_fleet *fleet, struct serve_engine_rollout *r, int gate,
                    struct err *e) {
    OWN(buf) struct buf line;
    buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
    if (format_line(r, gate, &line, e) < 0)
        return -1;
    r->stale = r->stale || gate > STORE_SCORE_SITES;
    return store_score_put(fleet->db, r->row.policy.name, r->score->run, gate, buf_text(&line), e);
}

static int add_unit(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                    const char *device, const struct rollout_score_unit *of,
                    struct serve_evidence_ties *ties, struct err *e) {
    struct store_unit unit = {.a = of->a, .b = of->b, .c = of->c, .n_values = of->n_values};
    memcpy(unit.values, of->values, sizeof unit.values);
    (void)snprintf(unit.device, sizeof unit.device, "%s", device);
    unit.tie = ties == NULL ? 0 : ties->unit[of->gate];
    if (store_unit_add(fleet->db, r->row.policy.name, r->score->run, (int)of->gate, &unit, e) < 0)
        return -1;
    if (ties != NULL)
        ties->unit[of->gate] = unit.tie;
    return 0;
}

int serve_evidence_keep(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                        const char *device, const struct rollout_score_device *row,
                        const struct rollout_score_news *news, struct serve_evidence_ties *ties,
                        struct err *e) {
    struct store_cohort of = serve_evidence_cohort(fleet, r);
    if (news->device && row != NULL && store_cohort_put(&of, device, row, e) < 0)
        return -1;
    for (size_t i = 0; i < news->n_units; i++)
        if (add_unit(fleet, r, device, &news->units[i], ties, e) < 0)
            return -1;
    for (size_t g = 0; g < r->row.policy.gates.n; g++)
        if ((news->gates & 1U << g) != 0 && put_line(fleet, r, (int)g, e) < 0)
            return -1;
    for (uint64_t left = news->sites; left != 0; left &= left - 1)
        if (put_line(fleet, r, STORE_SCORE_SITES - __builtin_ctzll(left), e) < 0)
            return -1;
    return news->shared ? put_line(fleet, r, STORE_SCORE_SHARED, e) : 0;
}

int serve_evidence_follow(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                          struct err *e) {
    const struct rollout_progress *p = &r->row.progress;
    uint32_t run = r->score == NULL ? 0 : r->score->run;
    if (r->score == NULL || !rollout_score_follow(p->spend.runs, p->batch.number, r->score))
        return 0;
    for (size_t g = 0; run != r->score->run && g < r->row.policy.gates.n; g++)
        if (put_line(fleet, r, (int)g, e) < 0)
            return -1;
    for (int block = 0; block < ROLLOUT_SCORE_SITE_BLOCKS; block++)
        if (rollout_score_sites_used(&r->score->sites, (size_t)block) &&
            put_line(fleet, r, STORE_SCORE_SITES - block, e) < 0)
            return -1;
    return put_line(fleet, r, STORE_SCORE_SHARED, e);
}

int serve_evidence_drain(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                         struct err *e) {
    struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct rollout_score_news all = {.shared = false}, news;
    for (;;) {
        enum rollout_outcome outcome = ROLLOUT_OUTCOME_NONE;
        uint64_t number = r->score->prefix;
        if (number >= r->score->next_number)
            break;
        if (store_cohort_number(&of, number, &outcome, e) < 0)
            return -1;
        if (outcome == ROLLOUT_OUTCOME_NONE)
            break;
        rollout_score_install_next(r->score, of.gates, outcome, &news);
        all.shared = all.shared || news.shared;
        all.gates |= news.gates;
        if (r->score->prefix == number)
            break;
    }
    return serve_evidence_keep(fleet, r, "", NULL, &all, NULL, e);
}

// ── Judging ──

int serve_evidence_judge(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                         struct rollout_counts *io, struct err *e) {
    const struct rollout_progress *p = &r->row.progress;
    int64_t now_s = fleet->now_ms / 1000;
    for (size_t s = 0; s < r->n_strata; s++)
        io->held_back += r->strata[s].plan.held_back;
    if (r->score == NULL)
        return 0;
    bool anew = r->stale;
    if (anew && p->spend.alpha_ppm > 0)
        rollout_score_judge(r->score, &r->row.policy.gates, p->spend.alpha_ppm, &r->judged);
    r->stale = false;
    io->evidence = &r->judged;
    io->silence = r->silence;
    if (r->judged.overall != ROLLOUT_VERDICT_FAIL || !rollout_advance_judged(p)) {
        r->verdict_s = 0;
        return 0;
    }
    uint64_t units = r->score->next_number - r->score->first_number;
    if (r->verdict_s == 0 ||
        (anew && now_s - r->verdict_s >= (int64_t)(units / VERDICT_UNITS_PER_S))) {
        if (serve_evidence_verdict(fleet, r, &r->verdict, e) < 0)
            return -1;
        r->verdict_s = now_s;
    }
    io->verdict = &r->verdict;
    return 0;
}
