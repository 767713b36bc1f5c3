// SPDX-License-Identifier: Apache-2.0
//
// Gates of evidence in the controller while nothing happens, and when a device says no by itself.
#include "ctl/serve/evidence.h"
#include "ctl/store/cohort.h"
#include "tests/unit/ctl/serve/small_fleet.h"

TestSuite(serve_evidence_pause, .timeout = 600);

static struct err e = ERR_NONE;

// A canary of ten, then all; devices that call every three seconds are lost after thirty, and a
// pause is forgotten after a minute and 16 seconds.
static json_t *policy(void) {
    json_t *evidence =
        json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s}", "newcomer_s", 0, "rhythm_s", 10,
                  "settle_s", 2, "horizon_s", 12, "window_s", 8, "grace_s", 4, "max_soak_s", 60,
                  "site", "label.shop"); // they name none
    return json_pack("{s:s, s:s, s:[{s:s, s:s, s:i, s:i}, {s:s, s:s}], s:o, s:[{s:s, s:i}, {s:s, "
                     "s:i}], s:i, s:s, s:{s:i}}",
                     "name", "r", "release", "app 1.0", "gates", "name", "install", "kind",
                     "install", "baseline_pct", 2, "intolerable_pct", 50, "name", "lost", "kind",
                     "lost", "evidence", evidence, "stages", "name", "canary", "count", 10, "name",
                     "all", "percent", 100, "timeout_s", 30, "on_failure", "pause", "batch",
                     "start", 10);
}

static void by_hand(struct small_fleet *w, enum rollout_verb verb) {
    struct serve_engine_rollout *r = small_fleet_rollout(w);
    struct rollout_progress before = r->row.progress;
    struct rollout_why reason;
    cr_assert_eq(rollout_advance_by_hand(&r->row.policy, verb, w->fleet.now_ms / 1000,
                                         &r->row.progress, &reason),
                 0, "%s", reason.text);
    must(serve_fleet_keep(&w->fleet, r, &before, &e));
}

static struct store_cohort cohort(struct small_fleet *w) {
    return (struct store_cohort){w->fleet.db, "r", &small_fleet_rollout(w)->row.policy.gates};
}

// The rows as they are written.
static int add_row(void *context, const char *device, const struct rollout_score_device *row,
                   struct err *error) {
    uint64_t *sum = context;
    (void)device;
    (void)error;
    *sum = *sum * 31 + (uint64_t)row->heard_s;
    return 0;
}

static uint64_t rows(struct small_fleet *w) {
    const struct store_cohort of = cohort(w);
    uint64_t sum = 0;
    must(store_cohort_list(&of, add_row, &sum, &e));
    return sum;
}

Test(serve_evidence_pause, one_that_was_forgotten_writes_nothing_and_nobody_is_lost_for_it) {
    struct small_fleet *w = small_fleet_open(36);
    small_fleet_apply(w, policy());
    small_fleet_pass(w, 15);
    by_hand(w, ROLLOUT_VERB_PAUSE);
    uint64_t before = rows(w);
    small_fleet_pass(w, 74); // devices report on, and metrics are read, up to their horizon
    cr_expect_neq(rows(w), before);
    small_fleet_pass(w, 3);
    before = rows(w);
    small_fleet_pass(w, 100);
    cr_expect_eq(rows(w), before);
    small_fleet_restart(w);
    by_hand(w, ROLLOUT_VERB_RESUME);
    small_fleet_pass(w, 20);
    cr_expect_neq(rows(w), before);
    cr_expect_gt(rollout_score_at_risk(small_fleet_rollout(w)->score, 1).comparison, 20);
    cr_expect_eq(small_fleet_rollout(w)->score->gate[1].events.scored, 0);
    w->devices[7].quiet = true; // after all that silence counts as before
    small_fleet_pass(w, 60);
    cr_expect_eq(small_fleet_rollout(w)->score->gate[1].events.scored, 1);
    small_fleet_close(w);
}

// A device that was offered the release gives it up; its row afterwards.
static struct rollout_score_device give_up(struct small_fleet *w, size_t nth, const char *why) {
    const struct store_cohort of = cohort(w);
    struct rollout_score_device row;
    struct store_device device;
    char id[24];
    size_t i = 0;
    while (w->devices[i].phase != 1 || nth-- > 0)
        cr_assert_lt(++i, w->n);
    must(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e));
    if (why[0] != '\0')
        (void)snprintf(device.why_code, sizeof device.why_code, "%s", why);
    small_fleet_report(w, &w->devices[i], &device, BUNDLE_EVENT_CANCELLED);
    cr_expect_eq(device.task.state, ROLLOUT_TASK_CANCELLED);
    must(store_device_put(w->fleet.db, &device, &e));
    store_device_clear(&device);
    must(store_cohort_get(&of, id, &row, &e));
    w->devices[i].quiet = true;
    return row;
}

Test(serve_evidence_pause, a_device_that_gives_it_up_unasked_is_a_bad_outcome) {
    struct small_fleet *w = small_fleet_open(36);
    small_fleet_apply(w, policy());
    small_fleet_pass(w, 1);
    const struct rollout_score *score = small_fleet_rollout(w)->score;
    struct rollout_score_device row = give_up(w, 0, "");
    cr_expect_eq(row.outcome, ROLLOUT_OUTCOME_BAD);
    cr_expect_not(row.gone, "it stays in its arm");
    cr_expect_eq(score->known_failed, 1);
    row = give_up(w, 1, "cancelling"); // as the controller said
    cr_expect_eq(row.outcome, ROLLOUT_OUTCOME_LEFT);
    cr_expect(row.gone);
    cr_expect_eq(score->known_failed, 1);
    small_fleet_close(w);
}
