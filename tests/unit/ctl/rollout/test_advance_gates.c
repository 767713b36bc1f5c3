// SPDX-License-Identifier: Apache-2.0
//
// How evidence moves a rollout: batches, stops, doubts, waiting, going on without, holding back.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctl/rollout/advance.h"

#define NOW 1000000

struct world {
    struct rollout_policy policy;
    struct rollout_progress progress;
    struct rollout_tally tallies[2];
    struct rollout_judgement evidence;
    struct rollout_verdict verdict;
    bool has_verdict;
    enum rollout_silence silence;
    uint64_t held_back;
    int64_t now_s;
};

// Two stages of ten devices with one gate; a batch is a stage.
static struct world world(void) {
    struct world w = {.now_s = NOW};
    w.policy.n_stages = 2;
    w.policy.timeout_s = 1000;
    w.policy.batch.start = 10;
    w.policy.gates = (struct rollout_gates){.n = 1,
                                            .alpha_ppm = 25000,
                                            .alpha_pass_ppm = 50000,
                                            .rhythm_s = 100,
                                            .reach_ppm = 800000,
                                            .max_soak_s = 5000,
                                            .min_fragility = 2};
    w.policy.gates.gate[0].weight_ppm = 1000000;
    (void)snprintf(w.policy.gates.gate[0].name, sizeof w.policy.gates.gate[0].name, "installs");
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(w.policy.stages[i].name, sizeof w.policy.stages[i].name, "s%zu", i);
        w.tallies[i].planned = 10;
    }
    w.policy.stages[0].ppm = 500000;
    w.policy.stages[1].ppm = ROLLOUT_PPM;
    w.progress = (struct rollout_progress){.attempt = 1, .failed_stage = 2};
    w.evidence = (struct rollout_judgement){.overall = ROLLOUT_VERDICT_WAIT, .n_gates = 1};
    return w;
}

static int advance(struct world *w) {
    struct rollout_counts counts = {.tallies = w->tallies,
                                    .n_strata = 1,
                                    .now_s = w->now_s,
                                    .held_back = w->held_back,
                                    .evidence = &w->evidence,
                                    .silence = w->silence};
    counts.verdict = w->has_verdict ? &w->verdict : NULL;
    return rollout_advance(&w->policy, &rollout_gate_threshold, &counts, &w->progress);
}

static int by_hand(struct world *w, enum rollout_verb verb, struct rollout_why *reason) {
    return rollout_advance_by_hand(&w->policy, verb, w->now_s, &w->progress, reason);
}

static void commit_all(struct world *w, size_t stage) {
    w->tallies[stage].now[ROLLOUT_TASK_COMMITTED] = 10;
}

static void stop(struct world *w, enum rollout_why_code code) {
    w->evidence.overall = ROLLOUT_VERDICT_FAIL;
    w->evidence.sum.stop = true;
    w->has_verdict = true;
    w->verdict = (struct rollout_verdict){.doubt = code != ROLLOUT_WHY_evidence_failed};
    rollout_why_set(&w->verdict.why, code, "as tested");
}

Test(rollout_advance_gates, the_first_stage_begins_a_run_and_a_batch) {
    struct world w = world();
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.spend.runs, 1);
    cr_assert_eq(w.progress.spend.alpha_ppm, 25000);
    cr_assert_eq(w.progress.batch.number, 1);
    cr_assert_eq(w.progress.batch.size, 10);
    cr_assert_eq(advance(&w), 0);
    struct world plain = world();
    plain.policy.gates.n = plain.policy.batch.start = 0;
    (void)advance(&plain);
    cr_assert_eq(plain.progress.spend.runs, 0);
    cr_assert_eq(plain.progress.batch.number, 1);
}

Test(rollout_advance_gates, a_stage_opens_batch_by_batch_and_waits_for_the_last_one) {
    struct world w = world();
    w.policy.batch.start = 5;
    (void)advance(&w);
    cr_assert_eq(w.progress.batch.share, ROLLOUT_BATCH_WHOLE / 2);
    w.tallies[0].now[ROLLOUT_TASK_COMMITTED] = 5;
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.batch.number, 2);
    cr_assert_eq(w.progress.batch.share, ROLLOUT_BATCH_WHOLE);
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    w.tallies[0].now[ROLLOUT_TASK_COMMITTED] = 8; // four fifths, but only three of the last five
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 0);
    w.tallies[0].now[ROLLOUT_TASK_COMMITTED] = 9;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    cr_assert_eq(w.progress.batch.number, 3);
    cr_assert_eq(w.progress.batch.size, 20);
}

// A restart must not open it a second time: what opened is kept even when nothing else changed.
Test(rollout_advance_gates, a_batch_that_is_as_large_as_the_one_before_is_news) {
    struct world w = world();
    w.policy.batch.start = 3;
    (void)advance(&w);
    w.tallies[0].now[ROLLOUT_TASK_FAILED] = 1;
    w.tallies[0].now[ROLLOUT_TASK_COMMITTED] = 2;
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.batch.number, 2);
    cr_assert_eq(w.progress.batch.size, 3);
}

Test(rollout_advance_gates, with_gates_the_share_to_be_reached_is_enough) {
    struct world w = world();
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    (void)advance(&w);
    w.tallies[0].now[ROLLOUT_TASK_COMMITTED] = 7;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 0);
    cr_assert_eq(rollout_advance_unreached_ppm(&w.tallies[0]), 300000);
    w.tallies[0].now[ROLLOUT_TASK_COMMITTED] = 8;
    w.tallies[0].now[ROLLOUT_TASK_OFFERED] = 1; // somebody is at work
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 0);
    w.tallies[0].now[ROLLOUT_TASK_OFFERED] = 0;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    w.tallies[1].now[ROLLOUT_TASK_COMMITTED] = 5; // the others do not call: not for ever
    w.now_s += 999;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    w.now_s += 1;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FINISHED);
}

Test(rollout_advance_gates, a_stage_waits_for_its_gates_and_pauses_in_the_end) {
    struct world w = world();
    (void)advance(&w);
    commit_all(&w, 0);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_inconclusive);
    cr_assert_not_null(strstr(w.progress.why.text, "installs"), "%s", w.progress.why.text);
    w.now_s += 4999;
    cr_assert_eq(advance(&w), 0);
    w.now_s += 1;
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_inconclusive);
    // A person lets it go on: that is no further run, and holds for this stage alone.
    struct rollout_why reason;
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_RESUME, &reason), 0);
    cr_assert_eq(w.progress.spend.runs, 1);
    cr_assert_eq(w.progress.attempt, 1);
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    cr_assert_eq(w.progress.without, 1);
    commit_all(&w, 1);
    (void)advance(&w);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_inconclusive);
    cr_assert_eq(w.progress.stage, 1);
}

Test(rollout_advance_gates, or_advances_without_evidence_when_the_policy_says_so) {
    struct world w = world();
    w.policy.gates.advance_on_max_soak = true;
    (void)advance(&w);
    commit_all(&w, 0);
    commit_all(&w, 1);
    (void)advance(&w);
    w.now_s += 5000;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    cr_assert_eq(w.progress.without, 1);
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FINISHED);
    cr_assert_eq(w.progress.without, 1);
}

// A newcomer makes a stage incomplete again and again: it ends all the same.
Test(rollout_advance_gates, the_wait_is_counted_from_the_first_time_that_it_was_complete) {
    struct world w = world();
    (void)advance(&w);
    commit_all(&w, 0);
    (void)advance(&w);
    w.now_s += 3000;
    w.tallies[0].now[ROLLOUT_TASK_OFFERED] = 1;
    (void)advance(&w);
    w.tallies[0].now[ROLLOUT_TASK_OFFERED] = 0;
    w.now_s += 2000;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
}

Test(rollout_advance_gates, thresholds_judge_only_where_the_policy_gives_them) {
    struct world w = world();
    struct rollout_gate_bounds bounds = {
        .success_ppm = 900000, .failure_ppm = 100000, .min_sample = 1};
    w.policy.stages[0].gate = w.policy.stages[1].gate = bounds;
    (void)advance(&w);
    w.tallies[0].now[ROLLOUT_TASK_FAILED] = 9;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    w.policy.stages[0].has_gate = true;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FAILED);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_rollout_failed);
}

// ── Stops ──

Test(rollout_advance_gates, a_stop_does_what_the_policy_says_on_failure) {
    struct world w = world();
    (void)advance(&w);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FAILED);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(w.progress.failed_stage, 0);
    cr_assert(w.progress.stopped);
    w = world();
    w.policy.on_failure = ROLLOUT_ON_FAILURE_REVERT;
    (void)advance(&w);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    w.tallies[0].now[ROLLOUT_TASK_COMMITTED] = 1;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
}

Test(rollout_advance_gates, without_a_verdict_the_judgement_speaks_for_itself) {
    struct world w = world();
    (void)advance(&w);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    w.has_verdict = false;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FAILED);
    cr_assert_not_null(strstr(w.progress.why.text, "gate installs"), "%s", w.progress.why.text);
    w = world();
    (void)advance(&w);
    w.evidence = (struct rollout_judgement){
        .overall = ROLLOUT_VERDICT_FAIL, .guard = true, .guard_mean = {7 * NUM_DECIMAL_SCALE}};
    (void)advance(&w);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_guard_exceeded);
    cr_assert_not_null(strstr(w.progress.why.text, "is 7,"), "%s", w.progress.why.text);
}

Test(rollout_advance_gates, a_doubt_pauses_and_is_judged_on) {
    struct world w = world();
    w.policy.on_failure = ROLLOUT_ON_FAILURE_REVERT;
    (void)advance(&w);
    stop(&w, ROLLOUT_WHY_fragile);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_fragile);
    cr_assert(w.progress.doubt && w.progress.stopped);
    cr_assert_eq(advance(&w), 0);
    // Evidence that falls below its level again lets nothing go on by itself.
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    w.evidence.sum.stop = false;
    commit_all(&w, 0);
    cr_assert_eq(advance(&w), 0);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    stop(&w, ROLLOUT_WHY_one_cluster);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_one_cluster);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
    cr_assert_not(w.progress.doubt);
}

Test(rollout_advance_gates, a_doubt_about_installs_says_whether_anything_may_resolve_it) {
    struct world w = world();
    (void)advance(&w);
    stop(&w, ROLLOUT_WHY_fragile);
    w.tallies[0].now[ROLLOUT_TASK_OFFERED] = 1;
    (void)advance(&w);
    cr_assert_not_null(strstr(w.progress.why.text, "or wait for more reports"), "%s",
                       w.progress.why.text);
    w.tallies[0].now[ROLLOUT_TASK_OFFERED] = 0;
    (void)advance(&w);
    cr_assert_not_null(strstr(w.progress.why.text, "nobody is at work on it any more"), "%s",
                       w.progress.why.text);
}

Test(rollout_advance_gates, paused_by_a_person_it_is_not_judged) {
    struct world w = world();
    struct rollout_why reason;
    (void)advance(&w);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_PAUSE, &reason), 0);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(advance(&w), 0);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
}

Test(rollout_advance_gates, going_on_after_a_stop_is_another_run_with_an_alpha_of_its_own) {
    struct world w = world();
    struct rollout_why reason;
    w.policy.retries.max = 2;
    w.policy.batch.start = 5;
    (void)advance(&w);
    w.tallies[0].now[ROLLOUT_TASK_COMMITTED] = 5;
    (void)advance(&w);
    uint64_t share = w.progress.batch.share, number = w.progress.batch.number;
    stop(&w, ROLLOUT_WHY_fragile);
    (void)advance(&w);
    w.now_s += 77;
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_RESUME, &reason), 0);
    cr_assert_eq(reason.code, ROLLOUT_WHY_NONE);
    cr_assert_not_null(strstr(reason.text, "run 2"), "%s", reason.text);
    cr_assert_not_null(strstr(reason.text, "5.00 %"), "%s", reason.text);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    cr_assert_eq(w.progress.attempt, 4); // above all retries
    cr_assert_eq(w.progress.spend.runs, 2);
    cr_assert_eq(w.progress.spend.total_ppm, 50000);
    cr_assert_eq(w.progress.batch.share, share);
    cr_assert_gt(w.progress.batch.number, number);
    cr_assert_eq(w.progress.batch.size, 5);
    cr_assert_eq(w.progress.started_s[0], NOW + 77);
    cr_assert_not(w.progress.stopped || w.progress.doubt);
}

Test(rollout_advance_gates, what_may_be_promised_is_spent_in_the_end) {
    struct world w = world();
    struct rollout_why reason;
    w.policy.gates.alpha_ppm = 200000;
    (void)advance(&w);
    for (int run = 1; run <= 2; run++) {
        stop(&w, ROLLOUT_WHY_evidence_failed);
        (void)advance(&w);
        struct rollout_progress before = w.progress;
        int done = by_hand(&w, ROLLOUT_VERB_RESUME, &reason);
        cr_assert_eq(done, run == 1 ? 0 : ROLLOUT_REFUSED);
        if (run == 2) {
            cr_assert_eq(reason.code, ROLLOUT_WHY_evidence_spent);
            cr_assert_eq(memcmp(&before, &w.progress, sizeof before), 0);
        }
        w.evidence.overall = ROLLOUT_VERDICT_WAIT;
        (void)advance(&w);
    }
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_REVERT, &reason), 0);
}

Test(rollout_advance_gates, a_stop_in_a_later_stage_goes_on_there) {
    struct world w = world();
    struct rollout_why reason;
    (void)advance(&w);
    commit_all(&w, 0);
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    (void)advance(&w);
    cr_assert_eq(w.progress.failed_stage, 1);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_RESUME, &reason), 0);
    cr_assert_eq(w.progress.stage, 1);
}

// ── Silence ──

Test(rollout_advance_gates, a_silent_fleet_pauses_it_until_it_is_heard_of) {
    struct world w = world();
    (void)advance(&w);
    w.silence = ROLLOUT_SILENCE_SILENT;
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_fleet_silent);
    w.silence = ROLLOUT_SILENCE_UNKNOWN; // a check-in's report: nobody looked
    cr_assert_eq(advance(&w), 0);
    w.silence = ROLLOUT_SILENCE_HEARD;
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    // Paused by a person it stays paused.
    struct rollout_why reason;
    w.silence = ROLLOUT_SILENCE_SILENT;
    (void)advance(&w);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_PAUSE, &reason), 0);
    w.silence = ROLLOUT_SILENCE_HEARD;
    cr_assert_eq(advance(&w), 0);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    // And a stop comes first.
    w = world();
    (void)advance(&w);
    w.silence = ROLLOUT_SILENCE_SILENT;
    (void)advance(&w);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FAILED);
}

// ── Hold-back ──

static struct world last_stage(void) {
    struct world w = world();
    w.policy.gates.holdback_ppm = 200000;
    w.held_back = 2;
    w.tallies[1].planned = 8;
    (void)advance(&w);
    commit_all(&w, 0);
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
    w.evidence.overall = ROLLOUT_VERDICT_WAIT;
    return w;
}

Test(rollout_advance_gates, the_hold_back_is_released_when_the_gates_have_passed) {
    struct world w = last_stage();
    w.tallies[1].now[ROLLOUT_TASK_COMMITTED] = 8;
    uint64_t number = w.progress.batch.number;
    (void)advance(&w);
    cr_assert_not(w.progress.batch.held_back_open);
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert(w.progress.batch.held_back_open);
    cr_assert_gt(w.progress.batch.number, number);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    (void)advance(&w); // those two are waited for
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    w.tallies[1].now[ROLLOUT_TASK_COMMITTED] = 10;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_FINISHED);
}

Test(rollout_advance_gates, or_when_its_time_has_come) {
    struct world w = last_stage();
    w.policy.gates.holdback_release_s = 3000;
    w.tallies[1].now[ROLLOUT_TASK_COMMITTED] = 8;
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    w.now_s += 2999;
    (void)advance(&w);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_holdback);
    cr_assert_not(w.progress.batch.held_back_open);
    w.evidence.overall = ROLLOUT_VERDICT_WAIT; // whatever the gates say then
    w.now_s += 1;
    (void)advance(&w);
    cr_assert(w.progress.batch.held_back_open);
}

Test(rollout_advance_gates, the_hold_back_comes_in_batches_of_its_own) {
    struct world w = last_stage();
    w.tallies[1].now[ROLLOUT_TASK_COMMITTED] = 8;
    w.held_back = 100;
    w.policy.batch.max = 25;
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    (void)advance(&w);
    cr_assert_eq(w.progress.batch.size, 25);
    cr_assert_eq(w.progress.batch.share, ROLLOUT_BATCH_WHOLE / 4);
    w.tallies[1].now[ROLLOUT_TASK_COMMITTED] = 8 + 25;
    (void)advance(&w);
    cr_assert_eq(w.progress.batch.share, ROLLOUT_BATCH_WHOLE / 2);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
}

// ── Going back ──

Test(rollout_advance_gates, what_was_committed_is_not_waited_for_when_it_remains) {
    struct world w = world();
    w.policy.on_failure = ROLLOUT_ON_FAILURE_REVERT;
    w.policy.revert_scope = ROLLOUT_REVERT_ACTIVATED;
    (void)advance(&w);
    w.tallies[0].now[ROLLOUT_TASK_COMMITTED] = 5;
    w.tallies[0].now[ROLLOUT_TASK_ACTIVATED] = 1;
    stop(&w, ROLLOUT_WHY_evidence_failed);
    (void)advance(&w);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
    w.tallies[0].now[ROLLOUT_TASK_ACTIVATED] = 0;
    w.tallies[0].now[ROLLOUT_TASK_REVERTED] = 1;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTED);
}

Test(rollout_advance_gates, at_a_limited_rate_going_back_takes_its_time) {
    struct world w = world();
    w.policy.on_failure = ROLLOUT_ON_FAILURE_REVERT;
    w.policy.revert_rate = 1; // ten devices: ten minutes more
    (void)advance(&w);
    commit_all(&w, 0);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    (void)advance(&w);
    w.now_s += 1599;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
    w.now_s += 1;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTED);
}
