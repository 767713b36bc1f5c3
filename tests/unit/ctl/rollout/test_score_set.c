// SPDX-License-Identifier: Apache-2.0
//
// Sets: who is drawn, what is frozen, what is scored, and when a set is void.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/rollout/score.h"

#define T0 1700002800 // a slot begins: 1800 s each

struct bench {
    struct rollout_gates gates;
    struct rollout_score score;
    struct rollout_score_device d[6];
    struct rollout_score_device *members[5];
    struct rollout_score_news news;
};

static void hear(struct bench *b, size_t i, int64_t at_s, int64_t metric) {
    struct rollout_score_checkin said = {.now_s = at_s, .admitted = i == 0, .given = 1};
    said.nano[0] = metric;
    rollout_score_heard(&b->score, &b->gates, &said, &b->d[i], &b->news);
}

// Device 0 is offered the release at T0, 1 … 5 are compared. Before, each reads 100 + its number.
static struct bench *bench(void) {
    static struct bench b;
    memset(&b, 0, sizeof b);
    b.gates = (struct rollout_gates){.n = 1,
                                     .alpha_ppm = 25000,
                                     .alpha_pass_ppm = 50000,
                                     .compared = 4,
                                     .horizon_s = 36000,
                                     .window_s = 18000,
                                     .grace_s = 3600,
                                     .settle_s = 900,
                                     .rhythm_s = 1800,
                                     .drift_ppm = 200000};
    b.gates.gate[0] = (struct rollout_gate_policy){.kind = ROLLOUT_GATE_METRIC,
                                                   .weight_ppm = 1000000,
                                                   .baseline_ppm = 20000,
                                                   .intolerable = {NUM_DECIMAL_SCALE}};
    (void)rollout_score_follow(1, 1, &b.score);
    for (size_t i = 0; i < 6; i++) {
        rollout_score_device_init(&b.score, 0, 0, i, true, &b.d[i]);
        for (int64_t at_s = T0 - 18000; at_s < T0; at_s += 1800)
            hear(&b, i, at_s, 100 + (int64_t)i);
        if (i > 0)
            b.members[i - 1] = &b.d[i];
    }
    rollout_score_offered(&b.score, &b.gates, &b.d[0], &b.news);
    return &b;
}

static int begin(struct bench *b, size_t n) {
    return rollout_score_set_begin(&b->score, &b->gates, &b->d[0], b->members, n, T0);
}

// From now on each reads `more` more, the treated one `own` more.
static void live(struct bench *b, int64_t own, int64_t more) {
    for (size_t i = 0; i < 6; i++)
        for (int64_t at_s = T0; at_s < T0 + 39600; at_s += 1800)
            hear(b, i, at_s, 100 + (int64_t)i + (i == 0 ? own : more));
}

static int score(struct bench *b, size_t n) {
    return rollout_score_set_score(&b->score, &b->gates, &b->d[0], b->members, n, &b->news);
}

Test(rollout_score_set, those_may_be_drawn_who_are_compared_there_and_in_no_set) {
    struct bench *b = bench();
    int64_t now_s = T0;
    cr_assert(rollout_score_may_compare(&b->score, &b->gates, &b->d[1], false, now_s));
    cr_assert_not(rollout_score_may_compare(&b->score, &b->gates, &b->d[0], false, now_s));
    cr_assert_not(rollout_score_may_compare(&b->score, &b->gates, &b->d[1], true, now_s));
    now_s = T0 - 1800 + 3600;
    cr_assert(rollout_score_may_compare(&b->score, &b->gates, &b->d[1], false, now_s));
    cr_assert_not(rollout_score_may_compare(&b->score, &b->gates, &b->d[1], false, now_s + 1));
    b->d[2].counted = false;
    cr_assert_not(rollout_score_may_compare(&b->score, &b->gates, &b->d[2], false, T0));
    cr_assert_eq(begin(b, 4), 0);
    cr_assert_not(rollout_score_may_compare(&b->score, &b->gates, &b->d[1], false, T0));
    cr_assert(rollout_score_may_compare(&b->score, &b->gates, &b->d[5], false, T0));
}

Test(rollout_score_set, fewer_than_four_are_no_set_and_stay_free) {
    struct bench *b = bench();
    cr_assert_eq(begin(b, 3), ROLLOUT_SCORE_NO_SET);
    cr_assert_eq(b->d[0].base_s, T0);
    cr_assert_eq(b->d[0].set_no, 0);
    cr_assert_eq(b->d[1].set_no, 0);
    cr_assert_eq(b->score.next_set, 1);
}

Test(rollout_score_set, its_values_are_changes_over_the_same_clock_times) {
    struct bench *b = bench();
    cr_assert_eq(begin(b, 4), 0);
    cr_assert_eq(b->d[0].set_no, 1);
    cr_assert_eq(b->d[4].place, 4);
    cr_assert_eq(b->d[0].due_s, T0 + 39600);
    cr_assert_eq(b->d[4].due_s, T0 + 39600);
    cr_assert_eq(b->d[5].set_no, 0);
    live(b, 7, 3);
    cr_assert_eq(score(b, 4), 0);
    cr_assert_eq(b->news.gates, 1U);
    cr_assert_eq(b->news.n_units, 1);
    cr_assert_eq(b->news.units[0].n_values, 5);
    cr_assert_eq(b->news.units[0].values[0].change_nano, 7);
    cr_assert_eq(b->news.units[0].values[4].change_nano, 3);
    cr_assert_eq(b->news.units[0].a, 4);
    cr_assert_eq(b->news.units[0].b, 4); // all four are better
    cr_assert_eq(b->d[0].history[0].mark[1], 4);
    cr_assert_eq(b->score.gate[0].rank.sets, 1);
    cr_assert_eq(b->score.sets_scored, 1);
    cr_assert_eq(b->score.drift_worse, 4);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(b->d[i].due_s, 0);
    cr_assert_not(rollout_score_may_compare(&b->score, &b->gates, &b->d[1], false, T0 + 39600),
                  "each is used once");
}

Test(rollout_score_set, where_lower_is_worse_the_change_is_turned_round) {
    struct bench *b = bench();
    b->gates.gate[0].lower_worse = true;
    (void)begin(b, 4);
    live(b, 7, 3);
    (void)score(b, 4);
    cr_assert_eq(b->news.units[0].values[0].change_nano, -7);
    cr_assert_eq(b->news.units[0].b, 0);
    cr_assert_eq(b->score.drift_better, 4);
}

// What came at the check-in that told of the activation, and before the window, is not of it.
Test(rollout_score_set, only_the_window_up_to_the_horizon_counts) {
    struct bench *b = bench();
    (void)begin(b, 4);
    for (size_t i = 0; i < 5; i++) {
        hear(b, i, T0, 100000000);                     // still in the slot of the beginning
        hear(b, i, T0 + 17999, 200000000);             // before the window
        hear(b, i, T0 + 18000, 50 + 100 + (int64_t)i); // within it
        hear(b, i, T0 + 39599, 50 + 100 + (int64_t)i); // within the grace
    }
    (void)score(b, 4);
    cr_assert_eq(b->news.units[0].values[0].change_nano, 50);
    cr_assert_eq(b->news.units[0].values[4].change_nano, 50);
}

Test(rollout_score_set, a_window_as_long_as_the_horizon_begins_after_the_activation) {
    struct bench *b = bench();
    b->gates.horizon_s = b->gates.window_s;
    (void)begin(b, 4);
    for (size_t i = 0; i < 5; i++) {
        hear(b, i, T0, 100000000);
        hear(b, i, T0 + 1800, 50 + 100 + (int64_t)i);
    }
    (void)score(b, 4);
    cr_assert_eq(b->news.units[0].values[0].change_nano, 50);
}

Test(rollout_score_set, who_is_silent_is_worst_in_either_arm_and_a_bad_outcome_is_too) {
    struct bench *b = bench();
    (void)begin(b, 4);
    for (int64_t at_s = T0; at_s < T0 + 39600; at_s += 1800)
        for (size_t i = 0; i < 4; i++)
            hear(b, i, at_s, 0);
    rollout_score_outcome(&b->score, &b->gates, true, &b->d[0], &b->news);
    (void)score(b, 4);
    cr_assert(b->news.units[0].values[0].worst); // it reports, but has not the release
    cr_assert_not(b->news.units[0].values[1].worst);
    cr_assert(b->news.units[0].values[4].worst);
    cr_assert_eq(b->news.units[0].b, 3);
    cr_assert_eq(b->news.units[0].c, 1);
}

// Lost long after its offer: its window before is empty, and it is worst all the same.
Test(rollout_score_set, a_treated_device_that_fell_silent_at_its_offer_is_worst) {
    struct bench *b = bench();
    int64_t lost_s = T0 + 86400;
    for (size_t i = 1; i < 5; i++)
        for (int64_t at_s = lost_s - 18000; at_s < lost_s; at_s += 1800)
            hear(b, i, at_s, 100);
    rollout_score_outcome(&b->score, &b->gates, true, &b->d[0], &b->news);
    cr_assert_eq(rollout_score_set_begin(&b->score, &b->gates, &b->d[0], b->members, 4, lost_s), 0);
    cr_assert_eq(b->d[0].history[0].before.n, 10); // as at its offer
    for (size_t i = 1; i < 5; i++)
        for (int64_t at_s = lost_s; at_s < lost_s + 39600; at_s += 1800)
            hear(b, i, at_s, 100);
    cr_assert_eq(score(b, 4), 0);
    cr_assert_eq(b->news.n_units, 1);
    cr_assert(b->news.units[0].values[0].worst);
    cr_assert_eq(b->news.units[0].b, 4);
}

// Of device 0 something was heard so long before the rest; then it is offered the release.
static struct bench *bench_heard(int64_t age_s) {
    struct bench *b = bench();
    rollout_score_device_init(&b->score, 0, 0, 0, true, &b->d[0]);
    hear(b, 0, T0 - age_s, 100);
    struct rollout_score_checkin silent = {.now_s = T0, .admitted = true}; // without the metric
    rollout_score_heard(&b->score, &b->gates, &silent, &b->d[0], &b->news);
    rollout_score_offered(&b->score, &b->gates, &b->d[0], &b->news);
    return b;
}

// Whether a set begins with it, if it activated so much later and then failed or not.
static size_t is_in(struct bench *b, int64_t later_s, bool bad) {
    for (int64_t at_s = T0; at_s < T0 + later_s + 39600; at_s += 1800) {
        if (at_s == T0 + later_s)
            (void)rollout_score_set_begin(&b->score, &b->gates, &b->d[0], b->members, 4, at_s);
        for (size_t i = 1; i < 5; i++)
            hear(b, i, at_s, 100);
    }
    hear(b, 0, T0 + later_s + 36000, 107);
    rollout_score_outcome(&b->score, &b->gates, bad, &b->d[0], &b->news);
    cr_assert_eq(score(b, 4), 0);
    return b->news.n_units;
}

Test(rollout_score_set, who_is_in_a_set_is_known_at_the_offer_whatever_becomes_of_it) {
    static const int64_t ages_s[] = {1800, 21600};
    for (size_t age = 0; age < 2; age++)
        for (size_t later = 0; later < 2; later++) {
            int64_t later_s = later == 0 ? 1800 : 21600; // a download longer than the window
            size_t good = is_in(bench_heard(ages_s[age]), later_s, false);
            cr_expect_eq(good, age == 0, "age %zu, later %zu", age, later);
            cr_expect_eq(is_in(bench_heard(ages_s[age]), later_s, true), good, "age %zu, later %zu",
                         age, later);
        }
}

Test(rollout_score_set, one_that_was_not_heard_of_since_is_compared_with_what_it_was_at_its_offer) {
    struct bench *b = bench_heard(1800);
    cr_assert_eq(is_in(b, 21600, false), 1);
    cr_assert_eq(b->news.units[0].values[0].change_nano, 7);
    cr_assert_not(b->news.units[0].values[0].worst);
}

Test(rollout_score_set, who_reported_nothing_before_is_left_out_in_either_arm) {
    struct bench *b = bench();
    memset(b->d[5].history, 0, sizeof b->d[5].history);
    (void)begin(b, 5);
    live(b, 0, 0);
    cr_assert_eq(score(b, 5), 0);
    cr_assert_eq(b->news.units[0].n_values, 5);
    b = bench();
    memset(b->d[4].history, 0, sizeof b->d[4].history);
    (void)begin(b, 4);
    live(b, 0, 0);
    cr_assert_eq(score(b, 4), 0);
    cr_assert_eq(b->news.n_units, 0); // three are too few
    b = bench();
    memset(b->d[0].history, 0, sizeof b->d[0].history);
    (void)begin(b, 4);
    live(b, 0, 0);
    cr_assert_eq(score(b, 4), 0);
    cr_assert_eq(b->news.n_units, 0);
    cr_assert_eq(b->score.gate[0].rank.sets, 0);
}

Test(rollout_score_set, a_member_that_was_treated_or_is_gone_makes_it_void) {
    for (int how = 0; how < 4; how++) {
        struct bench *b = bench();
        (void)begin(b, 4);
        live(b, 1, 0);
        if (how == 0)
            rollout_score_offered(&b->score, &b->gates, &b->d[4], &b->news);
        else if (how == 1)
            rollout_score_leave(&b->score, &b->d[4], &b->news);
        else if (how == 2)
            rollout_score_leave(&b->score, &b->d[0], &b->news);
        else
            (void)rollout_score_follow(2, 2, &b->score);
        cr_assert_eq(score(b, 4), ROLLOUT_SCORE_VOID, "%d", how);
        cr_assert_eq(b->news.gates, 0);
        cr_assert_eq(b->score.gate[0].rank.sets, 0);
        cr_assert_eq(b->score.sets_void, how < 3); // not one of the run before
        cr_assert_eq(b->score.drift_worse + b->score.drift_better, 0);
        cr_assert_eq(b->d[0].due_s, 0);
        cr_assert_eq(b->d[1].due_s, 0);
    }
}

// The next batch opened: it keeps what it is compared for, and its offer waits (decide.h).
Test(rollout_score_set, a_member_that_is_admitted_and_not_offered_stays_in_it) {
    struct bench *b = bench();
    struct rollout_score_checkin opened = {.now_s = T0 + 36000, .admitted = true};
    (void)begin(b, 4);
    live(b, 7, 3);
    rollout_score_heard(&b->score, &b->gates, &opened, &b->d[4], &b->news);
    cr_assert_eq(b->d[4].arm, ROLLOUT_ARM_NONE);
    cr_assert_eq(score(b, 4), 0);
    cr_assert_eq(b->news.units[0].n_values, 5);
    cr_assert_eq(b->score.sets_void, 0);
    cr_assert_not(rollout_score_may_compare(&b->score, &b->gates, &b->d[4], true, T0 + 39600));
}

// ── Guards ──

static bool exceeded(struct bench *b) {
    struct rollout_judgement j;
    rollout_score_judge(&b->score, &b->gates, 25000, &j);
    cr_assert_eq(j.guard, j.overall == ROLLOUT_VERDICT_FAIL);
    return j.guard;
}

Test(rollout_score_set, a_guard_is_the_mean_of_the_treated_since_they_settled) {
    struct bench *b = bench();
    b->gates.gate[0].has_guard = true;
    b->gates.gate[0].guard = (struct decimal){200};
    (void)begin(b, 4);
    hear(b, 1, T0 + 3600, 900); // comparison devices are no part of it
    hear(b, 0, T0 + 900, 900);  // not settled
    cr_assert_not(exceeded(b));
    hear(b, 0, T0 + 1800, 200); // exactly at the bound is within it
    cr_assert_eq(b->score.guard[0].n, 1);
    cr_assert_not(exceeded(b));
    hear(b, 0, T0 + 3600, 203);
    cr_assert_eq(b->news.gates, 1U);
    cr_assert_eq(b->score.guard[0].n, 1); // one device, its mean
    cr_assert_eq(b->score.guard[0].nano, 201);
    cr_assert(exceeded(b));
    b->gates.gate[0].lower_worse = true;
    cr_assert_not(exceeded(b));
    b->gates.gate[0].guard = (struct decimal){202};
    cr_assert(exceeded(b));
}

Test(rollout_score_set, one_device_of_many_does_not_exceed_a_guard) {
    struct bench *b = bench();
    b->gates.gate[0].has_guard = true;
    for (size_t i = 1; i < 4; i++)
        rollout_score_offered(&b->score, &b->gates, &b->d[i], &b->news);
    for (size_t i = 0; i < 3; i++) {
        b->d[i].base_s = T0;
        cr_assert_not(exceeded(b));
        hear(b, i, T0 + 1800, 500);
    }
    cr_assert(exceeded(b));
    rollout_score_outcome(&b->score, &b->gates, true, &b->d[0], &b->news);
    hear(b, 0, T0 + 3600, 100000); // it went back: what it reads is not the release's
    cr_assert_eq(b->score.guard[0].nano, 1500);
}

// ── Judging ──

Test(rollout_score_set, a_comparison_that_drifted_lets_no_metric_pass) {
    struct bench *b = bench();
    struct rollout_judgement j;
    struct evidence_rank_value treated = {.change_nano = -NUM_DECIMAL_SCALE};
    struct evidence_rank_value others[4] = {{0}, {1, false}, {2, false}, {3, false}};
    struct evidence_rank_design design = {.intolerable = {NUM_DECIMAL_SCALE}};
    for (int i = 0; i < 40; i++)
        evidence_rank_add(&b->score.gate[0].rank, &design, &treated, others, 4);
    b->score.drift_worse = b->score.drift_better = 20;
    rollout_score_judge(&b->score, &b->gates, 25000, &j);
    cr_assert_not(j.control);
    cr_assert_eq(j.overall, ROLLOUT_VERDICT_PASS);
    b->score.drift_worse = 60;
    b->score.drift_better = 0;
    rollout_score_judge(&b->score, &b->gates, 25000, &j);
    cr_assert(j.control);
    cr_assert_eq(j.gate[0].verdict, EVIDENCE_VERDICT_INCONCLUSIVE);
    cr_assert_eq(j.overall, ROLLOUT_VERDICT_WAIT);
}

Test(rollout_score_set, gates_stop_with_their_weights_and_pass_together) {
    struct bench *b = bench();
    struct rollout_judgement j;
    b->gates.n = 2;
    b->gates.gate[0].weight_ppm = 100000;
    b->gates.gate[1] = (struct rollout_gate_policy){.kind = ROLLOUT_GATE_INSTALL,
                                                    .weight_ppm = 900000,
                                                    .baseline_ppm = 20000,
                                                    .intolerable_ppm = 100000};
    rollout_score_judge(&b->score, &b->gates, 25000, &j);
    cr_assert_eq(j.overall, ROLLOUT_VERDICT_WAIT);
    b->score.next_number = b->score.first_number + 10;
    b->score.known_failed = b->score.known_resolved = 4;
    rollout_score_judge(&b->score, &b->gates, 25000, &j);
    cr_assert_eq(j.overall, ROLLOUT_VERDICT_FAIL);
    cr_assert(j.sum.stop);
    cr_assert_eq(j.sum.gate, 1);
    cr_assert_eq(j.gate[1].verdict, EVIDENCE_VERDICT_FAIL);
    // The same with hardly any weight is not enough.
    b->gates.gate[0].weight_ppm = 999000;
    b->gates.gate[1].weight_ppm = 1000;
    rollout_score_judge(&b->score, &b->gates, 25000, &j);
    cr_assert_eq(j.overall, ROLLOUT_VERDICT_WAIT);
    // One that passed is not all.
    b->score.known_failed = 0;
    for (int i = 0; i < 80; i++)
        evidence_install_add(&b->score.gate[1].install, 0);
    rollout_score_judge(&b->score, &b->gates, 25000, &j);
    cr_assert_eq(j.gate[1].verdict, EVIDENCE_VERDICT_PASS);
    cr_assert_eq(j.overall, ROLLOUT_VERDICT_WAIT);
}

Test(rollout_score_set, a_drift_that_cannot_be_is_judged_as_the_largest_that_can) {
    static struct rollout_judgement j;
    struct rollout_gates most = {
        .n = 1, .alpha_pass_ppm = 50000, .drift_ppm = ROLLOUT_GATES_DRIFT_MAX_PPM};
    struct rollout_score *score = calloc(1, sizeof *score);
    cr_assert_not_null(score);
    most.gate[0] = (struct rollout_gate_policy){
        .kind = ROLLOUT_GATE_METRIC, .weight_ppm = 1000000, .baseline_ppm = 20000};
    score->drift_worse = 50;
    rollout_score_judge(score, &most, 25000, &j);
    int64_t drift = j.drift;
    most.drift_ppm = 600000; // of a policy that was taken before there was a ceiling
    rollout_score_judge(score, &most, 25000, &j);
    cr_assert_eq(j.drift, drift);
    free(score);
}
