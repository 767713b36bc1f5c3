// SPDX-License-Identifier: Apache-2.0
//
// That what is checked after a simulated rollout would be noticed: each rule is broken by hand.
#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "ctl/sim/check.h"

struct scene {
    struct sim_fleet fleet;
    struct rollout_policy policy;
    struct sim_world world;
    struct sim_control control;
    struct sim_device devices[3];
    char text[SIM_CHECK_TEXT_BYTES];
};

static int64_t now_s = 1767571200;

static struct sim_device_answer hear(struct scene *s, size_t device) {
    const struct sim_device_checkin checkin = {.record = NULL};
    struct sim_device_answer answer;
    struct err e = ERR_NONE;
    cr_assert_eq(sim_control_hear(&s->control, device, &checkin, now_s, &answer, &e), 0, "%s",
                 e.text);
    return answer;
}

static int report(struct scene *s, size_t device, enum bundle_event event) {
    const struct sim_device_report one = {
        .id = 1 + s->control.devices[device].last_report, .attempt = 1, .event = event};
    const struct sim_device_checkin checkin = {.n_reports = 1, .reports = &one, .runs = true};
    struct sim_device_answer answer;
    struct err e = ERR_NONE;
    return sim_control_hear(&s->control, device, &checkin, now_s, &answer, &e);
}

// Three devices, one of which has committed what it was offered.
static struct scene *make(void) {
    struct scene *s = calloc(1, sizeof *s);
    struct err e = ERR_NONE;
    OWN(json) json_t *fleet = json_pack("{s:s, s:i}", "name", "f", "devices", 3);
    OWN(json)
    json_t *policy = json_pack("{s:s, s:s, s:b}", "name", "p", "release", "r 1", "baseline", 0);
    cr_assert_not_null(s);
    cr_assert_eq(sim_fleet_parse(fleet, "fleet", &s->fleet, &e), 0, "%s", e.text);
    cr_assert_eq(rollout_policy_parse(policy, "policy", &s->policy, &e), 0, "%s", e.text);
    cr_assert_eq(sim_world_make(&s->fleet, &s->policy, 0, &s->world, &e), 0);
    cr_assert_eq(sim_control_open(&s->world, 1, &s->control, &e), 0);
    for (size_t i = 0; i < 3; i++) {
        sim_control_enroll(&s->control, i, now_s - 86400);
        s->devices[i] = (struct sim_device){.index = (uint32_t)i, .running_s = -1};
    }
    cr_assert_eq(sim_control_apply(&s->control, now_s, &e), 0);
    cr_assert_eq(sim_control_tick(&s->control, now_s, &e), 0);
    cr_assert_eq(hear(s, 0).action, SIM_DEVICE_INSTALL);
    cr_assert_eq(report(s, 0, BUNDLE_EVENT_COMMITTED), 0);
    s->devices[0].running_s = now_s;
    cr_assert_eq(sim_check_end(&s->control, s->devices, s->text), 0, "%s", s->text);
    return s;
}

static void drop(struct scene *s) {
    sim_control_close(&s->control);
    sim_world_clear(&s->world);
    free(s);
}

static void expect(struct scene *s, const char *what) {
    cr_assert_gt(sim_check_end(&s->control, s->devices, s->text), 0, "%s", what);
    cr_assert_not_null(strstr(s->text, what), "%s: %s", what, s->text);
    drop(s);
}

Test(sim_check, a_tally_that_is_not_what_was_noted) {
    struct scene *s = make();
    s->control.tallies[0].now[ROLLOUT_TASK_COMMITTED]++;
    expect(s, "tallies:");
}

Test(sim_check, a_report_that_was_counted_twice) {
    struct scene *s = make();
    struct rollout_tally *tally = &s->control.tallies[0];
    rollout_tally_move(tally, ROLLOUT_TASK_COMMITTED, ROLLOUT_TASK_REVERTED);
    expect(s, "a recount finds");
}

Test(sim_check, a_device_without_an_outcome) {
    struct scene *s = make();
    cr_assert_eq(hear(s, 1).action, SIM_DEVICE_INSTALL);
    expect(s, "has no outcome");
}

Test(sim_check, a_device_that_does_not_run_what_it_committed) {
    struct scene *s = make();
    s->devices[0].running_s = -1;
    expect(s, "does not run the release");
}

Test(sim_check, a_device_that_went_back_and_runs_it_all_the_same) {
    struct scene *s = make();
    cr_assert_eq(report(s, 0, BUNDLE_EVENT_REVERTED), 0);
    expect(s, "runs the release");
}

Test(sim_check, an_offer_that_no_rule_allows) {
    struct scene *s = make();
    s->control.breaches.while_halted = 1;
    expect(s, "while the rollout did not run");
}

Test(sim_check, more_devices_than_were_planned_for) {
    struct scene *s = make();
    s->control.reached = 0;
    expect(s, "were planned for");
}

Test(sim_check, a_report_that_comes_twice_counts_once) {
    struct scene *s = make();
    const struct sim_device_report again = {
        .id = s->control.devices[0].last_report, .attempt = 1, .event = BUNDLE_EVENT_REVERTED};
    const struct sim_device_checkin checkin = {.n_reports = 1, .reports = &again, .runs = true};
    struct sim_device_answer answer;
    struct err e = ERR_NONE;
    cr_assert_eq(sim_control_hear(&s->control, 0, &checkin, now_s, &answer, &e), 0);
    cr_assert_eq(s->control.devices[0].task, ROLLOUT_TASK_COMMITTED);
    cr_assert_eq(sim_check_end(&s->control, s->devices, s->text), 0, "%s", s->text);
    drop(s);
}
