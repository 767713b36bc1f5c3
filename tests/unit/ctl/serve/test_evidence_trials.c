// SPDX-License-Identifier: Apache-2.0
//
// Gates on reverts in the controller: who is told to sham, what the store keeps, what stops.
#include "ctl/rollout/trial.h"
#include "ctl/serve/evidence_parts.h"
#include "ctl/store/unit.h"
#include "tests/unit/ctl/serve/small_fleet.h"

TestSuite(serve_trials, .timeout = 1200);

static struct err e = ERR_NONE;

static json_t *policy(bool metric) {
    json_t *gates = json_pack("[{s:s, s:s}]", "name", "reverts", "kind", "revert");
    if (metric)
        (void)json_array_append_new(gates,
                                    json_pack("{s:s, s:s, s:s, s:i, s:i, s:i}", "name", "latency",
                                              "kind", "metric", "metric", "latency", "tolerable", 5,
                                              "intolerable", 40, "baseline_pct", 1));
    return json_pack("{s:s, s:s, s:o, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:b}, "
                     "s:[{s:s, s:i}, {s:s, s:i}], s:i, s:s, s:{s:i}}",
                     "name", "r", "release", "app 1.0", "gates", gates, "evidence", "newcomer_s", 0,
                     "rhythm_s", 10, "settle_s", 2, "compared", 4, "horizon_s", 60, "window_s", 8,
                     "grace_s", 4, "max_soak_s", "1h", "min_fragility", 1, "sham", 1, "stages",
                     "name", "canary", "count", 8, "name", "all", "percent", 100, "timeout_s", 30,
                     "on_failure", "revert", "batch", "start", 8);
}

static const struct rollout_score *score_of(struct small_fleet *w) {
    return small_fleet_rollout(w)->score;
}

static unsigned shams(const struct small_fleet *w) {
    unsigned n = 0;
    for (size_t i = 0; i < w->n; i++) {
        cr_expect_leq(w->devices[i].shams, 1, "device %zu restarted %u times", i,
                      w->devices[i].shams);
        n += w->devices[i].shams;
    }
    return n;
}

Test(serve_trials, a_release_whose_probes_fail_is_stopped_by_what_others_came_through) {
    struct small_fleet *w = small_fleet_make(60, true);
    w->fails_each = 1;
    small_fleet_apply(w, policy(false));
    small_fleet_until(w, ROLLOUT_STATE_REVERTED, 200);
    const struct serve_engine_rollout *r = small_fleet_rollout(w);
    cr_expect_eq(r->row.progress.why.code, ROLLOUT_WHY_reverted);
    cr_expect_geq(shams(w), 4);
    cr_expect_geq(score_of(w)->gate[0].events.scored, 3);
    struct rollout_tally all = serve_engine_sum(small_fleet_rollout(w), 2);
    cr_expect_leq(rollout_tally_offered(&all), 16);
    small_fleet_close(w);
}

Test(serve_trials, reverts_that_restarting_brings_anyway_stop_nothing) {
    struct small_fleet *w = small_fleet_make(60, true);
    w->fails_each = w->sham_fails_each = 3; // of both arms alike
    small_fleet_apply(w, policy(false));
    small_fleet_pass(w, 90);
    cr_expect_neq(small_fleet_state(w), ROLLOUT_STATE_REVERTED);
    cr_expect_neq(small_fleet_state(w), ROLLOUT_STATE_REVERTING);
    cr_expect_geq(shams(w), 16);
    cr_expect_gt(score_of(w)->gate[0].events.scored, 3);
    small_fleet_close(w);
}

Test(serve_trials, members_of_sets_for_metrics_restart_as_well) {
    struct small_fleet *w = small_fleet_make(60, true);
    small_fleet_apply(w, policy(true));
    small_fleet_pass(w, 100);
    cr_expect_gt(score_of(w)->sets_scored, 1);
    cr_expect_geq(shams(w), 8);
    cr_expect_neq(small_fleet_state(w), ROLLOUT_STATE_REVERTED);
    small_fleet_close(w);
}

Test(serve_trials, devices_that_do_not_know_how_are_not_counted_and_not_told) {
    struct small_fleet *w = small_fleet_open(40);
    small_fleet_apply(w, policy(false));
    small_fleet_pass(w, 60);
    cr_expect_eq(shams(w), 0);
    cr_expect_eq(score_of(w)->next_number, score_of(w)->first_number);
    struct rollout_tally all = serve_engine_sum(small_fleet_rollout(w), 2);
    cr_expect_geq(rollout_tally_offered(&all), 8, "they are admitted all the same");
    small_fleet_close(w);
}

Test(serve_trials, a_restart_of_the_controller_before_anything_changes_nothing) {
    struct small_fleet *plain = small_fleet_make(48, true), *cut = small_fleet_make(48, true);
    plain->fails_each = cut->fails_each = 5;
    plain->sham_fails_each = cut->sham_fails_each = 7;
    cut->restarts = true;
    small_fleet_apply(plain, policy(true));
    small_fleet_apply(cut, policy(true));
    small_fleet_pass(plain, 60);
    small_fleet_pass(cut, 60);
    cr_expect_str_eq(plain->log, cut->log);
    cr_expect_gt(score_of(plain)->gate[0].events.scored, 0);
    small_fleet_close(plain);
    small_fleet_close(cut);
}

// ── Sets that wait ──

// 22 at once, and four that are compared with each.
static json_t *wide_policy(void) {
    json_t *made = policy(false);
    (void)json_object_set_new(json_array_get(json_object_get(made, "stages"), 0), "count",
                              json_integer(22));
    (void)json_object_set_new(json_object_get(made, "batch"), "start", json_integer(22));
    return made;
}

static bool is_of_the_first_set(struct small_fleet *w, size_t i) {
    const struct store_cohort of = serve_evidence_cohort(&w->fleet, small_fleet_rollout(w));
    static struct rollout_score_device row;
    char id[24];
    must(store_cohort_get(&of, small_fleet_id(i, id), &row, &e));
    return row.set_no == score_of(w)->first_set;
}

// A member begins its sham and is not heard of again; every other set is over long before the first.
Test(serve_trials, sets_that_waited_for_one_are_scored_a_slice_at_a_time) {
    struct small_fleet *w = small_fleet_make(120, true);
    uint64_t most = 0, waited = 0;
    small_fleet_apply(w, wide_policy());
    for (int s = 0; s < 100; s++) {
        uint64_t before = score_of(w)->next_trial;
        small_fleet_second(w);
        for (size_t i = 0; i < w->n; i++)
            w->devices[i].quiet =
                w->devices[i].quiet || (w->devices[i].phase == 5 && is_of_the_first_set(w, i));
        uint64_t step = score_of(w)->next_trial - before;
        uint64_t wait = score_of(w)->next_set - score_of(w)->next_trial;
        most = step > most ? step : most;
        waited = wait > waited ? wait : waited;
    }
    cr_expect_geq(waited, 22);
    cr_expect_eq(most, SERVE_EVIDENCE_SETS_MAX);
    cr_expect_eq(score_of(w)->next_trial, score_of(w)->next_set, "the ticks went on");
    small_fleet_close(w);
}

// ── A recount ──

struct recount {
    struct evidence_events events;
    struct evidence_risk risk;
    uint64_t tie, comparison, treated;
};

static void end_tie(struct recount *r) {
    if (r->tie != 0)
        evidence_events_add(&r->events, &r->risk, r->comparison, r->treated);
    r->tie = r->comparison = r->treated = 0;
}

static int recount_unit(void *context, const struct store_unit *unit, struct err *error) {
    struct recount *r = context;
    (void)error;
    if (unit->tie != r->tie)
        end_tie(r);
    r->tie = unit->tie;
    r->risk = (struct evidence_risk){.comparison = unit->a, .treated = unit->b};
    *(unit->c ? &r->treated : &r->comparison) += 1;
    return 0;
}

Test(serve_trials, the_line_is_what_a_recount_of_the_units_gives) {
    struct small_fleet *w = small_fleet_make(60, true);
    w->fails_each = 4;
    w->sham_fails_each = 5;
    small_fleet_apply(w, policy(false));
    for (int s = 0; s < 60; s++) {
        struct recount r = {.tie = 0};
        small_fleet_second(w);
        must(store_unit_list(w->fleet.db, "r", score_of(w)->run, 0, recount_unit, &r, &e));
        end_tie(&r);
        cr_assert_eq(memcmp(&r.events, &score_of(w)->gate[0].events, sizeof r.events), 0,
                     "second %d", s);
    }
    cr_expect_gt(score_of(w)->gate[0].events.scored, 2);
    small_fleet_close(w);
}
