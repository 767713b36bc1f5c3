// SPDX-License-Identifier: Apache-2.0
//
// The rules by which check-ins become evidence, one by one: who is counted, at risk, in a set.
#include "ctl/rollout/score.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/ctl/rollout/gates_bench.h"

struct bench {
    struct rollout_policy policy;
    struct rollout_score score;
    struct rollout_score_device d[12];
    struct rollout_score_news news;
    int64_t now_s;
};

static struct rollout_gates *gates_of(struct bench *b) {
    return &b->policy.gates;
}

// Twelve counted devices of one stratum in the first epoch; nothing was heard of them.
static struct bench *bench(void) {
    static struct bench b;
    memset(&b, 0, sizeof b);
    bench_policy_init(&b.policy);
    b.now_s = T0;
    cr_assert(rollout_score_follow(1, 1, &b.score));
    for (size_t i = 0; i < 12; i++)
        rollout_score_device_init(&b.score, 0, 0, i, true, &b.d[i]);
    return &b;
}

struct said {
    bool admitted, has_counter, has_metric;
    int64_t counter, metric;
};

static void hear(struct bench *b, size_t i, struct said said) {
    struct rollout_score_checkin checkin = {.now_s = b->now_s, .admitted = said.admitted};
    checkin.given = (said.has_counter ? 1U << COUNTER : 0) | (said.has_metric ? 1U << METRIC : 0);
    checkin.nano[COUNTER] = said.counter;
    checkin.nano[METRIC] = said.metric;
    rollout_score_heard(&b->score, gates_of(b), &checkin, &b->d[i], &b->news);
}

static const struct said nothing, admitted = {.admitted = true};

static struct said counts(int64_t n) {
    return (struct said){.has_counter = true, .counter = n};
}

static void offer(struct bench *b, size_t i) {
    rollout_score_offered(&b->score, gates_of(b), &b->d[i], &b->news);
}

// The first ones are offered the release and activate it at once, the others compared; all are at risk.
static void settle(struct bench *b, size_t treated) {
    for (size_t i = 0; i < 12; i++) {
        hear(b, i, (struct said){.admitted = i < treated, .has_counter = true});
        if (i < treated)
            offer(b, i);
        b->d[i].base_s = i < treated ? b->now_s : 0;
    }
    b->now_s += 901;
    for (size_t i = 0; i < 12; i++)
        hear(b, i, (struct said){.admitted = i < treated, .has_counter = true});
}

// ── Counted ──

Test(rollout_score, who_is_counted_is_known_before_the_release_matters) {
    struct bench *b = bench();
    struct rollout_score_seen seen = {.enrolled_s = T0 - 86401, .seen_s = T0 - 3600, .fits = true};
    cr_assert(rollout_score_counts(gates_of(b), &seen, T0));
    struct rollout_score_seen other = seen;
    other.enrolled_s = T0 - 86400;
    cr_assert_not(rollout_score_counts(gates_of(b), &other, T0), "a newcomer");
    other = seen;
    other.seen_s = T0 - 3601;
    cr_assert_not(rollout_score_counts(gates_of(b), &other, T0), "silent for two rhythms");
    other.seen_s = 0;
    cr_assert_not(rollout_score_counts(gates_of(b), &other, T0), "never heard of");
    other = seen;
    other.fits = false;
    cr_assert_not(rollout_score_counts(gates_of(b), &other, T0), "nothing fits");
    other = seen;
    other.named = true;
    cr_assert_not(rollout_score_counts(gates_of(b), &other, T0), "named");
    other = seen;
    other.apart = true;
    cr_assert_not(rollout_score_counts(gates_of(b), &other, T0), "held");
}

Test(rollout_score, who_is_not_counted_is_treated_and_no_more) {
    struct bench *b = bench();
    b->d[0].counted = false;
    hear(b, 0, admitted);
    cr_assert_not(b->news.device);
    offer(b, 0);
    cr_assert_eq(b->d[0].arm, ROLLOUT_ARM_TREATED);
    cr_assert_eq(b->d[0].number, 0);
    cr_assert_eq(b->score.next_number, 1);
    rollout_score_outcome(&b->score, gates_of(b), true, &b->d[0], &b->news);
    cr_assert_eq(b->score.known_resolved, 0);
    b->now_s += 901;
    hear(b, 0, admitted);
    cr_assert_eq(b->d[0].at_risk, 0);
}

Test(rollout_score, who_was_not_counted_is_asked_again_at_each_opening_before_it_has_an_arm) {
    struct bench *b = bench();
    struct rollout_score_device *d = &b->d[0];
    struct rollout_score_seen seen = {.enrolled_s = T0 - 86401, .seen_s = T0 - 3601, .fits = true};
    rollout_score_device_init(&b->score, 0, 0, 0, false, d); // the fleet was off
    cr_assert_not(rollout_score_count_again(&b->score, gates_of(b), &seen, T0 + 60, d));
    seen.seen_s = T0;
    cr_assert_not(rollout_score_count_again(&b->score, gates_of(b), &seen, T0 + 60, d),
                  "once an epoch, as the others");
    cr_assert(rollout_score_follow(1, 2, &b->score));
    struct rollout_score_device off = *d, treated = *d, gone = *d;
    seen.seen_s = T0 - 3601;
    cr_assert(rollout_score_count_again(&b->score, gates_of(b), &seen, T0 + 60, &off));
    cr_assert_not(off.counted);
    seen.seen_s = T0;
    cr_assert_not(rollout_score_count_again(&b->score, gates_of(b), &seen, T0 + 60, &off));
    treated.arm = ROLLOUT_ARM_TREATED;
    cr_assert_not(rollout_score_count_again(&b->score, gates_of(b), &seen, T0 + 60, &treated));
    gone.gone = true;
    cr_assert_not(rollout_score_count_again(&b->score, gates_of(b), &seen, T0 + 60, &gone));
    cr_assert(rollout_score_count_again(&b->score, gates_of(b), &seen, T0 + 60, d));
    cr_assert(d->counted);
    b->now_s = T0 + 60;
    hear(b, 0, admitted);
    offer(b, 0);
    cr_assert_eq(d->number, 1);
    b->now_s += 901;
    hear(b, 0, admitted);
    cr_assert_neq(d->at_risk, 0);
    cr_assert(rollout_score_follow(1, 3, &b->score));
    seen.seen_s = 0; // who is counted stays so
    cr_assert_not(rollout_score_count_again(&b->score, gates_of(b), &seen, T0 + 9999, d));
    cr_assert(d->counted);
}

// ── At risk ──

Test(rollout_score, both_arms_enter_at_the_second_check_in_after_the_settling_time) {
    struct bench *b = bench();
    hear(b, 0, admitted);
    offer(b, 0);
    hear(b, 1, nothing);
    b->now_s += 900; // not later than it
    hear(b, 0, admitted);
    hear(b, 1, nothing);
    cr_assert_eq(b->d[0].at_risk | b->d[1].at_risk, 0);
    b->now_s += 1;
    hear(b, 0, admitted);
    hear(b, 1, nothing);
    cr_assert_eq(b->d[0].at_risk, 1U << LOST); // no reading of the counter came
    cr_assert_eq(b->d[1].at_risk, 1U << LOST);
    cr_assert_eq(b->score.risk[LOST][0].treated, 1);
    cr_assert_eq(b->score.risk[LOST][0].comparison, 1);
    cr_assert(b->news.shared && b->news.device);
    hear(b, 1, nothing); // not twice
    cr_assert_eq(b->score.risk[LOST][0].comparison, 1);
}

Test(rollout_score, an_opening_counts_everybody_out_and_in_again) {
    struct bench *b = bench();
    settle(b, 4);
    cr_assert_eq(rollout_score_at_risk(&b->score, LOST).treated, 4);
    cr_assert_eq(rollout_score_at_risk(&b->score, LOST).comparison, 8);
    cr_assert_not(rollout_score_follow(1, 1, &b->score));
    cr_assert(rollout_score_follow(1, 2, &b->score));
    cr_assert_eq(b->score.risk[LOST][0].treated, 0);
    cr_assert_eq(b->score.risk[LOST][0].comparison, 0);
    cr_assert_eq(rollout_score_at_risk(&b->score, LOST).treated, 4, "they wait for being heard of");
    cr_assert_eq(rollout_score_at_risk(&b->score, LOST).comparison, 8);
    b->now_s += 3600; // long after the last check-in, but the first one of this epoch
    hear(b, 0, admitted);
    hear(b, 11, nothing);
    cr_assert_eq(b->d[0].at_risk | b->d[11].at_risk, 0);
    cr_assert_eq(b->score.late[0].treated, 3);
    cr_assert_eq(b->score.late[0].comparison, 7);
    b->now_s += 901;
    hear(b, 0, admitted);
    hear(b, 11, nothing);
    cr_assert_eq(b->score.risk[LOST][0].treated, 1);
    cr_assert_eq(b->score.risk[LOST][0].comparison, 1);
}

Test(rollout_score, admitted_and_not_offered_is_neither) {
    struct bench *b = bench();
    hear(b, 0, admitted);
    b->now_s += 901;
    hear(b, 0, admitted);
    cr_assert_eq(b->d[0].arm, ROLLOUT_ARM_NONE);
    cr_assert_eq(b->d[0].at_risk, 0);
    offer(b, 0);
    hear(b, 0, admitted);
    cr_assert_eq(b->d[0].at_risk, 1U << LOST);
    cr_assert_eq(b->score.risk[LOST][0].treated, 1);
}

Test(rollout_score, a_comparison_device_that_is_offered_it_leaves_its_arm) {
    struct bench *b = bench();
    settle(b, 0);
    cr_assert_eq(b->score.risk[LOST][0].comparison, 12);
    cr_assert_eq(b->score.risk[COUNTER][0].comparison, 12);
    offer(b, 3);
    cr_assert_eq(b->score.risk[LOST][0].comparison, 11);
    cr_assert_eq(b->score.risk[COUNTER][0].comparison, 11);
    cr_assert_eq(b->score.risk[LOST][0].treated, 0);
    cr_assert_eq(b->d[3].at_risk, 0);
    hear(b, 4, admitted); // its facts moved it within the bound
    cr_assert_eq(b->score.risk[LOST][0].comparison, 10);
    cr_assert_eq(b->d[4].arm, ROLLOUT_ARM_NONE);
}

Test(rollout_score, who_left_is_out_of_everything) {
    struct bench *b = bench();
    settle(b, 4);
    rollout_score_leave(&b->score, &b->d[0], &b->news);
    rollout_score_leave(&b->score, &b->d[11], &b->news);
    cr_assert_eq(b->score.risk[LOST][0].treated, 3);
    cr_assert_eq(b->score.risk[COUNTER][0].comparison, 7);
    b->now_s += 5000;
    hear(b, 11, counts(7));
    cr_assert_eq(b->news.gates, 0);
    (void)rollout_score_follow(1, 2, &b->score); // in the next epoch as well
    hear(b, 11, counts(7));
    b->now_s += 901;
    hear(b, 11, counts(7));
    cr_assert_eq(b->d[11].at_risk, 0);
    cr_assert_not(rollout_score_may_compare(&b->score, gates_of(b), &b->d[11], false, b->now_s));
}

Test(rollout_score, a_check_in_that_says_nothing_new_is_written_four_times_a_rhythm) {
    struct bench *b = bench();
    unsigned written = 0;
    settle(b, 4);
    hear(b, 0, counts(0)); // and in the first slot its metric
    int64_t from_s = b->now_s = b->d[0].heard_s + 1800 / ROLLOUT_SCORE_HEARD;
    hear(b, 0, counts(0));
    for (int64_t s = 1; s <= 1800; s++) {
        b->now_s = from_s + s;
        hear(b, 0, counts(0));
        written += b->news.device;
        cr_assert_eq(b->news.device, b->d[0].heard_s == b->now_s, "second %lld", (long long)s);
    }
    cr_assert_eq(written, ROLLOUT_SCORE_HEARD);
    b->now_s += 1;
    hear(b, 0, counts(1)); // news
    cr_assert(b->news.device);
    // Who calls once and who calls many times within a step are silent from the same second on.
    hear(b, 1, counts(0));
    cr_assert_eq(b->d[0].heard_s, b->d[1].heard_s);
    struct said reads = {.has_metric = true, .metric = 5};
    b->now_s += 1;
    hear(b, 0, reads); // the first one of its slot
    cr_assert(b->news.device);
    b->now_s += 1;
    hear(b, 0, reads);
    cr_assert_not(b->news.device);
}

// ── Counters ──

Test(rollout_score, the_restart_that_activating_is_is_no_event_of_a_counter) {
    struct bench *b = bench();
    settle(b, 4);
    b->d[0].base_s = b->d[1].base_s = 0; // two have fetched all the time
    b->d[0].entered = b->d[1].entered = false;
    b->d[0].at_risk = b->d[1].at_risk = 0;
    b->d[0].history[COUNTER].has_last = b->d[1].history[COUNTER].has_last = false;
    b->score.risk[COUNTER][0].treated = b->score.risk[LOST][0].treated = 2;
    hear(b, 0, counts(1));
    hear(b, 1, counts(1));
    cr_assert_eq(b->score.risk[COUNTER][0].treated, 2);
    cr_assert_eq(b->score.risk[LOST][0].treated, 4, "losses are asked of all");
    b->d[0].base_s = b->now_s; // it activated, and restarted for that
    hear(b, 0, counts(2));
    cr_assert_eq(b->news.gates, 0);
    b->now_s += 901;
    hear(b, 0, counts(3));
    cr_assert_eq(b->news.gates, 0, "nothing is known of before");
    cr_assert_eq(b->score.risk[COUNTER][0].treated, 3);
    hear(b, 1, counts(3));
    cr_assert_eq(b->score.risk[COUNTER][0].treated, 3, "it has not activated anything");
    hear(b, 0, counts(4));
    cr_assert_eq(b->news.gates, 1U << COUNTER);
    hear(b, 0, counts(5));
    cr_assert_eq(b->news.gates, 0);
    cr_assert_eq(b->score.risk[COUNTER][0].treated, 2);
}

Test(rollout_score, a_counter_that_rises_while_at_risk_is_an_event_once) {
    struct bench *b = bench();
    settle(b, 4);
    hear(b, 0, counts(1));
    cr_assert_eq(b->news.gates, 1U << COUNTER);
    cr_assert_eq(b->news.n_units, 1);
    cr_assert_eq(b->news.units[0].a, 8);
    cr_assert_eq(b->news.units[0].b, 4);
    cr_assert_eq(b->news.units[0].c, 1);
    cr_assert_eq(b->score.gate[COUNTER].events.scored, 1);
    cr_assert_eq(b->score.risk[COUNTER][0].treated, 3);
    cr_assert_eq(b->score.risk[LOST][0].treated, 4); // still at risk of that
    cr_assert(b->d[0].history[COUNTER].has_mark);
    hear(b, 0, counts(2));
    cr_assert_eq(b->news.gates, 0); // its event is its first
    (void)rollout_score_follow(1, 2, &b->score);
    hear(b, 0, counts(2));
    b->now_s += 901;
    hear(b, 0, counts(2));
    cr_assert_eq(b->d[0].at_risk, 1U << LOST); // in the next epoch neither
    struct evidence_events expected = {0};
    struct evidence_risk risk = {.comparison = 8, .treated = 4};
    evidence_events_add(&expected, &risk, 0, 1);
    cr_assert_eq(memcmp(&expected, &b->score.gate[COUNTER].events, sizeof expected), 0);
}

Test(rollout_score, what_rose_before_it_was_at_risk_is_no_event) {
    struct bench *b = bench();
    hear(b, 0, counts(1));
    b->now_s += 901;
    hear(b, 0, counts(5)); // enters with this check-in
    cr_assert_eq(b->news.gates, 0);
    cr_assert(b->d[0].at_risk & 1U << COUNTER);
    hear(b, 0, counts(5));
    cr_assert_eq(b->news.gates, 0);
    hear(b, 0, counts(2)); // restarted
    cr_assert_eq(b->news.gates, 0);
    hear(b, 0, nothing); // no reading says nothing
    cr_assert_eq(b->news.gates, 0);
    hear(b, 0, counts(3));
    cr_assert_eq(b->news.gates, 1U << COUNTER);
    cr_assert_eq(b->news.units[0].c, 0);
    cr_assert_not(b->d[0].history[COUNTER].has_mark); // nothing speaks against a release here
}

Test(rollout_score, a_first_reading_at_risk_of_nothing_else_is_no_rise) {
    struct bench *b = bench();
    (void)rollout_score_follow(1, 2, &b->score);
    hear(b, 0, counts(1));
    (void)rollout_score_follow(1, 3,
                               &b->score); // at risk of the epoch before is at risk of nothing
    b->d[0].at_risk = 1U << COUNTER;
    hear(b, 0, counts(9));
    cr_assert_eq(b->news.gates, 0);
}

// ── Losses ──

Test(rollout_score, losses_of_one_instant_tie_and_leave_all_gates) {
    struct bench *b = bench();
    settle(b, 4);
    struct rollout_score_tie tie = {.comparison = 1, .treated = 2};
    rollout_score_lose(&b->score, gates_of(b), &tie, &b->news);
    cr_assert_eq(b->news.gates, 1U << LOST);
    rollout_score_lost(&b->score, gates_of(b), &tie, &b->d[11], &b->news);
    cr_assert_eq(b->news.units[0].a, 8);
    cr_assert_eq(b->news.units[0].b, 4);
    rollout_score_lost(&b->score, gates_of(b), &tie, &b->d[0], &b->news);
    rollout_score_lost(&b->score, gates_of(b), &tie, &b->d[1], &b->news);
    cr_assert_eq(b->news.units[0].c, 1);
    struct evidence_events expected = {0};
    struct evidence_risk risk = {.comparison = 8, .treated = 4};
    evidence_events_add(&expected, &risk, 1, 2);
    cr_assert_eq(memcmp(&expected, &b->score.gate[LOST].events, sizeof expected), 0);
    cr_assert_eq(b->score.risk[LOST][0].treated, 2);
    cr_assert_eq(b->score.risk[LOST][0].comparison, 7);
    cr_assert_eq(b->score.risk[COUNTER][0].treated, 2);
    cr_assert_eq(b->score.risk[COUNTER][0].comparison, 7);
    // The marks are of the order in which they were scored.
    cr_assert_eq(b->d[0].history[LOST].mark[0], 7);
    cr_assert_eq(b->d[0].history[LOST].mark[1], 4);
    cr_assert_eq(b->d[1].history[LOST].mark[1], 3);
    b->now_s += 901;
    hear(b, 0, counts(0)); // heard of again: not in this epoch
    cr_assert_eq(b->d[0].at_risk, 0);
}

Test(rollout_score, silence_of_more_than_half_is_the_fleets) {
    struct bench *b = bench();
    settle(b, 4);
    cr_assert_not(rollout_score_silent(&b->score, gates_of(b), 6));
    cr_assert(rollout_score_silent(&b->score, gates_of(b), 7));
    struct bench few = *b;
    few.score.risk[LOST][0] = (struct evidence_risk){.comparison = 2, .treated = 1};
    cr_assert_not(rollout_score_silent(&few.score, gates_of(&few), 3));
    few.score.risk[LOST][0].treated = 2;
    cr_assert(rollout_score_silent(&few.score, gates_of(&few), 4));
    gates_of(&few)->gate[LOST].kind = ROLLOUT_GATE_COUNTER;
    cr_assert_not(rollout_score_silent(&few.score, gates_of(&few), 4));
}

Test(rollout_score, silence_is_three_rhythms_or_the_policys_timeout) {
    struct bench *b = bench();
    cr_assert_eq(rollout_score_silence_s(&b->policy), 5400);
    b->policy.timeout_s = 5401;
    cr_assert_eq(rollout_score_silence_s(&b->policy), 5401);
}

// ── Installs ──

Test(rollout_score, installs_are_scored_in_the_order_of_offers) {
    struct bench *b = bench();
    for (size_t i = 0; i < 4; i++) {
        offer(b, i);
        cr_assert_eq(b->d[i].number, i + 1);
    }
    offer(b, 0); // again: the number stays
    cr_assert_eq(b->d[0].number, 1);
    rollout_score_outcome(&b->score, gates_of(b), true, &b->d[2], &b->news);
    cr_assert_eq(b->news.gates, 1U << INSTALL); // known beyond the prefix
    cr_assert_eq(b->score.known_failed, 1);
    cr_assert_eq(b->score.prefix, 1);
    rollout_score_outcome(&b->score, gates_of(b), false, &b->d[2], &b->news); // the first counts
    cr_assert_not(b->news.device);
    cr_assert_eq(b->d[2].outcome, ROLLOUT_OUTCOME_BAD);
    cr_assert_eq(b->score.known_resolved, 1);
    rollout_score_outcome(&b->score, gates_of(b), false, &b->d[0], &b->news);
    cr_assert_eq(b->news.gates, 0); // a success counts in its turn
    rollout_score_install_next(&b->score, gates_of(b), ROLLOUT_OUTCOME_GOOD, &b->news);
    cr_assert_eq(b->news.gates, 1U << INSTALL);
    cr_assert_eq(b->score.prefix, 2);
    cr_assert_eq(b->score.gate[INSTALL].install.scored, 1);
    cr_assert_eq(b->score.gate[INSTALL].install.failed, 0);
    // What is known counts those without an outcome as good: one failure of four.
    struct rollout_judgement j;
    rollout_score_judge(&b->score, gates_of(b), 25000, &j);
    struct evidence_install four = {.scored = 4, .failed = 1};
    cr_assert_eq(j.gate[INSTALL].worse, evidence_install_worse(&four, NULL, 20000));
}

Test(rollout_score, who_left_without_an_outcome_holds_up_nobody) {
    struct bench *b = bench();
    for (size_t i = 0; i < 2; i++)
        offer(b, i);
    rollout_score_leave(&b->score, &b->d[0], &b->news);
    cr_assert(b->news.device);
    cr_assert_eq(b->d[0].outcome, ROLLOUT_OUTCOME_LEFT);
    rollout_score_outcome(&b->score, gates_of(b), true, &b->d[0], &b->news); // whatever comes now
    cr_assert_eq(b->score.known_failed, 0);
    rollout_score_install_next(&b->score, gates_of(b), b->d[0].outcome, &b->news);
    cr_assert_eq(b->score.prefix, 2);
    cr_assert_eq(b->score.gate[INSTALL].install.scored, 0);
    rollout_score_outcome(&b->score, gates_of(b), true, &b->d[1], &b->news);
    rollout_score_leave(&b->score, &b->d[1], &b->news); // its outcome stays
    cr_assert_eq(b->d[1].outcome, ROLLOUT_OUTCOME_BAD);
}

// ── Runs ──

Test(rollout_score, another_run_begins_anew_and_its_numbers_go_on) {
    struct bench *b = bench();
    settle(b, 4);
    hear(b, 0, counts(1));
    rollout_score_outcome(&b->score, gates_of(b), true, &b->d[0], &b->news);
    cr_assert(rollout_score_follow(2, 2, &b->score));
    cr_assert_eq(b->score.known_failed, 0);
    cr_assert_eq(b->score.gate[COUNTER].events.scored, 0);
    cr_assert_eq(b->score.first_number, 5);
    cr_assert_eq(b->score.prefix, 5);
    rollout_score_outcome(&b->score, gates_of(b), true, &b->d[1], &b->news); // of the run before
    cr_assert_eq(b->score.known_resolved, 0);
    hear(b, 0, counts(1));
    cr_assert_eq(b->d[0].arm, ROLLOUT_ARM_TREATED); // it has the release
    cr_assert_eq(b->d[0].had, 0);
    cr_assert_eq(b->d[0].number, 0);
    offer(b, 0);
    cr_assert_eq(b->d[0].number, 5);
    cr_assert_eq(b->d[0].outcome, ROLLOUT_OUTCOME_NONE);
}
