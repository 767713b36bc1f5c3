// SPDX-License-Identifier: Apache-2.0
//
// Windows of a rollout in the zones of a simulated fleet. Time begins on a Monday, 00:00 UTC.
#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "ctl/sim/check.h"
#include "ctl/sim/hours.h"
#include "ctl/sim/run.h"

#define HOUR 3600
#define DAY  (24 * HOUR)

struct scene {
    struct sim_fleet fleet;
    struct rollout_policy policy;
    struct sim_world world;
};

static struct scene *make(const char *members, const char *windows) {
    struct scene *s = calloc(1, sizeof *s);
    struct err e = ERR_NONE;
    char fleet[1024], policy[1024];
    (void)snprintf(fleet, sizeof fleet, "{\"name\": \"f\", %s}", members);
    (void)snprintf(policy, sizeof policy,
                   "{\"name\": \"p\", \"release\": \"r 1\", \"windows\": %s}", windows);
    OWN(json) json_t *a = json_loads(fleet, 0, NULL);
    OWN(json) json_t *b = json_loads(policy, 0, NULL);
    cr_assert(s != NULL && a != NULL && b != NULL);
    cr_assert_eq(sim_fleet_parse(a, "fleet", &s->fleet, &e), 0, "%s", e.text);
    cr_assert_eq(rollout_policy_parse(b, "policy", &s->policy, &e), 0, "%s", e.text);
    cr_assert_eq(sim_world_make(&s->fleet, &s->policy, 0, &s->world, &e), 0, "%s", e.text);
    return s;
}

static void drop(struct scene *s) {
    sim_world_clear(&s->world);
    free(s);
}

Test(sim_hours, zones_come_by_their_weights_and_are_read_in_any_order) {
    struct scene *s = make("\"devices\": 4000, \"zones\": {\"+05:30\": 3, \"-08:00\": 1}", "{}");
    size_t east = 0;
    for (size_t i = 0; i < s->world.n; i++) {
        int zone = s->world.devices[i].zone_min;
        cr_assert(zone == 330 || zone == -480, "%d", zone);
        east += zone == 330;
    }
    cr_expect(east > 2850 && east < 3150, "%zu", east);
    drop(s);
    s = make("\"devices\": 3", "{}");
    cr_expect_eq(s->world.devices[2].zone_min, 0);
    drop(s);
}

Test(sim_hours, a_zone_that_there_is_not_is_refused) {
    static const char *const wrong[] = {"05:30", "+5:30", "+14:01", "+25:00", "+05:30x", "UTC", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        static struct sim_fleet fleet;
        struct err e = ERR_NONE;
        OWN(json)
        json_t *document =
            json_pack("{s:s, s:i, s:{s:i}}", "name", "f", "devices", 1, "zones", wrong[i], 1);
        cr_expect_lt(sim_fleet_parse(document, "fleet", &fleet, &e), 0, "%s", wrong[i]);
        cr_expect_not_null(strstr(e.text, "zones"), "%s", e.text);
    }
}

Test(sim_hours, they_open_and_close_by_the_clock_of_the_device) {
    struct scene *s = make("\"devices\": 1, \"zones\": {\"+05:30\": 1}",
                           "{\"install\": [{\"start\": \"02:00\", \"end\": \"04:00\", \"days\": "
                           "[\"tue\"]}]}");
    const struct bundle_window_list *w = &s->policy.windows.install;
    char text[SIM_CHECK_TEXT_BYTES];
    // Tuesday 02:00 there is Monday 20:30 at UTC.
    int64_t open_s = SIM_RUN_START_S + 20 * HOUR + 30 * 60;
    cr_expect_eq(sim_hours_open_s(&s->world, 0, w, SIM_RUN_START_S + 17), open_s);
    cr_expect_eq(sim_hours_open_s(&s->world, 0, w, open_s + 5), open_s + 5);
    cr_expect_eq(sim_hours_end_s(&s->world, 0, w, open_s + 5, open_s + 10), open_s + 10);
    cr_expect_eq(sim_hours_end_s(&s->world, 0, w, open_s + 5, open_s + DAY), open_s + 2 * HOUR);
    cr_expect_eq(sim_hours_open_s(&s->world, 0, w, open_s + 2 * HOUR), open_s + 7 * DAY);
    cr_expect_eq(sim_check_window(&s->world, 0, open_s - 1, text), 1);
    cr_expect_eq(sim_check_window(&s->world, 0, open_s, text), 0);
    cr_expect_eq(sim_check_window(&s->world, 0, open_s + 2 * HOUR - 1, text), 0);
    cr_expect_eq(sim_check_window(&s->world, 0, open_s + 2 * HOUR, text), 1);
    drop(s);
}

// With downloads of about six hours, of which four fit into a night.
Test(sim_hours, a_fleet_installs_in_its_nights_and_goes_on_with_its_downloads) {
    struct scene *s = make("\"devices\": 60, \"zones\": {\"+09:00\": 1, \"-05:00\": 1}, "
                           "\"installs\": {\"fetch\": \"6h\"}",
                           "{\"download\": [\"22:00-02:00\"], \"install\": [\"01:00-05:00\"]}");
    struct sim_run_options options = {.seed = 7, .no_reloads = true};
    struct sim_run_result result;
    struct err e = ERR_NONE;
    cr_assert_eq(sim_run(&s->world, &options, &result, &e), 0, "%s", e.text);
    cr_expect_eq(result.broken.n, 0, "%s", result.broken.first);
    cr_expect_eq(result.end, SIM_RUN_FINISHED);
    cr_expect_eq(result.committed, 60);
    cr_expect_gt(result.verdict_s, DAY, "not in one night");
    sim_run_clear(&result);
    drop(s);
}
