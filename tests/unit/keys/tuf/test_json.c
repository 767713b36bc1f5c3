// SPDX-License-Identifier: Apache-2.0
//
// JSON of others: what is refused, what is read, and that the canonical form is the one that was
// signed.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "keys/tuf/json.h"
#include "tests/support/alloc_fault.h"

#define MANY 100000U // members of one object

static struct slice slice(const char *text) {
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

static void parse(const char *text, struct tuf_json *ret) {
    struct err e = ERR_NONE;
    cr_assert_eq(tuf_json_parse(slice(text), TUF_JSON_BYTES_MAX, "t", ret, &e), 0, "%s: %s", text,
                 e.text);
}

static struct tuf_json_at get(struct tuf_json_at object, const char *key) {
    struct tuf_json_at at;
    cr_assert(tuf_json_find(object, key, &at), "no %s", key);
    return at;
}

static void assert_refused(struct slice text, size_t max_bytes, const struct err_kind *kind,
                           const char *why) {
    struct err e = ERR_NONE;
    struct tuf_json json = {.n = 77};
    cr_assert_lt(tuf_json_parse(text, max_bytes, "t.json", &json, &e), 0, "accepted: %.*s",
                 (int)text.len, (const char *)text.data);
    cr_assert(err_is(&e, kind), "%.*s: kind %s: %s", (int)text.len, (const char *)text.data,
              e.kind->name, e.text);
    cr_assert_eq(strncmp(e.text, "t.json: ", 8), 0, "%s", e.text);
    cr_assert_not_null(strstr(e.text, why), "%s is not in: %s", why, e.text);
    cr_assert_eq(json.n, 77U);
}

static void assert_canonical(const char *text, const char *canonical) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    OWN(buf) struct buf out;
    struct err e = ERR_NONE;
    parse(text, &json);
    // It is promised to be no longer than the text.
    buf_init(&out, json.text_bytes);
    cr_assert_eq(tuf_json_canonical(tuf_json_root(&json), &out, &e), 0, "%s: %s", text, e.text);
    cr_assert_str_eq(buf_text(&out), canonical);
}

// ── What is refused ─────────────────────────────────────────────────────────────────────────────

static const struct {
    const char *text, *why;
} forbidden[] = {
    {"", "empty"},
    {" ", "byte 1: an object is expected"},
    {"[]", "byte 0: an object is expected"},
    {"\"a\"", "an object is expected"},
    {"1", "an object is expected"},
    {"\xEF\xBB\xBF{}", "an object is expected"},
    {"{", "byte 1: the name of a member is expected"},
    {"{,}", "byte 1: the name of a member is expected"},
    {"{1:1}", "the name of a member is expected"},
    {"{'a':1}", "the name of a member is expected"},
    {"{]", "the name of a member is expected"},
    {"{\"a\":1,}", "byte 7: the name of a member is expected"},
    {"{\"a\"}", "byte 4: ':' is expected"},
    {"{\"a\" 1}", "':' is expected"},
    {"{\"a\":}", "byte 5: a value is expected"},
    {"{\"a\":,}", "a value is expected"},
    {"{\"a\":1", "byte 6: ',' or the end of its object or array is expected"},
    {"{\"a\":1]", "',' or the end of its object or array is expected"},
    {"{\"a\":1 \"b\":2}", "',' or the end of its object or array is expected"},
    {"{\"a\":[1 2]}", "',' or the end of its object or array is expected"},
    {"{\"a\":[1}", "',' or the end of its object or array is expected"},
    {"{\"a\":[", "a value is expected"},
    {"{\"a\":[1,]}", "byte 8: a value is expected"},
    {"{\"a\":[,1]}", "a value is expected"},
    {"{\"a\":[}", "a value is expected"},
    {"{}}", "byte 2: something follows the document"},
    {"{} {}", "something follows the document"},
    {"{}//", "something follows the document"},
    {"{\"a\":tru}", "byte 8: a value is expected"},
    {"{\"a\":True}", "a value is expected"},
    {"{\"a\":fals", "a value is expected"},
    {"{\"a\":nul", "a value is expected"},
    {"{\"a\":nullx}", "',' or the end of its object or array is expected"},
    {"{\"a\":NaN}", "a value is expected"},
    {"{\"a\":Infinity}", "a value is expected"},
    {"{\"a\":-}", "a value is expected"},
    {"{\"a\":+1}", "a value is expected"},
    {"{\"a\":.5}", "a value is expected"},
    {"{\"a\":-a}", "a value is expected"},
    {"{\"a\":0x10}", "',' or the end of its object or array is expected"},
    {"{\"a\":01}", "an integer with leading zeros, or -0"},
    {"{\"a\":00}", "an integer with leading zeros, or -0"},
    {"{\"a\":-0}", "an integer with leading zeros, or -0"},
    {"{\"a\":-01}", "an integer with leading zeros, or -0"},
    {"{\"a\":1.0}", "a number with a fraction or exponent"},
    {"{\"a\":0.5}", "a number with a fraction or exponent"},
    {"{\"a\":1e2}", "a number with a fraction or exponent"},
    {"{\"a\":1E2}", "a number with a fraction or exponent"},
    {"{\"a\":9007199254740992}", "an integer outside ±(2^53 - 1)"},
    {"{\"a\":-9007199254740992}", "an integer outside ±(2^53 - 1)"},
    {"{\"a\":18446744073709551617}", "an integer outside ±(2^53 - 1)"},
    {"{\"a\":1000000000000000000000000000000000000000}", "an integer outside ±(2^53 - 1)"},
    {"{\"a", "byte 3: a string that does not end"},
    {"{\"a\":\"x", "byte 7: a string that does not end"},
    {"{\"a\":\"x\n\"}", "a string that does not end, or a control character in it"},
    {"{\"a\":\"\x1F\"}", "a control character in it"},
    {"{\"a\\\":1}", "a string that does not end"},
    {"{\"a\":\"\\", "an escape that JSON does not know"},
    {"{\"a\":\"\\x41\"}", "an escape that JSON does not know"},
    {"{\"a\":\"\\'\"}", "an escape that JSON does not know"},
    {"{\"a\":\"\\u\"}", "byte 6: \\u needs four hex digits"},
    {"{\"a\":\"\\u12", "\\u needs four hex digits"},
    {"{\"a\":\"\\u12g4\"}", "\\u needs four hex digits"},
    {"{\"a\":\"\\u+123\"}", "\\u needs four hex digits"},
    {"{\"a\":\"\\u0000\"}", "a string must not contain NUL"},
    {"{\"\\u0000\":1}", "a string must not contain NUL"},
    {"{\"a\":\"\\ud800\"}", "half a surrogate pair"},
    {"{\"a\":\"\\ud800x\"}", "half a surrogate pair"},
    {"{\"a\":\"\\ud800\\n\"}", "half a surrogate pair"},
    {"{\"a\":\"\\ud800\\u0041\"}", "half a surrogate pair"},
    {"{\"a\":\"\\ud800\\ud800\"}", "half a surrogate pair"},
    {"{\"a\":\"\\udbff\\ue000\"}", "half a surrogate pair"},
    {"{\"a\":\"\\ud800\\udc0\"}", "half a surrogate pair"},
    {"{\"a\":\"\\udc00\"}", "half a surrogate pair"},
    {"{\"a\":\"\\udfff\\udc00\"}", "half a surrogate pair"},
};

Test(tuf_json, what_json_forbids_is_a_syntax_error) {
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        assert_refused(slice(forbidden[i].text), 100, &err_syntax, forbidden[i].why);
}

Test(tuf_json, text_that_is_not_utf_8_is_a_syntax_error) {
    static const char *const texts[] = {
        "{\"a\":\"\xFF\"}",         // no lead byte
        "{\"a\":\"\xC0\x80\"}",     // NUL, overlong
        "{\"a\":\"\xED\xA0\x80\"}", // half a surrogate pair
        "{\"a\":\"\xF4\x90\x80\x80\"}",
        "{\"a\":\"\xC3\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(slice(texts[i]), 100, &err_syntax, "byte 6: not UTF-8, or NUL");
    assert_refused((struct slice){(const uint8_t *)"{\"a\":\"\0\"}", 9}, 100, &err_syntax,
                   "byte 6: not UTF-8, or NUL");
    assert_refused((struct slice){(const uint8_t *)"{}\0", 3}, 100, &err_syntax,
                   "byte 2: not UTF-8, or NUL");
    assert_refused((struct slice){NULL, 0}, 100, &err_syntax, "empty");
}

Test(tuf_json, a_member_that_stands_twice_is_a_syntax_error) {
    static const char *const texts[] = {
        "{\"k\":1,\"k\":1}",
        "{\"k\":1,\"\\u006b\":2}",
        "{\"a\":{\"k\":1,\"k\":2}}",
        "{\"a\":[0,{\"k\":{},\"b\":1,\"k\":{}}]}",
        "{\"z\":1,\"k\":1,\"y\":1,\"a\":1,\"k\":1,\"b\":1}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(slice(texts[i]), 100, &err_syntax, "member \"k\" stands twice");
    assert_refused(slice("{\"\":1,\"\":2}"), 100, &err_syntax, "member \"\" stands twice");
    // What a terminal would obey is shown harmless.
    assert_refused(slice("{\"\\u001b\":1,\"\\u001b\":2}"), 100, &err_syntax, "member \"\\");
    // The same name elsewhere, another case, a prefix: other members.
    assert_canonical("{\"a\":{\"a\":1},\"A\":1,\"aa\":1}", "{\"A\":1,\"a\":{\"a\":1},\"aa\":1}");
}

Test(tuf_json, texts_above_a_ceiling_are_refused_before_they_are_read) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    struct err e = ERR_NONE;
    cr_assert_eq(tuf_json_parse(slice("{\"a\":1}"), 7, "t", &json, &e), 0);
    assert_refused(slice("{\"a\":1}"), 6, &err_limit, "7 bytes, more than the 6 allowed");
    // Nobody can read that many bytes here.
    struct slice huge = {(const uint8_t *)"{", (size_t)TUF_JSON_BYTES_MAX + 1};
    assert_refused(huge, SIZE_MAX, &err_limit, "16777217 bytes, more than the 16777216 allowed");
}

// {"a":[[[…]]]}, or with objects: so many levels.
static char *nested(size_t levels, bool objects) {
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, SIZE_MAX - 1);
    for (size_t i = 0; i < levels; i++)
        cr_assert_eq(buf_add_text(&text, i == 0 || objects ? "{\"a\":" : "[", &e), 0);
    cr_assert_eq(buf_add_text(&text, "1", &e), 0);
    for (size_t i = levels; i-- > 0;)
        cr_assert_eq(buf_add_text(&text, i == 0 || objects ? "}" : "]", &e), 0);
    return strdup(buf_text(&text));
}

Test(tuf_json, nesting_has_a_ceiling_and_needs_no_stack) {
    for (int objects = 0; objects < 2; objects++) {
        OWN(mem) char *deepest = nested(TUF_JSON_DEPTH_MAX, objects);
        OWN(mem) char *deeper = nested(TUF_JSON_DEPTH_MAX + 1, objects);
        OWN(mem) char *deep = nested(1000000, objects);
        assert_canonical(deepest, deepest);
        assert_refused(slice(deeper), 1000, &err_limit, "nested deeper than 32 levels");
        assert_refused(slice(deep), TUF_JSON_BYTES_MAX, &err_limit, "nested deeper than 32 levels");
    }
}

// {"a":[1,1,…,LAST]} with so many values in all.
static char *values(size_t n, const char *last) {
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, SIZE_MAX - 1);
    cr_assert_eq(buf_add_text(&text, "{\"a\":[", &e), 0);
    for (size_t i = 3; i < n; i++)
        cr_assert_eq(buf_add_text(&text, "1,", &e), 0);
    cr_assert_eq(buf_add_text(&text, last, &e), 0);
    cr_assert_eq(buf_add_text(&text, "]}", &e), 0);
    return strdup(buf_text(&text));
}

Test(tuf_json, values_have_a_ceiling_of_whatever_type_the_last_is) {
    static const char *const last[] = {"1", "\"\"", "true", "false", "null", "[]", "{}"};
    for (size_t i = 0; i < sizeof last / sizeof *last; i++) {
        OWN(mem) char *most = values(TUF_JSON_VALUES_MAX, last[i]);
        OWN(mem) char *more = values(TUF_JSON_VALUES_MAX + 1, last[i]);
        OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
        parse(most, &json);
        cr_assert_eq(json.n, TUF_JSON_VALUES_MAX);
        assert_refused(slice(more), TUF_JSON_BYTES_MAX, &err_limit, "more than 400000 values");
    }
}

// ── What is read ────────────────────────────────────────────────────────────────────────────────

Test(tuf_json, values_are_what_the_text_says) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    parse(" \t\r\n{ \"s\" : \"x\\ty\" , \"i\":-12,\"z\":0,\"t\":true,\"f\":false,\"n\":null,"
          "\"a\":[1,[2,{\"b\":3}],4],\"o\":{} }\n ",
          &json);
    struct tuf_json_at root = tuf_json_root(&json);
    size_t len = 0;
    cr_assert_eq(tuf_json_count(root), 8);
    cr_assert_str_eq(tuf_json_string(get(root, "s"), &len), "x\ty");
    cr_assert_eq(len, 3);
    cr_assert_str_eq(tuf_json_string(get(root, "s"), NULL), "x\ty");
    cr_assert_eq(tuf_json_integer(get(root, "i")), -12);
    cr_assert_eq(tuf_json_integer(get(root, "z")), 0);
    cr_assert_eq(tuf_json_type(get(root, "t")), TUF_JSON_TRUE);
    cr_assert_eq(tuf_json_type(get(root, "f")), TUF_JSON_FALSE);
    cr_assert_eq(tuf_json_type(get(root, "n")), TUF_JSON_NULL);
    cr_assert_eq(tuf_json_type(get(root, "a")), TUF_JSON_ARRAY);
    cr_assert_eq(tuf_json_count(get(root, "a")), 3);
    cr_assert_eq(tuf_json_count(get(root, "o")), 0);
}

Test(tuf_json, integers_reach_from_one_end_to_the_other) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    parse("{\"max\":9007199254740991,\"min\":-9007199254740991}", &json);
    cr_assert_eq(tuf_json_integer(get(tuf_json_root(&json), "max")), TUF_JSON_INTEGER_MAX);
    cr_assert_eq(tuf_json_integer(get(tuf_json_root(&json), "min")), -TUF_JSON_INTEGER_MAX);
}

Test(tuf_json, escapes_mean_what_json_says) {
    static const struct {
        const char *written, *meant;
    } cases[] = {
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0001", "\x01"},
        {"\\u007f\\u007F", "\x7F\x7F"},
        {"\\u0080", "\xC2\x80"},
        {"\\u07ff", "\xDF\xBF"},
        {"\\u0800", "\xE0\xA0\x80"},
        {"\\ud7ff\\ue000", "\xED\x9F\xBF\xEE\x80\x80"},
        {"\\uFFFF", "\xEF\xBF\xBF"},
        {"\\ud800\\udc00", "\xF0\x90\x80\x80"},
        {"\\uDBFF\\uDFFF", "\xF4\x8F\xBF\xBF"},
        {"a\\u00e9\xC3\xA9\\nb", "a\xC3\xA9\xC3\xA9\nb"},
        {"\x7F/'", "\x7F/'"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        size_t len = 0;
        OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
        (void)snprintf(text, sizeof text, "{\"%s\":[\"%s\"]}", cases[i].written, cases[i].written);
        parse(text, &json);
        struct tuf_json_at at;
        cr_assert(tuf_json_first(get(tuf_json_root(&json), cases[i].meant), &at, NULL), "%s", text);
        cr_assert_str_eq(tuf_json_string(at, &len), cases[i].meant);
        cr_assert_eq(len, strlen(cases[i].meant));
    }
}

Test(tuf_json, a_walk_meets_each_child_once_and_steps_over_what_is_in_it) {
    static const char *const names[] = {"b", "a", "", "c"};
    static const int64_t numbers[] = {1, 4, 5};
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    parse("{\"b\":{\"x\":[1,2]},\"a\":[1,[2,3],4,{\"y\":0},5],\"\":{},\"c\":null}", &json);
    struct tuf_json_at root = tuf_json_root(&json);
    struct tuf_json_at at;
    const char *key = NULL;
    size_t n = 0;
    for (bool is = tuf_json_first(root, &at, &key); is; is = tuf_json_next(root, &at, &key))
        cr_assert_str_eq(key, names[n++]);
    cr_assert_eq(n, 4);
    cr_assert_str_eq(key, "c"); // untouched by the call that found no more
    cr_assert_eq(tuf_json_type(at), TUF_JSON_NULL);
    struct tuf_json_at array = get(root, "a");
    n = 0;
    for (bool is = tuf_json_first(array, &at, &key); is; is = tuf_json_next(array, &at, &key)) {
        cr_assert_str_eq(key, "");
        if (tuf_json_type(at) == TUF_JSON_INTEGER)
            cr_assert_eq(tuf_json_integer(at), numbers[n++]);
    }
    cr_assert_eq(n, 3);
    cr_assert_not(tuf_json_first(get(root, ""), &at, NULL));
}

Test(tuf_json, a_reader_asked_about_another_type_finds_nothing) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    parse("{\"s\":\"1\",\"i\":1,\"t\":true,\"n\":null,\"a\":[\"s\"],\"o\":{\"s\":\"1\"}}", &json);
    struct tuf_json_at root = tuf_json_root(&json);
    static const char *const names[] = {"s", "i", "t", "n", "a", "o"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tuf_json_at at = get(root, names[i]);
        struct tuf_json_at found = {.index = 77};
        size_t len = 77;
        bool container = i > 3;
        cr_assert_eq(tuf_json_string(at, &len) != NULL, *names[i] == 's');
        cr_assert_eq(len, *names[i] == 's' ? 1U : 77U);
        cr_assert_eq(tuf_json_integer(at), *names[i] == 'i' ? 1 : TUF_JSON_NO_INTEGER);
        cr_assert_eq(tuf_json_count(at), container ? 1U : 0U);
        cr_assert_eq(tuf_json_find(at, "s", &found), *names[i] == 'o');
        cr_assert_eq(found.index == 77, *names[i] != 'o');
        cr_assert_eq(tuf_json_first(at, &found, NULL), container);
    }
}

Test(tuf_json, a_member_is_found_by_its_name_and_type) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    parse("{\"x\":{\"deep\":1},\"s\":\"1\"}", &json);
    struct tuf_json_at root = tuf_json_root(&json);
    struct tuf_json_at at = {.index = 77};
    cr_assert_not(tuf_json_find(root, "deep", &at));
    cr_assert_not(tuf_json_find(root, "S", &at));
    cr_assert_not(tuf_json_find_type(root, "absent", TUF_JSON_STRING, &at));
    cr_assert_not(tuf_json_find_type(root, "s", TUF_JSON_INTEGER, &at));
    cr_assert_eq(at.index, 77);
    cr_assert(tuf_json_find_type(root, "s", TUF_JSON_STRING, &at));
    cr_assert_str_eq(tuf_json_string(at, NULL), "1");
}

// ── Canonical form ──────────────────────────────────────────────────────────────────────────────

Test(tuf_json, the_canonical_form_is_sorted_bare_and_raw) {
    assert_canonical("{}", "{}");
    assert_canonical(" { \"b\" : [ ] , \"a\" : { } } ", "{\"a\":{},\"b\":[]}");
    assert_canonical("{\"b\":[3,1,2],\"a\":-1,\"c\":[true,false,null]}",
                     "{\"a\":-1,\"b\":[3,1,2],\"c\":[true,false,null]}");
    // Line feeds stand for themselves, as those of PEM keys do; a solidus is not escaped.
    assert_canonical("{\"k\":\"-----BEGIN\\nx\\/y\\t\\u0001\"}",
                     "{\"k\":\"-----BEGIN\nx/y\t\x01\"}");
    assert_canonical("{\"\\\"\\\\\":\"\\u0022\\\\\\\\x\\\"\"}",
                     "{\"\\\"\\\\\":\"\\\"\\\\\\\\x\\\"\"}");
    // Bytes, not letters: case, digits, characters beyond ASCII; a prefix first.
    assert_canonical(
        "{\"\xF0\x90\x80\x80\":1,\"\\uffff\":2,\"\xC3\xA9\":3,\"z\":4,\"Z\":5,\"10\":6,"
        "\"9\":7,\"\":8,\"zz\":9,\"_\":10}",
        "{\"\":8,\"10\":6,\"9\":7,\"Z\":5,\"_\":10,\"z\":4,\"zz\":9,\"\xC3\xA9\":3,"
        "\"\xEF\xBF\xBF\":2,\"\xF0\x90\x80\x80\":1}");
}

Test(tuf_json, any_part_can_be_written_and_is_appended) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    OWN(buf) struct buf out;
    struct err e = ERR_NONE;
    parse("{\"x\":[1,{\"signed\":{\"b\":[{\"z\":0,\"y\":0}],\"a\":1}}],\"signatures\":[]}", &json);
    struct tuf_json_at at;
    buf_init(&out, 100);
    cr_assert(tuf_json_first(get(tuf_json_root(&json), "x"), &at, NULL));
    cr_assert_eq(tuf_json_canonical(at, &out, &e), 0);
    cr_assert(tuf_json_next(get(tuf_json_root(&json), "x"), &at, NULL));
    cr_assert_eq(tuf_json_canonical(get(at, "signed"), &out, &e), 0);
    cr_assert_str_eq(buf_text(&out), "1{\"a\":1,\"b\":[{\"y\":0,\"z\":0}]}");
}

Test(tuf_json, a_ceiling_anywhere_leaves_the_buffer_as_it_was) {
    static const char canonical[] = "{\"a\\\"b\":[1,true,\"x\\\\y\"],\"c\":{\"d\":null}}";
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    parse("{\"c\":{\"d\":null},\"a\\\"b\":[1,true,\"x\\\\y\"]}", &json);
    for (size_t ceiling = 3; ceiling <= 3 + strlen(canonical); ceiling++) {
        OWN(buf) struct buf out;
        struct err e = ERR_NONE;
        buf_init(&out, ceiling);
        cr_assert_eq(buf_add_text(&out, "###", &e), 0);
        int done = tuf_json_canonical(tuf_json_root(&json), &out, &e);
        if (ceiling == 3 + strlen(canonical)) {
            cr_assert_eq(done, 0);
            cr_assert_str_eq(buf_text(&out) + 3, canonical);
        } else {
            cr_assert_lt(done, 0);
            cr_assert(err_is(&e, &err_limit));
            cr_assert_str_eq(buf_text(&out), "###");
            cr_assert_eq(out.len, 3);
        }
    }
}

// ── Much, and memory ────────────────────────────────────────────────────────────────────────────

// An object of n members, names in the order that `place` gives them.
static char *members(uint32_t n, uint32_t (*place)(uint32_t i, uint32_t n), const char *behind) {
    size_t bytes = 64 + (size_t)n * 64 + strlen(behind);
    char *text = malloc(bytes);
    cr_assert_not_null(text);
    size_t at = (size_t)snprintf(text, bytes, "{");
    for (uint32_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, bytes - at, "%s\"a name that begins alike %06u\":%u",
                               i > 0 ? "," : "", place(i, n), i);
    (void)snprintf(text + at, bytes - at, "%s}", behind);
    return text;
}

static uint32_t rising(uint32_t i, uint32_t n) {
    (void)n;
    return i;
}

static uint32_t falling(uint32_t i, uint32_t n) {
    return n - 1 - i;
}

static uint32_t scattered(uint32_t i, uint32_t n) {
    return (uint32_t)((uint64_t)i * 48271 % n); // a prime that divides no n used here
}

// What takes squared time for so many does not end within the time a test has.
Test(tuf_json, objects_of_very_many_members_are_sorted_and_their_twins_found) {
    static uint32_t (*const places[])(uint32_t i, uint32_t n) = {rising, falling, scattered};
    OWN(mem) char *sorted = members(MANY, rising, "");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        OWN(mem) char *text = members(MANY, places[i], "");
        OWN(mem) char *twins = members(MANY, places[i], ",\"a name that begins alike 004711\":0");
        OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
        OWN(buf) struct buf out;
        struct err e = ERR_NONE;
        parse(text, &json);
        buf_init(&out, json.text_bytes);
        cr_assert_eq(tuf_json_canonical(tuf_json_root(&json), &out, &e), 0);
        cr_assert_eq(out.len, strlen(sorted));
        const char *at = buf_text(&out);
        char name[48];
        for (uint32_t n = 0; n < MANY; n++) {
            int len = snprintf(name, sizeof name, "\"a name that begins alike %06u\":", n);
            while (*at != '"')
                at++;
            cr_assert_eq(memcmp(at, name, (size_t)len), 0, "%s is not where it belongs", name);
            at += len;
        }
        assert_refused(slice(twins), TUF_JSON_BYTES_MAX, &err_syntax,
                       "alike 004711\" stands twice");
    }
}

Test(tuf_json, every_allocation_may_fail) {
    static const char text[] = "{\"b\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22],"
                               "\"a\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22]}";
    int done = -1;
    size_t failures = 0;
    for (size_t at = 0; done < 0; at++) {
        OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
        OWN(buf) struct buf out;
        struct err e = ERR_NONE;
        buf_init(&out, sizeof text);
        alloc_fault_begin(at, false);
        done = tuf_json_parse(slice(text), sizeof text, "t", &json, &e);
        if (done == 0)
            done = tuf_json_canonical(tuf_json_root(&json), &out, &e);
        bool refused = alloc_fault_end();
        cr_assert_eq(refused, done < 0);
        cr_assert(done == 0 || err_is(&e, &err_memory), "%s", e.text);
        cr_assert_eq(done < 0, out.len == 0);
        failures += refused;
    }
    // Text, tape twice, index; index and the growing buffer of the writer.
    cr_assert_geq(failures, 6);
}

Test(tuf_json, a_cleared_document_may_be_cleared_again) {
    struct tuf_json json = TUF_JSON_NONE;
    parse("{}", &json);
    tuf_json_clear(&json);
    cr_assert_null(json.text);
    cr_assert_null(json.tape);
    tuf_json_clear(&json);
}
