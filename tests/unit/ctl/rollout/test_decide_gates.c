// SPDX-License-Identifier: Apache-2.0
//
// What a device is told where batches, comparisons, retries, priorities and reverts have a say.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctl/rollout/decide.h"

#define NOW 1000000

struct world {
    struct rollout_policy policy[3];
    struct rollout_progress progress[3];
    struct rollout_candidate candidates[3];
    struct rollout_inputs in;
    struct rollout_decision out;
};

// Candidates are newest first; each has a release of its own for every device.
static void add(struct world *w, size_t i) {
    struct rollout_policy *p = &w->policy[i];
    (void)snprintf(p->name, sizeof p->name, "r%zu", i);
    (void)snprintf(p->release_name, sizeof p->release_name, "app%zu", i);
    (void)snprintf(p->release_version, sizeof p->release_version, "2");
    (void)snprintf(p->stages[0].name, sizeof p->stages[0].name, "all");
    p->n_stages = 1;
    w->progress[i] = (struct rollout_progress){.attempt = 1, .failed_stage = 1, .started_s = {NOW}};
    w->candidates[i] = (struct rollout_candidate){.policy = p,
                                                  .progress = &w->progress[i],
                                                  .selected = true,
                                                  .fit = {.published = true, .fits = true}};
}

static void make(struct world *w) {
    memset(w, 0, sizeof *w);
    w->in = (struct rollout_inputs){.candidates = w->candidates, .n_candidates = 1, .now_s = NOW};
    w->in.device = (struct rollout_device){.rollout = "", .update_rollout = ""};
    add(w, 0);
}

static enum rollout_why_code decide(struct world *w) {
    rollout_decide(&w->in, &w->out);
    return w->out.why.code;
}

// It is what the task says in rollout r0.
static void become(struct world *w, enum rollout_task task, uint64_t attempt) {
    w->in.device.rollout = "r0";
    w->in.device.task = task;
    w->in.device.attempt = attempt;
    w->in.device.since_s = NOW - 50;
}

Test(rollout_decide_gates, ranks_beyond_the_open_bound_wait_for_their_batch) {
    static struct world w;
    make(&w);
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    w.candidates[0].admission = ROLLOUT_ADMISSION_BATCH;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_rank_beyond);
    cr_assert_eq(w.out.action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(w.out.mark, ROLLOUT_TASK_NONE);
    w.candidates[0].admission = ROLLOUT_ADMISSION_HELD_BACK;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_holdback);
    become(&w, ROLLOUT_TASK_OFFERED, 1); // who was offered it is not put off: its answer was lost
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    become(&w, ROLLOUT_TASK_SKIPPED, 1);
    cr_assert_eq(decide(&w), ROLLOUT_WHY_holdback);
}

// Where sites are drawn it is the site's rank, and the sentence says so.
Test(rollout_decide_gates, the_rank_that_waits_is_that_of_the_unit) {
    static struct world w;
    make(&w);
    w.candidates[0].admission = ROLLOUT_ADMISSION_BATCH;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_rank_beyond);
    cr_assert(strstr(w.out.why.text, "it belongs to stage"), "%s", w.out.why.text);
    w.policy[0].gates.n = 1;
    w.policy[0].gates.unit = ROLLOUT_UNIT_SITE;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_rank_beyond);
    cr_assert(strstr(w.out.why.text, "its site belongs to stage"), "%s", w.out.why.text);
    w.candidates[0].admission = ROLLOUT_ADMISSION_HELD_BACK;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_holdback);
    cr_assert(strstr(w.out.why.text, "keeps its site back"), "%s", w.out.why.text);
}

Test(rollout_decide_gates, beyond_what_people_signed_nothing_is_offered_or_activated) {
    static struct world w;
    make(&w);
    w.candidates[0].mandate_ends_s = NOW + 1;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    w.candidates[0].mandate_ends_s = NOW;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_mandate_expired);
    cr_assert_eq(w.out.mark, ROLLOUT_TASK_NONE);
    w.candidates[0].mandate_ends_s = ROLLOUT_MANDATE_MISSING;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_no_mandate);
    w.candidates[0].mandate_ends_s = NOW;
    become(&w, ROLLOUT_TASK_STAGED, 1);
    w.in.device.updating = w.in.device.look = true;
    w.in.device.update_rollout = "r0";
    w.in.device.update_attempt = 1;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_mandate_expired);
    cr_assert_eq(w.out.action, ROLLOUT_ACTION_NONE); // what it fetched is kept
}

Test(rollout_decide_gates, what_people_did_not_sign_for_is_no_outcome) {
    static const char *const codes[] = {"no_mandate", "outside_mandate", "mandate_expired",
                                        "rank_beyond", "too_early"};
    for (size_t i = 0; i < 5; i++)
        cr_expect(rollout_task_unsigned(codes[i]), "%s", codes[i]);
    cr_expect(!rollout_task_unsigned("digest_mismatch"));
    cr_expect(!rollout_task_unsigned(""));
}

Test(rollout_decide_gates, who_is_compared_waits_until_the_set_is_scored) {
    static struct world w;
    make(&w);
    w.candidates[0].compared = true;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_in_comparison);
    cr_assert_eq(w.out.mark, ROLLOUT_TASK_NONE);
    w.candidates[0].compared = false;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
}

Test(rollout_decide_gates, a_stepping_stone_that_is_missing_is_named) {
    static struct world w;
    make(&w);
    w.candidates[0].stone = "app0 1.5";
    cr_assert_eq(decide(&w), ROLLOUT_WHY_stepping_stone);
    cr_assert_not_null(strstr(w.out.why.text, "app0 1.5"), "%s", w.out.why.text);
}

Test(rollout_decide_gates, a_batch_limits_those_at_work_and_the_lesser_limit_is_named) {
    static struct world w;
    make(&w);
    w.progress[0].batch.size = 10;
    w.candidates[0].unresolved = 9;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    w.candidates[0].unresolved = 10;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_batch_limit);
    w.policy[0].max_unresolved = 10;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_batch_limit);
    w.policy[0].max_unresolved = 9;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_unresolved_limit);
    w.candidates[0].unresolved = 9;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_unresolved_limit);
    w.progress[0].batch.size = 0;
    w.candidates[0].unresolved = 8;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    become(&w, ROLLOUT_TASK_OFFERED, 1); // it is one of them
    w.candidates[0].unresolved = 9;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
}

// ── Retries ──

Test(rollout_decide_gates, a_failure_is_tried_again_when_it_is_due_by_a_higher_attempt) {
    static struct world w;
    make(&w);
    become(&w, ROLLOUT_TASK_FAILED, 1);
    cr_assert_eq(decide(&w), ROLLOUT_WHY_failed_here);
    w.policy[0].retries = (struct rollout_retries){.max = 2, .delay_s = 60, .backoff_ppm = 2000000};
    cr_assert_eq(decide(&w), ROLLOUT_WHY_retry_later);
    cr_assert_not_null(strstr(w.out.why.text, "in 10 s"), "%s", w.out.why.text);
    w.in.now_s = NOW + 10;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    cr_assert_eq(w.out.attempt, 2);
    become(&w, ROLLOUT_TASK_OFFERED, 2); // the answer was lost: the same once more
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    cr_assert_eq(w.out.attempt, 2);
    become(&w, ROLLOUT_TASK_FAILED, 2);
    cr_assert_eq(decide(&w), ROLLOUT_WHY_retry_later);
    w.in.now_s = NOW + 70;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    cr_assert_eq(w.out.attempt, 3);
    become(&w, ROLLOUT_TASK_FAILED, 3);
    cr_assert_eq(decide(&w), ROLLOUT_WHY_failed_here);
    w.progress[0].attempt = 4; // the rollout was resumed
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    cr_assert_eq(w.out.attempt, 4);
}

Test(rollout_decide_gates, a_failure_that_stands_aside_is_tried_again_too) {
    static struct world w;
    make(&w);
    w.policy[0].retries = (struct rollout_retries){
        .max = 1, .delay_s = 60, .backoff_ppm = 1000000, .n_codes = 1, .codes = {"network"}};
    w.candidates[0].aside = ROLLOUT_TASK_FAILED;
    w.candidates[0].aside_attempt = 1;
    w.candidates[0].aside_since_s = NOW - 60;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_failed_here);
    w.candidates[0].aside_code = "network";
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    cr_assert_eq(w.out.attempt, 2);
}

// ── Several rollouts ──

Test(rollout_decide_gates, the_higher_priority_then_the_older_rollout_goes_first) {
    static struct world w;
    make(&w);
    add(&w, 1);
    add(&w, 2);
    w.in.n_candidates = 3;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    cr_assert_eq(w.out.candidate, 2); // the oldest
    w.policy[1].priority = 1;
    (void)decide(&w);
    cr_assert_eq(w.out.candidate, 1);
    w.policy[2].priority = -1;
    w.progress[1].state = ROLLOUT_STATE_PAUSED; // one that cannot does not keep others from it
    (void)decide(&w);
    cr_assert_eq(w.out.candidate, 0);
    w.progress[0].state = ROLLOUT_STATE_PAUSED;
    (void)decide(&w);
    cr_assert_eq(w.out.candidate, 2);
    w.progress[2].state = ROLLOUT_STATE_PAUSED; // the first one's reason is told
    (void)decide(&w);
    cr_assert_not_null(strstr(w.out.why.text, "r1"), "%s", w.out.why.text);
}

// ── Going back ──

static void fail(struct world *w) {
    w->progress[0].state = ROLLOUT_STATE_REVERTING;
    w->candidates[0].fit.runs = true;
    become(w, ROLLOUT_TASK_COMMITTED, 1);
}

Test(rollout_decide_gates, going_back_is_paced) {
    static struct world w;
    make(&w);
    fail(&w);
    cr_assert_eq(decide(&w), ROLLOUT_WHY_going_back);
    cr_assert_eq(w.out.action, ROLLOUT_ACTION_REVERT);
    cr_assert(w.out.spent_revert);
    w.candidates[0].revert_full = true;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_revert_rate);
    cr_assert_eq(w.out.action, ROLLOUT_ACTION_NONE);
    cr_assert_not(w.out.spent_revert);
}

Test(rollout_decide_gates, offers_are_paced_and_one_that_was_lost_is_given_again) {
    static struct world w;
    make(&w);
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    cr_assert(w.out.spent_offer);
    w.candidates[0].offer_full = true;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offer_rate);
    cr_assert_eq(w.out.action, ROLLOUT_ACTION_NONE);
    cr_assert_eq(w.out.mark, ROLLOUT_TASK_NONE);
    cr_assert_not(w.out.spent_offer);
    become(&w, ROLLOUT_TASK_OFFERED, 1);
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    cr_assert_not(w.out.spent_offer, "it counted when it was given first");
}

Test(rollout_decide_gates, a_revert_covers_what_the_policy_says) {
    static struct world w;
    make(&w);
    fail(&w);
    w.policy[0].revert_scope = ROLLOUT_REVERT_ACTIVATED;
    (void)decide(&w);
    cr_assert_eq(w.out.action, ROLLOUT_ACTION_NONE);
    w.in.device.task = ROLLOUT_TASK_ACTIVATED;
    (void)decide(&w);
    cr_assert_eq(w.out.action, ROLLOUT_ACTION_REVERT);
}

Test(rollout_decide_gates, once_for_each_device_and_release) {
    static struct world w;
    make(&w);
    fail(&w);
    w.candidates[0].went_back = true;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_went_back);
    cr_assert_eq(w.out.action, ROLLOUT_ACTION_NONE);
    add(&w, 1); // another rollout has something for it all the same
    w.in.n_candidates = 2;
    cr_assert_eq(decide(&w), ROLLOUT_WHY_offered);
    cr_assert_eq(w.out.candidate, 1);
}
