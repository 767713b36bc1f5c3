// SPDX-License-Identifier: Apache-2.0
//
// Plans carried out: what they say of devices that come later.
#include "ctl/serve/plan.h"
#include "tests/unit/ctl/serve/small_fleet.h"

#define SEED "0707070707070707070707070707070707070707070707070707070707070707"

static void plan_of_nobody(struct small_fleet *w) {
    struct serve_engine_rollout *r = small_fleet_rollout(w);
    struct serve_plan_given given = {.drift_ppm = 0};
    struct err e = ERR_NONE;
    OWN(json)
    json_t *document = json_pack("{s:i, s:s, s:s, s:i, s:[]}", "format", ROLLOUT_PLAN_FORMAT,
                                 "rollout", "r", "seed", SEED, "devices", 0, "strata");
    must(rollout_plan_read(&r->row.policy, document, &given.read, &e));
    must(serve_plan_take(&w->fleet, r, &given, &e));
}

static struct small_fleet *of_nobody(bool planned) {
    struct small_fleet *w = small_fleet_open(0);
    small_fleet_apply(w, json_pack("{s:s, s:s, s:[{s:s, s:i}, {s:s, s:i}]}", "name", "r", "release",
                                   "app 1.0", "stages", "name", "few", "percent", 10, "name", "all",
                                   "percent", 100));
    if (planned)
        plan_of_nobody(w);
    small_fleet_restart(w);
    small_fleet_add_devices(w, 20);
    w->fleet.engine->fleet_changes++;
    small_fleet_tick(w);
    return w;
}

// The bounds that its devices have found when each has called.
static uint64_t first_bound(struct small_fleet *w) {
    small_fleet_pass(w, 3);
    const struct serve_engine_rollout *r = small_fleet_rollout(w);
    cr_assert_eq(r->n_strata, 1);
    return r->strata[0].plan.bound[0];
}

Test(serve_plan_apply, what_was_planned_for_nobody_is_not_planned_anew_when_devices_come,
     .timeout = 240) {
    struct rollout_stratum_plan newcomers;
    struct small_fleet *w = of_nobody(false);
    rollout_strata_newcomer(&small_fleet_rollout(w)->row.policy, 0, &newcomers);
    cr_expect_neq(first_bound(w), newcomers.bound[0], "without a plan its bounds are found now");
    small_fleet_close(w);
    w = of_nobody(true);
    cr_expect_eq(small_fleet_rollout(w)->n_strata, 0);
    cr_expect_eq(first_bound(w), newcomers.bound[0], "what was signed is that of newcomers");
    small_fleet_close(w);
}
