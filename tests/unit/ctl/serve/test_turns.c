// SPDX-License-Identifier: Apache-2.0
//
// A device that says this and that by turns, and never finishes: the rollout ends all the same.
#include "tests/unit/ctl/serve/small_fleet.h"

TestSuite(serve_turns, .timeout = 1200);

#define PASSES 60 // of 30 s each

static json_t *policy(void) {
    json_t *made = json_pack(
        "{s:s, s:s, s:i, s:s, s:{s:i}, s:[{s:s, s:s, s:i, s:i}], s:{s:i, s:i, s:i, s:i, s:s}}",
        "name", "r", "release", "app 1.0", "timeout_s", 30, "on_failure", "pause", "batch", "start",
        10, "gates", "name", "install", "kind", "install", "baseline_pct", 2, "intolerable_pct", 50,
        "evidence", "newcomer_s", 0, "rhythm_s", 10, "settle_s", 2, "min_fragility", 1,
        "max_soak_s", "1h");
    (void)json_object_set_new(made, "timeouts", json_pack("{s:i}", "stuck_s", 60));
    (void)json_object_set_new(
        made, "stages",
        json_pack("[{s:s, s:i, s:i}]", "name", "all", "percent", 100, "soak_s", 60));
    return made;
}

static void say(struct small_fleet *w, size_t i, enum bundle_event event) {
    struct store_device device = {.held = false};
    struct err e = ERR_NONE;
    char id[24];
    cr_assert_eq(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e), 0, "%s",
                 e.text);
    small_fleet_report(w, &w->devices[i], &device, event);
    cr_assert_eq(store_device_put(w->fleet.db, &device, &e), 0, "%s", e.text);
    store_device_clear(&device);
}

static void expect_end(enum bundle_event a, enum bundle_event b, bool together) {
    struct small_fleet *w = small_fleet_open(36);
    size_t liar = SMALL_FLEET_MAX;
    small_fleet_apply(w, policy());
    for (int s = 0; s < 60 && liar == SMALL_FLEET_MAX; s++) {
        small_fleet_second(w);
        for (size_t i = 0; i < w->n && liar == SMALL_FLEET_MAX; i++)
            if (w->devices[i].phase == 1)
                liar = i;
    }
    cr_assert_lt(liar, w->n);
    w->devices[liar].hangs = true;
    for (int t = 0; t < PASSES; t++) {
        w->log_len = 0;
        small_fleet_pass(w, 30);
        if (together || t % 2 == 1)
            say(w, liar, a);
        if (together || t % 2 == 0)
            say(w, liar, b);
    }
    cr_expect_eq(small_fleet_state(w), ROLLOUT_STATE_FINISHED, "%s, %s: %s", bundle_event_names[a],
                 bundle_event_names[b], small_fleet_rollout(w)->row.progress.why.text);
    small_fleet_close(w);
}

Test(serve_turns, who_says_two_things_by_turns_is_not_waited_for) {
    expect_end(BUNDLE_EVENT_OFFERED, BUNDLE_EVENT_STAGED, false);
    expect_end(BUNDLE_EVENT_OFFERED, BUNDLE_EVENT_COMMITTED, false);
    expect_end(BUNDLE_EVENT_ACTIVATED, BUNDLE_EVENT_STAGED, false);
}

Test(serve_turns, nor_who_says_both_at_once) {
    expect_end(BUNDLE_EVENT_COMMITTED, BUNDLE_EVENT_OFFERED, true);
    expect_end(BUNDLE_EVENT_REFUSED, BUNDLE_EVENT_OFFERED, true);
    expect_end(BUNDLE_EVENT_CANCELLED, BUNDLE_EVENT_STAGED, true);
    expect_end(BUNDLE_EVENT_COMMITTED, BUNDLE_EVENT_ACTIVATED, true);
}
