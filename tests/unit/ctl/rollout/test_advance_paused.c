// SPDX-License-Identifier: Apache-2.0
//
// What a rollout that stands still, or is complete, may still be told by its gates.
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

Test(rollout_advance_paused, a_person_who_pauses_it_in_doubt_is_obeyed) {
    struct world w = world();
    struct rollout_why reason;
    w.policy.on_failure = ROLLOUT_ON_FAILURE_REVERT;
    (void)advance(&w);
    stop(&w, ROLLOUT_WHY_fragile);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_PAUSE, &reason), 0);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_paused);
    cr_assert_not_null(strstr(w.progress.why.text, "as tested"), "%s", w.progress.why.text);
    cr_assert_not(w.progress.doubt);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(advance(&w), 0);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_PAUSE, &reason), ROLLOUT_UNCHANGED);
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_RESUME, &reason), 0); // the gates had stopped it
    cr_assert_eq(w.progress.spend.runs, 2);
}

// Somebody of an earlier stage was still at work when all stages were done.
Test(rollout_advance_paused, a_doubt_after_all_stages_goes_on_in_the_last_one) {
    struct world w = world();
    struct rollout_why reason;
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    commit_all(&w, 0);
    (void)advance(&w);
    w.tallies[0].now[ROLLOUT_TASK_OFFERED] = 1;
    commit_all(&w, 1);
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 2);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING);
    stop(&w, ROLLOUT_WHY_fragile);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    w.now_s += 77;
    w.tallies[0].now[ROLLOUT_TASK_OFFERED] = 0;
    w.evidence.overall = ROLLOUT_VERDICT_WAIT;
    cr_assert_eq(by_hand(&w, ROLLOUT_VERB_RESUME, &reason), 0);
    cr_assert_eq(w.progress.stage, 1);
    cr_assert_eq(w.progress.started_s[1], w.now_s);
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_RUNNING, "another run has evidence of its own");
}

Test(rollout_advance_paused, paused_by_gates_that_say_nothing_it_is_judged_on) {
    struct world w = world();
    struct rollout_why reason;
    w.policy.on_failure = ROLLOUT_ON_FAILURE_REVERT;
    (void)advance(&w);
    commit_all(&w, 0);
    (void)advance(&w);
    w.now_s += 5000;
    (void)advance(&w);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_inconclusive);
    cr_assert(rollout_advance_judged(&w.progress));
    struct world held = w;
    cr_assert_eq(by_hand(&held, ROLLOUT_VERB_PAUSE, &reason), 0);
    cr_assert_not(rollout_advance_judged(&held.progress));
    stop(&held, ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(advance(&held), 0);
    w.evidence.overall = ROLLOUT_VERDICT_PASS; // what passes later does not go on by itself
    cr_assert_eq(advance(&w), 0);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_PAUSED);
    stop(&w, ROLLOUT_WHY_evidence_failed);
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_assert_eq(w.progress.state, ROLLOUT_STATE_REVERTING);
}

// Whoever dies falls silent, and is lost to the gate only after the rule's time.
Test(rollout_advance_paused, a_stage_with_a_gate_of_losses_lasts_until_one_could_be_seen) {
    struct world w = world();
    w.policy.gates.gate[0].kind = ROLLOUT_GATE_LOST;
    w.evidence.overall = ROLLOUT_VERDICT_PASS;
    (void)advance(&w);
    commit_all(&w, 0);
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 0);
    w.now_s += 1099; // the timeout, and a rhythm
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 0);
    cr_assert_eq(w.progress.why.code, ROLLOUT_WHY_waiting_devices);
    w.now_s++;
    (void)advance(&w);
    cr_assert_eq(w.progress.stage, 1);
}

// ── For how long ──

Test(rollout_advance_paused, a_pause_is_heard_in_for_as_long_as_it_may_be_judged_and_no_longer) {
    struct world w = world();
    struct rollout_why ignored;
    w.policy.gates.horizon_s = 300;
    w.policy.gates.grace_s = 30;
    (void)advance(&w);
    cr_expect(rollout_advance_hears(&w.policy, &w.progress, NOW));
    cr_assert_eq(rollout_advance_by_hand(&w.policy, ROLLOUT_VERB_PAUSE, NOW, &w.progress, &ignored),
                 0);
    cr_expect_eq(w.progress.paused_s, NOW);
    cr_expect(rollout_advance_hears(&w.policy, &w.progress, NOW + 5330));
    cr_expect_not(rollout_advance_hears(&w.policy, &w.progress, NOW + 5331));
    struct world soon = w;
    cr_assert_eq(rollout_advance_by_hand(&soon.policy, ROLLOUT_VERB_RESUME, NOW + 5330,
                                         &soon.progress, &ignored),
                 0);
    cr_expect(soon.progress.resumed_s == 0 && soon.progress.paused_s == 0);
    cr_assert_eq(
        rollout_advance_by_hand(&w.policy, ROLLOUT_VERB_RESUME, NOW + 5331, &w.progress, &ignored),
        0);
    cr_expect_eq(w.progress.resumed_s, NOW + 5331, "silence counts from then on");
    cr_expect(rollout_advance_hears(&w.policy, &w.progress, NOW + 99999));
}

Test(rollout_advance_paused, a_pause_that_the_gates_began_is_noted_too) {
    struct world w = world();
    (void)advance(&w);
    w.silence = ROLLOUT_SILENCE_SILENT;
    w.now_s += 10;
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_expect_eq(w.progress.paused_s, NOW + 10);
    w.silence = ROLLOUT_SILENCE_HEARD;
    w.now_s += 10;
    cr_assert_eq(advance(&w), ROLLOUT_MOVED);
    cr_expect(w.progress.paused_s == 0 && w.progress.resumed_s == 0);
}

Test(rollout_advance_paused, what_has_ended_or_goes_back_hears_nobody) {
    struct world w = world();
    static const enum rollout_state over[] = {ROLLOUT_STATE_FAILED, ROLLOUT_STATE_REVERTING,
                                              ROLLOUT_STATE_ABORTED, ROLLOUT_STATE_FINISHED};
    for (size_t i = 0; i < sizeof over / sizeof *over; i++) {
        w.progress.state = over[i];
        cr_expect_not(rollout_advance_hears(&w.policy, &w.progress, NOW));
    }
    w.progress.state = ROLLOUT_STATE_PAUSED;
    w.progress.back = true;
    cr_expect_not(rollout_advance_hears(&w.policy, &w.progress, NOW));
}
