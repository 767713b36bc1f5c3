// SPDX-License-Identifier: Apache-2.0
//
// Gates of evidence in the controller: what is stored is what is counted, a restart at any instant
// changes nothing, silence, going back, and what is left in the end.
#include "ctl/serve/evidence.h"
#include "ctl/serve/show_evidence.h"
#include "ctl/store/cohort.h"
#include "ctl/store/ran.h"
#include "ctl/store/score.h"
#include "ctl/store/undone.h"
#include "ctl/store/unit.h"
#include "ctl/store/verdict.h"
#include "tests/unit/ctl/serve/recount.h"

TestSuite(serve_evidence, .timeout = 1200);

static struct err e = ERR_NONE;

static json_t *gate_metric(void) {
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i}", "name", "latency", "kind", "metric",
                     "metric", "latency", "tolerable", 5, "intolerable", 40, "baseline_pct", 1);
}

static json_t *gates_all(void) {
    return json_pack("[{s:s, s:s, s:i, s:i}, {s:s, s:s}, {s:s, s:s, s:s}, o]", "name", "install",
                     "kind", "install", "baseline_pct", 2, "intolerable_pct", 50, "name", "lost",
                     "kind", "lost", "name", "crashes", "kind", "counter", "metric", "crashes",
                     gate_metric());
}

static json_t *evidence(void) {
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:i}", "newcomer_s", 0, "rhythm_s",
                     10, "settle_s", 2, "compared", 4, "horizon_s", 12, "window_s", 8, "grace_s", 4,
                     "max_soak_s", "1h", "min_fragility", 1);
}

// A canary of so many devices, then all.
static json_t *policy_of(json_t *gates, int canary) {
    return json_pack("{s:s, s:s, s:o, s:o, s:[{s:s, s:i}, {s:s, s:i}], s:i, s:s, s:{s:i}}", "name",
                     "r", "release", "app 1.0", "gates", gates, "evidence", evidence(), "stages",
                     "name", "canary", "count", canary, "name", "all", "percent", 100, "timeout_s",
                     30, "on_failure", "revert", "batch", "start", canary);
}

// ── A restart ──

static void one_is_quiet(struct small_fleet *w, int second) {
    w->devices[3].quiet = second > 15;
}

Test(serve_evidence, a_restart_before_anything_changes_no_decision_and_no_number) {
    struct small_fleet *steady = small_fleet_open(36), *shaken = small_fleet_open(36);
    shaken->restarts = true;
    steady->worse = shaken->worse = 4;
    steady->crashes_each = shaken->crashes_each = 2;
    steady->fails_each = shaken->fails_each = 11;
    small_fleet_apply(steady, policy_of(gates_all(), 8));
    small_fleet_apply(shaken, policy_of(gates_all(), 8));
    expect_restarts_change_nothing(steady, shaken, one_is_quiet);
    expect_all_kinds_counted(steady, 2, 4);
    small_fleet_close(steady);
    small_fleet_close(shaken);
}

// ── A recount ──

Test(serve_evidence, lines_are_what_a_recount_of_the_stored_rows_gives) {
    struct small_fleet *w = small_fleet_open(36);
    struct lines *stored = calloc(1, sizeof *stored), *counted = calloc(1, sizeof *counted);
    struct rollout_score *score = calloc(1, sizeof *score);
    w->crashes_each = 4;
    w->fails_each = 13;
    w->worse = 7;
    small_fleet_apply(w, policy_of(gates_all(), 8));
    for (int s = 0; s < 70; s++) {
        for (size_t i = 0; i < w->n; i++) // some of both arms fall silent together
            w->devices[i].quiet = s > 20 && (i == 1 || i == 2 || i == 20 || i == 21);
        small_fleet_second(w);
        *score = *small_fleet_rollout(w)->score;
        recount(w, score);
        read_lines(w, stored);
        format_lines(&small_fleet_rollout(w)->row.policy.gates, score, counted);
        cr_assert_str_eq(counted->text, stored->text, "second %d", s);
    }
    cr_expect_gt(score->sets_scored, 2);
    cr_expect_gt(score->gate[1].events.scored, 1);
    cr_expect_gt(score->gate[2].events.scored, 0);
    cr_expect_eq(score->sites.n, 3);
    small_fleet_close(w);
    free(stored);
    free(counted);
    free(score);
}

// ── Verdicts ──

Test(serve_evidence, installs_that_fail_stop_it_and_what_that_rests_on_stays) {
    struct small_fleet *w = small_fleet_open(40);
    OWN(json) json_t *verdicts = NULL;
    w->fails_each = 1;
    small_fleet_apply(w, policy_of(gates_all(), 8));
    small_fleet_until(w, ROLLOUT_STATE_REVERTED, 120);
    struct rollout_tally all = serve_engine_sum(small_fleet_rollout(w), 2);
    cr_expect_leq(rollout_tally_offered(&all), 8);
    must(store_verdict_list(w->fleet.db, "r", &verdicts, &e));
    cr_assert_gt(json_array_size(verdicts), 0);
    const json_t *last = json_array_get(verdicts, json_array_size(verdicts) - 1);
    cr_expect_str_eq(json_string_value(json_object_get(last, "gate")), "install");
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(last, "why"), "code")),
                     "evidence_failed");
    cr_expect(json_is_false(json_object_get(last, "doubt")));
    small_fleet_close(w);
}

Test(serve_evidence, devices_of_one_site_alone_pause_it_and_the_site_is_named) {
    struct small_fleet *w = small_fleet_open(60);
    OWN(json) json_t *verdicts = NULL;
    w->fails_each = 3; // those of site a
    small_fleet_apply(w, policy_of(gates_all(), 20));
    small_fleet_until(w, ROLLOUT_STATE_PAUSED, 120);
    cr_expect_eq(small_fleet_rollout(w)->row.progress.why.code, ROLLOUT_WHY_one_cluster);
    must(store_verdict_list(w->fleet.db, "r", &verdicts, &e));
    const json_t *last = json_array_get(verdicts, json_array_size(verdicts) - 1);
    const json_t *cluster = json_object_get(last, "cluster");
    cr_expect_str_eq(json_string_value(json_object_get(cluster, "kind")), "site");
    cr_expect_str_eq(json_string_value(json_object_get(cluster, "name")), "a");
    cr_expect(json_is_true(json_object_get(last, "doubt")));
    small_fleet_close(w);
}

// ── Silence ──

Test(serve_evidence, a_fleet_that_is_silent_pauses_it_and_goes_on_when_it_is_heard_of) {
    struct small_fleet *w = small_fleet_open(36);
    small_fleet_apply(w, policy_of(gates_all(), 8));
    small_fleet_pass(w, 15);
    uint64_t lost = small_fleet_rollout(w)->score->gate[1].events.scored;
    for (size_t i = 0; i < w->n; i++)
        w->devices[i].quiet = true;
    small_fleet_until(w, ROLLOUT_STATE_PAUSED, 60);
    cr_expect_eq(small_fleet_rollout(w)->row.progress.why.code, ROLLOUT_WHY_fleet_silent);
    cr_expect_eq(small_fleet_rollout(w)->score->gate[1].events.scored, lost, "nobody was lost");
    for (size_t i = 0; i < w->n; i++)
        w->devices[i].quiet = false;
    small_fleet_until(w, ROLLOUT_STATE_RUNNING, 30);
    small_fleet_close(w);
}

Test(serve_evidence, downtime_of_the_controller_is_nobody_s_silence) {
    struct small_fleet *w = small_fleet_open(36);
    small_fleet_apply(w, policy_of(gates_all(), 8));
    small_fleet_pass(w, 15);
    w->fleet.now_ms += 300 * 1000;
    small_fleet_restart(w);
    must(serve_fleet_start(&w->fleet, &e));
    small_fleet_pass(w, 5);
    cr_expect_eq(small_fleet_state(w), ROLLOUT_STATE_RUNNING);
    cr_expect_eq(small_fleet_rollout(w)->score->gate[1].events.scored, 0);
    small_fleet_close(w);
}

// ── Going back ──

static json_t *policy_paced(int a_minute) {
    json_t *policy = json_pack("{s:s, s:s, s:{s:i}}", "name", "r", "release", "app 1.0", "gate",
                               "min_sample", 1);
    (void)json_object_set_new(policy, "revert_rate", json_integer(a_minute));
    return policy;
}

static void revert(struct small_fleet *w) {
    struct serve_engine_rollout *r = small_fleet_rollout(w);
    struct rollout_progress before = r->row.progress;
    struct rollout_why reason;
    cr_assert_eq(rollout_advance_by_hand(&r->row.policy, ROLLOUT_VERB_REVERT,
                                         w->fleet.now_ms / 1000, &r->row.progress, &reason),
                 0);
    must(serve_fleet_keep(&w->fleet, r, &before, &e));
}

Test(serve_evidence, devices_go_back_so_many_a_minute) {
    struct small_fleet *w = small_fleet_open(30);
    small_fleet_apply(w, policy_paced(60));
    small_fleet_until(w, ROLLOUT_STATE_FINISHED, 60);
    revert(w);
    unsigned told = 0;
    for (int s = 0; s < 10; s++) {
        small_fleet_second(w);
        unsigned now = 0;
        for (size_t i = 0; i < w->n; i++)
            now += w->devices[i].phase == 3 || !w->devices[i].runs;
        cr_expect_leq(now, told + 1, "one in a second");
        told = now;
    }
    cr_expect_geq(told, 8);
    cr_expect_not_null(strstr(w->log, "revert_rate"));
    small_fleet_until(w, ROLLOUT_STATE_REVERTED, 60);
    for (size_t i = 0; i < w->n; i++) {
        struct store_undone undone;
        char id[24];
        cr_expect_eq(
            store_undone_get(w->fleet.db, small_fleet_id(i, id), "app", "1.0", &undone, &e), 0);
        cr_expect(!w->devices[i].runs);
    }
    small_fleet_close(w);
}

// ── The end ──

static int count_row(void *context, const char *device, const struct rollout_score_device *row,
                     struct err *error) {
    (void)device;
    (void)row;
    (void)error;
    ++*(size_t *)context;
    return 0;
}

Test(serve_evidence, what_a_rollout_leaves_is_its_lines_and_verdicts) {
    struct small_fleet *w = small_fleet_open(40);
    struct lines *lines = calloc(1, sizeof *lines);
    w->fails_each = 1;
    small_fleet_apply(w, policy_of(gates_all(), 8));
    small_fleet_until(w, ROLLOUT_STATE_REVERTED, 120);
    const struct rollout_gates *gates = &small_fleet_rollout(w)->row.policy.gates;
    const struct store_cohort of = {w->fleet.db, "r", gates};
    size_t rows = 0;
    small_fleet_pass(w, 2);
    must(store_cohort_list(&of, count_row, &rows, &e));
    cr_expect_eq(rows, 0);
    small_fleet_restart(w);
    read_lines(w, lines);
    cr_expect_neq(lines->len, 0);
    OWN(json) json_t *shown = serve_show_evidence(small_fleet_rollout(w));
    cr_expect_eq(json_array_size(json_object_get(shown, "gates")), 4);
    small_fleet_close(w);
    free(lines);
}

Test(serve_evidence, a_device_that_another_rollout_takes_leaves_the_comparison) {
    struct small_fleet *w = small_fleet_open(36);
    struct rollout_score_device *row = calloc(1, sizeof *row);
    small_fleet_apply(w, policy_of(gates_all(), 8));
    small_fleet_pass(w, 20);
    struct serve_engine_rollout *r = small_fleet_rollout(w);
    const struct store_cohort of = {w->fleet.db, "r", &r->row.policy.gates};
    char id[24];
    size_t i = 0;
    do {
        cr_assert_lt(i, w->n);
        must(store_cohort_get(&of, small_fleet_id(i++, id), row, &e));
    } while (row->arm != ROLLOUT_ARM_COMPARISON || row->at_risk == 0);
    struct evidence_risk before = rollout_score_at_risk(r->score, 1);
    must(serve_evidence_offered(&w->fleet, NULL, id, &e)); // a pin, or a baseline
    struct evidence_risk after = rollout_score_at_risk(r->score, 1);
    cr_expect_eq(after.comparison + 1, before.comparison);
    must(store_cohort_get(&of, id, row, &e));
    cr_expect(row->gone && row->at_risk == 0);
    small_fleet_close(w);
    free(row);
}

// ── Stopping ──

// Counters speak in check-ins alone: the device that calls next is not offered it any more.
Test(serve_evidence, what_a_check_in_says_stops_a_rollout_before_anybody_is_told_more) {
    struct small_fleet *w = small_fleet_open(60);
    json_t *counter =
        json_pack("[{s:s, s:s, s:s}]", "name", "crashes", "kind", "counter", "metric", "crashes");
    bool stopped = false;
    w->crashes_each = 1;
    small_fleet_apply(w, policy_of(counter, 20));
    for (int s = 0; s < 200 && !stopped; s++) {
        w->fleet.now_ms += 1000;
        for (size_t i = 0; i < w->n && !stopped; i++)
            if ((w->fleet.now_ms / 1000 + (int64_t)i) % 3 == 0) {
                (void)small_fleet_check_in(w, i);
                stopped = small_fleet_state(w) != ROLLOUT_STATE_RUNNING;
            }
        small_fleet_tick(w);
        cr_assert(stopped || small_fleet_state(w) == ROLLOUT_STATE_RUNNING, "only the tick saw it");
    }
    cr_expect(stopped, "%s", small_fleet_rollout(w)->row.progress.why.text);
    small_fleet_close(w);
}

// ── Why ──

struct whys {
    size_t n;
    struct rollout_why why[4];
};

static int note_why(void *context, const char *rollout, const struct rollout_why *why,
                    struct err *error) {
    struct whys *whys = context;
    (void)error;
    cr_assert_str_eq(rollout, "r");
    whys->why[whys->n++] = *why;
    return 0;
}

static struct rollout_why why_of(struct small_fleet *w, size_t i) {
    struct store_device device;
    struct whys whys = {.n = 0};
    char id[24];
    must(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e));
    must(serve_fleet_foresee_each(&w->fleet, &device, note_why, &whys, &e));
    store_device_clear(&device);
    cr_assert_eq(whys.n, 1);
    return whys.why[0];
}

Test(serve_evidence, each_rollout_says_what_it_means_for_a_device) {
    struct small_fleet *w = small_fleet_open(36);
    bool seen[ROLLOUT_WHY_CODES] = {false};
    json_t *policy = policy_of(gates_all(), 8);
    (void)json_object_set_new(policy, "selector", json_string("label.site != \"c\""));
    small_fleet_apply(w, policy);
    small_fleet_pass(w, 12);
    for (size_t i = 0; i < w->n; i++) {
        struct rollout_why why = why_of(w, i);
        seen[why.code] = true;
        cr_expect_eq(why.code == ROLLOUT_WHY_not_selected, i % 3 == 2, "%zu: %s", i, why.text);
    }
    cr_expect_not_null(strstr(why_of(w, 2).text, "label.site"), "%s", why_of(w, 2).text);
    cr_expect(seen[ROLLOUT_WHY_stage_closed] || seen[ROLLOUT_WHY_rank_beyond]);
    small_fleet_close(w);
}

Test(serve_evidence, what_holds_a_rollout_names_its_gates_and_its_hold_back) {
    struct small_fleet *w = small_fleet_open(36);
    OWN(json) json_t *policy = policy_of(gates_all(), 8);
    (void)json_object_set_new(json_object_get(policy, "evidence"), "holdback_pct",
                              json_integer(20));
    small_fleet_apply(w, json_incref(policy));
    small_fleet_pass(w, 6);
    OWN(json) json_t *holds = serve_show_holds(small_fleet_rollout(w), 2);
    char codes[256] = "";
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (holds, i, one) {
        const char *code = json_string_value(json_object_get(one, "code"));
        cr_expect_neq(json_string_value(json_object_get(one, "text"))[0], '\0', "%s", code);
        if (strstr(codes, code) == NULL)
            (void)snprintf(codes + strlen(codes), 40, "%.32s ", code);
    }
    cr_expect_not_null(strstr(codes, "inconclusive"), "%s", codes);
    cr_expect_not_null(strstr(codes, "holdback"), "%s", codes);
    cr_expect_not_null(strstr(codes, "held"), "%s", codes);
    small_fleet_close(w);
}

// ── Stepping stones ──

Test(serve_evidence, a_device_that_ran_the_stone_once_may_take_the_release) {
    struct small_fleet *w = small_fleet_open(4);
    char id[24];
    json_t *policy = json_pack("{s:s, s:s, s:[s]}", "name", "r", "release", "app 1.0",
                               "stepping_stones", "app 0.9");
    small_fleet_apply(w, policy);
    must(store_ran_add(w->fleet.db, small_fleet_id(1, id), "app", "0.9", &e));
    for (int s = 0; s < 6; s++)
        small_fleet_second(w);
    cr_expect_not_null(strstr(w->log, "stepping_stone"));
    for (size_t i = 0; i < w->n; i++)
        cr_expect_eq(w->devices[i].attempt > 0, i == 1, "only the one that ran it: %zu", i);
    small_fleet_close(w);
}
