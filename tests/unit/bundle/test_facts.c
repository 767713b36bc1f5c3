// SPDX-License-Identifier: Apache-2.0
//
// What may stand in a set of facts, and what labels add.
#include "tests/unit/bundle/wire.h"

#include "bundle/facts.h"
#include "bundle/kind.h"

static int read_facts(json_t *document, struct err *e) {
    OWN(facts) struct bundle_facts *facts = NULL;
    int got = bundle_facts_parse(document, &facts, e);
    cr_assert_eq(got == 0, facts != NULL);
    return got;
}

static void refused(json_t *document, const struct err_kind *kind, const char *piece) {
    struct err e = ERR_NONE;
    cr_assert_lt(read_facts(document, &e), 0);
    cr_assert(err_is(&e, kind), "%s: %s", e.kind->name, e.text);
    cr_assert(strstr(e.text, piece), "%s", e.text);
    json_decref(document);
}

static void accepted(json_t *document) {
    struct err e = ERR_NONE;
    cr_assert_eq(read_facts(document, &e), 0, "%s", e.text);
    json_decref(document);
}

static json_t *with_name(const char *name) {
    json_t *object = json_object();
    cr_assert_eq(json_object_set_new(object, name, json_true()), 0);
    return object;
}

Test(facts, every_type_of_value_is_found_again) {
    OWN(json)
    json_t *object = wire_json("{\"arch\":\"arm64\",\"ram_mb\":2048,\"temp\":\"-0.5\",\"a.b-c_D9\":"
                               "true,\"runtimes\":[\"x\",\"\"]}");
    struct err e = ERR_NONE;
    OWN(facts) struct bundle_facts *facts = NULL;
    cr_assert_eq(bundle_facts_parse(object, &facts, &e), 0, "%s", e.text);
    const char *name;
    json_t *value;
    json_object_foreach (object, name, value)
        cr_assert(json_equal(value, bundle_facts_find(facts, name)), "%s", name);
    cr_assert_null(bundle_facts_find(facts, "absent"));
}

Test(facts, the_set_does_not_follow_the_document) {
    OWN(json) json_t *object = wire_json("{\"list\":[\"a\"],\"x\":\"1\"}");
    struct err e = ERR_NONE;
    OWN(facts) struct bundle_facts *facts = NULL;
    cr_assert_eq(bundle_facts_parse(object, &facts, &e), 0);
    json_array_clear(json_object_get(object, "list"));
    json_string_set(json_object_get(object, "x"), "2");
    json_object_set_new(object, "later", json_true());
    cr_assert_eq(json_array_size(bundle_facts_find(facts, "list")), 1);
    cr_assert_str_eq(json_string_value(bundle_facts_find(facts, "x")), "1");
    cr_assert_null(bundle_facts_find(facts, "later"));
}

Test(facts, other_types_are_refused_by_name) {
    refused(wire_json("{\"a\":null}"), &err_bad_message, "a: expected");
    refused(wire_json("{\"a\":{}}"), &err_bad_message, "a: expected");
    refused(wire_json("{\"a\":[\"x\",1]}"), &err_bad_message, "a[1]: expected a string");
    refused(json_pack("{s:f}", "a", 0.5), &err_bad_message, "a: expected");
    refused(wire_json("[]"), &err_bad_message, "expected an object");
    refused(json_pack("{s:s%}", "a", "x\0y", (size_t)3), &err_bad_message, "NUL");
}

Test(facts, names_that_could_not_be_written_in_a_predicate_are_refused) {
    static const char *const bad[] = {"",    "9a", ".a", "-a",      "a b",          "a\n",
                                      "a\"", "a(", "ä",  "\x1b[1m", "a\xe2\x80\xae"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused(with_name(bad[i]), &err_bad_message, "a name is letters");
    struct err e = ERR_NONE;
    OWN(json) json_t *hostile = with_name("\x1b[1m");
    (void)read_facts(hostile, &e);
    cr_assert_null(strchr(e.text, 0x1b), "an escape reaches the terminal");
}

Test(facts, ceilings_hold_exactly) {
    OWN(mem) char *name = wire_repeat('n', BUNDLE_FACT_NAME_MAX + 1);
    refused(with_name(name), &err_limit, "longer than 64");
    name[BUNDLE_FACT_NAME_MAX] = '\0';
    accepted(with_name(name));

    OWN(mem) char *value = wire_repeat('v', BUNDLE_FACT_VALUE_MAX + 1);
    refused(json_pack("{s:s}", "a", value), &err_limit, "a string of 257 bytes");
    refused(json_pack("{s:[s]}", "a", value), &err_limit, "a string of 257 bytes");
    value[BUNDLE_FACT_VALUE_MAX] = '\0';
    accepted(json_pack("{s:s, s:[s]}", "a", value, "b", value));

    json_t *object = json_object();
    for (int i = 0; i < BUNDLE_FACTS_MAX; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "f%d", i);
        json_object_set_new(object, text, json_integer(i));
    }
    accepted(json_incref(object));
    json_object_set_new(object, "one_more", json_integer(1));
    refused(object, &err_limit, "more than 256");

    json_t *list = json_array();
    for (int i = 0; i < BUNDLE_FACTS_LIST_MAX; i++)
        json_array_append_new(list, json_string("x"));
    accepted(json_pack("{s:O}", "a", list));
    json_array_append_new(list, json_string("x"));
    refused(json_pack("{s:o}", "a", list), &err_limit, "a list of 65");
}

Test(facts, labels_join_under_their_own_names_and_devices_cannot_claim_them) {
    OWN(json) json_t *object = wire_json("{\"arch\":\"arm64\"}");
    OWN(json) json_t *labels = wire_json("{\"site\":\"north\"}");
    struct err e = ERR_NONE;
    OWN(facts) struct bundle_facts *facts = NULL;
    cr_assert_eq(bundle_facts_with_labels(object, labels, &facts, &e), 0, "%s", e.text);
    cr_assert_str_eq(json_string_value(bundle_facts_find(facts, "label.site")), "north");
    cr_assert_null(bundle_facts_find(facts, "site"));
    refused(wire_json("{\"label.site\":\"south\"}"), &err_bad_message, "are the controller's");
}

Test(facts, labels_have_the_same_rules) {
    OWN(json) json_t *object = wire_json("{}");
    char name[BUNDLE_FACT_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    for (size_t len = 55; len < 65; len++) {
        struct err e = ERR_NONE;
        OWN(facts) struct bundle_facts *facts = NULL;
        OWN(json) json_t *labels = json_object();
        name[len < sizeof name ? len : sizeof name - 1] = '\0';
        json_object_set_new(labels, name, json_string("x"));
        int got = bundle_facts_with_labels(object, labels, &facts, &e);
        cr_assert_eq(got == 0, 6 + len <= BUNDLE_FACT_NAME_MAX, "%zu: %s", len, e.text);
        name[len < sizeof name ? len : sizeof name - 1] = 'n';
    }
    static const char *const bad[] = {"{\"a\":1}", "{\"a\":null}", "{\"a b\":\"x\"}", "[]",
                                      "{\"\\u0007\":\"x\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e = ERR_NONE;
        struct bundle_facts *facts = NULL;
        OWN(json) json_t *labels = wire_json(bad[i]);
        cr_assert_lt(bundle_facts_with_labels(object, labels, &facts, &e), 0, "%s", bad[i]);
        cr_assert(err_is(&e, &err_bad_message));
        cr_assert_null(facts);
    }
}

Test(facts, the_digest_does_not_depend_on_order) {
    OWN(json) json_t *a = wire_json("{\"a\":1,\"b\":[\"x\"]}");
    OWN(json) json_t *b = wire_json("{ \"b\" : [\"x\"], \"a\" : 1 }");
    OWN(json) json_t *c = wire_json("{\"a\":2,\"b\":[\"x\"]}");
    struct keys_digest da, db, dc, expected;
    struct err e = ERR_NONE;
    cr_assert_eq(bundle_facts_digest(a, &da, &e), 0);
    cr_assert_eq(bundle_facts_digest(b, &db, &e), 0);
    cr_assert_eq(bundle_facts_digest(c, &dc, &e), 0);
    static const char canonical[] = "{\"a\":1,\"b\":[\"x\"]}";
    keys_digest_of(canonical, sizeof canonical - 1, &expected);
    cr_assert(keys_digest_equal(&da, &db));
    cr_assert(keys_digest_equal(&da, &expected));
    cr_assert_not(keys_digest_equal(&da, &dc));
}
