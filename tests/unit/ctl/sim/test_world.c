// SPDX-License-Identifier: Apache-2.0
//
// The simulated world: who is what, who can be reached, what metrics read, what a device does.
#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "ctl/sim/device.h"
#include "ctl/sim/sum.h"

#define DAY  86400
#define NOON (SIM_RUN_START_S + DAY / 2)

struct scene {
    struct sim_fleet fleet;
    struct rollout_policy policy;
    struct sim_world world;
    struct sim_world_luck luck;
};

static struct scene *make(const char *members, const char *policy_members) {
    struct scene *s = calloc(1, sizeof *s);
    struct err e = ERR_NONE;
    json_error_t where;
    char fleet[2048], policy[1024];
    (void)snprintf(fleet, sizeof fleet, "{\"name\": \"f\", %s}", members);
    (void)snprintf(policy, sizeof policy, "{\"name\": \"p\", \"release\": \"r 1\"%s}",
                   policy_members);
    OWN(json) json_t *a = json_loads(fleet, 0, &where);
    OWN(json) json_t *b = json_loads(policy, 0, &where);
    cr_assert(s != NULL && a != NULL && b != NULL, "%s", where.text);
    cr_assert_eq(sim_fleet_parse(a, "fleet", &s->fleet, &e), 0, "%s", e.text);
    cr_assert_eq(rollout_policy_parse(b, "policy", &s->policy, &e), 0, "%s", e.text);
    cr_assert_eq(sim_world_make(&s->fleet, &s->policy, 0, &s->world, &e), 0, "%s", e.text);
    cr_assert_eq(
        sim_world_roll(&s->world, 1, SIM_RUN_START_S, SIM_RUN_START_S + 30 * DAY, &s->luck, &e), 0,
        "%s", e.text);
    return s;
}

static void drop(struct scene *s) {
    sim_world_luck_clear(&s->luck);
    sim_world_clear(&s->world);
    free(s);
}

Test(sim_world, facts_and_kinds_come_by_their_weights_and_a_kinds_own_first) {
    struct scene *s = make(
        "\"devices\": 4000, \"sites\": 4, \"facts\": {\"line\": {\"A\": 3, \"B\": 1}}, \"kinds\": "
        "[{\"name\": \"x\", \"weight\": 1}, {\"name\": \"y\", \"weight\": 3, \"facts\": "
        "{\"line\": \"C\"}}]",
        ", \"stratify\": [\"line\"], \"selector\": \"line != \\\"B\\\"\"");
    size_t kinds[2] = {0}, strata[3] = {0}, selected = 0;
    cr_assert_eq(s->world.n_strata, 3);
    for (size_t i = 0; i < s->world.n; i++) {
        kinds[s->world.devices[i].kind]++;
        strata[s->world.devices[i].stratum]++;
        selected += s->world.devices[i].selected;
        cr_assert_lt(s->world.devices[i].site, 4);
    }
    cr_assert(kinds[0] > 900 && kinds[0] < 1100, "%zu", kinds[0]);
    size_t b = s->world.n - selected;
    cr_assert(b > 200 && b < 300, "a quarter of a quarter: %zu", b);
    drop(s);
}

Test(sim_world, too_many_strata_are_refused) {
    OWN(mem) struct scene *s = calloc(1, sizeof *s);
    struct err e = ERR_NONE;
    OWN(json)
    json_t *fleet = json_pack("{s:s, s:i, s:i}", "name", "f", "devices", 3000, "sites", 300);
    OWN(json)
    json_t *policy =
        json_pack("{s:s, s:s, s:[s]}", "name", "p", "release", "r 1", "stratify", "label.site");
    cr_assert_eq(sim_fleet_parse(fleet, "fleet", &s->fleet, &e), 0, "%s", e.text);
    cr_assert_eq(rollout_policy_parse(policy, "policy", &s->policy, &e), 0, "%s", e.text);
    cr_assert_eq(sim_world_make(&s->fleet, &s->policy, 0, &s->world, &e), -1);
    cr_assert_eq(e.kind, &err_config);
    cr_assert_eq(s->world.n, 0);
}

Test(sim_world, a_device_that_is_off_at_night_is_reached_in_the_morning) {
    struct scene *s =
        make("\"devices\": 1, \"kinds\": [{\"name\": \"k\", \"off\": \"20:00-06:00\"}]", "");
    int64_t day = SIM_RUN_START_S;
    cr_assert_eq(sim_world_reachable_s(&s->luck, 0, NOON), NOON);
    cr_assert_eq(sim_world_reachable_s(&s->luck, 0, day + 20 * 3600), day + 30 * 3600);
    cr_assert_eq(sim_world_reachable_s(&s->luck, 0, day + 3 * 3600), day + 6 * 3600);
    cr_assert_eq(sim_world_reachable_s(&s->luck, 0, day + 6 * 3600), day + 6 * 3600);
    drop(s);
}

Test(sim_world, outages_of_a_site_leave_the_other_sites_alone) {
    struct scene *s = make("\"devices\": 60, \"sites\": 6, \"outages\": {\"site_per_week\": 10, "
                           "\"last\": \"4h\"}",
                           "");
    size_t dark = 0, samples = 0, alike = 0;
    for (int64_t at_s = SIM_RUN_START_S; at_s < SIM_RUN_START_S + 14 * DAY; at_s += 1800) {
        bool site[6] = {false};
        for (size_t i = 0; i < 60; i++) {
            bool off = sim_world_reachable_s(&s->luck, i, at_s) > at_s;
            site[s->world.devices[i].site] |= off;
            dark += off;
            samples++;
        }
        size_t n = 0;
        for (int i = 0; i < 6; i++)
            n += site[i];
        alike += n == 6;
    }
    double share = (double)dark / (double)samples; // 10 outages of 4 hours in 168
    cr_assert(share > 0.15 && share < 0.28, "%f", share);
    cr_assert_lt(alike, 10);
    drop(s);
}

Test(sim_world, readings_show_what_the_release_does_from_then_on) {
    struct scene *s =
        make("\"devices\": 1, \"metrics\": {\"m\": {\"mean\": 10}}, \"release\": [{\"kind\": "
             "\"metric_shift\", \"metric\": \"m\", \"by\": 4, \"after\": 100}, {\"kind\": "
             "\"slow_poison\", \"metric\": \"m\", \"by\": 24}]",
             "");
    struct sim_dice noise = sim_dice_make(1, 1, 1);
    const int64_t one = NUM_DECIMAL_SCALE;
    uint32_t faults = sim_world_faults(&s->luck, 0);
    cr_assert_eq(faults, 3);
    cr_assert_eq(sim_world_read(&s->luck, 0, 0, NOON, -1, faults, &noise), 10 * one);
    cr_assert_eq(sim_world_read(&s->luck, 0, 0, NOON, NOON, faults, &noise), 10 * one);
    cr_assert_eq(sim_world_read(&s->luck, 0, 0, NOON, NOON - 3600, faults, &noise), 15 * one);
    cr_assert_eq(sim_world_read(&s->luck, 0, 0, NOON, NOON - 3600, 0, &noise), 10 * one);
    drop(s);
}

Test(sim_world, day_and_night_rise_and_fall_and_steps_are_kept) {
    struct scene *s =
        make("\"devices\": 1, \"metrics\": {\"m\": {\"mean\": 10, \"day\": 5, \"step\": 2}}", "");
    struct sim_dice noise = sim_dice_make(1, 1, 1);
    const int64_t one = NUM_DECIMAL_SCALE;
    int64_t midnight = SIM_RUN_START_S;
    cr_assert_eq(sim_world_read(&s->luck, 0, 0, midnight, -1, 0, &noise), 10 * one);
    cr_assert_eq(sim_world_read(&s->luck, 0, 0, midnight + DAY / 4, -1, 0, &noise), 14 * one);
    cr_assert_eq(sim_world_read(&s->luck, 0, 0, midnight + 3 * DAY / 4, -1, 0, &noise), 4 * one);
    drop(s);
}

Test(sim_world, counters_rise_by_their_rate) {
    struct scene *s = make("\"devices\": 1, \"metrics\": {\"c\": {\"per_day\": 3}}, \"release\": "
                           "[{\"kind\": \"event_rate\", \"metric\": \"c\", \"times\": 5}]",
                           "");
    struct sim_dice noise = sim_dice_make(1, 1, 1);
    uint64_t before = 0, after = 0;
    for (int64_t at_s = NOON; at_s < NOON + 1000 * DAY; at_s += DAY / 10) {
        before += sim_world_count(&s->luck, 0, at_s - DAY / 10, at_s, -1, 1, &noise);
        after += sim_world_count(&s->luck, 0, at_s - DAY / 10, at_s, NOON, 1, &noise);
    }
    cr_assert(before > 2800 && before < 3200, "%llu", (unsigned long long)before);
    cr_assert(after > 14500 && after < 15500, "%llu", (unsigned long long)after);
    drop(s);
}

// ── Devices ──

static struct sim_device_answer offer(uint64_t attempt) {
    struct sim_device_answer answer = {.action = SIM_DEVICE_INSTALL, .attempt = attempt};
    answer.bundle.bytes[0] = 7;
    return answer;
}

// Answers each check-in, letting it activate, until nothing is under way; returns the events reported.
static size_t drive(struct scene *s, struct sim_device *d, int64_t *now_s, bool restarts,
                    enum bundle_event *ret) {
    struct err e = ERR_NONE;
    size_t n = 0;
    uint64_t acked = 0;
    for (int i = 0; i < 4000 && sim_device_is_busy(d); i++) {
        bool work = d->next.work_s < d->next.checkin_s;
        *now_s = work ? d->next.work_s : d->next.checkin_s;
        if (restarts && i % 3 == 2 && i < 12)
            sim_device_restart(&s->luck, d, *now_s);
        if (work) {
            sim_device_work(&s->luck, d, *now_s);
            continue;
        }
        struct sim_device_checkin says;
        sim_device_say(&s->luck, d, *now_s, &says);
        for (size_t r = 0; r < says.n_reports; r++)
            if (says.reports[r].id > acked) {
                ret[n++] = says.reports[r].event;
                acked = says.reports[r].id;
            }
        const struct sim_device_answer answer = {
            .action = says.look ? SIM_DEVICE_ACTIVATE : SIM_DEVICE_NOTHING, .acked = acked};
        cr_assert_eq(sim_device_hear(&s->luck, d, &answer, *now_s, &e), 0);
    }
    cr_assert_not(sim_device_is_busy(d));
    return n;
}

static size_t install(struct scene *s, bool restarts, struct sim_device *d,
                      enum bundle_event *ret) {
    int64_t now_s = NOON;
    struct err e = ERR_NONE;
    const struct sim_device_answer answer = offer(1);
    sim_device_begin(&s->luck, 0, now_s, now_s - DAY, d);
    cr_assert_eq(sim_device_hear(&s->luck, d, &answer, now_s, &e), 0);
    return drive(s, d, &now_s, restarts, ret);
}

Test(sim_device, a_good_release_is_committed_and_each_step_reported_in_order) {
    struct scene *s = make("\"devices\": 1", "");
    struct sim_device d;
    enum bundle_event events[64];
    size_t n = install(s, false, &d, events);
    cr_assert_eq(n, 4);
    cr_assert_eq(events[0], BUNDLE_EVENT_OFFERED);
    cr_assert_eq(events[1], BUNDLE_EVENT_STAGED);
    cr_assert_eq(events[2], BUNDLE_EVENT_ACTIVATED);
    cr_assert_eq(events[3], BUNDLE_EVENT_COMMITTED);
    cr_assert_geq(d.running_s, NOON);
    cr_assert_eq(d.installs, 1);
    sim_device_end(&d);
    drop(s);
}

Test(sim_device, what_each_fault_does_to_an_install) {
    static const struct {
        const char *kind;
        enum bundle_event last;
        bool ran;
    } cases[] = {{"install_failure", BUNDLE_EVENT_REFUSED, false},
                 {"boot_loop", BUNDLE_EVENT_REVERTED, true},
                 {"probe_failure", BUNDLE_EVENT_REVERTED, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char members[128];
        (void)snprintf(members, sizeof members, "\"devices\": 1, \"release\": [{\"kind\": \"%s\"}]",
                       cases[i].kind);
        struct scene *s = make(members, "");
        struct sim_device d;
        enum bundle_event events[64];
        size_t n = install(s, false, &d, events);
        cr_assert_eq(events[n - 1], cases[i].last, "%s", cases[i].kind);
        cr_assert_eq(d.running_s, -1);
        cr_assert_eq(d.installs, cases[i].ran ? 1 : 0, "%s", cases[i].kind);
        sim_device_end(&d);
        drop(s);
    }
}

Test(sim_device, an_attempt_that_failed_is_not_taken_again_and_a_higher_one_is) {
    struct scene *s = make("\"devices\": 1, \"release\": [{\"kind\": \"install_failure\"}]", "");
    struct sim_device d;
    struct err e = ERR_NONE;
    enum bundle_event events[64];
    (void)install(s, false, &d, events);
    struct sim_device_answer again = offer(1), higher = offer(2);
    again.acked = higher.acked = d.last_report;
    cr_assert_eq(sim_device_hear(&s->luck, &d, &again, NOON + DAY, &e), 0);
    cr_assert_not(sim_device_is_busy(&d));
    cr_assert_eq(sim_device_hear(&s->luck, &d, &higher, NOON + DAY, &e), 0);
    cr_assert(sim_device_is_busy(&d));
    sim_device_end(&d);
    drop(s);
}

Test(sim_device, power_cuts_on_the_way_lose_nothing) {
    struct scene *s = make("\"devices\": 1", "");
    struct sim_device d;
    enum bundle_event events[64];
    size_t n = install(s, true, &d, events);
    cr_assert(events[n - 1] == BUNDLE_EVENT_COMMITTED || events[n - 1] == BUNDLE_EVENT_REVERTED ||
              events[n - 1] == BUNDLE_EVENT_REFUSED);
    cr_assert_eq(events[0], BUNDLE_EVENT_OFFERED);
    cr_assert_eq(d.running_s >= 0, events[n - 1] == BUNDLE_EVENT_COMMITTED);
    sim_device_end(&d);
    drop(s);
}

Test(sim_device, one_that_dies_is_not_busy_and_says_nothing_of_it) {
    struct scene *s =
        make("\"devices\": 1, \"release\": [{\"kind\": \"silent_death\", \"after\": 30}]", "");
    struct sim_device d;
    enum bundle_event events[64];
    int64_t now_s = NOON;
    struct err e = ERR_NONE;
    const struct sim_device_answer answer = offer(1);
    sim_device_begin(&s->luck, 0, now_s, now_s - DAY, &d);
    cr_assert_eq(sim_device_hear(&s->luck, &d, &answer, now_s, &e), 0);
    (void)drive(s, &d, &now_s, false, events);
    cr_assert_eq(d.death_s, d.running_s + 30);
    sim_device_end(&d);
    drop(s);
}

// ── Sums ──

Test(sim_sum, quantiles_are_values_that_occurred) {
    uint64_t values[] = {5, 1, 4, 2, 3};
    cr_assert_eq(sim_sum_quantile(values, 5, 500000), 3);
    cr_assert_eq(sim_sum_quantile(values, 5, 950000), 5);
    cr_assert_eq(sim_sum_quantile(values, 4, 500000), 2);
    cr_assert_eq(sim_sum_quantile(values, 1, 1), 1);
    cr_assert_eq(sim_sum_quantile(values, 0, 500000), 0);
}
