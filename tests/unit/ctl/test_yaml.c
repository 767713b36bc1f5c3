// SPDX-License-Identifier: Apache-2.0
//
// YAML: what becomes of scalars, and everything that is refused, with its place.
#include "ctl/yaml.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"

static struct slice slice_of(const char *text) {
    return (struct slice){.data = (const uint8_t *)text, .len = strlen(text)};
}

static void becomes(const char *yaml, const char *json) {
    struct err e = ERR_NONE;
    OWN(json) json_t *got = NULL;
    OWN(json) json_t *want = json_loads(json, JSON_DECODE_ANY, NULL);
    cr_assert(want, "the test's own JSON: %s", json);
    cr_assert_eq(ctl_yaml_parse(slice_of(yaml), "t", &got, &e), 0, "%s: %s", yaml, e.text);
    OWN(mem) char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);
    cr_assert(json_equal(got, want), "%s became %s", yaml, text);
}

static void refused(const char *yaml, const struct err_kind *kind, const char *says) {
    struct err e = ERR_NONE;
    json_t *got = NULL;
    cr_assert_lt(ctl_yaml_parse(slice_of(yaml), "t", &got, &e), 0, "taken: %s", yaml);
    cr_assert_null(got);
    cr_assert_eq(e.kind, kind, "%s: kind %s: %s", yaml, e.kind->name, e.text);
    cr_assert(strstr(e.text, says), "%s: \"%s\" does not say \"%s\"", yaml, e.text, says);
}

Test(yaml, plain_words_are_values) {
    becomes("{a: true, b: False, c: null, d: ~, e: , f: 12, g: -3, h: 0}",
            "{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":null,\"f\":12,\"g\":-3,\"h\":0}");
}

Test(yaml, what_only_looks_like_a_value_stays_text) {
    becomes("{a: yes, b: 010, c: 0x10, d: 0o7, e: 1_000, f: +3, g: -0, h: on, i: tRue}",
            "{\"a\":\"yes\",\"b\":\"010\",\"c\":\"0x10\",\"d\":\"0o7\",\"e\":\"1_000\","
            "\"f\":\"+3\",\"g\":\"-0\",\"h\":\"on\",\"i\":\"tRue\"}");
}

Test(yaml, versions_and_decimals_keep_their_digits) {
    becomes("{version: 1.10, pct: 0.50, big: 9223372036854775808, exp: 1e3, inf: .inf}",
            "{\"version\":\"1.10\",\"pct\":\"0.50\",\"big\":\"9223372036854775808\","
            "\"exp\":\"1e3\",\"inf\":\".inf\"}");
    becomes("9223372036854775807", "9223372036854775807");
}

Test(yaml, quoted_is_text) {
    becomes("{a: \"true\", b: '12', c: \"\", d: 'it''s', e: \"\\u00e9\"}",
            "{\"a\":\"true\",\"b\":\"12\",\"c\":\"\",\"d\":\"it's\",\"e\":\"é\"}");
    becomes("a: |\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\"}");
    becomes("a: >-\n  one\n  two\n", "{\"a\":\"one two\"}");
}

Test(yaml, keys_are_text) {
    becomes("{true: 1, 2: x, \"a b\": y, <<: z}",
            "{\"true\":1,\"2\":\"x\",\"a b\":\"y\",\"<<\":\"z\"}");
}

Test(yaml, a_policy_reads_as_people_write_it) {
    becomes("# canaries first\nname: vibration-1.1\nrelease: {name: vibration, version: 1.1}\n"
            "selector: label.site == \"b\"\nstages:\n- name: canary\n  count: 2\n  soak_s: 10m\n"
            "- {name: all, percent: 100}\n",
            "{\"name\":\"vibration-1.1\",\"release\":{\"name\":\"vibration\",\"version\":\"1.1\"},"
            "\"selector\":\"label.site == \\\"b\\\"\",\"stages\":[{\"name\":\"canary\",\"count\":2,"
            "\"soak_s\":\"10m\"},{\"name\":\"all\",\"percent\":100}]}");
}

Test(yaml, one_document_with_its_marks_is_taken) {
    becomes("%YAML 1.2\n---\na: 1\n...\n", "{\"a\":1}");
    becomes("--- [1]", "[1]");
}

Test(yaml, a_second_document_is_refused) {
    refused("a: 1\n---\nb: 2\n", &err_syntax, "line 2, column 1: a second document");
}

Test(yaml, a_laughing_billion_is_refused) {
    refused("a: &x [1]\nb: [*x, *x]\n", &err_syntax, "line 1, column 4: anchors");
    refused("a: &x 1\n", &err_syntax, "anchors");
    refused("a: &x {b: 1}\n", &err_syntax, "anchors");
    refused("a: *x\n", &err_syntax, "anchors");
}

Test(yaml, tags_are_refused) {
    refused("a: !!str 5\n", &err_syntax, "tags");
    refused("a: !thing {b: 1}\n", &err_syntax, "tags");
    refused("a: !!set [1]\n", &err_syntax, "tags");
}

Test(yaml, a_key_twice_is_refused_at_its_place) {
    refused("a: 1\nb: 2\na: 3\n", &err_syntax, "line 3, column 1: the key \"a\"");
    refused("{x: {y: 1, y: 2}}", &err_syntax, "\"y\"");
}

Test(yaml, a_key_that_is_no_scalar_is_refused) {
    refused("{[1]: 2}", &err_syntax, "a key must be plain text");
    refused("? {a: 1}\n: 2\n", &err_syntax, "a key must be plain text");
}

Test(yaml, tabs_for_indenting_are_explained) {
    refused("a:\n\t- 1\n", &err_syntax, "tabs");
}

Test(yaml, unfinished_text_is_refused_with_its_place) {
    refused("a: [1, 2\n", &err_syntax, "line 2");
    refused("a: \"b\n", &err_syntax, "line");
    refused("a: b: c\n", &err_syntax, "line 1");
}

Test(yaml, nothing_is_refused) {
    refused("", &err_syntax, "empty");
    refused("# only a comment\n", &err_syntax, "empty");
}

Test(yaml, other_encodings_are_refused) {
    struct err e = ERR_NONE;
    json_t *got = NULL;
    static const uint8_t utf16[] = {0xFF, 0xFE, 'a', 0, ':', 0, ' ', 0, '1', 0};
    struct slice text = {utf16, sizeof utf16};
    cr_assert_lt(ctl_yaml_parse(text, "t", &got, &e), 0);
    cr_assert_eq(e.kind, &err_syntax);
    refused("a: \"\\0\"", &err_syntax, "NUL");
    refused("\"\\0\": a", &err_syntax, "NUL");
}

static void nested(size_t depth, char *ret) {
    memset(ret, '[', depth);
    memset(ret + depth, ']', depth);
    ret[2 * depth] = '\0';
}

Test(yaml, depth_has_a_limit) {
    char text[4 * CTL_YAML_DEPTH_MAX];
    struct err e = ERR_NONE;
    OWN(json) json_t *got = NULL;
    nested(CTL_YAML_DEPTH_MAX, text);
    cr_assert_eq(ctl_yaml_parse(slice_of(text), "t", &got, &e), 0, "%s", e.text);
    nested(CTL_YAML_DEPTH_MAX + 1, text);
    refused(text, &err_limit, "deeper");
}

Test(yaml, the_number_of_values_has_a_limit) {
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    OWN(json) json_t *got = NULL;
    buf_init(&text, CTL_YAML_BYTES_MAX);
    for (int i = 0; i < CTL_YAML_VALUES_MAX - 1; i++) // the sequence counts too
        cr_assert_eq(buf_add_text(&text, "- 1\n", &e), 0);
    cr_assert_eq(ctl_yaml_parse(buf_slice(&text), "t", &got, &e), 0, "%s", e.text);
    cr_assert_eq(buf_add_text(&text, "- 1\n", &e), 0);
    refused(buf_text(&text), &err_limit, "more values");
}

Test(yaml, length_has_a_limit) {
    OWN(mem) char *text = malloc(CTL_YAML_BYTES_MAX + 2);
    struct err e = ERR_NONE;
    OWN(json) json_t *got = NULL;
    memset(text, 'a', CTL_YAML_BYTES_MAX + 1);
    text[CTL_YAML_BYTES_MAX] = '\0';
    cr_assert_eq(ctl_yaml_parse(slice_of(text), "t", &got, &e), 0, "%s", e.text);
    text[CTL_YAML_BYTES_MAX] = 'a';
    text[CTL_YAML_BYTES_MAX + 1] = '\0';
    refused(text, &err_limit, "longer");
}
