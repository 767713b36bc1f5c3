// SPDX-License-Identifier: Apache-2.0
#include "bundle/stratum.h"

#include <criterion/criterion.h>

#include <string.h>

#include "base/own.h"
#include "keys/kind.h"

static const char names[][BUNDLE_FACT_NAME_MAX + 1] = {"os.id", "arch"};

static struct bundle_facts *facts_of(json_t *object) {
    struct err e = ERR_NONE;
    struct bundle_facts *facts = NULL;
    cr_assert_eq(bundle_facts_parse(object, &facts, &e), 0, "%s", e.text);
    json_decref(object);
    return facts;
}

Test(bundle_stratum, is_named_by_its_facts_in_canonical_order) {
    struct err e = ERR_NONE;
    struct bundle_facts *facts = facts_of(json_pack("{s:s, s:i}", "arch", "arm64", "ram_mb", 64));
    OWN(buf) struct buf key;
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    cr_assert_eq(bundle_stratum_key(names, 2, facts, &key, &e), 0, "%s", e.text);
    cr_expect_str_eq(buf_text(&key), "{\"arch\":\"arm64\",\"os.id\":null}");
    bundle_facts_free(facts);
}

Test(bundle_stratum, without_facts_to_tell_apart_there_is_one) {
    struct err e = ERR_NONE;
    struct bundle_facts *facts = facts_of(json_pack("{s:s}", "arch", "arm64"));
    OWN(buf) struct buf key;
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    cr_assert_eq(bundle_stratum_key(NULL, 0, facts, &key, &e), 0, "%s", e.text);
    cr_expect_str_eq(buf_text(&key), "{}");
    bundle_facts_free(facts);
}

Test(bundle_stratum, a_name_that_is_too_long_is_refused) {
    char value[BUNDLE_FACT_VALUE_MAX + 1];
    struct err e = ERR_NONE;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    json_t *list = json_array();
    for (int i = 0; i < 9; i++)
        json_array_append_new(list, json_string(value));
    struct bundle_facts *facts = facts_of(json_pack("{s:o}", "arch", list));
    OWN(buf) struct buf key;
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    cr_expect_lt(bundle_stratum_key(names, 2, facts, &key, &e), 0);
    cr_expect(err_is(&e, &err_limit), "%s", e.text);
    bundle_facts_free(facts);
}
