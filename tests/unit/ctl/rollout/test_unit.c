// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/unit.h"

#include <criterion/criterion.h>

#include "base/own.h"
#include "ctl/rollout/score_member.h"

static const uint8_t seed[BUNDLE_RANK_SEED_BYTES] = {7};

static struct bundle_facts *site_b(void) {
    struct err e = ERR_NONE;
    struct bundle_facts *facts = NULL;
    OWN(json) json_t *object = json_pack("{s:s}", "place", "b");
    OWN(json) json_t *labels = json_pack("{s:s}", "site", "c");
    cr_assert_eq(bundle_facts_with_labels(object, labels, &facts, &e), 0, "%s", e.text);
    return facts;
}

Test(rollout_unit, is_the_device_unless_the_gates_say_site) {
    char unit[ROLLOUT_UNIT_ID_MAX + 1];
    OWN(facts) struct bundle_facts *facts = site_b();
    struct rollout_gates gates = {.n = 1, .site = "place"};
    cr_assert_eq(rollout_unit_of(&gates, "d1", facts, unit), ROLLOUT_UNIT_ALONE);
    cr_assert_str_eq(unit, "d1");
    cr_assert_eq(rollout_unit_rank(&gates, "d1", facts, seed), bundle_rank("d1", seed));
    gates.unit = ROLLOUT_UNIT_SITE;
    cr_assert_eq(rollout_unit_of(&gates, "d1", facts, unit), 0);
    cr_assert_str_eq(unit, "site:b");
    gates.site[0] = '\0';
    cr_assert_eq(rollout_unit_of(&gates, "d1", facts, unit), 0);
    cr_assert_str_eq(unit, "site:c");
    gates.n = 0;
    cr_assert_eq(rollout_unit_of(&gates, "d1", facts, unit), ROLLOUT_UNIT_ALONE);
}

Test(rollout_unit, devices_of_a_site_have_one_rank) {
    OWN(facts) struct bundle_facts *facts = site_b();
    const struct rollout_gates gates = {.n = 1, .unit = ROLLOUT_UNIT_SITE, .site = "place"};
    const struct rollout_gates other = {.n = 1, .unit = ROLLOUT_UNIT_SITE, .site = "none"};
    uint64_t rank = rollout_unit_rank(&gates, "d1", facts, seed);
    cr_assert_eq(rank, rollout_unit_rank(&gates, "d2", facts, seed));
    cr_assert_eq(rank, bundle_rank("site:b", seed));
    cr_assert_eq(rollout_unit_rank(&other, "d1", facts, seed), bundle_rank("d1", seed));
}

// At one instant: nothing of the site itself changed, and still its row has to be written, or the number
// of its devices is forgotten.
Test(rollout_unit, the_second_device_of_a_site_changes_its_row_at_the_instant_of_the_first) {
    static struct rollout_score score;
    static struct rollout_score_device site;
    static struct rollout_score_member members[2];
    static struct rollout_score_news news;
    const struct rollout_gates gates = {.n = 1,
                                        .unit = ROLLOUT_UNIT_SITE,
                                        .gate = {{.kind = ROLLOUT_GATE_INSTALL}},
                                        .rhythm_s = 60};
    const struct rollout_score_checkin checkin = {.now_s = 1800000000};
    cr_assert(rollout_score_follow(1, 1, &score));
    rollout_score_device_init(&score, 0, 0, 1, true, &site);
    for (size_t i = 0; i < 2; i++) {
        (void)rollout_score_member_heard(&score, &gates, &checkin, &members[i], &site, &news);
        cr_assert(news.device, "device %zu", i);
        cr_assert_eq(site.crowd.heard, i + 1);
    }
}
