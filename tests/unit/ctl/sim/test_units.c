// SPDX-License-Identifier: Apache-2.0
//
// Simulated rollouts that draw whole sites.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/sim/run.h"

#define DEVICES 240
#define SITES   60

struct scene {
    struct sim_fleet fleet;
    struct rollout_policy policy;
    struct sim_world world;
};

// release: of the fleet file; evidence: members beside the unit.
static int make(struct scene *s, enum rollout_unit_kind unit, const char *site, const char *release,
                struct err *e) {
    OWN(json)
    json_t *fleet = json_pack("{s:s, s:i, s:i, s:{s:{s:i, s:i}}, s:{s:{s:i, s:i, s:i}}, s:s, s:o}",
                              "name", "f", "devices", DEVICES, "sites", SITES, "facts", "line", "A",
                              1, "B", 1, "metrics", "load", "mean", 100, "sd", 5, "site_sd", 20,
                              "duration", "20d", "release", json_loads(release, 0, NULL));
    OWN(json)
    json_t *policy = json_pack(
        "{s:s, s:s, s:[{s:s, s:i}, {s:s, s:i}], s:s, s:[{s:s, s:s, s:i, s:i}, {s:s, s:s, s:s, "
        "s:i}], s:{s:s, s:s, s:s, s:s, s:s, s:s}}",
        "name", "p", "release", "r 1", "stages", "name", "tenth", "percent", 10, "name", "all",
        "percent", 100, "on_failure", "revert", "gates", "name", "install", "kind", "install",
        "baseline_pct", 2, "intolerable_pct", 20, "name", "load", "kind", "metric", "metric",
        "load", "intolerable", 10, "evidence", "horizon_s", "4h", "window_s", "3h", "grace_s", "1h",
        "max_soak_s", "6h", "on_max_soak", "advance", "site", site);
    cr_assert(fleet != NULL && policy != NULL);
    cr_assert_eq(sim_fleet_parse(fleet, "fleet", &s->fleet, e), 0, "%s", e->text);
    cr_assert_eq(rollout_policy_parse(policy, "policy", &s->policy, e), 0, "%s", e->text);
    s->policy.gates.unit = unit;
    s->world = (struct sim_world){.n = 0};
    return sim_world_make(&s->fleet, &s->policy, 0, &s->world, e);
}

Test(sim_units, devices_of_a_site_are_one_and_the_others_are_by_themselves) {
    static struct scene s;
    struct err e = ERR_NONE;
    cr_assert_eq(make(&s, ROLLOUT_UNIT_SITE, "label.site", "[]", &e), 0, "%s", e.text);
    for (size_t i = 0; i < DEVICES; i++) {
        size_t first = 0;
        while (s.world.devices[first].site != s.world.devices[i].site)
            first++;
        cr_assert_eq(s.world.devices[i].unit, first);
    }
    sim_world_clear(&s.world);
    cr_assert_eq(make(&s, ROLLOUT_UNIT_DEVICE, "label.site", "[]", &e), 0, "%s", e.text);
    for (size_t i = 0; i < DEVICES; i++)
        cr_assert_eq(s.world.devices[i].unit, i);
    sim_world_clear(&s.world);
}

Test(sim_units, what_a_controller_refuses_is_refused) {
    static struct scene s;
    struct err e = ERR_NONE;
    cr_assert_lt(make(&s, ROLLOUT_UNIT_SITE, "label.shop", "[]", &e), 0);
    cr_expect(strstr(e.text, "by label.shop, and no device"), "%s", e.text);
    e = (struct err)ERR_NONE;
    cr_assert_eq(make(&s, ROLLOUT_UNIT_SITE, "label.site", "[]", &e), 0, "%s", e.text);
    sim_world_clear(&s.world);
    s.policy.n_stratify = 1;
    (void)snprintf(s.policy.stratify[0], sizeof s.policy.stratify[0], "line");
    cr_assert_lt(sim_world_make(&s.fleet, &s.policy, 0, &s.world, &e), 0);
    cr_expect(strstr(e.text, "devices of several strata"), "%s", e.text);
}

Test(sim_units, a_stage_is_whole_sites_of_one_rank) {
    static struct scene s;
    struct sim_control control;
    struct err e = ERR_NONE;
    uint64_t planned = 0;
    bool early[SITES] = {false}, late[SITES] = {false};
    cr_assert_eq(make(&s, ROLLOUT_UNIT_SITE, "label.site", "[]", &e), 0, "%s", e.text);
    cr_assert_eq(sim_control_open(&s.world, 1, &control, &e), 0);
    for (size_t i = 0; i < DEVICES; i++)
        sim_control_enroll(&control, i, SIM_RUN_START_S);
    cr_assert_eq(sim_control_apply(&control, SIM_RUN_START_S, &e), 0);
    for (size_t i = 0; i < DEVICES; i++) {
        uint32_t unit = s.world.devices[i].unit;
        cr_assert_eq(control.devices[i].rank, control.devices[unit].rank);
        bool is_early = control.devices[i].admits == 0;
        (is_early ? early : late)[s.world.devices[i].site] = true;
        planned += is_early;
    }
    size_t n = 0, all = 0;
    for (size_t i = 0; i < SITES; i++) {
        cr_assert_not(early[i] && late[i], "site %zu is cut through", i);
        n += early[i];
        all += early[i] || late[i];
    }
    cr_expect_eq(n, (all + 9) / 10, "a tenth of the sites: %zu of %zu", n, all);
    cr_expect_eq(control.tallies[0].planned, planned);
    sim_control_close(&control);
    sim_world_clear(&s.world);
}

static struct sim_run_result run(const char *release) {
    static struct scene s;
    struct sim_run_result result = {.n_samples = 0};
    const struct sim_run_options how = {.seed = 3};
    struct err e = ERR_NONE;
    cr_assert_eq(make(&s, ROLLOUT_UNIT_SITE, "label.site", release, &e), 0, "%s", e.text);
    cr_assert_eq(sim_run(&s.world, &how, &result, &e), 0, "%s", e.text);
    cr_expect_eq(result.broken.n, 0, "%s", result.broken.first);
    sim_world_clear(&s.world);
    sim_run_clear(&result);
    return result;
}

Test(sim_units, a_healthy_release_gets_through_and_one_that_harms_sites_is_stopped) {
    struct sim_run_result healthy = run("[]");
    cr_expect_eq(healthy.end, SIM_RUN_FINISHED, "%s", healthy.why_text);
    cr_expect_not(healthy.stopped);
    // A set is of five sites: no more of them than that.
    cr_expect(healthy.sets_scored > 0 && healthy.sets_scored + healthy.sets_void <= SITES / 5);
    struct sim_run_result slow =
        run("[{\"kind\": \"metric_shift\", \"metric\": \"load\", \"by\": 60}]");
    cr_expect(slow.stopped, "%s", slow.why_text);
    struct sim_run_result bad = run("[{\"kind\": \"probe_failure\", \"percent\": 60}]");
    cr_expect(bad.stopped, "%s", bad.why_text);
    cr_expect_lt(bad.exposed, DEVICES / 2);
}
