// SPDX-License-Identifier: Apache-2.0
//
// How stages follow each other: what advances, what waits and what stops a rollout.
#include "ctl/rollout/advance.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define NOW 1000000

struct world {
    struct rollout_policy policy;
    struct rollout_progress progress;
    struct rollout_tally tallies[2];
    int64_t now_s;
};

// Two stages of ten devices.
static struct world world(void) {
    struct rollout_gate_bounds gate = {
        .success_ppm = 900000, .failure_ppm = 100000, .min_sample = 1};
    struct world w = {.now_s = NOW};
    w.policy.n_stages = 2;
    w.policy.timeout_s = 100;
    for (size_t i = 0; i < 2; i++) {
        w.policy.stages[i].gate = gate;
        (void)snprintf(w.policy.stages[i].name, sizeof w.policy.stages[i].name, "s%zu", i);
        w.tallies[i].planned = 10;
    }
    w.progress = (struct rollout_progress){.attempt = 1, .failed_stage = 2};
    return w;
}

static int advance(struct world *w) {
    struct rollout_counts counts = {.tallies = w->tallies, .n_strata = 1, .now_s = w->now_s};
    return rollout_advance(&w->policy, &rollout_gate_threshold, &counts, &w->progress);
}

static void set(struct world *w, size_t stage, enum rollout_task task, uint64_t n) {
    w->tallies[stage].now[task] = n;
}

Test(rollout_advance, goes_on_when_all_have_an_outcome_and_the_gate_passes) {
    struct world w = world();
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.stage, 0);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_waiting_devices);
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 9);
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 0);
    set(&w, 0, ROLLOUT_TASK_FAILED, 1); // exactly a tenth is within the gate
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    set(&w, 1, ROLLOUT_TASK_COMMITTED, 8);
    set(&w, 1, ROLLOUT_TASK_SKIPPED, 1);
    set(&w, 1, ROLLOUT_TASK_ALREADY, 1);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FINISHED);
    cr_assert_eq(advance(&w), 0);
}

Test(rollout_advance, soaks_and_starts_anew_when_it_is_incomplete_again) {
    struct world w = world();
    w.policy.stages[0].soak_s = 60;
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 10);
    (void)advance(&w);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_soaking);
    w.now_s += 59;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 0);
    set(&w, 0, ROLLOUT_TASK_OFFERED, 1); // a newcomer
    (void)advance(&w);
    set(&w, 0, ROLLOUT_TASK_OFFERED, 0);
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 11);
    w.now_s += 10;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 0);
    w.now_s += 60;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
}

Test(rollout_advance, a_failure_is_judged_before_a_success_and_in_every_stage_begun) {
    struct world w = world();
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 10);
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 8); // two of the first stage revert after all
    set(&w, 0, ROLLOUT_TASK_REVERTED, 2);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FAILED);
    cr_assert_eq(w.progress.failed_stage, 0);
    cr_assert_eq(rollout_advance_stage(&w.policy, &w.progress, 0), ROLLOUT_STAGE_FAILED);
}

Test(rollout_advance, nothing_is_concluded_from_too_small_a_sample_unless_it_cannot_pass) {
    struct world w = world();
    w.policy.stages[0].gate.min_sample = 5;
    set(&w, 0, ROLLOUT_TASK_FAILED, 1); // one of one: but only one of ten planned
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    set(&w, 0, ROLLOUT_TASK_FAILED, 2); // two of ten is above a tenth whatever the rest does
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FAILED);
}

// Between both bounds it would wait for outcomes that cannot come.
Test(rollout_advance, a_gate_that_can_not_pass_any_more_fails) {
    struct world w = world();
    w.policy.stages[0].gate =
        (struct rollout_gate_bounds){.success_ppm = 950000, .failure_ppm = 500000, .min_sample = 1};
    w.tallies[0].planned = 40;
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 30);
    set(&w, 0, ROLLOUT_TASK_FAILED, 2); // 38 of 40 may still come: exactly 95 %
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    set(&w, 0, ROLLOUT_TASK_FAILED, 3);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FAILED);
    cr_assert_not_null(strstr(w.progress.why.text, "cannot be reached"), "%s", w.progress.why.text);
}

Test(rollout_advance, reverting_ends_when_all_are_back_or_silent_too_long) {
    struct world w = world();
    w.policy.on_failure = ROLLOUT_ON_FAILURE_REVERT;
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 3);
    set(&w, 0, ROLLOUT_TASK_LOST, 2);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 0);
    set(&w, 0, ROLLOUT_TASK_REVERTED, 3);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
    w.now_s += 100;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTED);
    cr_assert_not_null(strstr(w.progress.why.text, "did not commit"), "%s", w.progress.why.text);
}

// One that came when its stage was over, a try that was left, one that is heard of again.
Test(rollout_advance, it_is_not_finished_while_somebody_of_an_earlier_stage_is_at_work) {
    struct world w = world();
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 10);
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    set(&w, 0, ROLLOUT_TASK_OFFERED, 1);
    set(&w, 1, ROLLOUT_TASK_COMMITTED, 10);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_waiting_devices);
    cr_assert_not_null(strstr(w.progress.why.text, "1 device "), "%s", w.progress.why.text);
    struct world bad = w;
    set(&bad, 0, ROLLOUT_TASK_OFFERED, 0);
    set(&bad, 0, ROLLOUT_TASK_LOST, 2); // its outcome still counts
    (void)advance(&bad);
    cr_assert_eq(bad.progress.state, ROLLOUT_STATE_FAILED);
    set(&w, 0, ROLLOUT_TASK_OFFERED, 0);
    set(&w, 0, ROLLOUT_TASK_LOST, 1);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FINISHED);
}

Test(rollout_advance, devices_that_never_ask_are_waited_for_no_longer_than_the_timeout) {
    struct world w = world();
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 4);
    (void)advance(&w);
    w.now_s += 99;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 0);
    w.now_s += 1;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
}

Test(rollout_advance, a_rollout_nobody_matches_waits_for_somebody) {
    struct world w = world();
    w.tallies[0].planned = w.tallies[1].planned = 0;
    (void)advance(&w);
    w.now_s += 1000000;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_no_devices);
}

Test(rollout_advance, approval_and_time_hold_a_stage_back) {
    struct world w = world();
    struct rollout_why reason;
    w.policy.stages[0].approve = true;
    w.policy.not_before_s = NOW + 10;
    (void)advance(&w);
    cr_assert_eq(rollout_advance_stage(&w.policy, &w.progress, 0), ROLLOUT_STAGE_APPROVAL);
    cr_assert_eq(
        rollout_advance_by_hand(&w.policy, ROLLOUT_VERB_APPROVE, NOW, &w.progress, &reason), 0);
    cr_assert_eq(
        rollout_advance_by_hand(&w.policy, ROLLOUT_VERB_APPROVE, NOW, &w.progress, &reason),
        ROLLOUT_UNCHANGED);
    (void)advance(&w);
    cr_assert_eq(w.progress.started_s[0], 0);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_too_early);
    w.now_s += 10;
    (void)advance(&w);
    cr_assert_eq(w.progress.started_s[0], w.now_s);
}

// What each verb does in each state: the state after it, or refused.
Test(rollout_advance, after_its_time_it_ends_when_nobody_is_at_work_on_it) {
    struct world w = world();
    w.policy.until_s = w.now_s + 50;
    (void)advance(&w);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_waiting_devices);
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 3);
    set(&w, 0, ROLLOUT_TASK_ACTIVATED, 1);
    w.now_s += 50;
    for (int i = 0; i < 2; i++) {
        (void)advance(&w);
        cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
        cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_too_late);
        w.now_s += 1000; // it is not complete for having waited: nobody could come
    }
    set(&w, 0, ROLLOUT_TASK_ACTIVATED, 0);
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 4);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_ABORTED);
    cr_assert_eq(w.progress.ended_s, w.now_s);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_too_late);
    cr_assert_not_null(strstr(w.progress.why.text, "4 devices have the release and keep it"));
}

Test(rollout_advance, a_stage_that_is_complete_in_time_is_watched_to_its_end) {
    struct world w = world();
    w.policy.until_s = w.now_s + 50;
    w.policy.stages[0].soak_s = w.policy.stages[1].soak_s = 100;
    (void)advance(&w);
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 10);
    w.now_s += 50;
    (void)advance(&w);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_soaking);
    w.now_s += 100;
    struct world last = w;
    (void)advance(&w); // but no other one begins
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_ABORTED);
    last.policy.n_stages = 1;
    (void)advance(&last);
    cr_assert_eq(last.progress.state, ROLLOUT_STATE_FINISHED);
}

Test(rollout_advance, what_stands_still_is_ended_by_people_alone) {
    struct world w = world();
    struct rollout_why ignored;
    w.policy.until_s = w.now_s + 50;
    (void)advance(&w);
    cr_assert_eq(
        rollout_advance_by_hand(&w.policy, ROLLOUT_VERB_PAUSE, w.now_s, &w.progress, &ignored), 0);
    w.now_s += 60;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    cr_assert_eq(
        rollout_advance_by_hand(&w.policy, ROLLOUT_VERB_RESUME, w.now_s, &w.progress, &ignored), 0);
    cr_assert_eq(w.progress.going_s, w.now_s);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_ABORTED);
}

Test(rollout_advance, every_verb_in_every_state_is_decided) {
    enum { NO = ROLLOUT_STATES };
    static const unsigned after[ROLLOUT_VERBS][ROLLOUT_STATES] = {
        [ROLLOUT_VERB_APPROVE] = {0, 1, 2, 3, NO, NO, NO},
        [ROLLOUT_VERB_PAUSE] = {1, 1, NO, 1, NO, NO, NO},
        [ROLLOUT_VERB_RESUME] = {0, 0, 0, 3, NO, NO, NO},
        [ROLLOUT_VERB_ABORT] = {5, 5, 5, NO, NO, 5, NO},
        [ROLLOUT_VERB_REVERT] = {3, 3, 3, 3, 4, 3, 3},
    };
    for (unsigned verb = 0; verb < ROLLOUT_VERBS; verb++)
        for (unsigned state = 0; state < ROLLOUT_STATES; state++) {
            struct world w = world();
            struct rollout_why reason;
            w.progress.state = (enum rollout_state)state;
            int done = rollout_advance_by_hand(&w.policy, (enum rollout_verb)verb, NOW, &w.progress,
                                               &reason);
            unsigned wanted = after[verb][state];
            cr_assert_eq(done == ROLLOUT_REFUSED, wanted == NO, "verb %u in state %u", verb, state);
            cr_assert_eq(w.progress.state, wanted == NO ? state : wanted, "verb %u in state %u",
                         verb, state);
        }
}

static int by_hand(struct world *w, enum rollout_verb verb, struct rollout_why *reason) {
    return rollout_advance_by_hand(&w->policy, verb, w->now_s, &w->progress, reason);
}

// Three that took the release of a rollout that failed and goes back, which was paused then.
static struct world paused_back(void) {
    struct world w = world();
    struct rollout_why reason;
    w.policy.on_failure = ROLLOUT_ON_FAILURE_REVERT;
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 3);
    set(&w, 0, ROLLOUT_TASK_FAILED, 2);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_PAUSE, &reason), 0);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_PAUSE, &reason), ROLLOUT_UNCHANGED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_paused);
    cr_assert_not_null(strstr(w.progress.why.text, "did not commit"), "%s", w.progress.why.text);
    return w;
}

Test(rollout_advance, a_pause_on_the_way_back_lasts_and_resuming_goes_on_with_it) {
    static const enum rollout_verb verbs[] = {ROLLOUT_VERB_RESUME, ROLLOUT_VERB_REVERT};
    for (size_t i = 0; i < 2; i++) {
        struct world w = paused_back();
        struct rollout_why reason;
        w.now_s += 1000; // longer than is waited for a device
        cr_assert_eq(advance(&w), 0);
        cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
        cr_assert_eq(by_hand(&w, verbs[i], &reason), 0);
        cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
        cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_rollout_failed);
        cr_assert_eq(w.progress.failed_stage, 0);
        cr_assert_eq(w.progress.attempt, 1);
        (void)advance(&w);
        cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING, "their time begins again");
        set(&w, 0, ROLLOUT_TASK_COMMITTED, 0);
        set(&w, 0, ROLLOUT_TASK_REVERTED, 3);
        (void)advance(&w);
        cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTED);
        cr_assert_not_null(strstr(w.progress.why.text, "did not commit"), "%s",
                           w.progress.why.text);
    }
}

Test(rollout_advance, going_back_is_ended_for_good_in_two_steps) {
    struct world w = paused_back();
    struct rollout_why reason;
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_RESUME, &reason), 0);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_ABORT, &reason), ROLLOUT_REFUSED);
    cr_assert_not_null(strstr(reason.text, "pause it first"), "%s", reason.text);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_PAUSE, &reason), 0);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_ABORT, &reason), 0);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_ABORTED);
    cr_assert_not(w.progress.back);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_RESUME, &reason), ROLLOUT_REFUSED);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_REVERT, &reason), 0);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_reverting, "by hand now");
}

Test(rollout_advance, devices_that_are_held_are_named_among_those_waited_for) {
    struct world w = world();
    struct rollout_counts counts = {.tallies = w.tallies, .n_strata = 1, .now_s = NOW};
    static const char *const says[] = {"began", ", 1 device is held by an operator",
                                       ", 2 devices are held by an operator"};
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 8);
    set(&w, 0, ROLLOUT_TASK_OFFERED, 2);
    for (uint64_t i = 0; i < 3; i++) {
        counts.held = i;
        (void)rollout_advance(&w.policy, &rollout_gate_threshold, &counts, &w.progress);
        const char *text = w.progress.why.text;
        cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_waiting_devices);
        cr_assert_str_eq(text + strlen(text) - strlen(says[i]), says[i], "%s", text);
    }
}

Test(rollout_tally, every_report_leads_somewhere_and_counts_once) {
    struct rollout_tally t = {0};
    rollout_tally_move(&t, ROLLOUT_TASK_NONE, ROLLOUT_TASK_OFFERED);
    rollout_tally_move(&t, ROLLOUT_TASK_OFFERED, ROLLOUT_TASK_OFFERED);
    cr_assert_eq(rollout_tally_unresolved(&t), 1);
    for (unsigned event = 0; event < BUNDLE_EVENTS; event++) {
        enum rollout_task to = rollout_task_after(ROLLOUT_TASK_LOST, (enum bundle_event)event);
        bool lost = BUNDLE_EVENT_IS_SHAM(event); // which is of what it runs, not of the release
        cr_assert(to != ROLLOUT_TASK_NONE && (to == ROLLOUT_TASK_LOST) == lost, "event %u", event);
    }
    static const enum rollout_task never_offered[] = {ROLLOUT_TASK_NONE, ROLLOUT_TASK_ALREADY,
                                                      ROLLOUT_TASK_SKIPPED};
    for (unsigned event = 0; event < BUNDLE_EVENTS; event++)
        for (size_t i = 0; i < 3; i++)
            cr_assert_eq(rollout_task_after(never_offered[i], (enum bundle_event)event),
                         never_offered[i], "event %u", event);
    // To and fro is no step: what is there has lasted since it came.
    static const enum rollout_task over[] = {ROLLOUT_TASK_COMMITTED, ROLLOUT_TASK_FAILED,
                                             ROLLOUT_TASK_REVERTED};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(rollout_task_after(over[i], BUNDLE_EVENT_OFFERED), over[i]);
        cr_assert_eq(rollout_task_after(over[i], BUNDLE_EVENT_ACTIVATED), over[i]);
        cr_assert_eq(rollout_task_after(over[i], BUNDLE_EVENT_REVERTED), ROLLOUT_TASK_REVERTED);
    }
    cr_assert_eq(rollout_task_after(ROLLOUT_TASK_CANCELLED, BUNDLE_EVENT_STAGED),
                 ROLLOUT_TASK_CANCELLED);
    cr_assert_eq(rollout_task_after(ROLLOUT_TASK_CANCELLED, BUNDLE_EVENT_ACTIVATED),
                 ROLLOUT_TASK_ACTIVATED, "it came too late");
    cr_assert_eq(rollout_task_after(ROLLOUT_TASK_ACTIVATED, BUNDLE_EVENT_CANCELLED),
                 ROLLOUT_TASK_ACTIVATED);
    cr_assert_eq(rollout_task_after(ROLLOUT_TASK_STAGED, BUNDLE_EVENT_OFFERED),
                 ROLLOUT_TASK_STAGED);
    cr_assert_eq(rollout_task_after(ROLLOUT_TASK_ACTIVATED, BUNDLE_EVENT_STAGED),
                 ROLLOUT_TASK_ACTIVATED);
    cr_assert_eq(rollout_task_after(ROLLOUT_TASK_STAGED, BUNDLE_EVENT_ACTIVATED),
                 ROLLOUT_TASK_ACTIVATED);
    rollout_tally_move(&t, ROLLOUT_TASK_OFFERED, ROLLOUT_TASK_COMMITTED);
    cr_assert_eq(rollout_tally_unresolved(&t), 0);
    cr_assert_eq(rollout_tally_offered(&t), 1);
    cr_assert_eq(rollout_tally_took(&t), 1);
}

Test(rollout_advance, no_stage_begins_and_nothing_finishes_sooner_than_people_signed_for) {
    struct world w = world();
    w.progress.not_before_s[1] = NOW + 10;
    w.progress.not_before_s[3] = NOW + 20;
    set(&w, 0, ROLLOUT_TASK_COMMITTED, 10);
    set(&w, 1, ROLLOUT_TASK_COMMITTED, 10);
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    cr_assert_eq(w.progress.started_s[1], 0);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_too_early);
    cr_assert_not_null(strstr(w.progress.why.text, "people signed"), "%s", w.progress.why.text);
    w.now_s = NOW + 10;
    (void)advance(&w);
    cr_assert_eq(w.progress.started_s[1], NOW + 10);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_too_early);
    w.now_s = NOW + 19;
    cr_assert_eq(advance(&w), 0);
    w.now_s = NOW + 20;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FINISHED);
}

Test(rollout_advance, a_stage_opens_no_faster_than_people_signed_for) {
    struct world w = world();
    w.policy.batch.start = 4;
    w.policy.batch.factor_ppm = 2000000;
    w.policy.gates.rhythm_s = 1;
    w.progress.ramp[0] = (struct rollout_batch_ramp){
        .n = 1, .steps = {{NOW, ROLLOUT_BATCH_WHOLE / 2}}, .whole_s = NOW + 50};
    (void)advance(&w);
    for (int64_t t = 1; t < 50; t++) {
        w.now_s = NOW + t;
        set(&w, 0, ROLLOUT_TASK_COMMITTED, 5);
        (void)advance(&w);
        cr_assert_leq(w.progress.batch.share, ROLLOUT_BATCH_WHOLE / 2);
    }
    cr_assert_eq(w.progress.batch.share, ROLLOUT_BATCH_WHOLE / 2);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_too_early, "%s", w.progress.why.text);
    cr_assert_not_null(strstr(w.progress.why.text, "opens further"), "%s", w.progress.why.text);
    w.now_s = NOW + 50;
    (void)advance(&w);
    cr_assert_gt(w.progress.batch.share, ROLLOUT_BATCH_WHOLE / 2);
}
