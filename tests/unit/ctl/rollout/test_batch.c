// SPDX-License-Identifier: Apache-2.0
//
// Batches: how large they are, when the next one opens, and who is admitted.
#include "ctl/rollout/batch.h"

#include <criterion/criterion.h>

#define NOW 1000000

static struct rollout_policy policy(void) {
    struct rollout_policy p = {.n_stages = 2, .batch = {.start = 10, .factor_ppm = 2000000}};
    p.stages[0].ppm = 500000;
    p.stages[1].ppm = ROLLOUT_PPM;
    p.gates.rhythm_s = 100;
    return p;
}

static struct rollout_tally tally(uint64_t offered, uint64_t good, uint64_t bad) {
    struct rollout_tally t = {.planned = 100};
    t.now[ROLLOUT_TASK_OFFERED] = offered;
    t.now[ROLLOUT_TASK_COMMITTED] = good;
    t.now[ROLLOUT_TASK_FAILED] = bad;
    return t;
}

static struct rollout_batch begun(const struct rollout_policy *p) {
    struct rollout_batch b = {.number = 0};
    struct rollout_tally none = tally(0, 0, 0);
    rollout_batch_begin(p, &none, 100, NOW, &b);
    return b;
}

static int step(const struct rollout_policy *p, struct rollout_tally t, int64_t after_s,
                struct rollout_batch *io) {
    return rollout_batch_step(p, &t, 100, NOW + after_s, io);
}

Test(rollout_batch, without_batches_a_stage_is_admitted_at_once) {
    struct rollout_policy p = policy();
    p.batch.start = 0;
    cr_assert_not(rollout_batch_used(&p));
    struct rollout_batch b = begun(&p);
    cr_assert_eq(b.size, 0);
    cr_assert_eq(b.share, ROLLOUT_BATCH_WHOLE);
    cr_assert_eq(b.number, 1);
    cr_assert_eq(step(&p, tally(0, 100, 0), 1000, &b), 0);
    p.gates.n = 1; // evidence always has them
    cr_assert(rollout_batch_used(&p));
    b = begun(&p);
    cr_assert_eq(b.size, 10);
}

Test(rollout_batch, the_next_is_twice_as_large_when_all_are_good) {
    struct rollout_policy p = policy();
    struct rollout_batch b = begun(&p);
    cr_assert_eq(b.size, 10);
    cr_assert_eq(b.expected, 10);
    cr_assert_eq(b.share, ROLLOUT_BATCH_WHOLE / 10);
    cr_assert_eq(step(&p, tally(1, 9, 0), 0, &b), 0); // one has no outcome
    cr_assert_eq(step(&p, tally(0, 9, 0), 0, &b), 0); // one was not offered
    cr_assert_eq(step(&p, tally(0, 10, 0), 0, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.size, 20);
    cr_assert_eq(b.number, 2);
    cr_assert_eq(b.share, ROLLOUT_BATCH_WHOLE / 10 + ROLLOUT_BATCH_WHOLE / 5);
    cr_assert_eq(step(&p, tally(0, 30, 0), 0, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.size, 40);
    cr_assert_eq(step(&p, tally(0, 70, 0), 0, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.share, ROLLOUT_BATCH_WHOLE);
    cr_assert_leq(b.expected, 31);
    cr_assert_eq(step(&p, tally(0, 100, 0), 1000, &b), 0); // the whole stage
}

Test(rollout_batch, after_a_failure_it_stays_as_large) {
    struct rollout_policy p = policy();
    struct rollout_batch b = begun(&p);
    cr_assert_eq(step(&p, tally(0, 9, 1), 0, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.size, 10);
    cr_assert_eq(b.bad_before, 1);
    cr_assert_eq(step(&p, tally(0, 19, 1), 0, &b), ROLLOUT_BATCH_OPENED); // that was before
    cr_assert_eq(b.size, 20);
}

Test(rollout_batch, what_the_install_gate_takes_for_granted_is_clean) {
    struct rollout_policy p = policy();
    p.gates.n = 1;
    p.gates.gate[0] =
        (struct rollout_gate_policy){.kind = ROLLOUT_GATE_INSTALL, .baseline_ppm = 100000};
    struct rollout_batch b = begun(&p);
    cr_assert_eq(step(&p, tally(0, 9, 1), 0, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.size, 20);
    cr_assert_eq(step(&p, tally(0, 26, 4), 0, &b), ROLLOUT_BATCH_OPENED); // three of twenty
    cr_assert_eq(b.size, 20);
}

Test(rollout_batch, after_two_rhythms_those_who_are_off_are_not_waited_for) {
    struct rollout_policy p = policy();
    struct rollout_batch b = begun(&p);
    cr_assert_eq(step(&p, tally(0, 4, 0), 199, &b), 0);
    cr_assert_eq(step(&p, tally(0, 4, 0), 200, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.share, ROLLOUT_BATCH_WHOLE / 10 + ROLLOUT_BATCH_WHOLE / 10);
}

Test(rollout_batch, a_batch_grows_with_the_devices_that_were_offered_it_never_with_time) {
    struct rollout_policy p = policy();
    for (int notified = 0; notified < 2; notified++) {
        p.batch.on_notified = notified == 1;
        struct rollout_batch b = begun(&p);
        cr_assert_eq(step(&p, tally(0, 0, 0), 200, &b), ROLLOUT_BATCH_OPENED); // all are off
        cr_assert_eq(b.size, 10);
        cr_assert_eq(step(&p, tally(0, 4, 0), 400, &b), ROLLOUT_BATCH_OPENED);
        cr_assert_eq(b.size, 10);
        cr_assert_eq(b.expected, 30);
        cr_assert_eq(step(&p, tally(0, 7, 0), 600, &b), ROLLOUT_BATCH_OPENED);
        cr_assert_eq(b.size, 10);
        cr_assert_eq(step(&p, tally(0, 10, 0), 800, &b),
                     ROLLOUT_BATCH_OPENED); // as many as planned
        cr_assert_eq(b.size, 20);
        cr_assert_eq(b.expected, 20);
        cr_assert_eq(step(&p, tally(0, 29, 0), 1000, &b), ROLLOUT_BATCH_OPENED); // but one
        cr_assert_eq(b.size, 20);
    }
}

Test(rollout_batch, who_was_cancelled_counts_once) {
    struct rollout_policy p = policy();
    struct rollout_batch b = begun(&p);
    struct rollout_tally t = tally(0, 4, 0);
    t.now[ROLLOUT_TASK_CANCELLED] = 3;
    cr_assert_eq(rollout_tally_reached(&t), 7);
    cr_assert_eq(rollout_batch_step(&p, &t, 100, NOW + 1, &b), 0);
    t.now[ROLLOUT_TASK_COMMITTED] = 7;
    cr_assert_eq(rollout_batch_step(&p, &t, 100, NOW + 1, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.number, 2);
}

Test(rollout_batch, with_gates_the_share_to_be_reached_is_enough_to_grow) {
    struct rollout_policy p = policy();
    p.gates.n = 1;
    p.gates.reach_ppm = 800000;
    struct rollout_batch b = begun(&p), few = b;
    cr_assert_eq(step(&p, tally(0, 7, 0), 200, &few), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(few.size, 10);
    cr_assert_eq(step(&p, tally(0, 8, 0), 200, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.size, 20);
    struct rollout_tally none = tally(0, 0, 0);
    b = begun(&p);
    rollout_batch_end(&p, &none, &b); // a stage that nobody was offered
    cr_assert_eq(b.size, 10);
}

Test(rollout_batch, a_few_without_an_outcome_hold_up_their_places_only) {
    struct rollout_policy p = policy();
    struct rollout_batch b = begun(&p), before = b;
    cr_assert_eq(step(&p, tally(6, 4, 0), 500, &b), 0); // more than half
    cr_assert_eq(step(&p, tally(5, 5, 0), 199, &b), 0); // too soon
    cr_assert_eq(step(&p, tally(5, 5, 0), 200, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.size, 10);
    cr_assert_eq(b.expected, 5);
    cr_assert_eq(b.share, before.share + ROLLOUT_BATCH_WHOLE / 20);
}

Test(rollout_batch, on_notified_outcomes_are_not_waited_for) {
    struct rollout_policy p = policy();
    p.batch.on_notified = true;
    struct rollout_batch b = begun(&p);
    cr_assert_eq(step(&p, tally(9, 0, 0), 0, &b), 0);
    cr_assert_eq(step(&p, tally(10, 0, 0), 0, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.size, 20);
}

Test(rollout_batch, no_batch_is_larger_than_the_policy_says) {
    struct rollout_policy p = policy();
    p.batch.max = 15;
    struct rollout_batch b = begun(&p);
    cr_assert_eq(step(&p, tally(0, 10, 0), 0, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.size, 15);
    p.batch.max = 3;
    b = begun(&p);
    cr_assert_eq(b.size, 3);
}

Test(rollout_batch, a_stage_goes_on_with_the_size_reached) {
    struct rollout_policy p = policy();
    struct rollout_batch b = begun(&p);
    struct rollout_tally done = tally(0, 10, 0), none = tally(0, 0, 0);
    rollout_batch_end(&p, &done, &b);
    rollout_batch_begin(&p, &none, 1000, NOW, &b);
    cr_assert_eq(b.size, 20);
    cr_assert_eq(b.number, 2);
    cr_assert_eq(b.share, ROLLOUT_BATCH_WHOLE / 50);
    struct rollout_tally working = tally(1, 19, 0); // one of which nobody knows is not clean
    rollout_batch_end(&p, &working, &b);
    cr_assert_eq(b.size, 20);
    struct rollout_tally failed = tally(0, 19, 1);
    rollout_batch_end(&p, &failed, &b);
    cr_assert_eq(b.size, 20);
    rollout_batch_again(&p, NOW + 5, &b);
    cr_assert_eq(b.size, 10);
    cr_assert_eq(b.number, 3);
    cr_assert_eq(b.share, ROLLOUT_BATCH_WHOLE / 50); // who was admitted stays so
}

// ── Admission ──

static struct rollout_stratum_plan plan(void) {
    return (struct rollout_stratum_plan){.bound = {UINT64_C(1) << 40, UINT64_MAX}};
}

static enum rollout_admission admission(const struct rollout_policy *p, size_t stage,
                                        const struct rollout_batch *b, uint64_t rank) {
    struct rollout_stratum_plan bounds = plan();
    struct rollout_batch_place open = {.stage = stage, .started = b != NULL};
    static const struct rollout_batch none;
    open.batch = b == NULL ? &none : b;
    return rollout_batch_admission(p, &open, &bounds, rank);
}

Test(rollout_batch, ranks_are_admitted_as_far_as_the_share_is_of_the_way) {
    struct rollout_policy p = policy();
    uint64_t end = UINT64_C(1) << 40;
    cr_assert_eq(admission(&p, 0, NULL, 1), ROLLOUT_ADMISSION_STAGE);
    struct rollout_batch b = {.number = 1, .share = ROLLOUT_BATCH_WHOLE / 4};
    cr_assert_eq(admission(&p, 0, &b, end / 4), ROLLOUT_ADMISSION_OPEN);
    cr_assert_eq(admission(&p, 0, &b, end / 4 + 1), ROLLOUT_ADMISSION_BATCH);
    cr_assert_eq(admission(&p, 0, &b, end + 1), ROLLOUT_ADMISSION_STAGE);
    b.share = ROLLOUT_BATCH_WHOLE;
    cr_assert_eq(admission(&p, 0, &b, end), ROLLOUT_ADMISSION_OPEN);
    cr_assert_eq(admission(&p, 0, &b, end + 1), ROLLOUT_ADMISSION_STAGE);
    b.share = ROLLOUT_BATCH_WHOLE / 2; // of the second stage: halfway from the first one's bound
    cr_assert_eq(admission(&p, 1, &b, end), ROLLOUT_ADMISSION_OPEN);
    cr_assert_eq(admission(&p, 1, &b, end + (UINT64_MAX - end) / 2), ROLLOUT_ADMISSION_OPEN);
    cr_assert_eq(admission(&p, 1, &b, end + (UINT64_MAX - end) / 2 + 1), ROLLOUT_ADMISSION_BATCH);
    cr_assert_eq(admission(&p, 1, NULL, end), ROLLOUT_ADMISSION_OPEN); // that stage is open
    cr_assert_eq(admission(&p, 1, NULL, end + 1), ROLLOUT_ADMISSION_STAGE);
    cr_assert_eq(admission(&p, 2, &b, UINT64_MAX), ROLLOUT_ADMISSION_OPEN); // all are done
    p.n_stages = 1;
    cr_assert_eq(admission(&p, 0, &b, end + 1), ROLLOUT_ADMISSION_NEVER);
}

Test(rollout_batch, a_stage_that_began_before_there_were_batches_is_open) {
    struct rollout_policy p = policy();
    struct rollout_batch b = {.number = 0};
    cr_assert_eq(admission(&p, 0, &b, UINT64_C(1) << 40), ROLLOUT_ADMISSION_OPEN);
}

Test(rollout_batch, the_highest_ranks_are_held_back_until_they_are_released) {
    struct rollout_policy p = policy();
    p.gates.n = 1;
    p.gates.holdback_ppm = 250000;
    uint64_t held = rollout_batch_holdback(&p), end = UINT64_C(1) << 40;
    cr_assert_eq(held, UINT64_MAX - UINT64_MAX / 4);
    struct rollout_batch b = {.number = 1, .share = ROLLOUT_BATCH_WHOLE};
    cr_assert_eq(admission(&p, 1, &b, held), ROLLOUT_ADMISSION_OPEN);
    cr_assert_eq(admission(&p, 1, &b, held + 1), ROLLOUT_ADMISSION_HELD_BACK);
    cr_assert_eq(admission(&p, 0, &b, UINT64_MAX), ROLLOUT_ADMISSION_HELD_BACK);
    cr_assert_eq(admission(&p, 2, &b, UINT64_MAX), ROLLOUT_ADMISSION_HELD_BACK);
    b.share = ROLLOUT_BATCH_WHOLE / 2; // of what the stage admits without them
    cr_assert_eq(admission(&p, 1, &b, end + (held - end) / 2), ROLLOUT_ADMISSION_OPEN);
    cr_assert_eq(admission(&p, 1, &b, end + (held - end) / 2 + 1), ROLLOUT_ADMISSION_BATCH);
    b.held_back_open = true;
    cr_assert_eq(admission(&p, 1, &b, held), ROLLOUT_ADMISSION_OPEN);
    cr_assert_eq(admission(&p, 1, &b, held + (UINT64_MAX - held) / 2), ROLLOUT_ADMISSION_OPEN);
    cr_assert_eq(admission(&p, 1, &b, UINT64_MAX), ROLLOUT_ADMISSION_BATCH);
    cr_assert_eq(admission(&p, 2, &b, UINT64_MAX), ROLLOUT_ADMISSION_OPEN);
    p.gates.n = 0; // thresholds compare with nobody
    cr_assert_eq(rollout_batch_holdback(&p), UINT64_MAX);
}

// However the numbers are, the share only rises, and ends at the whole.
Test(rollout_batch, every_stage_is_open_in_the_end) {
    struct rollout_policy p = policy();
    for (uint64_t planned = 0; planned < 300; planned++) {
        struct rollout_tally none = {.planned = planned};
        struct rollout_batch b = {.number = 0};
        rollout_batch_begin(&p, &none, planned, NOW, &b);
        uint64_t expected = b.expected, number = 1;
        for (int64_t t = 1; b.share < ROLLOUT_BATCH_WHOLE; t++) {
            uint64_t before = b.share;
            cr_assert_lt(t, 300);
            cr_assert_eq(rollout_batch_step(&p, &none, planned, NOW + t * 200, &b), 1);
            cr_assert_gt(b.share, before);
            cr_assert_eq(b.number, ++number);
            expected = b.expected; // nobody was offered it: it is one batch that goes on
        }
        cr_assert_leq(expected, planned + number);
        cr_assert_geq(expected + number, planned);
    }
}

// ── As fast as people signed ──

static const struct rollout_batch_ramp ramp = {
    .n = 2,
    .steps = {{NOW, ROLLOUT_BATCH_WHOLE / 20}, {NOW + 100, ROLLOUT_BATCH_WHOLE / 4}},
    .whole_s = NOW + 200};

Test(rollout_batch, a_ramp_says_how_much_may_be_open_and_when_more) {
    static const struct {
        int64_t now_s;
        uint64_t share;
        int64_t next_s;
    } rows[] = {{NOW - 1, 1, NOW},
                {NOW, ROLLOUT_BATCH_WHOLE / 20, NOW + 100},
                {NOW + 99, ROLLOUT_BATCH_WHOLE / 20, NOW + 100},
                {NOW + 100, ROLLOUT_BATCH_WHOLE / 4, NOW + 200},
                {NOW + 200, ROLLOUT_BATCH_WHOLE, 0}};
    int64_t next_s = -1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(rollout_batch_ramp_share(&ramp, rows[i].now_s, &next_s), rows[i].share);
        cr_expect_eq(next_s, rows[i].next_s, "%zu", i);
    }
    const struct rollout_batch_ramp none = {.n = 0};
    cr_expect_eq(rollout_batch_ramp_share(&none, NOW, &next_s), ROLLOUT_BATCH_WHOLE);
}

Test(rollout_batch, no_more_is_open_than_may_be) {
    struct rollout_policy p = policy();
    struct rollout_batch b = {.most = ROLLOUT_BATCH_WHOLE / 20};
    struct rollout_tally none = tally(0, 0, 0);
    rollout_batch_begin(&p, &none, 100, NOW, &b);
    cr_assert_eq(b.share, ROLLOUT_BATCH_WHOLE / 20, "half of a batch");
    cr_assert_eq(b.expected, 4);
    cr_assert_eq(step(&p, tally(0, 5, 0), 10, &b), 0, "until the time has come");
    b.most = ROLLOUT_BATCH_WHOLE / 4;
    cr_assert_eq(step(&p, tally(0, 5, 0), 20, &b), ROLLOUT_BATCH_OPENED);
    cr_assert_eq(b.share, ROLLOUT_BATCH_WHOLE / 20 + ROLLOUT_BATCH_WHOLE / 5);
    cr_assert_eq(step(&p, tally(0, 25, 0), 30, &b), 0);
    b.most = 0;
    cr_assert_eq(step(&p, tally(0, 25, 0), 30, &b), ROLLOUT_BATCH_OPENED);
}
