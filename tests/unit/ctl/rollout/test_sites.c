// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/sites.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"

static struct rollout_sites *none(void) {
    struct rollout_sites *sites = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(rollout_sites_open(&sites, &e), 0);
    return sites;
}

static void add(struct rollout_sites *sites, const char *name, uint32_t stratum, bool counts) {
    struct err e = ERR_NONE;
    cr_assert_eq(rollout_sites_add(sites, name, stratum, counts, &e), 0, "%s", e.text);
}

static void refused(const struct rollout_sites *sites, const char *text) {
    struct err e = ERR_NONE;
    cr_assert_lt(rollout_sites_check(sites, "place", &e), 0, "taken, though: %s", text);
    cr_assert(err_is(&e, &err_config));
    cr_assert(strstr(e.text, text), "\"%s\" is not in \"%s\"", text, e.text);
}

Test(rollout_sites, a_site_counts_when_more_than_half_of_its_devices_do) {
    OWN(rollout_sites) struct rollout_sites *sites = none();
    uint64_t counted[BUNDLE_STRATA_MAX] = {0};
    struct err e = ERR_NONE;
    add(sites, "a", 0, true);
    add(sites, "a", 0, false); // one of two
    add(sites, "b", 1, true);
    add(sites, "b", 1, false);
    add(sites, "b", 1, true); // two of three
    add(sites, "c", 1, true);
    rollout_sites_add_alone(sites);
    struct rollout_sites_sum sum = rollout_sites_sum(sites, counted);
    cr_assert_eq(sum.sites, 3);
    cr_assert_eq(sum.alone, 1);
    cr_assert_eq(sum.largest, 3);
    cr_assert_eq(counted[0], 0);
    cr_assert_eq(counted[1], 2);
    rollout_sites_name(sites, "b");
    counted[1] = 0;
    (void)rollout_sites_sum(sites, counted);
    cr_assert_eq(counted[1], 1, "a stage names a device of it");
    cr_assert_eq(rollout_sites_check(sites, "place", &e), 0, "%s", e.text);
}

Test(rollout_sites, any_number_of_sites_is_told_apart) {
    OWN(rollout_sites) struct rollout_sites *sites = none();
    char name[32];
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 5000; i++) {
            (void)snprintf(name, sizeof name, "site-%u", i);
            add(sites, name, 0, true);
        }
    uint64_t counted[BUNDLE_STRATA_MAX] = {0};
    struct rollout_sites_sum sum = rollout_sites_sum(sites, counted);
    cr_assert_eq(sum.sites, 5000);
    cr_assert_eq(sum.largest, 3);
    cr_assert_eq(counted[0], 5000);
}

Test(rollout_sites, fewer_than_two_units_are_refused) {
    OWN(rollout_sites) struct rollout_sites *sites = none();
    struct err e = ERR_NONE;
    refused(sites, "no device of the selector has it");
    rollout_sites_add_alone(sites);
    rollout_sites_add_alone(sites);
    refused(sites, "by place, and no device");
    OWN(rollout_sites) struct rollout_sites *one = none();
    add(one, "a", 0, true);
    add(one, "a", 0, true);
    refused(one, "of one site by place");
    rollout_sites_add_alone(one);
    cr_assert_eq(rollout_sites_check(one, "place", &e), 0, "%s", e.text);
}

Test(rollout_sites, a_site_in_several_strata_is_named) {
    OWN(rollout_sites) struct rollout_sites *sites = none();
    static const char *const names[] = {"e", "d\nd", "c", "b", "a"};
    for (size_t i = 0; i < 5; i++) {
        add(sites, names[i], 0, true);
        add(sites, names[i], i == 3 ? 0 : 1, true);
        add(sites, names[i], 0, true);
    }
    refused(sites, "4 sites are of devices of several strata (a, c, d");
    refused(sites, ", …)");
    OWN(rollout_sites) struct rollout_sites *one = none();
    add(one, "a", 0, true);
    add(one, "b", 0, true);
    add(one, "b", 1, true);
    refused(one, "1 site is of devices of several strata (b)");
}
