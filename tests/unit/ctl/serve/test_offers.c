// SPDX-License-Identifier: Apache-2.0
//
// How fast offers are made.
#include "ctl/rollout/score_state.h"
#include "ctl/serve/evidence.h"
#include "ctl/serve/show_evidence.h"
#include "ctl/store/cohort.h"
#include "ctl/store/ran.h"
#include "ctl/store/score.h"
#include "ctl/store/undone.h"
#include "ctl/store/unit.h"
#include "ctl/store/verdict.h"
#include "tests/unit/ctl/serve/small_fleet.h"

Test(serve_offers, devices_are_offered_it_so_many_a_minute) {
    struct small_fleet *w = small_fleet_open(30);
    json_t *policy = json_pack("{s:s, s:s, s:{s:i}, s:i}", "name", "r", "release", "app 1.0",
                               "gate", "min_sample", 1, "offer_rate", 60);
    small_fleet_apply(w, policy);
    uint64_t offered = 0;
    for (int s = 0; s < 10; s++) {
        small_fleet_second(w);
        struct rollout_tally all = serve_engine_sum(small_fleet_rollout(w), 1);
        cr_expect_leq(rollout_tally_offered(&all), offered + 1, "one in a second");
        offered = rollout_tally_offered(&all);
    }
    cr_expect_geq(offered, 8);
    cr_expect_not_null(strstr(w->log, "offer_rate"));
    small_fleet_until(w, ROLLOUT_STATE_FINISHED, 120);
    small_fleet_close(w);
}
