// SPDX-License-Identifier: Apache-2.0
//
// What one device is told: the order of precedence, and that there is always a why.
#include "ctl/rollout/decide.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct keys_digest bundle = {{1}}, other = {{2}};

struct world {
    struct rollout_policy policy;
    struct rollout_progress progress;
    struct rollout_candidate candidate;
    struct rollout_target baseline, pin;
    struct rollout_inputs in;
};

// One rollout, running, stage open, that fits an idle device.
static void make(struct world *w) {
    memset(w, 0, sizeof *w);
    w->policy = (struct rollout_policy){.name = "r",
                                        .release_name = "app",
                                        .release_version = "2",
                                        .n_stages = 1,
                                        .stages = {{.name = "all", .ppm = ROLLOUT_PPM}}};
    w->progress = (struct rollout_progress){.attempt = 1, .failed_stage = 1, .started_s = {5}};
    struct rollout_fit fit = {.published = true, .fits = true, .bundle = bundle, .reason = ""};
    w->candidate = (struct rollout_candidate){
        .policy = &w->policy, .progress = &w->progress, .selected = true, .fit = fit};
    w->baseline =
        (struct rollout_target){.release_name = "app", .release_version = "1", .fit = fit};
    w->baseline.fit.bundle = other;
    w->pin = w->baseline;
    w->in = (struct rollout_inputs){
        .device = {.rollout = "", .update_rollout = "", .direct_attempt = 1},
        .candidates = &w->candidate,
        .n_candidates = 1,
        .baseline_allowed = true,
        .now_s = 100};
}

static struct rollout_decision decide(struct world *w) {
    struct rollout_decision d;
    rollout_decide(&w->in, &d);
    cr_assert_neq(d.why.code, ROLLOUT_WHY_NONE);
    cr_assert_neq(d.why.text[0], '\0');
    return d;
}

Test(rollout_decide, an_open_stage_offers_and_says_so) {
    struct world w;
    make(&w);
    struct rollout_decision d = decide(&w);
    cr_assert_eq(d.action, ROLLOUT_ACTION_INSTALL);
    cr_assert_eq(d.mark, ROLLOUT_TASK_OFFERED);
    cr_assert_eq(d.attempt, 1);
    cr_assert(keys_digest_equal(&d.bundle, &bundle));
}

Test(rollout_decide, what_stands_in_the_way_is_named) {
    struct world w;
    make(&w);
    w.progress.state = ROLLOUT_STATE_PAUSED;
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_paused);
    make(&w);
    w.progress.state = ROLLOUT_STATE_FAILED;
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_rollout_failed);
    make(&w);
    w.policy.until_s = 100;
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_too_late);
    make(&w);
    w.progress.started_s[0] = 0;
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_stage_closed);
    make(&w);
    w.candidate.stage = 1;
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_not_in_rollout);
    make(&w);
    w.policy.max_unresolved = w.candidate.unresolved = 3;
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_unresolved_limit);
    make(&w);
    w.candidate.fit.fits = false;
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_requirement_unmet);
    cr_assert_eq(decide(&w).mark, ROLLOUT_TASK_SKIPPED);
    make(&w);
    w.in.n_candidates = 0;
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_no_release);
}

Test(rollout_decide, a_failed_device_is_left_alone_until_the_attempt_is_higher) {
    struct world w;
    make(&w);
    w.in.device.rollout = "r";
    w.in.device.attempt = 1;
    for (int i = 0; i < 2; i++) {
        w.in.device.task = i == 0 ? ROLLOUT_TASK_FAILED : ROLLOUT_TASK_REVERTED;
        w.progress.attempt = 1;
        cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
        cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_failed_here);
        w.progress.attempt = 2;
        cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_INSTALL);
        cr_assert_eq(decide(&w).attempt, 2);
    }
}

Test(rollout_decide, the_last_look_is_yes_only_while_the_rollout_goes_on) {
    static const enum rollout_action wanted[ROLLOUT_STATES] = {
        [ROLLOUT_STATE_RUNNING] = ROLLOUT_ACTION_ACTIVATE,
        [ROLLOUT_STATE_FINISHED] = ROLLOUT_ACTION_ACTIVATE,
        [ROLLOUT_STATE_PAUSED] = ROLLOUT_ACTION_NONE,
        [ROLLOUT_STATE_FAILED] = ROLLOUT_ACTION_NONE,
        [ROLLOUT_STATE_REVERTING] = ROLLOUT_ACTION_CANCEL,
        [ROLLOUT_STATE_REVERTED] = ROLLOUT_ACTION_CANCEL,
        [ROLLOUT_STATE_ABORTED] = ROLLOUT_ACTION_CANCEL,
    };
    for (unsigned state = 0; state < ROLLOUT_STATES; state++) {
        struct world w;
        make(&w);
        w.progress.state = (enum rollout_state)state;
        rollout_why_set(&w.progress.why, ROLLOUT_WHY_paused, "because");
        w.in.device = (struct rollout_device){.rollout = "r",
                                              .attempt = 1,
                                              .task = ROLLOUT_TASK_STAGED,
                                              .bundle = bundle,
                                              .updating = true,
                                              .look = true,
                                              .update_rollout = "r",
                                              .update_attempt = 1,
                                              .update_bundle = bundle};
        cr_assert_eq(decide(&w).action, wanted[state], "state %u", state);
        w.in.device.probation = true; // swapped in: it goes back, or on by itself
        cr_assert_eq(decide(&w).action,
                     wanted[state] == ROLLOUT_ACTION_CANCEL ? ROLLOUT_ACTION_REVERT
                                                            : ROLLOUT_ACTION_NONE,
                     "state %u", state);
    }
}

Test(rollout_decide, only_who_took_it_goes_back) {
    struct world w;
    make(&w);
    w.progress.state = ROLLOUT_STATE_REVERTING;
    w.candidate.fit.runs = true;
    w.in.device.rollout = "r";
    w.in.device.bundle = bundle;
    for (unsigned task = 0; task < ROLLOUT_TASKS; task++) {
        w.in.device.task = (enum rollout_task)task;
        cr_assert_eq(decide(&w).action == ROLLOUT_ACTION_REVERT,
                     rollout_task_took((enum rollout_task)task), "task %u", task);
    }
    // It never came so far: it is not waited for.
    w.in.device.task = ROLLOUT_TASK_OFFERED;
    w.candidate.fit.runs = false;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(decide(&w).mark, ROLLOUT_TASK_CANCELLED);
}

Test(rollout_decide, a_baseline_fills_what_no_rollout_claims) {
    struct world w;
    make(&w);
    w.in.baselines = &w.baseline;
    w.in.n_baselines = 1;
    w.progress.started_s[0] = 0; // before its turn: the baseline in the meantime
    struct rollout_decision d = decide(&w);
    cr_assert_eq(d.action, ROLLOUT_ACTION_INSTALL);
    cr_assert_eq(d.candidate, ROLLOUT_DECIDE_NO_CANDIDATE);
    cr_assert(keys_digest_equal(&d.bundle, &other));
    w.baseline.mandate_ends_s = w.in.now_s + 1;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_INSTALL);
    w.baseline.mandate_ends_s = w.in.now_s;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE, "what devices would refuse");
    // A pin is as much as a person's word that nobody signed: it is pinned again.
    w.in.pin = &w.baseline;
    d = decide(&w);
    cr_assert_eq(d.action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(d.why.code, ROLLOUT_WHY_mandate_expired);
    cr_assert_not_null(strstr(d.why.text, "pin it again"), "%s", d.why.text);
    w.baseline.mandate_ends_s = ROLLOUT_MANDATE_MISSING;
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_no_mandate);
    w.in.pin = NULL;
    w.baseline.mandate_ends_s = 0;
    w.in.baseline_allowed = false;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
    // A canary keeps the newer release while its rollout is paused.
    make(&w);
    w.in.baselines = &w.baseline;
    w.in.n_baselines = 1;
    w.progress.state = ROLLOUT_STATE_PAUSED;
    w.candidate.fit.runs = true;
    w.in.device.rollout = "r";
    w.in.device.task = ROLLOUT_TASK_COMMITTED;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
}

Test(rollout_decide, a_clone_is_told_nothing_at_all) {
    struct world w;
    make(&w);
    w.in.device.cloned = true;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_clone);
    cr_assert_eq(decide(&w).mark, ROLLOUT_TASK_SKIPPED);
    // Neither to go on nor to go back.
    w.in.device.updating = w.in.device.look = true;
    w.in.device.update_rollout = "r";
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
    w.progress.state = ROLLOUT_STATE_ABORTED;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
}

Test(rollout_decide, hold_and_pin_come_before_rollouts) {
    struct world w;
    make(&w);
    w.in.device.held = true;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_held);
    cr_assert_eq(decide(&w).mark, ROLLOUT_TASK_SKIPPED);
    make(&w);
    w.in.pin = &w.pin;
    struct rollout_decision d = decide(&w);
    cr_assert(keys_digest_equal(&d.bundle, &other));
    w.pin.fit.runs = true;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_pinned);
    cr_assert_eq(decide(&w).mark, ROLLOUT_TASK_SKIPPED);
}

// It is to stay where it is: it gives up what it has not activated, and whoever offered it that
// does not wait for it.
Test(rollout_decide, a_pin_ends_what_a_rollout_began_and_nobody_waits_for_it) {
    static const enum rollout_task tasks[] = {ROLLOUT_TASK_OFFERED, ROLLOUT_TASK_STAGED};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        make(&w);
        w.in.pin = &w.pin;
        w.pin.fit.runs = i < 2;      // it is there already, or
        w.pin.fit.published = i < 2; // cannot be had
        w.in.device.rollout = "r";
        w.in.device.attempt = 1;
        w.in.device.task = tasks[i % 2];
        struct rollout_decision d = decide(&w);
        cr_expect_eq(d.action, ROLLOUT_ACTION_NONE);
        cr_expect_eq(d.mark, ROLLOUT_TASK_CANCELLED, "%zu: %d", i, (int)d.mark);
        cr_expect_eq(d.candidate, 0);
        w.in.device.task = ROLLOUT_TASK_ACTIVATED; // comes to an outcome by itself
        cr_expect_eq(decide(&w).mark, ROLLOUT_TASK_NONE);
        w.in.device.task = ROLLOUT_TASK_COMMITTED;
        cr_expect_eq(decide(&w).mark, ROLLOUT_TASK_NONE);

        w.in.device.task = tasks[i % 2];
        w.in.device.updating = true;
        w.in.device.update_rollout = "r";
        w.in.device.update_attempt = 1;
        w.in.device.update_bundle = bundle;
        w.in.device.look = i % 2 == 1;
        d = decide(&w);
        cr_expect_eq(d.action, ROLLOUT_ACTION_CANCEL, "%zu: %s", i, d.why.text);
        cr_expect_eq(d.attempt, 1);
        cr_expect(keys_digest_equal(&d.bundle, &bundle));
        cr_expect_not_null(strstr(d.why.text, "pinned"), "%s", d.why.text);
        w.in.device.probation = true;
        cr_expect_eq(decide(&w).action, ROLLOUT_ACTION_NONE, "what is activated comes to its end");
        w.in.device.probation = false;
        w.pin.fit.bundle = bundle; // it is at work on just that
        cr_expect_neq(decide(&w).action, ROLLOUT_ACTION_CANCEL);
    }
}

// It is at work on the offer, as far as `task`.
static void at_work(struct world *w, enum rollout_task task) {
    make(w);
    w->in.device.rollout = w->in.device.update_rollout = "r";
    w->in.device.task = task;
    w->in.device.attempt = w->in.device.update_attempt = 3;
    w->in.device.update_bundle = w->in.device.bundle = bundle;
    w->in.device.updating = true;
}

Test(rollout_decide, after_its_time_who_has_not_activated_it_gives_it_up) {
    struct world w;
    at_work(&w, ROLLOUT_TASK_STAGED);
    w.policy.until_s = 100;
    w.in.device.look = true;
    for (int held = 0; held < 2; held++) {
        w.in.device.held = held;
        struct rollout_decision d = decide(&w);
        cr_assert_eq(d.action, ROLLOUT_ACTION_CANCEL);
        cr_assert_eq(d.attempt, 3);
        cr_assert_eq(d.mark, ROLLOUT_TASK_CANCELLED);
        cr_assert_eq(d.why.code, ROLLOUT_WHY_cancelling);
    }
    // Who never began is not waited for.
    w.in.device.updating = false;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(decide(&w).mark, ROLLOUT_TASK_CANCELLED);
    // Who activated it brings it to an end.
    at_work(&w, ROLLOUT_TASK_ACTIVATED);
    w.policy.until_s = 100;
    w.in.device.probation = true;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_in_progress);
    cr_assert_eq(decide(&w).mark, ROLLOUT_TASK_NONE);
}

Test(rollout_decide, who_is_stuck_is_offered_it_by_a_new_attempt_alone) {
    struct world w;
    at_work(&w, ROLLOUT_TASK_LOST);
    w.in.device.updating = false;
    w.in.device.attempt = 1;
    w.in.device.code = "";
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_INSTALL, "it was silent, and is heard of");
    w.in.device.code = "stuck";
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(decide(&w).why.code, ROLLOUT_WHY_stuck);
    w.progress.attempt = 2;
    cr_assert_eq(decide(&w).action, ROLLOUT_ACTION_INSTALL);
}
