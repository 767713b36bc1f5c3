// SPDX-License-Identifier: Apache-2.0
//
// Whom a rollout waits for, and for how long: who is held, who calls and does not finish, who has a
// try left and does not return, across restarts of the controller and outages.
#include "bundle/rank.h"
#include "ctl/store/cohort.h"
#include "tests/unit/ctl/serve/small_fleet.h"

TestSuite(serve_waits, .timeout = 1200);

static struct err e = ERR_NONE;

// Ten at once, an install gate, 30 s of silence.
static json_t *policy(void) {
    return json_pack("{s:s, s:s, s:i, s:s, s:{s:i}, s:[{s:s, s:s, s:i, s:i}],"
                     " s:{s:i, s:i, s:i, s:i, s:s}}",
                     "name", "r", "release", "app 1.0", "timeout_s", 30, "on_failure", "revert",
                     "batch", "start", 10, "gates", "name", "install", "kind", "install",
                     "baseline_pct", 2, "intolerable_pct", 50, "evidence", "newcomer_s", 0,
                     "rhythm_s", 10, "settle_s", 2, "min_fragility", 1, "max_soak_s", "1h");
}

static uint64_t counted(struct small_fleet *w, enum rollout_task task) {
    const struct serve_engine_rollout *r = small_fleet_rollout(w);
    return serve_engine_sum(r, r->row.policy.n_stages).now[task];
}

static struct store_device stored(struct small_fleet *w, size_t i) {
    struct store_device device = {.held = false};
    char id[24];
    cr_assert_eq(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e), 0);
    return device;
}

// The devices that were offered something, up to so many, do nothing more with it.
static size_t stop_some(struct small_fleet *w, size_t n, size_t *ret) {
    size_t found = 0;
    for (size_t i = 0; i < w->n && found < n; i++)
        if (w->devices[i].phase == 1) {
            w->devices[i].hangs = true;
            ret[found++] = i;
        }
    return found;
}

static void wait_for_offers(struct small_fleet *w, uint64_t n) {
    for (int s = 0; s < 60 && counted(w, ROLLOUT_TASK_OFFERED) < n; s++)
        small_fleet_second(w);
    cr_assert_geq(counted(w, ROLLOUT_TASK_OFFERED), n);
}

// ── Held ──

Test(serve_waits, whom_an_operator_holds_says_nothing_about_the_release) {
    struct small_fleet *w = small_fleet_open(36);
    size_t held[3];
    small_fleet_apply(w, policy());
    wait_for_offers(w, 3);
    cr_assert_eq(stop_some(w, 3, held), 3);
    for (size_t i = 0; i < 3; i++) {
        struct store_device device = stored(w, held[i]);
        device.held = true;
        device.held_s = w->fleet.now_ms / 1000;
        must(store_device_put(w->fleet.db, &device, &e));
        store_device_clear(&device);
    }
    w->devices[held[0]].quiet = true; // taken away to be looked at
    small_fleet_pass(w, 45);
    cr_expect_neq(small_fleet_state(w), ROLLOUT_STATE_REVERTING, "%s",
                  small_fleet_rollout(w)->row.progress.why.text);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 0);
    cr_expect_eq(counted(w, ROLLOUT_TASK_CANCELLED), 3);
    cr_expect_eq(small_fleet_rollout(w)->score->known_failed, 0);
    for (size_t i = 0; i < 3; i++) {
        struct store_device device = stored(w, held[i]);
        device.held = false;
        must(store_device_put(w->fleet.db, &device, &e));
        store_device_clear(&device);
        w->devices[held[i]].hangs = w->devices[held[i]].quiet = false;
    }
    small_fleet_until(w, ROLLOUT_STATE_FINISHED, 200);
    small_fleet_pass(w, 10);
    for (size_t i = 0; i < 3; i++)
        cr_expect(w->devices[held[i]].runs, "let go, it goes on");
    small_fleet_close(w);
}

// ── Stuck ──

static json_t *policy_stuck(void) {
    json_t *made = policy();
    (void)json_object_set_new(made, "timeouts", json_pack("{s:i}", "stuck_s", 60));
    (void)json_object_set_new(made, "on_failure", json_string("pause"));
    (void)json_object_set_new(
        made, "stages",
        json_pack("[{s:s, s:i, s:i}]", "name", "all", "percent", 100, "soak_s", 60));
    return made;
}

// A rollout under way, and a device that took its offer and does nothing more with it.
static struct small_fleet *one_stuck(size_t *ret) {
    struct small_fleet *w = small_fleet_open(36);
    small_fleet_apply(w, policy_stuck());
    wait_for_offers(w, 1);
    cr_assert_eq(stop_some(w, 1, ret), 1);
    return w;
}

Test(serve_waits, who_calls_and_does_not_finish_is_lost_and_stays_so) {
    size_t stuck = 0;
    struct small_fleet *w = one_stuck(&stuck);
    small_fleet_pass(w, 50);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 0);
    small_fleet_pass(w, 20);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 1);
    struct store_device device = stored(w, stuck);
    cr_expect_eq(device.task.state, ROLLOUT_TASK_LOST);
    cr_expect_str_eq(device.task.code, "stuck");
    store_device_clear(&device);
    cr_expect_eq(small_fleet_rollout(w)->score->known_failed, 1, "it is intention to treat");
    // That it says it is at work changes nothing, and it is offered nothing again.
    device = stored(w, stuck);
    small_fleet_report(w, &w->devices[stuck], &device, BUNDLE_EVENT_STAGED);
    small_fleet_report(w, &w->devices[stuck], &device, BUNDLE_EVENT_WAITING);
    cr_expect_eq(device.task.state, ROLLOUT_TASK_LOST);
    cr_expect_str_eq(device.task.code, "stuck");
    must(store_device_put(w->fleet.db, &device, &e));
    store_device_clear(&device);
    w->devices[stuck].phase = 0;
    cr_expect_eq(small_fleet_check_in(w, stuck), ROLLOUT_ACTION_NONE);
    device = stored(w, stuck);
    cr_expect_str_eq(device.why_code, "stuck");
    store_device_clear(&device);
    small_fleet_until(w, ROLLOUT_STATE_FINISHED, 200);
    small_fleet_close(w);
}

Test(serve_waits, who_is_stuck_and_comes_back_with_the_release_counts_as_what_it_says) {
    size_t stuck = 0;
    struct small_fleet *w = one_stuck(&stuck);
    small_fleet_pass(w, 70);
    cr_assert_eq(counted(w, ROLLOUT_TASK_LOST), 1);
    w->devices[stuck].hangs = false;
    small_fleet_until(w, ROLLOUT_STATE_FINISHED, 200);
    small_fleet_pass(w, 10);
    cr_expect(w->devices[stuck].runs);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 0);
    small_fleet_close(w);
}

Test(serve_waits, what_a_rollout_stood_still_for_makes_nobody_stuck) {
    struct rollout_why ignored;
    size_t stuck = 0;
    struct small_fleet *w = one_stuck(&stuck);
    for (enum rollout_verb verb = ROLLOUT_VERB_PAUSE; verb <= ROLLOUT_VERB_RESUME; verb++) {
        struct serve_engine_rollout *r = small_fleet_rollout(w);
        struct rollout_progress before = r->row.progress;
        cr_assert_eq(rollout_advance_by_hand(&r->row.policy, verb, w->fleet.now_ms / 1000,
                                             &r->row.progress, &ignored),
                     0);
        must(serve_fleet_keep(&w->fleet, r, &before, &e));
        small_fleet_restart(w); // the time is durable
        small_fleet_pass(w, verb == ROLLOUT_VERB_PAUSE ? 100 : 50);
        cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 0);
    }
    small_fleet_pass(w, 20);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 1);
    small_fleet_close(w);
}

// ── Until ──

Test(serve_waits, until_ends_a_rollout_whoever_is_at_work_on_it) {
    struct small_fleet *w = small_fleet_open(36);
    size_t stopped[2];
    json_t *made = policy();
    (void)json_object_set_new(made, "until", json_string("2027-01-15T08:00:20Z")); // in 20 s
    small_fleet_apply(w, made);
    wait_for_offers(w, 2);
    cr_assert_eq(stop_some(w, 2, stopped), 2);
    w->devices[stopped[1]].quiet = true; // and one is not even heard of
    small_fleet_pass(w, 25);
    cr_expect_eq(small_fleet_state(w), ROLLOUT_STATE_RUNNING, "one may still be at work");
    cr_expect_eq(small_fleet_rollout(w)->row.progress.why.code, ROLLOUT_WHY_too_late);
    cr_expect_eq(w->devices[stopped[0]].phase, 0, "was told to give it up");
    cr_expect_eq(counted(w, ROLLOUT_TASK_OFFERED), 1);
    small_fleet_until(w, ROLLOUT_STATE_ABORTED, 60);
    cr_expect_eq(small_fleet_rollout(w)->row.progress.why.code, ROLLOUT_WHY_too_late);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 1);
    small_fleet_close(w);
}

// ── Earlier stages ──

// Half, and all; without gates of evidence. Nobody is brought anywhere by a baseline.
static json_t *policy_halves(void) {
    return json_pack("{s:s, s:s, s:i, s:b, s:{s:i}, s:{s:i}, s:[{s:s, s:i}, {s:s, s:i, s:i}]}",
                     "name", "r", "release", "app 1.0", "timeout_s", 30, "baseline", 0, "timeouts",
                     "stuck_s", 60, "gate", "min_sample", 1, "stages", "name", "half", "percent",
                     50, "name", "all", "percent", 100, "soak_s", 10);
}

static size_t first_of_stage(struct small_fleet *w, size_t stage) {
    const struct serve_engine_rollout *r = small_fleet_rollout(w);
    size_t i = 0;
    char id[24];
    while (rollout_strata_stage(&r->row.policy, &r->strata[0].plan,
                                bundle_rank(small_fleet_id(i, id), r->row.seed)) != stage)
        cr_assert_lt(++i, w->n, "nobody is of stage %zu", stage);
    return i;
}

// A device of the first stage that calls when the last one is open, is offered the release, and does
// nothing more with it.
static struct small_fleet *one_late(size_t *ret) {
    struct small_fleet *w = small_fleet_open(24);
    small_fleet_apply(w, policy_halves());
    *ret = first_of_stage(w, 0);
    w->devices[*ret].quiet = true;
    for (int s = 0; s < 60 && small_fleet_rollout(w)->row.progress.stage == 0; s++)
        small_fleet_second(w);
    cr_assert_eq(small_fleet_rollout(w)->row.progress.stage, 1);
    w->devices[*ret].quiet = false;
    w->devices[*ret].hangs = true;
    small_fleet_pass(w, 3);
    struct store_device device = stored(w, *ret);
    cr_assert_eq(device.task.state, ROLLOUT_TASK_OFFERED);
    cr_assert_eq(device.task.stage, 0);
    store_device_clear(&device);
    return w;
}

static void expect_lost_when_finished(struct small_fleet *w, size_t late) {
    small_fleet_until(w, ROLLOUT_STATE_FINISHED, 120);
    cr_expect_eq(counted(w, ROLLOUT_TASK_OFFERED), 0);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 1);
    struct store_device device = stored(w, late);
    cr_expect_eq(device.task.state, ROLLOUT_TASK_LOST);
    store_device_clear(&device);
}

Test(serve_waits, who_is_silent_with_a_late_offer_of_an_earlier_stage_is_lost_before_it_finishes) {
    size_t late = 0;
    struct small_fleet *w = one_late(&late);
    w->devices[late].quiet = true;
    expect_lost_when_finished(w, late);
    small_fleet_close(w);
}

Test(serve_waits, so_is_who_calls_and_does_not_finish_a_late_offer) {
    size_t late = 0;
    struct small_fleet *w = one_late(&late);
    expect_lost_when_finished(w, late);
    small_fleet_close(w);
}

// It was lost, is heard of when the rollout is over, and does not finish then either.
Test(serve_waits, a_rollout_that_is_finished_loses_who_is_stuck_too) {
    size_t late = 0;
    struct small_fleet *w = one_late(&late);
    w->devices[late].quiet = true;
    expect_lost_when_finished(w, late);
    struct store_device device = stored(w, late);
    small_fleet_report(w, &w->devices[late], &device, BUNDLE_EVENT_WAITING);
    cr_expect_eq(device.task.state, ROLLOUT_TASK_STAGED);
    device.seen_s = w->fleet.now_ms / 1000;
    must(store_device_put(w->fleet.db, &device, &e));
    store_device_clear(&device);
    w->devices[late].quiet = false;
    small_fleet_pass(w, 50);
    cr_expect_eq(counted(w, ROLLOUT_TASK_STAGED), 1);
    small_fleet_pass(w, 20);
    expect_lost_when_finished(w, late);
    cr_expect_eq(counted(w, ROLLOUT_TASK_STAGED), 0);
    small_fleet_close(w);
}

// ── Restarts ──

// Up for so long, down for so long.
static void restart_after(struct small_fleet *w, int up_s, int down_s) {
    small_fleet_pass(w, up_s);
    w->fleet.now_ms += down_s * 1000LL;
    small_fleet_restart(w);
    must(serve_fleet_start(&w->fleet, &e));
}

Test(serve_waits, a_controller_that_is_restarted_often_loses_who_is_silent_all_the_same) {
    struct small_fleet *w = small_fleet_open(36);
    size_t silent = 0;
    json_t *made = policy();
    (void)json_object_set_new(made, "timeout_s", json_integer(100));
    (void)json_object_set_new(made, "on_failure", json_string("pause"));
    small_fleet_apply(w, made);
    wait_for_offers(w, 1);
    cr_assert_eq(stop_some(w, 1, &silent), 1);
    w->devices[silent].quiet = true;
    for (int i = 0; i < 3; i++) {
        restart_after(w, 30, 50);
        cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 0);
    }
    small_fleet_pass(w, 42); // and of each life up to 10 s are not known of
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 1);
    small_fleet_close(w);
}

Test(serve_waits, a_restart_in_an_outage_does_not_end_it) {
    struct small_fleet *w = small_fleet_open(36);
    small_fleet_apply(w, policy());
    small_fleet_pass(w, 15);
    wait_for_offers(w, 1);
    uint64_t at_work = counted(w, ROLLOUT_TASK_OFFERED) + counted(w, ROLLOUT_TASK_ACTIVATED);
    for (size_t i = 0; i < w->n; i++)
        w->devices[i].quiet = true;
    small_fleet_until(w, ROLLOUT_STATE_PAUSED, 40);
    cr_assert_eq(small_fleet_rollout(w)->row.progress.why.code, ROLLOUT_WHY_fleet_silent);
    restart_after(w, 5, 40);
    small_fleet_pass(w, 60);
    cr_expect_eq(small_fleet_state(w), ROLLOUT_STATE_PAUSED);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 0);
    cr_expect_eq(counted(w, ROLLOUT_TASK_OFFERED) + counted(w, ROLLOUT_TASK_ACTIVATED), at_work);
    for (size_t i = 0; i < w->n; i++)
        w->devices[i].quiet = false;
    small_fleet_until(w, ROLLOUT_STATE_FINISHED, 200);
    small_fleet_close(w);
}

// ── A clock that is set ──

#define YEAR_S (365 * 86400LL)

static void set_clock(struct small_fleet *w, int64_t by_s, bool restarts) {
    w->fleet.now_ms += by_s * 1000;
    small_fleet_restart(w);
    must(restarts ? serve_fleet_start(&w->fleet, &e) : serve_fleet_jump(&w->fleet, by_s, &e));
}

// One falls silent and one calls and does not finish, both heard of last while the clock was a year
// ahead.
static void expect_both_lost(bool restarts) {
    struct small_fleet *w = small_fleet_open(36);
    size_t stopped[2];
    small_fleet_apply(w, policy_stuck());
    set_clock(w, YEAR_S, restarts);
    wait_for_offers(w, 2);
    cr_assert_eq(stop_some(w, 2, stopped), 2);
    small_fleet_pass(w, 15);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 0);
    set_clock(w, -YEAR_S, restarts);
    w->devices[stopped[0]].quiet = true;
    small_fleet_pass(w, 25);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 0, "not before its time");
    small_fleet_pass(w, 10);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 1, "who is silent");
    small_fleet_pass(w, 30);
    cr_expect_eq(counted(w, ROLLOUT_TASK_LOST), 2, "and who is stuck");
    small_fleet_close(w);
}

Test(serve_waits, a_clock_that_was_ahead_and_is_set_back_keeps_nobody_waited_for) {
    expect_both_lost(false);
}

Test(serve_waits, nor_one_that_was_set_back_while_the_controller_was_down) {
    expect_both_lost(true);
}

// Of the comparison, heard of last while the clock was ahead.
Test(serve_waits, a_clock_that_is_set_back_hides_no_loss_from_its_gate) {
    struct small_fleet *w = small_fleet_open(36);
    static struct rollout_score_device row;
    json_t *made = policy();
    size_t lost = 0;
    char id[24];
    (void)json_object_set_new(made, "gates",
                              json_pack("[{s:s, s:s}]", "name", "lost", "kind", "lost"));
    (void)json_object_set_new(made, "stages",
                              json_pack("[{s:s, s:i, s:i}, {s:s, s:i}]", "name", "canary", "count",
                                        10, "soak_s", 1000, "name", "all", "percent", 100));
    small_fleet_apply(w, made);
    small_fleet_pass(w, 15);
    set_clock(w, YEAR_S, false);
    small_fleet_pass(w, 6);
    set_clock(w, -YEAR_S, false);
    while (w->devices[lost].runs || w->devices[lost].phase != 0)
        lost++;
    w->devices[lost].quiet = true;
    small_fleet_pass(w, 60);
    const struct store_cohort of = {
        .db = w->fleet.db, .rollout = "r", .gates = &small_fleet_rollout(w)->row.policy.gates};
    must(store_cohort_get(&of, small_fleet_id(lost, id), &row, &e));
    cr_expect_eq(row.arm, ROLLOUT_ARM_COMPARISON);
    cr_expect_neq(row.had, 0);
    small_fleet_close(w);
}

// ── Tries that are left ──

Test(serve_waits, who_failed_and_does_not_return_for_its_next_try_is_not_waited_for) {
    struct small_fleet *w = small_fleet_open(36);
    json_t *made = policy();
    (void)json_object_set_new(made, "retries",
                              json_pack("{s:i, s:i, s:i}", "max", 2, "delay_s", 20, "backoff", 1));
    (void)json_object_set_new(made, "on_failure", json_string("pause"));
    small_fleet_apply(w, made);
    wait_for_offers(w, 1);
    // The first of all numbers fails, and is switched off.
    char id[24];
    const struct store_cohort of = {
        .db = w->fleet.db, .rollout = "r", .gates = &small_fleet_rollout(w)->row.policy.gates};
    char first[ROLLOUT_UNIT_ID_MAX + 1];
    cr_assert_eq(store_cohort_holder(&of, 1, first, &e), 0);
    size_t gone = 0;
    while (strcmp(small_fleet_id(gone, id), first) != 0)
        gone++;
    struct store_device device = stored(w, gone);
    small_fleet_report(w, &w->devices[gone], &device, BUNDLE_EVENT_FAILED);
    must(store_device_put(w->fleet.db, &device, &e));
    store_device_clear(&device);
    w->devices[gone].quiet = true;
    w->devices[gone].phase = 0;
    small_fleet_pass(w, 40);
    cr_expect_eq(small_fleet_rollout(w)->score->prefix, 1, "20 s, and 30 more, are waited");
    small_fleet_pass(w, 20);
    cr_expect_gt(small_fleet_rollout(w)->score->prefix, 2, "the others go on");
    cr_expect_eq(small_fleet_rollout(w)->score->known_failed, 1);
    small_fleet_close(w);
}
