// SPDX-License-Identifier: Apache-2.0
//
// Canonical JSON: what is written, and that nothing else is read.
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "keys/canon.h"
#include "keys/kind.h"
#include "tests/unit/keys/keyring.h"

static const struct doc_limits limits = {
    .bytes = 1 << 20, .depth = 32, .values = 100000, .floats = false};

static void assert_form(json_t *value, const char *expected) {
    OWN(json) json_t *owned = json_pack("[o]", value); // a document is an object or an array
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, 1 << 20);
    cr_assert_eq(keys_canon_format(owned, &text, &e), 0, "%s", e.text);
    cr_assert_eq(text.len, strlen(expected) + 2);
    cr_assert_arr_eq(text.data + 1, expected, strlen(expected), "%s", buf_text(&text));
    OWN(json) json_t *again = NULL;
    cr_assert_eq(keys_canon_parse(buf_slice(&text), "again", &limits, &again, &e), 0, "%s", e.text);
    cr_assert(json_equal(owned, again), "%s", expected);
}

Test(canon, members_are_sorted_by_their_bytes) {
    assert_form(json_pack("{s:i,s:i,s:i,s:i,s:i}", "b", 1, "a", 2, "B", 3, "aa", 4, "", 5),
                "{\"\":5,\"B\":3,\"a\":2,\"aa\":4,\"b\":1}");
    // By code point: U+FF5E before U+1F600, which UTF-16 would sort the other way.
    assert_form(json_pack("{s:i,s:i,s:i}", "\xf0\x9f\x98\x80", 1, "\xef\xbd\x9e", 2, "z", 3),
                "{\"z\":3,\"\xef\xbd\x9e\":2,\"\xf0\x9f\x98\x80\":1}");
}

Test(canon, only_quote_and_backslash_are_escaped) {
    assert_form(json_string("a\"b\\c/"), "\"a\\\"b\\\\c/\"");
    assert_form(json_string("-----BEGIN\nMIIB\n"), "\"-----BEGIN\nMIIB\n\"");
    assert_form(json_string("\x01\x1f\x7f\t\r\b\f"), "\"\x01\x1f\x7f\t\r\b\f\"");
    assert_form(json_string("\xc3\xa9\xe2\x80\xa8"), "\"\xc3\xa9\xe2\x80\xa8\"");
    assert_form(json_string("\\n\n\\\\\n\"\n"), "\"\\\\n\n\\\\\\\\\n\\\"\n\"");
    assert_form(json_pack("{s:i}", "a\nb", 1), "{\"a\nb\":1}");
}

Test(canon, scalars_and_empty_containers) {
    assert_form(json_pack("[n,b,b,i,I,I]", 1, 0, 0, INT64_MAX, INT64_MIN),
                "[null,true,false,0,9223372036854775807,-9223372036854775808]");
    assert_form(json_pack("{s:{},s:[]}", "o", "a"), "{\"a\":[],\"o\":{}}");
    assert_form(json_pack("[[],[[],{}],{s:[{}]}]", "x"), "[[],[[],{}],{\"x\":[{}]}]");
}

Test(canon, a_real_number_has_no_form_and_leaves_the_buffer_as_it_was) {
    OWN(json) json_t *value = json_pack("{s:i,s:[f]}", "a", 1, "b", 0.5);
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, 1 << 20);
    cr_assert_eq(buf_add_text(&text, "before", &e), 0);
    cr_assert_lt(keys_canon_format(value, &text, &e), 0);
    cr_assert(err_is(&e, &err_not_canonical), "%s", e.text);
    cr_assert_str_eq(buf_text(&text), "before");
}

Test(canon, a_nul_in_a_string_has_no_form) {
    OWN(json) json_t *value = json_stringn("a\0b", 3);
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, 100);
    cr_assert_lt(keys_canon_format(value, &text, &e), 0);
    cr_assert(err_is(&e, &err_not_canonical), "%s", e.text);
    cr_assert_eq(text.len, 0);
}

Test(canon, the_buffers_ceiling_holds) {
    OWN(json) json_t *value = json_string("0123456789");
    struct err e = ERR_NONE;
    OWN(buf) struct buf exact;
    OWN(buf) struct buf less;
    buf_init(&exact, 12);
    buf_init(&less, 11);
    cr_assert_eq(keys_canon_format(value, &exact, &e), 0, "%s", e.text);
    cr_assert_lt(keys_canon_format(value, &less, &e), 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
    cr_assert_eq(less.len, 0);
}

static json_t *nest(unsigned depth) {
    json_t *value = json_integer(1);
    for (unsigned i = 0; i < depth; i++)
        value = i % 2 ? json_pack("[o]", value) : json_pack("{s:o}", "k", value);
    return value;
}

Test(canon, nesting_is_written_to_the_depth_limit_and_not_beyond) {
    for (unsigned depth = DOC_DEPTH_MAX - 1; depth <= DOC_DEPTH_MAX + 2; depth++) {
        OWN(json) json_t *value = nest(depth);
        OWN(buf) struct buf text;
        struct err e = ERR_NONE;
        buf_init(&text, 1 << 16);
        int failed = keys_canon_format(value, &text, &e);
        cr_assert_eq(failed, depth <= DOC_DEPTH_MAX ? 0 : -1, "depth %u", depth);
        if (failed)
            cr_assert(err_is(&e, &err_limit), "%s", e.text);
    }
}

Test(canon, a_hundred_thousand_members_are_sorted) {
    OWN(json) json_t *value = json_object();
    for (unsigned i = 0; i < 49999; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%05u", i * 7919 % 49999);
        cr_assert_eq(json_object_set_new(value, name, json_true()), 0);
    }
    OWN(buf) struct buf text;
    OWN(json) json_t *again = NULL;
    struct err e = ERR_NONE;
    buf_init(&text, 1 << 20);
    cr_assert_eq(keys_canon_format(value, &text, &e), 0, "%s", e.text);
    cr_assert_eq(memcmp(text.data, "{\"00000\":true,\"00001\":true,", 27), 0);
    cr_assert_eq(keys_canon_parse(buf_slice(&text), "many", &limits, &again, &e), 0, "%s", e.text);
}

static void assert_refused(const char *text, size_t len, const struct err_kind *kind) {
    json_t *value = (json_t *)&value;
    struct err e = ERR_NONE;
    cr_assert_lt(
        keys_canon_parse((struct slice){(const uint8_t *)text, len}, "doc", &limits, &value, &e), 0,
        "accepted: %s", text);
    cr_assert(err_is(&e, kind), "%s: kind %s, expected %s: %s", text, e.kind->name, kind->name,
              e.text);
    cr_assert_eq(value, (json_t *)&value, "an output was touched");
}

Test(canon, json_that_is_not_canonical_is_refused) {
    static const char *const texts[] = {
        " {}",
        "{} ",
        "{}\n",
        "{ }",
        "{\"a\": 1}",
        "{\"a\" :1}",
        "[1, 2]",
        "[\n1]",
        "{\n\"a\":1}",
        "{\"b\":1,\"a\":2}",
        "[\"\\/\"]",
        "[\"\\n\"]",
        "[\"\\u0041\"]",
        "[\"\\u00e9\"]",
        "[\"\\ud83d\\ude00\"]",
        "{\"\\u0061\":1}",
        "[-0]",
        "[\"\n\\n\"]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(texts[i], strlen(texts[i]), &err_not_canonical);
}

Test(canon, what_is_not_one_strict_json_document_is_refused) {
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "{}{}",
        "[1 2]",
        "{\"a\":1,\"a\":1}",
        "[1,]",
        "{\"a\":1,}",
        "[01]",
        "[+1]",
        "[nul]",
        "[NaN]",
        "['a']",
        "[\"\\ud800\"]",
        "[\"\xff\"]",
        "[\"\xc0\x80\"]",
        "[\"\\",
        "[\"\\\n\"]",
        "[\"\\u00",
        "[\"a\n",
        "\xef\xbb\xbf{}",
        "[\"\\u0000\"]",

        "\"a\"",
        "1",
        "null",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(texts[i], strlen(texts[i]), &err_syntax);
    assert_refused("[9223372036854775808]", 21, &err_limit);
    assert_refused("[\"a\0b\"]", 7, &err_syntax);
    assert_refused("{}\0", 3, &err_syntax);
}

Test(canon, real_numbers_are_refused) {
    static const char *const texts[] = {"[1.0]", "[0.5]", "[1e2]", "[1E400]", "{\"a\":-0.0}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *value = NULL;
        struct err e = ERR_NONE;
        cr_assert_lt(keys_canon_parse(keyring_slice(texts[i]), "doc", &limits, &value, &e), 0);
        cr_assert(err_is(&e, &err_syntax) || err_is(&e, &err_not_canonical), "%s", e.text);
    }
}

Test(canon, limits_count_the_bytes_that_came_not_those_of_an_escaped_copy) {
    const struct doc_limits ten = {.bytes = 10, .depth = 2, .values = 4};
    json_t *value = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(keys_canon_parse(keyring_slice("[\"\n\n\n\n\n\n\"]"), "doc", &ten, &value, &e), 0,
                 "%s", e.text);
    json_decref(value);
    cr_assert_lt(keys_canon_parse(keyring_slice("[\"\n\n\n\n\n\n\n\"]"), "doc", &ten, &value, &e),
                 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
}

Test(canon, depth_is_bounded_before_it_is_parsed) {
    size_t len = 2000000;
    OWN(mem) char *text = malloc(len);
    memset(text, '[', len / 2);
    memset(text + len / 2, ']', len / 2);
    const struct doc_limits wide = {.bytes = len, .depth = DOC_DEPTH_MAX, .values = len};
    json_t *value = NULL;
    struct err e = ERR_NONE;
    cr_assert_lt(keys_canon_parse((struct slice){(uint8_t *)text, len}, "doc", &wide, &value, &e),
                 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
}

Test(canon, an_error_says_which_document_and_where) {
    json_t *value = NULL;
    struct err e = ERR_NONE;
    cr_assert_lt(
        keys_canon_parse(keyring_slice("{\"a\":1, \"b\":2}"), "manifest", &limits, &value, &e), 0);
    cr_assert_eq(strncmp(e.text, "manifest: ", 10), 0, "%s", e.text);
    cr_assert(strstr(e.text, "byte 7"), "%s", e.text);
}
