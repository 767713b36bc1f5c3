// SPDX-License-Identifier: Apache-2.0
//
// Facts that change while a rollout is under way: who was dealt an arm stays in it, whether its selector
// still picks the device or not. The release itself may be what changes them.
#include "ctl/rollout/unit.h"
#include "ctl/store/cohort.h"
#include "tests/unit/ctl/serve/recount.h"

TestSuite(serve_evidence_facts, .timeout = 1200);

static struct err e = ERR_NONE;

static json_t *gates_all(void) {
    return json_pack("[{s:s, s:s, s:i, s:i}, {s:s, s:s}, {s:s, s:s, s:s},"
                     " {s:s, s:s, s:s, s:i, s:i, s:i}]",
                     "name", "install", "kind", "install", "baseline_pct", 2, "intolerable_pct", 50,
                     "name", "lost", "kind", "lost", "name", "crashes", "kind", "counter", "metric",
                     "crashes", "name", "latency", "kind", "metric", "metric", "latency",
                     "tolerable", 5, "intolerable", 40, "baseline_pct", 1);
}

// Of devices that say that their mode is old: a canary of so many, then all.
static json_t *policy_of(const char *unit, int canary) {
    json_t *evidence =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:i}", "unit", unit, "newcomer_s",
                  0, "rhythm_s", 10, "settle_s", 2, "compared", 4, "horizon_s", 12, "window_s", 8,
                  "grace_s", 4, "max_soak_s", "1h", "min_fragility", 1);
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:[{s:s, s:i}, {s:s, s:i}], s:i, s:s, s:{s:i}}",
                     "name", "r", "release", "app 1.0", "selector", "mode == \"old\"", "gates",
                     gates_all(), "evidence", evidence, "stages", "name", "canary", "count", canary,
                     "name", "all", "percent", 100, "timeout_s", 30, "on_failure", "revert",
                     "batch", "start", 8);
}

static void say_mode(struct small_fleet *w, size_t i, const char *mode) {
    struct store_device device = {.held = false};
    char id[24];
    must(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e));
    json_decref(device.facts);
    device.facts = json_pack("{s:s}", "mode", mode);
    must(store_device_put_facts(w->fleet.db, &device, &e));
    store_device_clear(&device);
}

// Sites of two devices, of which each is a unit where sites are.
static struct small_fleet *fleet_of(size_t n) {
    struct small_fleet *w = small_fleet_open(n);
    for (size_t i = 0; i < w->n; i++) {
        struct store_device device = {.held = false};
        char id[24], site[24];
        (void)snprintf(site, sizeof site, "s%02zu", i / 2);
        must(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e));
        json_decref(device.labels);
        device.labels = json_pack("{s:s}", "site", site);
        must(store_device_put_facts(w->fleet.db, &device, &e));
        store_device_clear(&device);
        say_mode(w, i, "old");
    }
    return w;
}

// The release sets the mode as soon as it is there: whoever has it says so with its next check-in.
static void change(struct small_fleet *w) {
    for (size_t i = 0; i < w->n; i++)
        if (w->devices[i].phase == 1)
            say_mode(w, i, "new");
}

static void pass_changing(struct small_fleet *w, int seconds) {
    for (int s = 0; s < seconds && small_fleet_state(w) == ROLLOUT_STATE_RUNNING; s++) {
        small_fleet_second(w);
        change(w);
    }
}

// Of the device, or its site.
static struct rollout_score_device *row_of(struct small_fleet *w, size_t i) {
    static struct rollout_score_device row;
    const struct rollout_gates *gates = &small_fleet_rollout(w)->row.policy.gates;
    const struct store_cohort of = {w->fleet.db, "r", gates};
    char id[24], site[32];
    (void)snprintf(site, sizeof site, "site:s%02zu", i / 2);
    must(store_cohort_get(&of, rollout_unit_is_site(gates) ? site : small_fleet_id(i, id), &row,
                          &e));
    return &row;
}

static size_t first_of(struct small_fleet *w, enum rollout_arm arm) {
    size_t i = 0;
    while (i < w->n && row_of(w, i)->arm != arm)
        i++;
    cr_assert_lt(i, w->n, "nobody is in this arm");
    return i;
}

// ── A release that changes the fact of its selector ──

static void expect_stopped(const char *unit, int canary) {
    struct small_fleet *w = fleet_of(40);
    w->fails_each = 1;
    small_fleet_apply(w, policy_of(unit, canary));
    pass_changing(w, 120);
    cr_expect_geq(small_fleet_rollout(w)->score->known_failed, 2, "by %s", unit);
    cr_expect_eq(small_fleet_rollout(w)->row.progress.why.code, ROLLOUT_WHY_evidence_failed,
                 "by %s: %s", unit, small_fleet_rollout(w)->row.progress.why.text);
    struct rollout_tally all = serve_engine_sum(small_fleet_rollout(w), 2);
    cr_expect_leq(rollout_tally_offered(&all), 8);
    small_fleet_close(w);
}

Test(serve_evidence_facts, installs_that_fail_stop_a_release_that_changes_the_selector_s_fact) {
    expect_stopped("device", 8);
}

Test(serve_evidence_facts, and_where_sites_are_units) {
    expect_stopped("site", 4);
}

// It is committed everywhere, and crashes.
static void expect_crashes_seen(const char *unit, int canary) {
    struct small_fleet *w = fleet_of(40);
    w->crashes_each = 1;
    small_fleet_apply(w, policy_of(unit, canary));
    pass_changing(w, 120);
    cr_expect_geq(small_fleet_rollout(w)->score->gate[2].events.scored, 3, "by %s", unit);
    cr_expect_neq(small_fleet_state(w), ROLLOUT_STATE_RUNNING, "by %s", unit);
    cr_expect_eq(small_fleet_rollout(w)->row.progress.why.code, ROLLOUT_WHY_evidence_failed,
                 "by %s: %s", unit, small_fleet_rollout(w)->row.progress.why.text);
    small_fleet_close(w);
}

Test(serve_evidence_facts, what_it_does_after_it_was_committed_is_seen_too) {
    expect_crashes_seen("device", 8);
}

Test(serve_evidence_facts, and_of_sites) {
    expect_crashes_seen("site", 4);
}

static void format_all(struct small_fleet *w, struct lines *ret) {
    const struct serve_engine_rollout *r = small_fleet_rollout(w);
    format_lines(&r->row.policy.gates, r->score, ret);
}

// To the last digit.
static void expect_same_evidence(const char *unit, int canary) {
    struct small_fleet *plain = fleet_of(36), *changes = fleet_of(36);
    OWN(mem) struct lines *a = calloc(1, sizeof *a);
    OWN(mem) struct lines *b = calloc(1, sizeof *b);
    cr_assert(a != NULL && b != NULL);
    plain->worse = changes->worse = 4;
    plain->crashes_each = changes->crashes_each = 5;
    plain->fails_each = changes->fails_each = 11;
    small_fleet_apply(plain, policy_of(unit, canary));
    small_fleet_apply(changes, policy_of(unit, canary));
    for (int s = 0; s < 60; s++) {
        small_fleet_second(plain);
        small_fleet_second(changes);
        change(changes);
        format_all(plain, a);
        format_all(changes, b);
        cr_assert_str_eq(b->text, a->text, "by %s, second %d", unit, s);
    }
    cr_expect_gt(small_fleet_rollout(plain)->score->sets_scored, 1, "by %s", unit);
    small_fleet_close(plain);
    small_fleet_close(changes);
}

Test(serve_evidence_facts, the_evidence_is_that_of_a_release_that_changes_no_fact) {
    expect_same_evidence("device", 8);
    expect_same_evidence("site", 4);
}

// ── The other arm ──

// Otherwise one arm alone would keep those whose facts change.
Test(serve_evidence_facts, who_is_compared_stays_as_well_and_in_its_set) {
    struct small_fleet *w = fleet_of(40);
    small_fleet_apply(w, policy_of("device", 8));
    pass_changing(w, 8);
    size_t i = first_of(w, ROLLOUT_ARM_COMPARISON);
    while (i < w->n && row_of(w, i)->place == 0)
        i++;
    cr_assert_lt(i, w->n, "nobody is in a set");
    say_mode(w, i, "new");
    pass_changing(w, 4);
    cr_expect_not(row_of(w, i)->gone);
    cr_expect_eq(row_of(w, i)->arm, ROLLOUT_ARM_COMPARISON);
    cr_expect_gt(row_of(w, i)->heard_s, w->fleet.now_ms / 1000 - 6);
    pass_changing(w, 20);
    cr_expect_eq(small_fleet_rollout(w)->score->sets_void, 0);
    cr_expect_gt(small_fleet_rollout(w)->score->sets_scored, 0);
    small_fleet_close(w);
}

Test(serve_evidence_facts, its_silence_is_a_loss_of_its_arm) {
    struct small_fleet *w = fleet_of(40);
    json_t *policy = policy_of("device", 8);
    (void)json_array_remove(json_object_get(policy, "gates"),
                            3); // without metrics there are no sets
    small_fleet_apply(w, policy);
    pass_changing(w, 8);
    size_t i = first_of(w, ROLLOUT_ARM_COMPARISON);
    cr_assert_eq(row_of(w, i)->place, 0);
    say_mode(w, i, "new");
    pass_changing(w, 4);
    w->devices[i].quiet = true;
    pass_changing(w, 50);
    cr_expect_eq(row_of(w, i)->had & 1U << 1, 1U << 1);
    cr_expect_eq(small_fleet_rollout(w)->score->gate[1].events.scored, 1);
    small_fleet_close(w);
}

// As anybody who is admitted and not offered it. In sets it stays to their end.
Test(serve_evidence_facts, whom_an_opening_admits_then_is_in_neither_arm) {
    struct small_fleet *w = fleet_of(40);
    size_t left = 0, stayed = 0;
    small_fleet_apply(w, policy_of("device", 20));
    pass_changing(w, 5);
    cr_assert_eq(small_fleet_rollout(w)->row.progress.batch.number, 1);
    for (size_t i = 0; i < w->n; i++)
        if (row_of(w, i)->arm == ROLLOUT_ARM_COMPARISON)
            say_mode(w, i, "new");
    for (int s = 0; s < 45; s++) {
        pass_changing(w, 1);
        for (size_t i = 0; i < w->n; i++)
            cr_expect(row_of(w, i)->due_s == 0 || !row_of(w, i)->gone, "%zu, second %d", i, s);
    }
    cr_assert_gt(small_fleet_rollout(w)->row.progress.batch.number, 1);
    for (size_t i = 0; i < w->n; i++) {
        const struct rollout_score_device *row = row_of(w, i);
        left += row->gone;
        stayed += row->arm == ROLLOUT_ARM_COMPARISON;
        cr_expect_eq(row->arm == ROLLOUT_ARM_TREATED, w->devices[i].attempt > 0);
        cr_expect(!row->gone || row->arm == ROLLOUT_ARM_NONE);
        cr_expect(!row->gone || row->at_risk == 0);
    }
    cr_expect_gt(left, 0);
    cr_expect_gt(stayed, 0);
    small_fleet_close(w);
}

// It is not offered the release as the others of its site are, and would be waited for.
Test(serve_evidence_facts, a_treated_site_goes_on_without_those_that_are_selected_no_more) {
    struct small_fleet *w = fleet_of(40);
    bool changed[40] = {false};
    size_t without = 0;
    small_fleet_apply(w, policy_of("site", 10));
    pass_changing(w, 5);
    for (size_t i = 0; i < w->n; i += 2)
        if (row_of(w, i)->arm == ROLLOUT_ARM_COMPARISON) {
            changed[i] = true;
            say_mode(w, i, "new");
        }
    pass_changing(w, 45);
    for (size_t i = 0; i < w->n; i += 2) {
        const struct rollout_score_device *row = row_of(w, i);
        bool treated = row->arm == ROLLOUT_ARM_TREATED;
        cr_expect_eq(row->crowd.heard, treated && changed[i] ? 1 : 2, "site of %zu", i);
        cr_expect(!treated || row->crowd.based == row->crowd.heard, "site of %zu", i);
        without += treated && changed[i];
    }
    cr_expect_gt(without, 0);
    small_fleet_close(w);
}

// Nobody had dealt it an arm: it was never heard of as one that the rollout selects.
Test(serve_evidence_facts, whom_it_never_selected_is_no_part_of_it) {
    struct small_fleet *w = fleet_of(40);
    struct rollout_score_device row;
    say_mode(w, 7, "new");
    small_fleet_apply(w, policy_of("device", 8));
    pass_changing(w, 8);
    const struct store_cohort of = {w->fleet.db, "r", &small_fleet_rollout(w)->row.policy.gates};
    cr_expect_eq(store_cohort_get(&of, "d-07", &row, &e), STORE_ABSENT);
    small_fleet_close(w);
}

// ── Nobody waits for it ──

// It failed and has a try left, but is not offered it any more: that was its outcome.
Test(serve_evidence_facts, who_is_not_tried_again_holds_up_no_number) {
    struct small_fleet *w = fleet_of(40);
    json_t *policy = policy_of("device", 8);
    (void)json_object_set_new(policy, "retries", json_pack("{s:i, s:i}", "max", 1, "delay_s", 5));
    (void)json_object_set_new(policy, "on_failure", json_string("pause"));
    small_fleet_apply(w, policy);
    for (int s = 0; s < 10 && small_fleet_rollout(w)->score->next_number == 1; s++)
        small_fleet_second(w);
    size_t first = 0;
    while (first < w->n && row_of(w, first)->number != 1)
        first++;
    cr_assert_lt(first, w->n);
    struct store_device device = {.held = false};
    char id[24];
    must(store_device_get(w->fleet.db, small_fleet_id(first, id), &device, &e));
    small_fleet_report(w, &w->devices[first], &device, BUNDLE_EVENT_FAILED);
    must(store_device_put(w->fleet.db, &device, &e));
    store_device_clear(&device);
    w->devices[first].phase = 0;
    say_mode(w, first, "new");
    small_fleet_pass(w, 12);
    cr_expect_eq(row_of(w, first)->outcome, ROLLOUT_OUTCOME_BAD);
    cr_expect_gt(small_fleet_rollout(w)->score->prefix, 4);
    small_fleet_close(w);
}

// ── A restart, a recount ──

static void some_change(struct small_fleet *w, int second) {
    w->devices[3].quiet = second > 15;
    change(w);
    if (second == 12) // and some of whatever arm
        for (size_t i = 0; i < w->n; i += 5)
            say_mode(w, i, "new");
}

static void expect_a_restart_changes_nothing(const char *unit, int canary) {
    struct small_fleet *steady = fleet_of(36), *shaken = fleet_of(36);
    shaken->restarts = true;
    steady->worse = shaken->worse = 4;
    steady->crashes_each = shaken->crashes_each = 2;
    steady->fails_each = shaken->fails_each = 11;
    small_fleet_apply(steady, policy_of(unit, canary));
    small_fleet_apply(shaken, policy_of(unit, canary));
    expect_restarts_change_nothing(steady, shaken, some_change);
    small_fleet_close(steady);
    small_fleet_close(shaken);
}

Test(serve_evidence_facts, a_restart_before_anything_changes_no_decision_and_no_number) {
    expect_a_restart_changes_nothing("device", 8);
    expect_a_restart_changes_nothing("site", 4);
}

static void expect_lines_recounted(const char *unit, int canary) {
    struct small_fleet *w = fleet_of(36);
    OWN(mem) struct lines *stored = calloc(1, sizeof *stored);
    OWN(mem) struct lines *counted = calloc(1, sizeof *counted);
    OWN(mem) struct rollout_score *score = calloc(1, sizeof *score);
    cr_assert(stored != NULL && counted != NULL && score != NULL);
    w->crashes_each = 4;
    w->fails_each = 13;
    w->worse = 4;
    small_fleet_apply(w, policy_of(unit, canary));
    for (int s = 0; s < 60; s++) {
        some_change(w, s);
        small_fleet_second(w);
        *score = *small_fleet_rollout(w)->score;
        recount(w, score);
        read_lines(w, stored);
        format_lines(&small_fleet_rollout(w)->row.policy.gates, score, counted);
        cr_assert_str_eq(counted->text, stored->text, "by %s, second %d", unit, s);
    }
    cr_expect_gt(score->sets_scored, 1, "by %s", unit);
    small_fleet_close(w);
}

Test(serve_evidence_facts, lines_are_what_a_recount_of_the_stored_rows_gives) {
    expect_lines_recounted("device", 8);
    expect_lines_recounted("site", 4);
}
