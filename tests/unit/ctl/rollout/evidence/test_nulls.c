// SPDX-License-Identifier: Apache-2.0
//
// Simulated rollouts of harmless releases, looked at after every observation. Seeds are fixed, so a
// run always has the same result; the bounds leave three standard deviations of chance all the
// same, so that another seed would do.
#include <criterion/criterion.h>
#include <limits.h>

#include "ctl/rollout/evidence/combine.h"
#include "ctl/rollout/evidence/events.h"
#include "ctl/rollout/evidence/install.h"
#include "ctl/rollout/evidence/rank.h"
#include "tests/support/dice.h"

#define ALPHA_PPM 50000
#define RUNS      1000
#define ONE       NUM_DECIMAL_SCALE

// alpha plus three standard deviations of a binomial count of RUNS.
static void expect_at_most_alpha(unsigned stops, unsigned runs) {
    double mean = runs * (ALPHA_PPM / 1e6), sd2 = mean * (1 - ALPHA_PPM / 1e6);
    cr_expect((stops - mean) * (stops - mean) <= 9 * sd2 || stops <= mean, "%u of %u stopped",
              stops, runs);
    // A test that never says anything holds its level too: here it has to be used in part.
    cr_expect_gt(stops * 20, mean, "only %u of %u stopped", stops, runs);
}

// ── Events ──

#define STRATA  3
#define HOURS   96
#define DEVICES 240

struct device {
    unsigned stratum;
    int admitted_h, entered_h;
    bool treated, gone;
    double frailty;
};

// A fleet of three kinds of hardware: day and night, an outage, devices of which some are much
// worse than others, four stages, offers at the check-ins only, and a tick that loses several at
// once. theta: the hazard of treated devices in comparison.
static bool simulate_events(struct dice *dice, double theta, int64_t level,
                            struct evidence_events *state) {
    static const double hazards[STRATA] = {0.0005, 0.003, 0.012};
    struct device devices[DEVICES];
    struct evidence_risk risk[STRATA] = {{.comparison = 0}};
    bool stop = false;
    for (int i = 0; i < DEVICES; i++) {
        devices[i] = (struct device){.stratum = (unsigned)i % STRATA,
                                     .entered_h = (int)dice_below(dice, 8),
                                     .frailty = dice_chance(dice, 0.2) ? 3 : 0.5};
        uint64_t stage = dice_below(dice, 10);
        devices[i].admitted_h = stage == 0 ? 8 : stage < 3 ? 24 : stage < 6 ? 48 : HOURS;
    }
    for (int hour = 0; hour < HOURS; hour++) {
        double day = (hour % 24 < 12 ? 0.4 : 1.6) * (hour / 6 == 9 ? 8 : 1);
        uint64_t ties[STRATA][2] = {{0}};
        for (int i = 0; i < DEVICES; i++) {
            struct device *d = &devices[i];
            struct evidence_risk *r = &risk[d->stratum];
            if (d->gone || hour < d->entered_h)
                continue;
            if (hour == d->entered_h)
                r->comparison++;
            if (!d->treated && hour >= d->admitted_h && dice_chance(dice, 0.5)) {
                d->treated = true;
                r->comparison--;
                r->treated++;
            }
            double hazard = hazards[d->stratum] * d->frailty * day * (d->treated ? theta : 1);
            if (!dice_chance(dice, hazard))
                continue;
            d->gone = true;
            if (hour % 2 == 0) // learned of one by one
                evidence_events_add(state, r, !d->treated, d->treated);
            else
                ties[d->stratum][d->treated]++;
            stop = stop || evidence_events_worse(state, EVIDENCE_EVENTS_EQUAL) >= level;
        }
        for (unsigned s = 0; s < STRATA; s++)
            evidence_events_add(state, &risk[s], ties[s][0], ties[s][1]);
        stop = stop || evidence_events_worse(state, EVIDENCE_EVENTS_EQUAL) >= level;
    }
    return stop;
}

Test(evidence_nulls, events_stop_a_harmless_release_with_at_most_alpha) {
    struct dice dice = {11};
    unsigned stops = 0;
    for (int run = 0; run < RUNS; run++) {
        struct evidence_events state = {.scored = 0};
        stops += simulate_events(&dice, 1, evidence_num_level(ALPHA_PPM), &state);
    }
    expect_at_most_alpha(stops, RUNS);
}

Test(evidence_nulls, events_stop_a_release_that_triples_them) {
    struct dice dice = {12};
    unsigned stops = 0, stops_of_a_better_one = 0;
    for (int run = 0; run < 300; run++) {
        struct evidence_events bad = {.scored = 0}, good = {.scored = 0};
        stops += simulate_events(&dice, 3, evidence_num_level(ALPHA_PPM), &bad);
        stops_of_a_better_one += simulate_events(&dice, 0.5, evidence_num_level(ALPHA_PPM), &good);
    }
    cr_expect_gt(stops, 240, "%u of 300", stops);
    cr_expect_leq(stops_of_a_better_one, 3);
}

Test(evidence_nulls, the_hazard_ratios_bounds_hold_the_truth_at_all_times) {
    struct dice dice = {13};
    unsigned misses = 0;
    for (int run = 0; run < 500; run++) {
        struct evidence_events state = {.scored = 0};
        struct evidence_risk risk = {.comparison = 400, .treated = 150};
        bool missed = false;
        while (risk.treated > 50 && risk.comparison > 50) {
            double odds = 2.0 * (double)risk.treated;
            bool treated = dice_chance(&dice, odds / ((double)risk.comparison + odds));
            int lower = 0, upper = 0;
            evidence_events_add(&state, &risk, !treated, treated);
            if (state.scored % 5 != 0)
                continue;
            evidence_events_bounds(&state, evidence_num_level(ALPHA_PPM / 2), &lower, &upper);
            missed = missed || lower >= 16 || upper <= 16; // the node of ratio 2
        }
        misses += missed;
    }
    expect_at_most_alpha(misses, 500);
}

// A stage that opens over devices of which half are heard of once in sixty hours. by_rule: counted
// in as events.h prescribes; else the compared from the start and the treated with their offer.
// Sites of four crash together.
static bool simulate_entry(struct dice *dice, bool by_rule) {
    enum { N = 600, SITE = 4, SETTLING = 2 };
    struct evidence_events state = {.scored = 0};
    struct evidence_risk risk = {.comparison = 0};
    int first[N], crashed[N];
    bool treated[N], inside[N], stop = false;
    for (int i = 0; i < N; i++) {
        first[i] = crashed[i] = -1;
        treated[i] = dice_chance(dice, 0.2);
        inside[i] = !by_rule && !treated[i];
        risk.comparison += inside[i];
    }
    for (int hour = 0; hour < 40; hour++) {
        for (int site = 0; site < N / SITE; site++) {
            bool crashes = dice_chance(dice, 0.03);
            for (int i = site * SITE; crashes && i < (site + 1) * SITE; i++)
                crashed[i] = crashed[i] < 0 ? hour : crashed[i];
        }
        for (int i = 0; i < N; i++) {
            if (crashed[i] == INT_MAX || !dice_chance(dice, i / SITE % 2 == 0 ? 0.7 : 1.0 / 60))
                continue;
            bool enters = by_rule ? first[i] >= 0 && hour > first[i] + SETTLING : treated[i];
            if (crashed[i] >= 0 && inside[i])
                evidence_events_add(&state, &risk, !treated[i], treated[i]);
            else if (crashed[i] < 0 && enters && !inside[i])
                risk.comparison += !treated[i], risk.treated += treated[i];
            inside[i] = inside[i] || enters;
            first[i] = first[i] < 0 ? hour : first[i];
            crashed[i] = crashed[i] >= 0 ? INT_MAX : -1;
        }
        stop = stop || evidence_events_worse(&state, EVIDENCE_EVENTS_EQUAL) >=
                           evidence_num_level(ALPHA_PPM);
    }
    return stop;
}

Test(evidence_nulls, the_rule_of_entry_keeps_frequent_reporters_and_clusters_from_deciding) {
    struct dice dice = {14};
    unsigned stops = 0, without = 0;
    for (int run = 0; run < 400; run++) {
        stops += simulate_entry(&dice, true);
        without += simulate_entry(&dice, false);
    }
    expect_at_most_alpha(stops, 400);
    cr_expect_gt(without, 60, "%u of 400: the simulation must be able to show it", without);
}

// ── Metrics ──

// Cut to what a decimal holds.
static int64_t nano(double x) {
    double most = NUM_DECIMAL_MAX;
    return (int64_t)((x > most ? most : x < -most ? -most : x) * ONE);
}

enum shape { SMOOTH, TIED, HEAVY, CLUSTERED };

// One set: its own level (a site, an hour of the day), values of the shape, devices that are lost
// in either arm, and installs that fail in the treated one.
static void draw_set(struct dice *dice, enum shape shape, double shift, double failing,
                     struct evidence_rank_value *ret, unsigned n) {
    double common = dice_wild(dice);
    for (unsigned i = 0; i < n; i++) {
        double own = shape == SMOOTH  ? dice_normal(dice)
                     : shape == TIED  ? (double)dice_below(dice, 3)
                     : shape == HEAVY ? dice_wild(dice)
                                      : common + dice_normal(dice);
        ret[i] = (struct evidence_rank_value){.change_nano = nano(own + (i == 0 ? shift : 0)),
                                              .worst = dice_chance(dice, 0.03)};
    }
    ret[0].worst = ret[0].worst || dice_chance(dice, failing);
}

static bool simulate_metric(struct dice *dice, enum shape shape, double shift, double failing,
                            const struct evidence_rank_design *design, unsigned n, int64_t level) {
    struct evidence_rank state = {.sets = 0};
    struct evidence_rank_value set[1 + EVIDENCE_RANK_COMPARED_MAX];
    unsigned k = 4 + (unsigned)dice_below(dice, 3);
    for (unsigned i = 0; i < n; i++) {
        draw_set(dice, shape, shift, failing, set, k + 1);
        evidence_rank_add(&state, design, &set[0], &set[1], k);
        if (evidence_rank_worse(&state, EVIDENCE_RANK_TOLERABLE) >= level)
            return true;
    }
    return false;
}

static void expect_metric_level(enum shape shape, double failing, uint64_t seed) {
    struct dice dice = {seed};
    struct evidence_rank_design design = {.intolerable = {ONE},
                                          .baseline_ppm = (uint32_t)(failing * 1e6)};
    unsigned stops = 0;
    for (int run = 0; run < 600; run++)
        stops +=
            simulate_metric(&dice, shape, 0, failing, &design, 60, evidence_num_level(ALPHA_PPM));
    expect_at_most_alpha(stops, 600);
}

Test(evidence_nulls, smooth_metrics_hold_alpha) {
    expect_metric_level(SMOOTH, 0, 21);
}

Test(evidence_nulls, metrics_with_many_ties_hold_alpha) {
    expect_metric_level(TIED, 0, 22);
}

Test(evidence_nulls, metrics_with_heavy_tails_hold_alpha) {
    expect_metric_level(HEAVY, 0.02, 23);
}

Test(evidence_nulls, clustered_metrics_with_installs_that_fail_hold_alpha) {
    expect_metric_level(CLUSTERED, 0.05, 24);
}

Test(evidence_nulls, an_unstated_baseline_does_stop_rollouts) {
    struct dice dice = {25};
    const struct evidence_rank_design unaware = {.intolerable = {ONE}};
    unsigned stops = 0;
    for (int run = 0; run < 200; run++)
        stops +=
            simulate_metric(&dice, SMOOTH, 0, 0.3, &unaware, 60, evidence_num_level(ALPHA_PPM));
    cr_expect_gt(stops, 40, "%u of 200: the simulation must be able to show it", stops);
}

Test(evidence_nulls, one_standard_deviation_is_seen_with_forty_devices_and_ten_gates) {
    struct dice dice = {26};
    const struct evidence_rank_design design = {.intolerable = {ONE}};
    int64_t level = evidence_num_level(25000) - evidence_num_part(100000);
    unsigned stops = 0;
    for (int run = 0; run < 300; run++) {
        struct evidence_rank state = {.sets = 0};
        struct evidence_rank_value set[5];
        for (int i = 0; i < 40 && evidence_rank_worse(&state, EVIDENCE_RANK_TOLERABLE) < level;
             i++) {
            for (int j = 0; j < 5; j++)
                set[j] = (struct evidence_rank_value){.change_nano =
                                                          nano(dice_normal(&dice) + (j == 0))};
            evidence_rank_add(&state, &design, &set[0], &set[1], 4);
        }
        stops += evidence_rank_worse(&state, EVIDENCE_RANK_TOLERABLE) >= level;
    }
    cr_expect_gt(stops, 250, "%u of 300", stops);
}

// ── Installs ──

#define INSTALLS 300

// Failures are known at once, successes after a probation, and devices that fall silent when they
// are given up: order of arrival is all against the release.
static bool simulate_installs(struct dice *dice, double failing, uint32_t baseline_ppm,
                              int64_t level) {
    struct evidence_install state = {.scored = 0};
    bool failed[INSTALLS];
    int known_at[INSTALLS];
    uint64_t failures = 0;
    for (int i = 0; i < INSTALLS; i++) {
        failed[i] = dice_chance(dice, failing);
        known_at[i] = i + (failed[i] ? (dice_chance(dice, 0.2) ? 60 : 1) : 10);
    }
    for (int now = 0; now < INSTALLS + 60; now++) {
        int activated = now < INSTALLS ? now + 1 : INSTALLS;
        for (int i = 0; i < activated; i++)
            failures += failed[i] && known_at[i] == now;
        while (state.scored < (uint64_t)activated && known_at[state.scored] <= now)
            evidence_install_add(&state, failed[state.scored]);
        struct evidence_install_known known = {(uint64_t)activated, failures};
        if (evidence_install_worse(&state, &known, baseline_ppm) >= level)
            return true;
    }
    return false;
}

Test(evidence_nulls, installs_at_the_baseline_hold_alpha) {
    struct dice dice = {31};
    unsigned stops = 0, of_better = 0;
    for (int run = 0; run < RUNS; run++) {
        stops += simulate_installs(&dice, 0.05, 50000, evidence_num_level(ALPHA_PPM));
        of_better +=
            run % 3 == 0 && simulate_installs(&dice, 0.02, 50000, evidence_num_level(ALPHA_PPM));
    }
    expect_at_most_alpha(stops, RUNS);
    cr_expect_lt(of_better, stops);
}

Test(evidence_nulls, a_release_that_fails_on_a_fifth_is_stopped_soon) {
    struct dice dice = {32};
    unsigned stops = 0;
    for (int run = 0; run < 300; run++)
        stops += simulate_installs(&dice, 0.2, 20000, evidence_num_level(ALPHA_PPM));
    cr_expect_eq(stops, 300);
}

// ── All together ──

// Ten gates that see the same fleet: metrics of the same sets, which are worst together.
static bool simulate_all(struct dice *dice) {
    struct evidence_events events = {.scored = 0};
    struct evidence_install install = {.scored = 0};
    struct evidence_rank metrics[8] = {{.sets = 0}};
    const struct evidence_rank_design design = {.intolerable = {ONE}, .baseline_ppm = 30000};
    struct evidence_risk risk = {.comparison = 600, .treated = 60};
    uint32_t weights[10];
    struct evidence_gate gates[10];
    struct evidence_sum sum = {.stop = false};
    evidence_combine_share(10, weights);
    for (int i = 0; i < 50 && !sum.stop; i++) {
        bool failed = dice_chance(dice, 0.03);
        evidence_install_add(&install, failed);
        if (dice_chance(dice, 0.5)) {
            bool treated = dice_below(dice, risk.comparison + risk.treated) < risk.treated;
            evidence_events_add(&events, &risk, !treated, treated);
        }
        for (int m = 0; m < 8; m++) {
            struct evidence_rank_value set[5];
            draw_set(dice, (enum shape)(m % 4), 0, 0, set, 5);
            set[0].worst = set[0].worst || failed;
            evidence_rank_add(&metrics[m], &design, &set[0], &set[1], 4);
        }
        for (int g = 0; g < 10; g++)
            gates[g] = (struct evidence_gate){
                .line = g == 0   ? EVIDENCE_LINE_EVENTS
                        : g == 1 ? EVIDENCE_LINE_INSTALL
                                 : EVIDENCE_LINE_METRICS,
                .weight_ppm = weights[g],
                .worse = g == 0   ? evidence_events_worse(&events, EVIDENCE_EVENTS_EQUAL)
                         : g == 1 ? evidence_install_worse(&install, NULL, 30000)
                                  : evidence_rank_worse(&metrics[g - 2], EVIDENCE_RANK_TOLERABLE)};
        evidence_combine(gates, 10, ALPHA_PPM, &sum);
    }
    return sum.stop;
}

Test(evidence_nulls, ten_gates_together_hold_one_alpha) {
    struct dice dice = {41};
    unsigned stops = 0;
    for (int run = 0; run < 400; run++)
        stops += simulate_all(&dice);
    expect_at_most_alpha(stops, 400);
}
