// SPDX-License-Identifier: Apache-2.0
//
// Sites as units of evidence in the controller: a site has one arm, one number and one event of a kind;
// what is stored is what is counted, and a restart at any instant changes nothing.
#include "ctl/serve/evidence.h"
#include "ctl/serve/show_evidence.h"
#include "ctl/store/verdict.h"
#include "tests/unit/ctl/serve/recount.h"

TestSuite(serve_evidence_units, .timeout = 1200);

static struct err e = ERR_NONE;

#define EACH 3

static json_t *gates_all(void) {
    return json_pack(
        "[{s:s, s:s, s:i, s:i}, {s:s, s:s}, {s:s, s:s, s:s}, {s:s, s:s, s:s, s:i, s:i, "
        "s:i}]",
        "name", "install", "kind", "install", "baseline_pct", 2, "intolerable_pct", 50, "name",
        "lost", "kind", "lost", "name", "crashes", "kind", "counter", "metric", "crashes", "name",
        "latency", "kind", "metric", "metric", "latency", "tolerable", 5, "intolerable", 40,
        "baseline_pct", 1);
}

// A canary of so many sites, then all.
static json_t *policy_of(int canary) {
    json_t *evidence =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:i}", "unit", "site",
                  "newcomer_s", 0, "rhythm_s", 10, "settle_s", 2, "compared", 4, "horizon_s", 12,
                  "window_s", 8, "grace_s", 4, "max_soak_s", "1h", "min_fragility", 1);
    return json_pack("{s:s, s:s, s:o, s:o, s:[{s:s, s:i}, {s:s, s:i}], s:i, s:s, s:{s:i}}", "name",
                     "r", "release", "app 1.0", "gates", gates_all(), "evidence", evidence,
                     "stages", "name", "canary", "count", canary, "name", "all", "percent", 100,
                     "timeout_s", 30, "on_failure", "revert", "batch", "start", EACH * canary);
}

static void label_kind(struct small_fleet *w, size_t i, const char *site, const char *kind) {
    struct store_device device = {.held = false};
    char id[24];
    must(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e));
    json_decref(device.labels);
    device.labels = json_pack("{s:s*, s:s*}", "site", site, "kind", kind);
    must(store_device_put_facts(w->fleet.db, &device, &e));
    store_device_clear(&device);
}

static void label(struct small_fleet *w, size_t i, const char *site) {
    label_kind(w, i, site, NULL);
}

static const char *site_of(size_t i, char ret[static 24]) {
    (void)snprintf(ret, 24, "s%02zu", i / EACH);
    return ret;
}

// Sites of three devices.
static struct small_fleet *fleet_of(size_t sites) {
    struct small_fleet *w = small_fleet_open(sites * EACH);
    char site[24];
    for (size_t i = 0; i < w->n; i++)
        label(w, i, site_of(i, site));
    return w;
}

static struct rollout_score_device *unit_of(struct small_fleet *w, size_t i) {
    static struct rollout_score_device row;
    const struct store_cohort of = {w->fleet.db, "r", &small_fleet_rollout(w)->row.policy.gates};
    char unit[32] = "site:";
    (void)site_of(i, unit + 5);
    must(store_cohort_get(&of, unit, &row, &e));
    return &row;
}

static bool is_offered(struct small_fleet *w, size_t i) {
    return w->devices[i].attempt != 0;
}

// Sixteen sites, twelve seconds after the release began with a canary of four.
static struct small_fleet *fleet_under_way(void) {
    struct small_fleet *w = fleet_of(16);
    small_fleet_apply(w, policy_of(4));
    small_fleet_pass(w, 12);
    return w;
}

// The first device of the first site of this arm.
static size_t first_of(struct small_fleet *w, enum rollout_arm arm) {
    size_t i = 0;
    while (i < w->n && is_offered(w, i) != (arm == ROLLOUT_ARM_TREATED))
        i += EACH;
    cr_assert_lt(i, w->n, "no such site");
    return i;
}

// ── A restart, a recount ──

static void some_are_quiet(struct small_fleet *w, int second) {
    for (size_t i = 0; i < 16; i += 5)
        w->devices[i].quiet = second > 15;
}

Test(serve_evidence_units, a_restart_before_anything_changes_no_decision_and_no_number) {
    struct small_fleet *steady = fleet_of(16), *shaken = fleet_of(16);
    shaken->restarts = true;
    steady->worse = shaken->worse = 4;
    steady->crashes_each = shaken->crashes_each = 4;
    steady->fails_each = shaken->fails_each = 11;
    small_fleet_apply(steady, policy_of(4));
    small_fleet_apply(shaken, policy_of(4));
    expect_restarts_change_nothing(steady, shaken, some_are_quiet);
    expect_all_kinds_counted(steady, 1, 3);
    small_fleet_close(steady);
    small_fleet_close(shaken);
}

Test(serve_evidence_units, lines_are_what_a_recount_of_the_stored_rows_gives) {
    struct small_fleet *w = fleet_of(16);
    struct lines *stored = calloc(1, sizeof *stored), *counted = calloc(1, sizeof *counted);
    struct rollout_score *score = calloc(1, sizeof *score);
    w->crashes_each = 5;
    w->fails_each = 13;
    w->worse = 7;
    small_fleet_apply(w, policy_of(4));
    for (int s = 0; s < 70; s++) {
        for (size_t i = 0; i < w->n; i++) // one of several sites; of one a second one, later
            w->devices[i].quiet = (s > 20 && i % 9 == 1) || (s > 27 && i == 11);
        small_fleet_second(w);
        *score = *small_fleet_rollout(w)->score;
        recount(w, score);
        read_lines(w, stored);
        format_lines(&small_fleet_rollout(w)->row.policy.gates, score, counted);
        cr_assert_str_eq(counted->text, stored->text, "second %d", s);
    }
    cr_expect_gt(score->sets_scored, 1);
    cr_expect_gt(score->gate[1].events.scored, 1);
    cr_expect_gt(score->gate[2].events.scored, 0);
    small_fleet_close(w);
    free(stored);
    free(counted);
    free(score);
}

// ── Arms ──

Test(serve_evidence_units, a_site_has_one_arm_and_one_number) {
    struct small_fleet *w = fleet_of(16);
    size_t treated = 0;
    small_fleet_apply(w, policy_of(4));
    small_fleet_pass(w, 12);
    for (size_t i = 0; i < w->n; i += EACH) {
        bool site = is_offered(w, i);
        for (size_t k = 1; k < EACH; k++)
            cr_expect_eq(is_offered(w, i + k), site, "site %zu is in both arms", i / EACH);
        const struct rollout_score_device *unit = unit_of(w, i);
        cr_expect_eq(unit->arm == ROLLOUT_ARM_TREATED, site);
        cr_expect_eq(unit->number > 0, site);
        cr_expect_eq(unit->crowd.heard, EACH);
        treated += site;
    }
    cr_expect_eq(treated, 4);
    cr_expect_eq(small_fleet_rollout(w)->score->next_number, 5);
    OWN(json) json_t *shown = serve_show_evidence(small_fleet_rollout(w));
    cr_expect_str_eq(json_string_value(json_object_get(shown, "unit")), "site");
    small_fleet_close(w);
}

Test(serve_evidence_units, a_release_that_fails_everywhere_is_stopped_by_sites) {
    struct small_fleet *w = fleet_of(16);
    OWN(json) json_t *verdicts = NULL;
    w->fails_each = 1;
    small_fleet_apply(w, policy_of(4));
    small_fleet_until(w, ROLLOUT_STATE_REVERTED, 120);
    must(store_verdict_list(w->fleet.db, "r", &verdicts, &e));
    cr_assert_gt(json_array_size(verdicts), 0);
    const json_t *last = json_array_get(verdicts, json_array_size(verdicts) - 1);
    const json_t *why = json_object_get(last, "why");
    cr_expect_str_eq(json_string_value(json_object_get(last, "gate")), "install");
    cr_expect_str_eq(json_string_value(json_object_get(why, "code")), "evidence_failed");
    const char *text = json_string_value(json_object_get(why, "text"));
    cr_expect(strstr(text, " site") != NULL && strstr(text, "device") == NULL, "%s", text);
    struct rollout_tally all = serve_engine_sum(small_fleet_rollout(w), 2);
    cr_expect_leq(rollout_tally_offered(&all), 4 * EACH);
    small_fleet_pass(w, 30); // and nothing is left in the store
    uint64_t n = 0;
    must(store_member_forget(w->fleet.db, "r", 1, &n, &e));
    cr_expect_eq(n, 0);
    small_fleet_close(w);
}

// A site's devices fail together: one failing site is one failure, however many devices it has.
Test(serve_evidence_units, one_site_that_fails_stops_nothing) {
    struct small_fleet *w = fleet_of(16);
    small_fleet_apply(w, policy_of(4));
    small_fleet_pass(w, 3);
    size_t bad = first_of(w, ROLLOUT_ARM_TREATED);
    for (int s = 0; s < 20; s++) {
        for (size_t k = 0; k < EACH; k++) // all of them revert
            if (w->devices[bad + k].phase == 2) {
                struct store_device device = {.held = false};
                char id[24];
                must(store_device_get(w->fleet.db, small_fleet_id(bad + k, id), &device, &e));
                small_fleet_report(w, &w->devices[bad + k], &device, BUNDLE_EVENT_REVERTED);
                must(store_device_put(w->fleet.db, &device, &e));
                store_device_clear(&device);
                w->devices[bad + k].phase = 0;
            }
        small_fleet_second(w);
    }
    const struct rollout_score_device *unit = unit_of(w, bad);
    cr_expect_eq(unit->outcome, ROLLOUT_OUTCOME_BAD);
    cr_expect_eq(unit->crowd.failed, EACH);
    cr_expect_eq(small_fleet_rollout(w)->score->known_failed, 1);
    cr_expect_eq(small_fleet_state(w), ROLLOUT_STATE_RUNNING);
    small_fleet_close(w);
}

// ── Silence ──

Test(serve_evidence_units, a_site_that_goes_dark_is_one_loss) {
    struct small_fleet *w = fleet_under_way();
    size_t dark = first_of(w, ROLLOUT_ARM_COMPARISON);
    for (size_t k = 0; k < EACH; k++)
        w->devices[dark + k].quiet = true;
    small_fleet_pass(w, 50);
    const struct rollout_score *score = small_fleet_rollout(w)->score;
    cr_expect_eq(score->gate[1].events.scored, 1);
    cr_expect_eq(unit_of(w, dark)->had, 1U << 1);
    cr_expect_eq(score->waiting, w->n - EACH);
    small_fleet_close(w);
}

Test(serve_evidence_units, a_fleet_that_is_silent_loses_nobody) {
    struct small_fleet *w = fleet_under_way();
    for (size_t i = 0; i < w->n; i++)
        w->devices[i].quiet = i >= EACH; // one site is left
    small_fleet_pass(w, 60);
    cr_expect_eq(small_fleet_rollout(w)->score->gate[1].events.scored, 0);
    cr_expect_eq(small_fleet_state(w), ROLLOUT_STATE_PAUSED);
    small_fleet_close(w);
}

// ── Who is of a site ──

Test(serve_evidence_units, a_device_that_moves_leaves_its_site_and_is_admitted_with_the_other) {
    struct small_fleet *w = fleet_under_way();
    size_t from = first_of(w, ROLLOUT_ARM_COMPARISON), to = first_of(w, ROLLOUT_ARM_TREATED);
    char site[24];
    label(w, from, site_of(to, site));
    small_fleet_pass(w, 6);
    cr_expect_eq(unit_of(w, from)->crowd.heard, EACH - 1);
    cr_expect_eq(unit_of(w, from)->arm, ROLLOUT_ARM_COMPARISON);
    cr_expect_eq(unit_of(w, to)->crowd.heard, EACH);
    cr_expect(is_offered(w, from), "it is where the release is");
    cr_expect_not(is_offered(w, from + 1));
    small_fleet_close(w);
}

// The release does that, and goes back everywhere.
Test(serve_evidence_units, a_device_that_was_offered_the_release_stays_whatever_it_says_then) {
    struct small_fleet *w = fleet_of(16);
    w->fails_each = 1;
    small_fleet_apply(w, policy_of(4));
    for (int s = 0; s < 120 && small_fleet_rollout(w)->row.progress.state == ROLLOUT_STATE_RUNNING;
         s++) {
        small_fleet_second(w);
        for (size_t i = 0; i < w->n; i++)
            if (w->devices[i].phase == 1)
                label(w, i, NULL);
    }
    cr_expect_geq(small_fleet_rollout(w)->score->known_failed, 2);
    cr_expect_eq(small_fleet_rollout(w)->row.progress.why.code, ROLLOUT_WHY_evidence_failed);
    small_fleet_close(w);
}

// As that of one that restarted while it was carried there, and of one that has the release.
Test(serve_evidence_units, what_a_device_says_with_its_new_site_counts_for_the_old_one) {
    struct small_fleet *w = fleet_under_way();
    size_t from = first_of(w, ROLLOUT_ARM_COMPARISON);
    cr_assert_neq(unit_of(w, from)->at_risk & 1U << 2, 0);
    w->devices[from].crashes++;
    label(w, from, NULL);
    small_fleet_pass(w, 3);
    cr_expect_eq(unit_of(w, from)->crowd.heard, EACH - 1);
    cr_expect_neq(unit_of(w, from)->had & 1U << 2, 0);
    cr_expect_eq(small_fleet_rollout(w)->score->gate[2].events.scored, 1);
    w->devices[from].crashes++; // and no more
    w->devices[from + 1].crashes++;
    small_fleet_pass(w, 3);
    cr_expect_eq(small_fleet_rollout(w)->score->gate[2].events.scored, 1);
    small_fleet_close(w);
}

// Five sites of one kind, eleven of the other: their bounds differ.
Test(serve_evidence_units, a_site_is_of_one_stratum_whatever_its_devices_say_later) {
    struct small_fleet *w = fleet_of(16);
    json_t *policy = policy_of(5);
    char site[24];
    for (size_t i = 0; i < w->n; i++)
        label_kind(w, i, site_of(i, site), i / EACH < 5 ? "a" : "b");
    (void)json_object_set_new(policy, "stratify", json_pack("[s]", "label.kind"));
    small_fleet_apply(w, policy);
    cr_assert_neq(small_fleet_rollout(w)->strata[0].plan.bound[0],
                  small_fleet_rollout(w)->strata[1].plan.bound[0]);
    for (size_t i = 0; i < w->n; i += EACH) // the first of each site calls
        (void)small_fleet_check_in(w, i);
    for (size_t i = 0; i < w->n; i++)
        if (i % EACH == 2)
            label_kind(w, i, site_of(i, site), i / EACH < 5 ? "b" : "a");
    small_fleet_pass(w, 6);
    for (size_t i = 0; i < w->n; i += EACH)
        for (size_t k = 1; k < EACH; k++)
            cr_expect_eq(is_offered(w, i + k), is_offered(w, i), "site %zu", i / EACH);
    small_fleet_close(w);
}

Test(serve_evidence_units, the_site_of_a_device_that_a_stage_names_is_not_counted) {
    struct small_fleet *w = fleet_of(16);
    json_t *policy = policy_of(4), *stage = json_object();
    (void)json_object_set_new(stage, "name", json_string("named"));
    (void)json_object_set_new(stage, "devices", json_pack("[s]", "d-07"));
    (void)json_array_insert_new(json_object_get(policy, "stages"), 0, stage);
    small_fleet_apply(w, policy);
    w->devices[7].quiet = true; // whether it calls or not
    small_fleet_pass(w, 4);
    cr_expect_not(unit_of(w, 7)->counted);
    cr_expect(unit_of(w, 10)->counted);
    w->devices[7].quiet = false;
    small_fleet_pass(w, 4);
    cr_expect(is_offered(w, 7));
    cr_expect_eq(unit_of(w, 7)->number, 0);
    small_fleet_close(w);
}

Test(serve_evidence_units, a_device_of_no_site_is_a_unit_of_its_own) {
    struct small_fleet *w = fleet_of(16);
    struct rollout_score_device row;
    label(w, 0, NULL);
    small_fleet_apply(w, policy_of(4));
    small_fleet_pass(w, 6);
    const struct store_cohort of = {w->fleet.db, "r", &small_fleet_rollout(w)->row.policy.gates};
    must(store_cohort_get(&of, "d-00", &row, &e));
    cr_expect_eq(row.crowd.heard, 1);
    cr_expect_eq(unit_of(w, 1)->crowd.heard, EACH - 1);
    small_fleet_close(w);
}
