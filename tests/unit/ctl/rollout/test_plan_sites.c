// SPDX-License-Identifier: Apache-2.0
//
// Plans that draw sites: bounds and sight in sites, everything that devices cost in devices.
#include "ctl/rollout/plan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/unit.h"
#include "tests/unit/ctl/rollout/plan_text.h"

#define EACH 6 // devices of a site

static const char policy_text[] =
    "{\"name\":\"r\",\"release\":\"app 1.0\",\"stages\":[{\"name\":\"few\",\"count\":3,\"soak\":"
    "\"10m\"},{\"name\":\"half\",\"percent\":50},{\"name\":\"all\",\"percent\":100}],"
    "\"gates\":[{\"name\":\"i\",\"kind\":\"install\"},{\"name\":\"l\",\"kind\":\"lost\"},"
    "{\"name\":\"m\",\"kind\":\"metric\",\"metric\":\"ms\",\"intolerable\":5}]}";

struct fleet {
    struct rollout_policy policy;
    struct rollout_plan plan;
    struct rollout_plan_census census;
    uint64_t counted[1];
};

static struct fleet *make(enum rollout_unit_kind unit, size_t n_sites) {
    static const char *const keys[] = {"{}"};
    struct fleet *f = calloc(1, sizeof *f);
    cr_assert_not_null(f);
    read_policy(policy_text, &f->policy);
    f->policy.gates.unit = unit;
    size_t n = n_sites * EACH;
    f->counted[0] = unit == ROLLOUT_UNIT_SITE ? n_sites : n;
    f->census = (struct rollout_plan_census){.accepted = n,
                                             .n_strata = 1,
                                             .keys = keys,
                                             .counted = f->counted,
                                             .sites = {.sites = n_sites, .largest = EACH},
                                             .n_members = n};
    f->census.members = calloc(n, sizeof *f->census.members);
    cr_assert_not_null(f->census.members);
    for (size_t i = 0; i < n; i++) {
        char id[32], site[32], name[BUNDLE_UNIT_MAX + 1];
        (void)snprintf(id, sizeof id, "device-%zu", i);
        (void)snprintf(site, sizeof site, "%zu", i % n_sites);
        (void)bundle_unit_by(id, unit == ROLLOUT_UNIT_SITE ? site : NULL, name);
        f->census.members[i].rank = bundle_rank(name, seed);
        rollout_plan_age_add(&f->census.ages, i * 1800 / n);
    }
    f->census.ages.lost_week = n / 10;
    f->plan.made_s = 1800000000;
    rollout_plan_make(&f->policy, &f->census, &f->plan);
    return f;
}

static void drop(struct fleet *f) {
    free(f->census.members);
    free(f);
}

static json_t *format(const struct fleet *f) {
    return format_plan(&f->policy, &f->census, &f->plan);
}

static const json_t *stage(const json_t *document, size_t i) {
    return json_array_get(json_object_get(document, "stages"), i);
}

static const json_t *gate(const json_t *document, size_t stage_no, size_t i) {
    return json_array_get(json_object_get(stage(document, stage_no), "gates"), i);
}

Test(rollout_plan_sites, stages_are_so_many_sites_and_the_devices_of_them) {
    struct fleet *f = make(ROLLOUT_UNIT_SITE, 100);
    OWN(json) json_t *document = format(f);
    static const json_int_t units[] = {3, 47, 50};
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(number(stage(document, i), "units"), units[i], "%zu", i);
        cr_expect_eq(number(stage(document, i), "adds"), units[i] * EACH, "whole sites: %zu", i);
    }
    cr_expect_eq(number(document, "devices"), 600);
    const json_t *sites = json_object_get(document, "sites");
    cr_expect_eq(number(sites, "units"), 100);
    cr_expect_eq(number(sites, "sites"), 100);
    cr_expect_eq(number(sites, "alone"), 0);
    cr_expect_eq(number(sites, "largest"), EACH);
    drop(f);
}

Test(rollout_plan_sites, gates_see_as_many_sites_as_there_are_and_no_more) {
    struct fleet *f = make(ROLLOUT_UNIT_SITE, 100);
    OWN(json) json_t *document = format(f);
    cr_expect_eq(number(gate(document, 1, 0), "n"), 50);
    cr_expect_str_eq(json_string_value(json_object_get(gate(document, 1, 0), "of")), "sites");
    cr_expect_eq(number(gate(document, 1, 2), "n"), 100 / 5, "sets of five sites");
    drop(f);
    struct fleet *d = make(ROLLOUT_UNIT_DEVICE, 100);
    OWN(json) json_t *by_device = format(d);
    cr_expect_eq(number(gate(by_device, 1, 0), "n"), 300);
    cr_expect_str_eq(json_string_value(json_object_get(gate(by_device, 1, 0), "of")), "devices");
    cr_expect_null(json_object_get(by_device, "sites"), "a plan by devices is what it was");
    cr_expect_null(json_object_get(stage(by_device, 0), "units"));
    drop(d);
}

// A site is lost with the first of its devices, and once.
Test(rollout_plan_sites, as_many_losses_come_as_from_the_devices_but_never_more_than_sites) {
    struct fleet *s = make(ROLLOUT_UNIT_SITE, 100), *d = make(ROLLOUT_UNIT_DEVICE, 100);
    OWN(json) json_t *by_site = format(s);
    OWN(json) json_t *by_device = format(d);
    json_int_t of_sites = number(gate(by_site, 1, 1), "n");
    cr_expect_gt(of_sites, 0);
    cr_expect_leq(of_sites, 100);
    s->census.ages.lost_week = s->census.n_members;
    OWN(json) json_t *all = format(s);
    cr_expect_leq(number(gate(all, 1, 1), "n"), 100);
    drop(s);
    drop(d);
}

// Exposure is told in devices: so many sites, of so many devices each.
Test(rollout_plan_sites, exposure_is_that_of_whole_sites) {
    struct fleet *s = make(ROLLOUT_UNIT_SITE, 400), *d = make(ROLLOUT_UNIT_DEVICE, 400);
    OWN(json) json_t *by_site = format(s);
    OWN(json) json_t *by_device = format(d);
    const json_t *site = json_array_get(json_object_get(by_site, "exposure"), 2);
    const json_t *device = json_array_get(json_object_get(by_device, "exposure"), 2);
    cr_expect(json_is_true(json_object_get(site, "stopped")));
    cr_expect_gt(number(site, "median"), 2 * number(device, "median"));
    drop(s);
    drop(d);
}

Test(rollout_plan_sites, the_largest_site_may_be_more_than_is_open_at_once) {
    struct fleet *f = make(ROLLOUT_UNIT_SITE, 20);
    OWN(json) json_t *document = format(f);
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(document, "sites"), "text")),
                     "");
    f->census.sites.largest = 11;
    f->census.sites.alone = 2;
    OWN(json) json_t *large = format(f);
    const char *text = json_string_value(json_object_get(json_object_get(large, "sites"), "text"));
    cr_expect(strstr(text, "11 devices, and at first 10 may be without an outcome"), "%s", text);
    cr_expect(strstr(text, "2 devices of no site count for themselves; "), "%s", text);
    drop(f);
}

Test(rollout_plan_sites, apply_reads_how_many_units_there_were) {
    struct fleet *f = make(ROLLOUT_UNIT_SITE, 100);
    struct rollout_plan_read read;
    struct rollout_plan_read_size size;
    struct rollout_stratum_plan plan;
    const char *key = NULL;
    bool pooled = false;
    struct err e = ERR_NONE;
    OWN(json) json_t *document = format(f);
    cr_assert_eq(rollout_plan_read(&f->policy, document, &read, &e), 0, "%s", e.text);
    cr_expect_eq(read.devices, 600);
    cr_expect_eq(read.units, 100);
    cr_assert_eq(rollout_plan_read_stratum(&f->policy, &read, 0, &key, &size, &pooled, &plan, &e),
                 0, "%s", e.text);
    cr_expect_eq(size.devices, 600);
    cr_expect_eq(size.units, 100);
    f->policy.gates.unit = ROLLOUT_UNIT_DEVICE;
    cr_assert_eq(rollout_plan_read(&f->policy, document, &read, &e), 0, "%s", e.text);
    cr_expect_eq(read.units, 600, "of devices each is one");
    f->policy.gates.unit = ROLLOUT_UNIT_SITE;
    // One that was made for devices is none for sites.
    json_object_del(document, "sites");
    cr_expect_lt(rollout_plan_read(&f->policy, document, &read, &e), 0);
    cr_expect(strstr(e.text, "sites"), "%s", e.text);
    drop(f);
}
