// SPDX-License-Identifier: Apache-2.0
#include "bundle/unit.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"

static struct bundle_facts *facts_of(json_t *object, json_t *labels) {
    struct err e = ERR_NONE;
    struct bundle_facts *facts = NULL;
    cr_assert_eq(bundle_facts_with_labels(object, labels, &facts, &e), 0, "%s", e.text);
    json_decref(object);
    json_decref(labels);
    return facts;
}

Test(bundle_unit, devices_of_a_site_are_one_and_others_are_by_themselves) {
    char a[BUNDLE_UNIT_MAX + 1], b[BUNDLE_UNIT_MAX + 1];
    OWN(facts)
    struct bundle_facts *at_b = facts_of(
        json_pack("{s:s, s:i, s:s, s:b}", "site", "b", "shop", 7, "line", "", "open", 1), NULL);
    cr_assert_eq(bundle_unit("d1", "site", at_b, a), 0);
    cr_assert_eq(bundle_unit("d2", "site", at_b, b), 0);
    cr_assert_str_eq(a, "site:b");
    cr_assert_str_eq(a, b);
    // What is no text, empty or unknown names no site.
    static const char *const none[] = {"shop", "line", "open", "other", "label.site"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        cr_assert_eq(bundle_unit("d1", none[i], at_b, a), BUNDLE_UNIT_ALONE, "%s", none[i]);
        cr_assert_str_eq(a, "d1", "%s", none[i]);
    }
}

Test(bundle_unit, a_label_is_a_site_where_labels_are_known) {
    char unit[BUNDLE_UNIT_MAX + 1];
    OWN(facts)
    struct bundle_facts *facts =
        facts_of(json_pack("{s:s}", "site", "b"), json_pack("{s:s}", "site", "c"));
    cr_assert_eq(bundle_unit("d1", "label.site", facts, unit), 0);
    cr_assert_str_eq(unit, "site:c");
}

Test(bundle_unit, no_device_is_called_like_a_site) {
    char unit[BUNDLE_UNIT_MAX + 1], long_name[BUNDLE_FACT_VALUE_MAX + 1];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    OWN(facts)
    struct bundle_facts *facts =
        facts_of(json_pack("{s:s, s:s}", "site", "d1", "long", long_name), NULL);
    cr_assert_eq(bundle_unit("d1", "site", facts, unit), 0);
    cr_assert_str_neq(unit, "d1");
    cr_assert(!text_is_name(unit, BUNDLE_UNIT_MAX));
    cr_assert_eq(bundle_unit("d1", "long", facts, unit), 0);
    cr_assert_eq(strlen(unit), BUNDLE_UNIT_MAX, "nothing of it is cut");
}
