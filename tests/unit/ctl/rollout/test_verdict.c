// SPDX-License-Identifier: Apache-2.0
//
// What a stop rests on: one cluster, few devices, a comparison that drifted, or none of these.
#include "ctl/rollout/verdict.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define UNITS 40

struct world {
    struct rollout_gates gates;
    struct rollout_score score;
    struct rollout_judgement judgement;
    struct rollout_unit units[UNITS];
    struct rollout_verdict_case of;
    struct rollout_verdict verdict;
};

// Forty treated devices of ten sites, four each; one token, one age.
static struct world *world(enum rollout_gate_kind kind) {
    static struct world w;
    memset(&w, 0, sizeof w);
    w.gates = (struct rollout_gates){.n = 1,
                                     .alpha_ppm = 25000,
                                     .alpha_pass_ppm = 50000,
                                     .min_fragility = 2,
                                     .drift_ppm = 200000};
    w.gates.gate[0] = (struct rollout_gate_policy){.name = "g",
                                                   .kind = kind,
                                                   .weight_ppm = 1000000,
                                                   .baseline_ppm = 20000,
                                                   .intolerable_ppm = 100000,
                                                   .ratio_ok_ppm = 1000000,
                                                   .ratio_bad_ppm = 2000000,
                                                   .intolerable = {NUM_DECIMAL_SCALE}};
    (void)rollout_score_follow(1, 1, &w.score);
    w.score.next_number = w.score.first_number + UNITS;
    for (uint32_t i = 0; i < UNITS; i++)
        w.units[i] = (struct rollout_unit){.numbered = true, .cluster = {i / 4, 0, 0}};
    w.of = (struct rollout_verdict_case){.gates = &w.gates,
                                         .score = &w.score,
                                         .judgement = &w.judgement,
                                         .alpha_ppm = 25000,
                                         .units = w.units,
                                         .n_units = UNITS,
                                         .n_clusters = {10, 1, 1}};
    return &w;
}

static enum rollout_why_code find(struct world *w) {
    struct err e = ERR_NONE;
    rollout_score_judge(&w->score, &w->gates, 25000, &w->judgement);
    cr_assert_eq(w->judgement.overall, ROLLOUT_VERDICT_FAIL);
    cr_assert_eq(rollout_verdict_find(&w->of, &w->verdict, &e), 0, "%s", e.text);
    cr_assert_eq(w->verdict.doubt, w->verdict.why.code != ROLLOUT_WHY_evidence_failed &&
                                       w->verdict.why.code != ROLLOUT_WHY_guard_exceeded);
    return w->verdict.why.code;
}

static void fail(struct world *w, size_t unit) {
    w->units[unit].outcome = ROLLOUT_OUTCOME_BAD;
    w->score.known_failed++;
    w->score.known_resolved++;
}

// ── Installs ──

Test(rollout_verdict, failures_all_over_are_the_releases) {
    struct world *w = world(ROLLOUT_GATE_INSTALL);
    for (size_t i = 0; i < 9; i++)
        fail(w, 4 * i);
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(w->verdict.line, EVIDENCE_LINE_INSTALL);
    cr_assert_geq(w->verdict.fragility, 2);
    cr_assert_not_null(strstr(w->verdict.why.text, "gate g: evidence 1 : "), "%s",
                       w->verdict.why.text);
}

Test(rollout_verdict, few_failures_are_fragile_by_what_the_policy_wants) {
    struct world *w = world(ROLLOUT_GATE_INSTALL);
    size_t n = 0;
    do { // the first crossing
        fail(w, 4 * n++);
        rollout_score_judge(&w->score, &w->gates, 25000, &w->judgement);
    } while (!w->judgement.sum.stop);
    cr_assert_eq(find(w), ROLLOUT_WHY_fragile);
    cr_assert_eq(w->verdict.fragility, 1);
    w->gates.min_fragility = 1;
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
    w->gates.min_fragility = 2;
    fail(w, 4 * n);
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(w->verdict.fragility, 2);
}

Test(rollout_verdict, the_prefix_counts_when_it_says_more_than_what_is_known) {
    struct world *w = world(ROLLOUT_GATE_INSTALL);
    for (size_t i = 0; i < 8; i++)
        fail(w, 4 * i);
    w->score.gate[0].install = (struct evidence_install){.scored = 10, .failed = 8};
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(w->verdict.fragility,
                 evidence_robust_install(10, 8, 20000, w->judgement.sum.level));
}

Test(rollout_verdict, where_sites_are_counted_it_says_so) {
    struct world *w = world(ROLLOUT_GATE_INSTALL);
    w->gates.unit = ROLLOUT_UNIT_SITE;
    for (uint32_t i = 0; i < UNITS; i++) // each is a site of its own
        w->units[i].cluster[ROLLOUT_CLUSTER_SITE] = i;
    w->of.n_clusters[ROLLOUT_CLUSTER_SITE] = UNITS;
    for (size_t i = 0; i < 9; i++)
        fail(w, i);
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed, "four neighbours are no cluster any more");
    cr_assert_not_null(strstr(w->verdict.why.text, " sites"), "%s", w->verdict.why.text);
    cr_assert_null(strstr(w->verdict.why.text, "device"), "%s", w->verdict.why.text);
    w->gates.min_fragility = 99;
    cr_assert_eq(find(w), ROLLOUT_WHY_fragile);
    cr_assert_null(strstr(w->verdict.why.text, "device"), "%s", w->verdict.why.text);
}

Test(rollout_verdict, one_site_alone_is_about_the_site) {
    struct world *w = world(ROLLOUT_GATE_INSTALL);
    for (size_t i = 0; i < 8; i++) {
        w->units[i].cluster[ROLLOUT_CLUSTER_SITE] = 0;
        fail(w, i);
    }
    fail(w, 20);
    cr_assert_eq(find(w), ROLLOUT_WHY_one_cluster);
    cr_assert_eq(w->verdict.kind, ROLLOUT_CLUSTER_SITE);
    cr_assert_eq(w->verdict.cluster, 0);
    cr_assert_eq(w->verdict.cluster_units, 8);
    cr_assert_not_null(strstr(w->verdict.why.text, "one site"), "%s", w->verdict.why.text);
    w->of.n_clusters[ROLLOUT_CLUSTER_SITE] = 0; // not asked
    cr_assert_neq(find(w), ROLLOUT_WHY_one_cluster);
}

// As many as half of the treated devices: there is nobody else to tell the site from the release.
Test(rollout_verdict, a_fleet_of_one_site_is_no_cluster) {
    struct world *w = world(ROLLOUT_GATE_INSTALL);
    for (size_t i = 0; i < UNITS; i++)
        w->units[i].cluster[ROLLOUT_CLUSTER_SITE] = i < 21 ? 0 : 1;
    w->of.n_clusters[ROLLOUT_CLUSTER_SITE] = 2;
    for (size_t i = 0; i < 9; i++)
        fail(w, i);
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
    for (size_t i = 0; i < UNITS; i++)
        w->units[i].cluster[ROLLOUT_CLUSTER_SITE] = i < 20 ? 0 : 1;
    cr_assert_eq(find(w), ROLLOUT_WHY_one_cluster);
}

Test(rollout_verdict, tokens_and_ages_are_clusters_too) {
    for (unsigned kind = 0; kind < ROLLOUT_CLUSTERS; kind++) {
        struct world *w = world(ROLLOUT_GATE_INSTALL);
        for (size_t i = 0; i < 6; i++) {
            fail(w, 4 * i);
            w->units[4 * i].cluster[kind] = 9;
        }
        w->of.n_clusters[kind] = 10;
        cr_assert_eq(find(w), ROLLOUT_WHY_one_cluster, "%u", kind);
        cr_assert_eq(w->verdict.kind, kind);
    }
}

// ── Events and metrics ──

static void crash(struct world *w, size_t unit, struct evidence_risk *risk) {
    w->units[unit].marked = 1;
    w->units[unit].mark[0][0] = (uint32_t)risk->comparison;
    w->units[unit].mark[0][1] = (uint32_t)risk->treated;
    evidence_events_add(&w->score.gate[0].events, risk, 0, 1);
}

Test(rollout_verdict, events_rest_on_the_devices_that_had_them) {
    struct world *w = world(ROLLOUT_GATE_COUNTER);
    struct evidence_risk risk = {.comparison = 160, .treated = 40};
    size_t n = 0;
    do {
        crash(w, 4 * n++, &risk);
        rollout_score_judge(&w->score, &w->gates, 25000, &w->judgement);
    } while (!w->judgement.sum.stop);
    cr_assert_eq(find(w), ROLLOUT_WHY_fragile);
    cr_assert_eq(w->verdict.line, EVIDENCE_LINE_EVENTS);
    cr_assert_eq(w->verdict.fragility, 1);
    for (size_t more = 0; more < 3; more++)
        crash(w, 4 * n++, &risk);
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
    cr_assert_geq(w->verdict.fragility, 3);
}

Test(rollout_verdict, events_of_one_site_are_about_it) {
    struct world *w = world(ROLLOUT_GATE_COUNTER);
    struct evidence_risk risk = {.comparison = 160, .treated = 40};
    for (size_t i = 0; i < 8; i++) {
        w->units[i].cluster[ROLLOUT_CLUSTER_SITE] = 7;
        crash(w, i, &risk);
    }
    cr_assert_eq(find(w), ROLLOUT_WHY_one_cluster);
    cr_assert_eq(w->verdict.cluster, 7);
    crash(w, 12, &risk); // as many elsewhere: it is not the site
    for (size_t i = 16; i < 40; i += 3)
        crash(w, i, &risk);
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
}

static void worst_of_four(struct world *w, size_t unit) {
    struct evidence_rank_value treated = {.change_nano = 9};
    struct evidence_rank_value others[4] = {{1, false}, {2, false}, {3, false}, {4, false}};
    struct evidence_rank_design design = {.intolerable = {NUM_DECIMAL_SCALE},
                                          .baseline_ppm = 20000};
    evidence_rank_add(&w->score.gate[0].rank, &design, &treated, others, 4);
    w->units[unit].marked = 1;
    w->units[unit].mark[0][0] = w->units[unit].mark[0][1] = 4;
}

// So many devices that had been the best of their sets would have kept it from stopping, and no fewer.
Test(rollout_verdict, the_fragility_of_metrics_is_exact) {
    struct world *w = world(ROLLOUT_GATE_METRIC);
    struct evidence_rank_value best = {.change_nano = -9};
    struct evidence_rank_value others[4] = {{1, false}, {2, false}, {3, false}, {4, false}};
    struct evidence_rank_design design = {.intolerable = {NUM_DECIMAL_SCALE},
                                          .baseline_ppm = 20000};
    size_t needed = 0;
    for (size_t i = 0; i < 12; i++)
        worst_of_four(w, i);
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
    for (bool stops = true; stops;) {
        memset(&w->score.gate[0], 0, sizeof w->score.gate[0]);
        needed++;
        for (size_t i = 0; i < needed; i++)
            evidence_rank_add(&w->score.gate[0].rank, &design, &best, others, 4);
        for (size_t i = needed; i < 12; i++)
            worst_of_four(w, i);
        rollout_score_judge(&w->score, &w->gates, 25000, &w->judgement);
        stops = w->judgement.sum.stop;
    }
    cr_assert_eq(w->verdict.fragility, needed);
    cr_assert_gt(needed, 2);
}

Test(rollout_verdict, a_drifting_comparison_is_asked_about_first) {
    struct world *w = world(ROLLOUT_GATE_METRIC);
    for (size_t i = 0; i < 9; i++)
        worst_of_four(w, 4 * i);
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(w->verdict.line, EVIDENCE_LINE_METRICS);
    cr_assert_geq(w->verdict.fragility, 2);
    w->score.drift_worse = 60;
    cr_assert_eq(find(w), ROLLOUT_WHY_control_suspect);
    w = world(ROLLOUT_GATE_INSTALL); // installs are compared with nobody
    for (size_t i = 0; i < 9; i++)
        fail(w, 4 * i);
    w->score.drift_worse = 60;
    cr_assert_eq(find(w), ROLLOUT_WHY_evidence_failed);
}

// ── Guards ──

static void reads(struct world *w, size_t unit, int64_t mean) {
    w->units[unit].guarded = 1;
    w->units[unit].guard_nano[0] = mean * NUM_DECIMAL_SCALE;
}

Test(rollout_verdict, a_guard_that_one_device_or_one_site_exceeds_is_a_doubt) {
    struct world *w = world(ROLLOUT_GATE_METRIC);
    w->gates.gate[0].has_guard = true;
    w->gates.gate[0].guard = (struct decimal){5 * NUM_DECIMAL_SCALE};
    w->score.guard[0] = (struct rollout_score_mean){.n = 10, .whole = 1009};
    for (size_t i = 0; i < 10; i++)
        reads(w, 4 * i, 1);
    reads(w, 0, 1000); // it lies
    w->of.n_clusters[ROLLOUT_CLUSTER_SITE] = 0;
    cr_assert_eq(find(w), ROLLOUT_WHY_fragile);
    cr_assert(w->verdict.guard && w->verdict.doubt);
    cr_assert_eq(w->verdict.fragility, 1);
    w->gates.min_fragility = 1;
    cr_assert_eq(find(w), ROLLOUT_WHY_guard_exceeded);
    w->gates.min_fragility = 2;
    reads(w, 1, 1000);
    cr_assert_eq(find(w), ROLLOUT_WHY_guard_exceeded);
    cr_assert_eq(w->verdict.fragility, 2);
    w->of.n_clusters[ROLLOUT_CLUSTER_SITE] = 10; // both are of one site
    cr_assert_eq(find(w), ROLLOUT_WHY_one_cluster);
    cr_assert_eq(w->verdict.cluster, 0);
    cr_assert_eq(w->verdict.cluster_units, 2);
    reads(w, 5, 1000);
    cr_assert_eq(find(w), ROLLOUT_WHY_guard_exceeded);
    w->gates.gate[0].lower_worse = true; // as bad downwards
    w->gates.gate[0].guard = (struct decimal){600 * NUM_DECIMAL_SCALE};
    cr_assert_eq(find(w), ROLLOUT_WHY_guard_exceeded);
    cr_assert_eq(w->verdict.fragility, 7);
}

Test(rollout_verdict, a_guard_leaves_no_doubt) {
    struct world *w = world(ROLLOUT_GATE_METRIC);
    w->gates.gate[0].has_guard = true;
    w->gates.gate[0].guard = (struct decimal){5 * NUM_DECIMAL_SCALE};
    w->score.guard[0] = (struct rollout_score_mean){.n = 3, .whole = 18};
    for (size_t i = 0; i < 3; i++)
        reads(w, 4 * i, 6);
    cr_assert_eq(find(w), ROLLOUT_WHY_guard_exceeded);
    cr_assert(w->verdict.guard);
    cr_assert_eq(w->verdict.fragility, 3);
    cr_assert_not_null(strstr(w->verdict.why.text, "is 6, beyond its guard of 5"), "%s",
                       w->verdict.why.text);
    for (size_t i = 0; i < 9; i++)
        worst_of_four(w, i % 4); // one site, and a drifting comparison
    w->score.drift_worse = 60;
    cr_assert_eq(find(w), ROLLOUT_WHY_guard_exceeded);
    cr_assert_not(w->verdict.doubt);
}

// ── Units ──

Test(rollout_verdict, units_are_the_treated_counted_devices_of_the_run) {
    struct world *w = world(ROLLOUT_GATE_COUNTER);
    struct rollout_unit unit;
    struct rollout_score_device d = {.run = 1,
                                     .arm = ROLLOUT_ARM_TREATED,
                                     .counted = true,
                                     .number = 3,
                                     .outcome = ROLLOUT_OUTCOME_GOOD};
    d.history[0].has_mark = true;
    d.history[0].mark[1] = 7;
    cr_assert(rollout_verdict_unit(&w->score, &w->gates, &d, &unit));
    cr_assert(unit.numbered);
    cr_assert_eq(unit.marked, 1);
    cr_assert_eq(unit.mark[0][1], 7);
    cr_assert_eq(unit.outcome, ROLLOUT_OUTCOME_GOOD);
    d.number = 0; // of the run before
    cr_assert(rollout_verdict_unit(&w->score, &w->gates, &d, &unit));
    cr_assert_not(unit.numbered);
    d.run = 2;
    cr_assert_not(rollout_verdict_unit(&w->score, &w->gates, &d, &unit));
    d.run = 1;
    d.counted = false;
    cr_assert_not(rollout_verdict_unit(&w->score, &w->gates, &d, &unit));
    d.counted = true;
    d.arm = ROLLOUT_ARM_COMPARISON;
    cr_assert_not(rollout_verdict_unit(&w->score, &w->gates, &d, &unit));
}

Test(rollout_verdict, odds_are_told_as_people_read_them) {
    char text[ROLLOUT_VERDICT_ODDS_BYTES];
    static const struct {
        double value;
        const char *text;
    } rows[] = {{1, "1 : 1.0"}, {0.25, "1 : 0.25"},     {9.94, "1 : 9.9"},
                {40, "1 : 40"}, {123456, "1 : 123456"}, {1e12, "1 : more than 1000000000"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t log = evidence_num_up(evidence_num_ln(rows[i].value), 0);
        cr_assert_str_eq(rollout_verdict_odds(log, text), rows[i].text);
    }
    cr_assert_str_eq(rollout_verdict_odds(EVIDENCE_LOG_ZERO, text), "1 : 0.00");
}
