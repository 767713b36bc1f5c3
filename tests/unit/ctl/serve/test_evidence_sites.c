// SPDX-License-Identifier: Apache-2.0
//
// Sites in the controller: whose silence is whose.
#include "ctl/serve/evidence.h"
#include "tests/unit/ctl/serve/small_fleet.h"

TestSuite(serve_evidence_sites, .timeout = 600);

// A canary of 20, then all; devices that call every three seconds are lost after thirty.
static json_t *policy(void) {
    json_t *evidence = json_pack("{s:i, s:i, s:i, s:s}", "newcomer_s", 0, "rhythm_s", 10,
                                 "settle_s", 2, "max_soak_s", "1h");
    return json_pack(
        "{s:s, s:s, s:[{s:s, s:s}], s:o, s:[{s:s, s:i}, {s:s, s:i}], s:i, s:s, s:{s:i}}", "name",
        "r", "release", "app 1.0", "gates", "name", "lost", "kind", "lost", "evidence", evidence,
        "stages", "name", "canary", "count", 20, "name", "all", "percent", 100, "timeout_s", 30,
        "on_failure", "revert", "batch", "start", 20);
}

Test(serve_evidence_sites, a_site_that_goes_dark_is_nobody_s_loss_and_a_device_that_does_is) {
    struct small_fleet *w = small_fleet_open(60);
    small_fleet_apply(w, policy());
    for (int s = 0; s < 80; s++) {
        for (size_t i = 0; i < w->n; i++)
            w->devices[i].quiet = s > 20 && i % 3 == 0; // those of site a
        small_fleet_second(w);
    }
    const struct rollout_score *score = small_fleet_rollout(w)->score;
    cr_expect_eq(small_fleet_state(w), ROLLOUT_STATE_RUNNING);
    cr_expect_eq(score->gate[0].events.scored, 0);
    cr_expect_lt(rollout_score_at_risk(score, 0).comparison +
                     rollout_score_at_risk(score, 0).treated,
                 45, "they are at risk no more");
    w->devices[1].quiet = w->devices[2].quiet = true;
    small_fleet_pass(w, 50);
    cr_expect_eq(score->gate[0].events.scored, 2);
    small_fleet_close(w);
}
