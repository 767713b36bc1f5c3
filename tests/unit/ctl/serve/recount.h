// SPDX-License-Identifier: Apache-2.0
//
// What is stored of a rollout's gates, as text; and counted anew from the rows of the store.
#pragma once

#include "ctl/rollout/score_state.h"
#include "ctl/store/cohort.h"
#include "ctl/store/member.h"
#include "ctl/store/score.h"
#include "ctl/store/unit.h"
#include "tests/unit/ctl/serve/small_fleet.h"

// ── Lines ──

struct lines {
    uint64_t epoch;
    size_t len;
    char text[64 * 1024];
};

static inline int add_line(void *context, int gate, const char *state, struct err *error) {
    struct lines *lines = context;
    char none[40];
    int len = snprintf(none, sizeof none, "sites 1 %llu", (unsigned long long)lines->epoch);
    (void)error;
    // Blocks of sites of the epoch now, in which there are any.
    if (gate <= STORE_SCORE_SITES && (strncmp(state, none, (size_t)len) != 0 || state[len] != ' '))
        return 0;
    lines->len += (size_t)snprintf(lines->text + lines->len, sizeof lines->text - lines->len,
                                   "%d %s\n", gate, state);
    cr_assert_lt(lines->len, sizeof lines->text);
    return 0;
}

static inline void read_lines(struct small_fleet *w, struct lines *ret) {
    struct err e = ERR_NONE;
    ret->len = 0;
    ret->text[0] = '\0';
    ret->epoch = small_fleet_rollout(w)->score->epoch;
    must(store_score_list(w->fleet.db, "r", small_fleet_rollout(w)->score->run, add_line, ret, &e));
}

static inline void format_lines(const struct rollout_gates *gates,
                                const struct rollout_score *score, struct lines *ret) {
    struct err e = ERR_NONE;
    ret->len = 0;
    ret->epoch = score->epoch;
    for (int g = STORE_SCORE_SITES + 1 - ROLLOUT_SCORE_SITE_BLOCKS; g < (int)gates->n; g++) {
        OWN(buf) struct buf line;
        buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
        if (g <= STORE_SCORE_SITES)
            must(rollout_score_state_format_sites(score, (size_t)(STORE_SCORE_SITES - g), &line,
                                                  &e));
        else if (g < 0)
            must(rollout_score_state_format_shared(score, gates, &line, &e));
        else
            must(rollout_score_state_format_gate(score, gates, (size_t)g, &line, &e));
        (void)add_line(ret, g, buf_text(&line), &e);
    }
}

// ── A recount ──

struct recount {
    struct rollout_score *score;
    const struct rollout_gates *gates;
    size_t gate;
    uint64_t tie;
    struct evidence_risk risk;
    uint64_t comparison, treated;
};

static inline void end_tie(struct recount *r) {
    if (r->tie != 0)
        evidence_events_add(&r->score->gate[r->gate].events, &r->risk, r->comparison, r->treated);
    r->tie = r->comparison = r->treated = 0;
}

static inline int recount_unit(void *context, const struct store_unit *unit, struct err *error) {
    struct recount *r = context;
    const struct rollout_gate_policy *gate = &r->gates->gate[r->gate];
    (void)error;
    if (gate->kind == ROLLOUT_GATE_METRIC) {
        const struct evidence_rank_design design = {.tolerable = gate->tolerable,
                                                    .intolerable = gate->intolerable,
                                                    .baseline_ppm = gate->baseline_ppm};
        evidence_rank_add(&r->score->gate[r->gate].rank, &design, &unit->values[0],
                          unit->values + 1, unit->n_values - 1);
        return 0;
    }
    if (unit->tie != r->tie)
        end_tie(r);
    r->tie = unit->tie;
    r->risk = (struct evidence_risk){.comparison = unit->a, .treated = unit->b};
    r->comparison += unit->c == 0;
    r->treated += unit->c == 1;
    return 0;
}

// The numbers at risk, and outcomes by number.
struct census {
    struct store_cohort of;
    struct rollout_score *score;
    enum rollout_outcome outcomes[SMALL_FLEET_MAX + 1];
};

struct crowd {
    const struct rollout_score *score;
    struct rollout_score_crowd all;
    uint64_t first, waiting;
};

// Of a site's devices: what its row says of them, and how many wait.
static inline int recount_member(void *context, const char *device, const char *unit,
                                 const struct rollout_score_member *member, struct err *error) {
    struct crowd *crowd = context;
    bool of = member->run == crowd->score->run;
    (void)device;
    (void)unit;
    (void)error;
    crowd->all.heard += of && !member->gone;
    crowd->all.based += of && !member->gone && (member->idle || member->base_s != 0);
    crowd->all.resolved += of && member->outcome != ROLLOUT_OUTCOME_NONE;
    crowd->all.failed += of && member->outcome == ROLLOUT_OUTCOME_BAD;
    crowd->first += of && member->first;
    crowd->waiting += of && member->waits;
    return 0;
}

static inline void recount_site(struct census *census, const char *unit,
                                const struct rollout_score_device *row) {
    struct err e = ERR_NONE;
    struct crowd crowd = {.score = census->score};
    must(store_member_of(&census->of, unit, recount_member, &crowd, &e));
    cr_assert_eq(crowd.all.heard, row->crowd.heard, "%s", unit);
    cr_assert_eq(crowd.all.based, row->crowd.based, "%s", unit);
    cr_assert_eq(crowd.all.resolved, row->crowd.resolved, "%s", unit);
    cr_assert_eq(crowd.all.failed, row->crowd.failed, "%s", unit);
    cr_assert_eq(crowd.first, row->number > 0, "%s", unit);
    census->score->waiting += crowd.waiting;
}

static inline int recount_row(void *context, const char *device,
                              const struct rollout_score_device *row, struct err *error) {
    struct census *census = context;
    (void)error;
    if (rollout_unit_is_site(census->of.gates))
        recount_site(census, device, row);
    if (row->number > 0)
        census->outcomes[row->number] = row->outcome;
    for (size_t g = 0; g < ROLLOUT_GATES_MAX; g++) {
        struct evidence_risk *risk = &census->score->risk[g][row->stratum];
        if (row->epoch != census->score->epoch || !(row->at_risk & 1U << g))
            continue;
        if (row->arm == ROLLOUT_ARM_TREATED)
            risk->treated++;
        else
            risk->comparison++;
    }
    if (row->epoch != census->score->epoch || !row->sited)
        return 0;
    for (size_t i = 0; i < ROLLOUT_SCORE_SITE_CELLS; i++) {
        struct rollout_score_site *cell = &census->score->sites.cells[i];
        bool of = cell->site == row->site && cell->stratum == row->stratum;
        cell->risk.treated += of && row->arm == ROLLOUT_ARM_TREATED;
        cell->risk.comparison += of && row->arm != ROLLOUT_ARM_TREATED;
    }
    return 0;
}

static inline void recount(struct small_fleet *w, struct rollout_score *io) {
    struct err e = ERR_NONE;
    struct serve_engine_rollout *r = small_fleet_rollout(w);
    const struct rollout_gates *gates = &r->row.policy.gates;
    const struct store_cohort of = {w->fleet.db, "r", gates};
    struct census census = {.of = of, .score = io};
    memset(io->gate, 0, sizeof io->gate);
    memset(io->risk, 0, sizeof io->risk);
    io->waiting = 0;
    for (size_t i = 0; i < ROLLOUT_SCORE_SITE_CELLS; i++)
        io->sites.cells[i].risk = (struct evidence_risk){0};
    for (size_t g = 0; g < gates->n; g++) {
        struct recount one = {.score = io, .gates = gates, .gate = g};
        must(store_unit_list(w->fleet.db, "r", io->run, (int)g, recount_unit, &one, &e));
        end_tie(&one);
    }
    must(store_cohort_list(&of, recount_row, &census, &e));
    for (uint64_t n = io->first_number; n < io->prefix; n++)
        if (census.outcomes[n] != ROLLOUT_OUTCOME_LEFT)
            evidence_install_add(&io->gate[0].install, census.outcomes[n] == ROLLOUT_OUTCOME_BAD);
}

// ── A restart ──

// Two equal fleets pass a minute: a restart before each check-in and each tick of the one changes
// no decision and no number. fall_silent() says, before each second, who is quiet.
static inline void
expect_restarts_change_nothing(struct small_fleet *steady, struct small_fleet *shaken,
                               void (*fall_silent)(struct small_fleet *w, int second)) {
    OWN(mem) struct lines *a = calloc(1, sizeof *a);
    OWN(mem) struct lines *b = calloc(1, sizeof *b);
    cr_assert(a != NULL && b != NULL);
    cr_assert(shaken->restarts && !steady->restarts);
    for (int s = 0; s < 60; s++) {
        fall_silent(steady, s);
        fall_silent(shaken, s);
        small_fleet_second(steady);
        small_fleet_second(shaken);
        cr_assert_str_eq(shaken->log, steady->log, "second %d", s);
    }
    read_lines(steady, a);
    read_lines(shaken, b);
    cr_expect_str_eq(b->text, a->text);
}

// A device was lost, one crashed, and more sets and installs than these were counted.
static inline void expect_all_kinds_counted(struct small_fleet *w, uint64_t sets,
                                            uint64_t installs) {
    const struct rollout_score *score = small_fleet_rollout(w)->score;
    cr_expect_gt(score->sets_scored, sets, "sets were scored, or nothing was tried");
    cr_expect_gt(score->gate[1].events.scored, 0, "a device was lost");
    cr_expect_gt(score->gate[2].events.scored, 0, "a device crashed");
    cr_expect_gt(score->gate[0].install.scored, installs, "installs were counted");
}
