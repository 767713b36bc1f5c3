// SPDX-License-Identifier: Apache-2.0
//
// Trials: who restarts for a comparison, when a set is over, and what it says.
#include <criterion/criterion.h>
#include <string.h>

#include "ctl/rollout/trial.h"

#define T0     1700000000
#define RHYTHM 1800

enum { REVERT, METRIC };

struct bench {
    struct rollout_gates gates;
    struct rollout_score score;
    struct rollout_score_device d[10]; // 0 and 5 treated, each with the four behind it
    struct rollout_score_news news;
    struct rollout_trial trial;
    int64_t now_s;
};

static void begin_set(struct bench *b, size_t at) {
    struct rollout_score_device *members[4];
    for (size_t i = 0; i < 4; i++)
        members[i] = &b->d[at + 1 + i];
    cr_assert(rollout_trial_moved(&b->score, ROLLOUT_TASK_ACTIVATED, &b->d[at]));
    cr_assert_eq(rollout_score_set_begin(&b->score, &b->gates, &b->d[at], members, 4, b->now_s), 0);
}

static struct bench *bench(bool metrics) {
    static struct bench b;
    memset(&b, 0, sizeof b);
    b.gates = (struct rollout_gates){.n = metrics ? 2 : 1,
                                     .compared = 4,
                                     .horizon_s = 36000,
                                     .window_s = 18000,
                                     .grace_s = 3600,
                                     .settle_s = 900,
                                     .rhythm_s = RHYTHM,
                                     .sham = true};
    b.gates.gate[REVERT] =
        (struct rollout_gate_policy){.kind = ROLLOUT_GATE_REVERT, .weight_ppm = 500000};
    b.gates.gate[METRIC] = (struct rollout_gate_policy){.kind = ROLLOUT_GATE_METRIC,
                                                        .weight_ppm = 500000,
                                                        .baseline_ppm = 20000,
                                                        .intolerable = {NUM_DECIMAL_SCALE}};
    b.now_s = T0;
    cr_assert(rollout_score_follow(1, 1, &b.score));
    for (size_t i = 0; i < 10; i++) {
        rollout_score_device_init(&b.score, 0, 0, i, true, &b.d[i]);
        b.d[i].arm = ROLLOUT_ARM_COMPARISON;
        b.d[i].heard_s = T0;
        if (i % 5 == 0)
            rollout_score_offered(&b.score, &b.gates, &b.d[i], &b.news);
    }
    begin_set(&b, 0);
    begin_set(&b, 5);
    return &b;
}

static bool told(struct bench *b, size_t i, enum bundle_event event) {
    return rollout_trial_told(&b->score, &b->gates, event, b->now_s, &b->d[i]);
}

static bool moved(struct bench *b, size_t i, enum rollout_task task) {
    return rollout_trial_moved(&b->score, task, &b->d[i]);
}

static int score(struct bench *b, size_t at) {
    struct rollout_score_device *members[4];
    for (size_t i = 0; i < 4; i++)
        members[i] = &b->d[at + 1 + i];
    return rollout_trial_score(&b->score, &b->gates, &b->d[at], members, 4, b->now_s, &b->trial,
                               &b->news);
}

static void expect_tie(const struct bench *b, uint64_t a, uint64_t x, uint64_t y) {
    struct evidence_events expected = {0};
    struct evidence_risk risk = {.comparison = a, .treated = 1};
    evidence_events_add(&expected, &risk, x, y);
    cr_expect_eq(memcmp(&expected, &b->score.gate[REVERT].events, sizeof expected), 0);
}

Test(rollout_trial, a_set_is_one_tie_of_those_that_restarted) {
    struct bench *b = bench(false);
    cr_expect_eq(score(b, 0), ROLLOUT_TRIAL_OPEN);
    cr_expect(told(b, 1, BUNDLE_EVENT_SHAM_BEGUN));
    cr_expect(told(b, 1, BUNDLE_EVENT_SHAMMED));
    cr_expect_not(told(b, 1, BUNDLE_EVENT_SHAM_FAILED), "over is over");
    cr_expect(told(b, 2, BUNDLE_EVENT_SHAM_FAILED));
    cr_expect(told(b, 3, BUNDLE_EVENT_SHAMMED));
    cr_expect(told(b, 4, BUNDLE_EVENT_SHAM_REFUSED));
    cr_expect_eq(score(b, 0), ROLLOUT_TRIAL_OPEN, "the treated one is in probation");
    cr_expect(moved(b, 0, ROLLOUT_TASK_REVERTED));
    cr_expect_eq(score(b, 0), 0);
    cr_expect_eq(b->trial.risk.comparison, 3, "who refused is not compared");
    expect_tie(b, 3, 1, 1);
    cr_expect_eq(b->news.gates, 1U << REVERT);
    cr_expect(b->d[0].history[REVERT].has_mark);
    cr_expect_eq(b->d[0].history[REVERT].mark[0], 2, "members that failed come first");
    cr_expect_eq(b->d[0].history[REVERT].mark[1], 1);
    cr_expect_eq(b->d[0].due_s | b->d[1].due_s, 0, "its members may have the release");
    cr_expect_eq(b->score.sets_scored, 1);
    const size_t failed[] = {0, 2}, held[] = {1, 3, 4};
    for (size_t i = 0; i < 2; i++) {
        rollout_trial_units(&b->gates, &b->trial, &b->d[failed[i]], &b->news);
        cr_expect(b->news.n_units == 1 && b->news.units[0].a == 3 && b->news.units[0].b == 1);
        cr_expect_eq(b->news.units[0].c, failed[i] == 0);
    }
    for (size_t i = 0; i < 3; i++) {
        rollout_trial_units(&b->gates, &b->trial, &b->d[held[i]], &b->news);
        cr_expect_eq(b->news.n_units, 0);
    }
}

Test(rollout_trial, sets_are_scored_in_the_order_in_which_they_began) {
    struct bench *b = bench(false);
    for (size_t i = 6; i < 10; i++)
        cr_expect(told(b, i, BUNDLE_EVENT_SHAMMED));
    cr_expect(moved(b, 5, ROLLOUT_TASK_REVERTED));
    cr_expect_eq(b->score.next_trial, b->d[0].set_no);
    for (size_t i = 1; i < 5; i++)
        cr_expect(told(b, i, BUNDLE_EVENT_SHAMMED));
    cr_expect(moved(b, 0, ROLLOUT_TASK_COMMITTED));
    cr_expect_eq(score(b, 0), 0);
    cr_expect_eq(b->news.gates, 0, "nobody failed");
    cr_expect_eq(b->score.next_trial, b->d[5].set_no);
    cr_expect_eq(score(b, 5), 0);
    expect_tie(b, 4, 0, 1);
}

Test(rollout_trial, who_cannot_be_reached_is_left_out_and_nobody_waits_for_ever) {
    struct bench *b = bench(false);
    cr_expect(rollout_trial_wanted(&b->score, &b->gates, &b->d[1], b->now_s));
    cr_expect_not(rollout_trial_wanted(&b->score, &b->gates, &b->d[0], b->now_s));
    cr_expect(told(b, 1, BUNDLE_EVENT_SHAM_BEGUN));
    cr_expect_not(rollout_trial_wanted(&b->score, &b->gates, &b->d[1], b->now_s));
    cr_expect(told(b, 2, BUNDLE_EVENT_SHAMMED));
    cr_expect(moved(b, 0, ROLLOUT_TASK_COMMITTED));
    b->now_s += 3 * RHYTHM + 1;
    cr_expect_not(rollout_trial_wanted(&b->score, &b->gates, &b->d[3], b->now_s));
    cr_expect(told(b, 4, BUNDLE_EVENT_SHAM_FAILED), "too late: it does not count");
    cr_expect_eq(b->d[4].trial, ROLLOUT_TRIAL_OUT);
    cr_expect_eq(score(b, 0), ROLLOUT_TRIAL_OPEN, "one began, and may fail still");
    b->now_s = T0 + 36000 + 3600;
    cr_expect_eq(score(b, 0), 0);
    cr_expect_eq(b->trial.risk.comparison, 2);
    cr_expect_eq(b->trial.comparison, 0, "silence is no failure");
}

Test(rollout_trial, what_never_activated_is_the_install_gates_business) {
    static const struct {
        enum rollout_task first, then;
        enum rollout_trial_state trial;
    } rows[] = {
        {ROLLOUT_TASK_FAILED, ROLLOUT_TASK_NONE, ROLLOUT_TRIAL_OUT},
        {ROLLOUT_TASK_LOST, ROLLOUT_TASK_NONE, ROLLOUT_TRIAL_OUT},
        {ROLLOUT_TASK_REVERTED, ROLLOUT_TASK_NONE, ROLLOUT_TRIAL_FAILED}, // a hook failed
        {ROLLOUT_TASK_ACTIVATED, ROLLOUT_TASK_REVERTED, ROLLOUT_TRIAL_FAILED},
        {ROLLOUT_TASK_ACTIVATED, ROLLOUT_TASK_FAILED, ROLLOUT_TRIAL_FAILED},
        {ROLLOUT_TASK_ACTIVATED, ROLLOUT_TASK_LOST, ROLLOUT_TRIAL_HELD},
        {ROLLOUT_TASK_ACTIVATED, ROLLOUT_TASK_COMMITTED, ROLLOUT_TRIAL_HELD},
        {ROLLOUT_TASK_COMMITTED, ROLLOUT_TASK_REVERTED, ROLLOUT_TRIAL_HELD},
        {ROLLOUT_TASK_STAGED, ROLLOUT_TASK_NONE, ROLLOUT_TRIAL_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = bench(false);
        b->d[0].trial = ROLLOUT_TRIAL_NONE;
        (void)moved(b, 0, rows[i].first);
        (void)moved(b, 0, rows[i].then);
        cr_expect_eq(b->d[0].trial, rows[i].trial, "row %zu", i);
    }
    // Without an activation there is nothing to compare, so nobody restarts for it.
    struct bench *b = bench(false);
    struct rollout_score_device extra, *members[1] = {&b->d[1]};
    rollout_score_device_init(&b->score, 0, 0, 77, true, &extra);
    rollout_score_offered(&b->score, &b->gates, &extra, &b->news);
    (void)rollout_trial_moved(&b->score, ROLLOUT_TASK_FAILED, &extra);
    cr_expect_eq(rollout_score_set_begin(&b->score, &b->gates, &extra, members, 1, b->now_s),
                 ROLLOUT_SCORE_NO_SET);
}

Test(rollout_trial, who_leaves_or_gets_the_release_is_compared_no_more) {
    struct bench *b = bench(false);
    for (size_t i = 1; i < 5; i++)
        cr_expect(told(b, i, BUNDLE_EVENT_SHAM_FAILED));
    rollout_score_leave(&b->score, &b->d[1], &b->news);
    b->d[2].arm = ROLLOUT_ARM_TREATED;
    b->d[3].arm = ROLLOUT_ARM_NONE; // admitted, and not offered anything before the set is over
    cr_expect(moved(b, 0, ROLLOUT_TASK_REVERTED));
    cr_expect_eq(score(b, 0), 0);
    expect_tie(b, 2, 2, 1);
    rollout_score_leave(&b->score, &b->d[5], &b->news);
    cr_expect_eq(score(b, 5), 0, "the treated one is gone");
    cr_expect_eq(b->news.gates, 0);
}

Test(rollout_trial, metrics_are_compared_among_those_that_restarted) {
    struct bench *b = bench(true);
    struct rollout_score_device *members[4];
    for (size_t i = 0; i < 5; i++) {
        b->d[i].history[METRIC].before = (struct rollout_score_mean){.n = 1, .whole = 5};
        if (i > 0)
            members[i - 1] = &b->d[i];
        if (i > 1)
            cr_expect(told(b, i, BUNDLE_EVENT_SHAMMED));
    }
    cr_expect(told(b, 1, BUNDLE_EVENT_SHAM_REFUSED));
    cr_expect(moved(b, 0, ROLLOUT_TASK_COMMITTED));
    cr_expect_eq(score(b, 0), 0);
    cr_expect_neq(b->d[1].due_s, 0, "metrics are read later");
    cr_expect_eq(rollout_score_set_score(&b->score, &b->gates, &b->d[0], members, 4, &b->news), 0);
    cr_expect_eq(b->news.n_units, 0, "three are too few");
    for (size_t i = 6; i < 10; i++)
        cr_expect(told(b, i, BUNDLE_EVENT_SHAMMED));
    for (size_t i = 5; i < 10; i++) {
        b->d[i].history[METRIC].before = (struct rollout_score_mean){.n = 1, .whole = 5};
        if (i > 5)
            members[i - 6] = &b->d[i];
    }
    cr_expect_eq(rollout_score_set_score(&b->score, &b->gates, &b->d[5], members, 4, &b->news), 0);
    cr_expect_eq(b->news.n_units, 1);
}

// Device i reads 5 before and 6 after, with what restarting came to.
static void lives(struct bench *b, size_t i) {
    struct rollout_score_checkin said = {.now_s = T0 + 36000, .given = 1U << METRIC};
    said.nano[METRIC] = 6 * NUM_DECIMAL_SCALE;
    b->d[i].history[METRIC].before = (struct rollout_score_mean){.n = 1, .whole = 5};
    rollout_score_heard(&b->score, &b->gates, &said, &b->d[i], &b->news);
}

// Else restarts that fail in both arms alike would speak against the release in each metric.
Test(rollout_trial, a_restart_that_failed_is_worst_for_metrics_in_either_arm) {
    for (int sham = 0; sham < 2; sham++) {
        struct bench *b = bench(true);
        struct rollout_score_device *members[] = {&b->d[1], &b->d[2], &b->d[3], &b->d[4]};
        for (size_t i = 0; i < 5; i++)
            lives(b, i);
        for (size_t i = 1; i < 5; i++)
            cr_expect(told(b, i, i < 3 ? BUNDLE_EVENT_SHAM_FAILED : BUNDLE_EVENT_SHAMMED));
        rollout_score_outcome(&b->score, &b->gates, true, &b->d[0], &b->news);
        cr_expect(moved(b, 0, ROLLOUT_TASK_REVERTED));
        b->gates.sham = sham;
        cr_expect_eq(rollout_score_set_score(&b->score, &b->gates, &b->d[0], members, 4, &b->news),
                     0);
        cr_assert_eq(b->news.n_units, 1);
        const struct rollout_score_unit *unit = &b->news.units[0];
        cr_expect(unit->values[0].worst);
        for (size_t i = 1; i < 5; i++)
            cr_expect_eq(unit->values[i].worst, sham && i < 3, "member %zu, sham %d", i, sham);
        cr_expect_eq(unit->b, sham ? 2 : 4, "better than the treated one");
        cr_expect_eq(unit->c, sham ? 2 : 0, "as bad");
        cr_expect_eq(b->score.drift_worse, 4, "what it runs reads as ever");
    }
}

Test(rollout_trial, a_device_that_cannot_sham_is_counted_in_neither_arm) {
    struct bench *b = bench(false);
    struct rollout_score_seen seen = {
        .enrolled_s = T0 - 86400, .seen_s = T0 - 60, .fits = true, .shams = true};
    cr_expect(rollout_score_counts(&b->gates, &seen, T0));
    seen.shams = false;
    cr_expect_not(rollout_score_counts(&b->gates, &seen, T0));
    b->gates.sham = false;
    cr_expect(rollout_score_counts(&b->gates, &seen, T0));
}
