// SPDX-License-Identifier: Apache-2.0
//
// Sets: a treated device and those it is compared with.
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/rollout/trial.h"
#include "ctl/serve/evidence_parts.h"

// The treated device first, then those compared with it.
struct members {
    const struct serve_engine_rollout *rollout;
    int64_t now_s;
    size_t n, max;
    char ids[EVIDENCE_RANK_COMPARED_MAX + 1][ROLLOUT_UNIT_ID_MAX + 1];
    struct rollout_score_device rows[EVIDENCE_RANK_COMPARED_MAX + 1];
};

static struct members *make_members(const struct serve_fleet *fleet,
                                    const struct serve_engine_rollout *r, struct err *e) {
    struct members *m = calloc(1, sizeof *m);
    if (m == NULL) {
        (void)err_set(e, &err_memory, "comparing devices: out of memory");
        return NULL;
    }
    m->rollout = r;
    m->now_s = fleet->now_ms / 1000;
    m->max = EVIDENCE_RANK_COMPARED_MAX + 1;
    return m;
}

static void add(struct members *m, const char *device, const struct rollout_score_device *row) {
    (void)snprintf(m->ids[m->n], sizeof m->ids[0], "%s", device);
    m->rows[m->n++] = *row;
}

static int keep(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                const struct members *m, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    for (size_t i = 0; i < m->n; i++)
        if (store_cohort_put(&of, m->ids[i], &m->rows[i], e) < 0)
            return -1;
    return 0;
}

static void point(struct members *m, struct rollout_score_device **ret) {
    for (size_t i = 1; i < m->n; i++)
        ret[i - 1] = &m->rows[i];
}

// ── Drawing ──

static int draw_one(void *context, const char *device, const struct rollout_score_device *row,
                    struct err *e) {
    struct members *m = context;
    const struct serve_engine_rollout *r = m->rollout;
    (void)e;
    if (rollout_score_may_compare(r->score, &r->row.policy.gates, row, false, m->now_s))
        add(m, device, row);
    return m->n == m->max ? 1 : 0;
}

static int draw(const struct serve_fleet *fleet, struct members *m, struct err *e) {
    const struct serve_engine_rollout *r = m->rollout;
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    const struct rollout_batch_place open = serve_evidence_open(r);
    const struct rollout_gates *gates = of.gates;
    struct store_cohort_draw how = {.stratum = m->rows[0].stratum,
                                    .heard_s = m->now_s -
                                               (int64_t)(ROLLOUT_SCORE_RHYTHMS * gates->rhythm_s)};
    if (how.stratum >= r->n_strata)
        return 0;
    how.has_above =
        rollout_batch_bound(&r->row.policy, &open, &r->strata[how.stratum].plan, &how.above);
    m->max = gates->compared + 1;
    return store_cohort_draw(&of, &how, draw_one, m, e);
}

int serve_evidence_begin_set(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                             const char *device, struct rollout_score_device *row, struct err *e) {
    const struct rollout_score_news shared = {.shared = true};
    struct rollout_score_device *compared[EVIDENCE_RANK_COMPARED_MAX + 1];
    OWN(mem) struct members *m = make_members(fleet, r, e);
    if (m == NULL)
        return -1;
    add(m, device, row);
    if (rollout_trial_has_sets(&r->row.policy.gates) && row->counted && draw(fleet, m, e) < 0)
        return -1;
    point(m, compared);
    int done = rollout_score_set_begin(r->score, &r->row.policy.gates, &m->rows[0], compared,
                                       m->n - 1, m->now_s);
    *row = m->rows[0];
    if (done == ROLLOUT_SCORE_NO_SET)
        m->n = 1;
    if (keep(fleet, r, m, e) < 0)
        return -1;
    return done == ROLLOUT_SCORE_NO_SET
               ? 0
               : serve_evidence_keep(fleet, r, device, NULL, &shared, NULL, e);
}

// ── Scoring ──

struct due {
    size_t n;
    uint64_t sets[SERVE_EVIDENCE_SETS_MAX];
};

static int note_due(void *context, const char *device, const struct rollout_score_device *row,
                    struct err *e) {
    struct due *due = context;
    (void)device;
    (void)e;
    due->sets[due->n++] = row->set_no;
    return 0;
}

static int take_member(void *context, const char *device, const struct rollout_score_device *row,
                       struct err *e) {
    struct members *m = context;
    (void)e;
    add(m, device, row);
    return m->n == m->max ? 1 : 0;
}

static int read_set(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                    uint64_t set_no, struct members *ret, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    if (store_cohort_set(&of, set_no, take_member, ret, e) < 0)
        return -1;
    if (ret->n == 0 || ret->rows[0].place != 0)
        return err_set(e, &err_bad_store, "reading the store: a set of rollout %s has no head",
                       r->row.policy.name);
    return 0;
}

static int score_set(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                     uint64_t set_no, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct rollout_score_device *compared[EVIDENCE_RANK_COMPARED_MAX + 1];
    struct rollout_score_news news;
    OWN(mem) struct members *m = make_members(fleet, r, e);
    if (m == NULL || read_set(fleet, r, set_no, m, e) < 0)
        return -1;
    point(m, compared);
    (void)rollout_score_set_score(r->score, of.gates, &m->rows[0], compared, m->n - 1, &news);
    if (keep(fleet, r, m, e) < 0)
        return -1;
    return serve_evidence_keep(fleet, r, m->ids[0], NULL, &news, NULL, e);
}

int serve_evidence_score_sets(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                              struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct due due = {.n = 0};
    if (r->score->sets_scored + r->score->sets_void ==
        r->score->next_set - r->score->first_set) // none is open
        return 0;
    if (store_cohort_due(&of, fleet->now_ms / 1000, SERVE_EVIDENCE_SETS_MAX, note_due, &due, e) < 0)
        return -1;
    for (size_t i = 0; i < due.n; i++)
        if (score_set(fleet, r, due.sets[i], e) < 0)
            return -1;
    return 0;
}

// ── Trials ──

// The next set that gates on reverts wait for. 1 when it is not over.
static int score_trial(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                       struct err *e) {
    const struct rollout_gates *gates = &r->row.policy.gates;
    struct rollout_score_device *compared[EVIDENCE_RANK_COMPARED_MAX + 1];
    struct serve_evidence_ties ties = {.unit = {0}};
    struct rollout_score_news news, units;
    struct rollout_trial trial;
    OWN(mem) struct members *m = make_members(fleet, r, e);
    if (m == NULL || read_set(fleet, r, r->score->next_trial, m, e) < 0)
        return -1;
    point(m, compared);
    if (rollout_trial_score(r->score, gates, &m->rows[0], compared, m->n - 1, m->now_s, &trial,
                            &news) == ROLLOUT_TRIAL_OPEN)
        return 1;
    for (size_t i = 0; i < m->n; i++) {
        rollout_trial_units(gates, &trial, &m->rows[i], &units);
        if (serve_evidence_keep(fleet, r, m->ids[i], NULL, &units, &ties, e) < 0)
            return -1;
    }
    return keep(fleet, r, m, e) < 0
               ? -1
               : serve_evidence_keep(fleet, r, m->ids[0], NULL, &news, NULL, e);
}

int serve_evidence_score_trials(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                                struct err *e) {
    int done = 0;
    if (rollout_trial_gates(&r->row.policy.gates) == 0)
        return 0;
    for (size_t i = 0;
         i < SERVE_EVIDENCE_SETS_MAX && done == 0 && r->score->next_trial < r->score->next_set; i++)
        done = score_trial(fleet, r, e);
    return done < 0 ? -1 : 0;
}
