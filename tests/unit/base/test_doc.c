// SPDX-License-Identifier: Apache-2.0
//
// What a document may be, where its errors are, and what the getters say.

#include <criterion/criterion.h>
#include <string.h>

#include "base/doc.h"
#include "base/own.h"
#include "tests/support/alloc_fault.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct doc_limits strict = {.bytes = 4096, .depth = 5, .values = 50};
static const struct doc_limits lax = {.bytes = 4096, .depth = 5, .values = 50, .floats = true};

static struct slice slice_of(const char *text) {
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

static json_t *parse(const char *text) {
    json_t *document = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(doc_parse(slice_of(text), "agent.json", &lax, &document, &e), 0, "%s", e.text);
    return document;
}

static void assert_refused(const char *text, const struct doc_limits *limits,
                           const struct err_kind *kind, const char *sentence) {
    json_t *document = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(doc_parse(slice_of(text), "a.json", limits, &document, &e), -1, "%s", text);
    cr_assert_null(document);
    cr_assert_eq(e.kind, kind, "%s gives %s", text, e.kind->name);
    if (sentence)
        cr_assert_str_eq(e.text, sentence);
}

Test(doc, what_json_allows_is_read) {
    const char *const good[] = {
        "{}",
        "[]",
        " \t\r\n{ } \n",
        "[{},[],\"\",0,-0,-1,true,false,null]",
        "{\"\":{\"\":{\"\":[{}]}}}",
        "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD834\\udd1e\\uFFFF\"}",
        "[\"grün €𝄞\x7f\"]",
        "[9223372036854775807,-9223372036854775808]",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        json_t *document = NULL;
        struct err e = ERR_NONE;
        cr_assert_eq(doc_parse(slice_of(good[i]), "a.json", &strict, &document, &e), 0, "%s: %s",
                     good[i], e.text);
        json_decref(document);
    }
}

Test(doc, an_error_names_line_and_column_in_characters) {
    const struct {
        const char *text, *sentence;
    } rows[] = {
        {"", "a.json: it is empty"},
        {"  ", "a.json: line 1, column 3: expected '{' or '[', found the end"},
        {"\"x\"", "a.json: line 1, column 1: expected '{' or '[', found '\"'"},
        {"{\"a\" 1}", "a.json: line 1, column 6: expected ':', found '1'"},
        {"{\n  \"grün\": ü}", "a.json: line 2, column 11: expected a value, found 'ü'"},
        {"[1,\n2,\n]", "a.json: line 3, column 1: expected a value, found ']'"},
        {"{\"a\":1,}", "a.json: line 1, column 8: expected a key in quotes, found '}'"},
        {"{a:1}", "a.json: line 1, column 2: expected a key in quotes, found 'a'"},
        {"[1 2]", "a.json: line 1, column 4: expected ',' or ']', found '2'"},
        {"[1}", "a.json: line 1, column 3: expected ',' or ']', found '}'"},
        {"{\"a\":1]", "a.json: line 1, column 7: expected ',' or '}', found ']'"},
        {"[1", "a.json: line 1, column 3: expected ',' or ']', found the end"},
        {"{} {}", "a.json: line 1, column 4: expected the end, found '{'"},
        {"[01]", "a.json: line 1, column 2: a number must not begin with zeros"},
        {"[-]", "a.json: line 1, column 3: expected a digit, found ']'"},
        {"[+1]", "a.json: line 1, column 2: expected a value, found '+'"},
        {"[nul]", "a.json: line 1, column 2: expected a value, found 'n'"},
        {"[truer]", "a.json: line 1, column 6: expected ',' or ']', found 'r'"},
        {"[1.5]", "a.json: line 1, column 2: real numbers are not allowed here"},
        {"[1e2]", "a.json: line 1, column 2: real numbers are not allowed here"},
        {"[\"\\x\"]", "a.json: line 1, column 3: an escape that JSON does not know"},
        {"[\"\\u12G4\"]", "a.json: line 1, column 3: \\u needs four hex digits"},
        {"[\"\\u0000\"]", "a.json: line 1, column 3: a string must not contain NUL"},
        {"[\"\\ud800\"]", "a.json: line 1, column 3: half a surrogate pair"},
        {"[\"\\ud800\\u0041\"]", "a.json: line 1, column 3: half a surrogate pair"},
        {"[\"\\udc00\"]", "a.json: line 1, column 3: half a surrogate pair"},
        {"[\"a\xff\"]", "a.json: line 1, column 4: a string is not UTF-8"},
        {"[\"a\xed\xa0\x80\"]", "a.json: line 1, column 4: a string is not UTF-8"},
        {"[\"a", "a.json: line 1, column 4: a string does not end"},
        {"[\"a\\", "a.json: line 1, column 4: a string does not end"},
        {"[\"a\n\"]", "a.json: line 1, column 4: a control character in a string must be escaped"},
        {"\xEF\xBB\xBF{}", "a.json: line 1, column 1: expected '{' or '[', found '\\u{FEFF}'"},
        {"[\x1b]", "a.json: line 1, column 2: expected a value, found '\\x1B'"},
        {"// no\n{}", "a.json: line 1, column 1: expected '{' or '[', found '/'"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(rows[i].text, &strict, &err_syntax, rows[i].sentence);
}

Test(doc, a_nul_byte_is_refused_wherever_it_is) {
    static const char text[] = " {\"a\" : [ 1 , \"b\" ] } ";
    for (size_t at = 0; at < sizeof text - 1; at++) {
        char with[sizeof text];
        memcpy(with, text, sizeof text);
        with[at] = '\0';
        json_t *document = NULL;
        struct err e = ERR_NONE;
        struct slice slice = {(const uint8_t *)with, sizeof text - 1};
        cr_assert_eq(doc_parse(slice, "a.json", &strict, &document, &e), -1, "at %zu", at);
        cr_assert(err_is(&e, &err_syntax));
    }
}

Test(doc, a_document_cut_anywhere_is_refused) {
    static const char text[] = "{\"a\":[1,-2,{\"b\":\"\\u00e9\\ud834\\udd1e\"},true],\"c\":null}";
    for (size_t len = 0; len < sizeof text - 1; len++) {
        json_t *document = NULL;
        struct err e = ERR_NONE;
        // A copy of exactly this size, so that a read behind its end is noticed.
        uint8_t *cut = malloc(len + 1);
        memcpy(cut, text, len);
        uint8_t *exact = realloc(cut, len ? len : 1);
        cr_assert_eq(doc_parse((struct slice){exact, len}, "a.json", &strict, &document, &e), -1);
        free(exact);
    }
}

Test(doc, duplicate_keys_are_refused) {
    assert_refused("{\"a\":1,\"b\":2,\"a\":1}", &strict, &err_syntax, NULL);
    assert_refused("{\"x\":{\"a\":1,\"\\u0061\":2}}", &strict, &err_syntax, NULL);
    struct err e = ERR_NONE;
    json_t *document = NULL;
    cr_assert_eq(doc_parse(slice_of("{\"a\":1,\n\"a\":2}"), "a.json", &strict, &document, &e), -1);
    cr_assert(strstr(e.text, "a.json: line 2, column"), "%s", e.text);
    cr_assert(strstr(e.text, "duplicate"), "%s", e.text);
}

Test(doc, integers_must_fit_64_bits) {
    assert_refused("[9223372036854775808]", &strict, &err_limit,
                   "a.json: line 1, column 2: an integer does not fit into 64 bits");
    assert_refused("[-9223372036854775809]", &strict, &err_limit, NULL);
    assert_refused("[99999999999999999999999999999999999]", &lax, &err_limit, NULL);
}

Test(doc, real_numbers_are_read_only_where_they_are_allowed) {
    OWN(json) json_t *document = parse("[1.5,-0.25e-2,1E+3,99999999999999999999.5]");
    cr_assert_eq(json_real_value(json_array_get(document, 0)), 1.5);
    assert_refused("[1.]", &lax, &err_syntax, NULL);
    assert_refused("[.5]", &lax, &err_syntax, NULL);
    assert_refused("[1e]", &lax, &err_syntax, NULL);
    assert_refused("[1e+]", &lax, &err_syntax, NULL);
    assert_refused("[01.5]", &lax, &err_syntax, NULL);
    assert_refused("[1e999]", &lax, &err_limit, NULL);
}

Test(doc, each_limit_holds_at_its_value_and_not_above) {
    const char *text = "{\"a\":[[1,2],3]}"; // 15 bytes, depth 3, 6 values
    const struct doc_limits exact = {.bytes = 15, .depth = 3, .values = 6};
    json_t *document = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(doc_parse(slice_of(text), "a.json", &exact, &document, &e), 0, "%s", e.text);
    json_decref(document);
    const struct {
        struct doc_limits limits;
        const char *sentence;
    } rows[] = {
        {{.bytes = 14, .depth = 3, .values = 6}, "a.json: more than 14 bytes"},
        {{.bytes = 15, .depth = 2, .values = 6},
         "a.json: line 1, column 7: nested more than 2 deep"},
        {{.bytes = 15, .depth = 3, .values = 5}, "a.json: line 1, column 13: more than 5 values"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(text, &rows[i].limits, &err_limit, rows[i].sentence);
}

Test(doc, depth_is_refused_before_anything_is_built) {
    static char text[200001];
    const struct doc_limits most = {.bytes = sizeof text, .depth = DOC_DEPTH_MAX, .values = 200000};
    memset(text, '[', sizeof text - 1);
    assert_refused(text, &most, &err_limit, NULL);
    memset(text, 0, sizeof text);
    memset(text, '[', DOC_DEPTH_MAX);
    memset(text + DOC_DEPTH_MAX, ']', DOC_DEPTH_MAX);
    json_t *document = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(doc_parse(slice_of(text), "a.json", &most, &document, &e), 0, "%s", e.text);
    json_decref(document);
}

static const char sample[] =
    "{\"name\":\"detector\",\"poll_s\":30,\"big\":9223372036854775807,\"less\":-1,\"on\":true,"
    "\"nothing\":null,\"probes\":[{\"kind\":\"exec\"},{\"kind\":7},\"x\"],\"o\":{\"p\":{\"q\":[]}},"
    "\"real\":1.5}";

Test(doc, getters_return_what_is_there) {
    OWN(json) json_t *document = parse(sample);
    struct err e = ERR_NONE;
    struct doc_at root, probes, probe, o, p, q;
    const char *text = NULL;
    uint64_t number = 0;
    bool on = false;
    cr_assert_eq(doc_root(document, "agent.json", &root, &e), 0);
    cr_assert_eq(doc_string(&root, "name", 8, &text, &e), 0);
    cr_assert_str_eq(text, "detector");
    cr_assert_eq(doc_u64(&root, "poll_s", 30, 30, &number, &e), 0);
    cr_assert_eq(number, 30);
    cr_assert_eq(doc_u64(&root, "big", 0, UINT64_MAX, &number, &e), 0);
    cr_assert_eq(number, INT64_MAX);
    cr_assert_eq(doc_bool(&root, "on", &on, &e), 0);
    cr_assert(on);
    cr_assert_eq(doc_array(&root, "probes", 3, &probes, &e), 0);
    cr_assert_eq(doc_element(&probes, 0, &probe, &e), 0);
    cr_assert_str_eq(probe.path, "agent.json: probes[0]");
    cr_assert_eq(doc_string(&probe, "kind", 100, &text, &e), 0);
    cr_assert_str_eq(text, "exec");
    cr_assert_eq(doc_element_string(&probes, 2, 1, &text, &e), 0);
    cr_assert_str_eq(text, "x");
    cr_assert_eq(doc_object(&root, "o", &o, &e), 0);
    cr_assert_eq(doc_object_opt(&o, "p", &p, &e), 0);
    cr_assert_eq(doc_array_opt(&p, "q", 0, &q, &e), 0);
    cr_assert_str_eq(q.path, "agent.json: o.p.q");
}

Test(doc, absence_and_null_are_outcomes_that_change_nothing) {
    OWN(json) json_t *document = parse(sample);
    struct err e = ERR_NONE;
    struct doc_at root, at = {.path = "unset"};
    const char *const keys[] = {"none", "nothing"};
    cr_assert_eq(doc_root(document, "agent.json", &root, &e), 0);
    for (size_t i = 0; i < 2; i++) {
        const char *text = "unset";
        uint64_t number = 7;
        bool on = true;
        cr_assert_eq(doc_string_opt(&root, keys[i], 10, &text, &e), DOC_ABSENT);
        cr_assert_eq(doc_u64_opt(&root, keys[i], 0, 1, &number, &e), DOC_ABSENT);
        cr_assert_eq(doc_bool_opt(&root, keys[i], &on, &e), DOC_ABSENT);
        cr_assert_eq(doc_object_opt(&root, keys[i], &at, &e), DOC_ABSENT);
        cr_assert_eq(doc_array_opt(&root, keys[i], 1, &at, &e), DOC_ABSENT);
        cr_assert_str_eq(text, "unset");
        cr_assert_eq(number, 7);
        cr_assert(on);
        cr_assert_str_eq(at.path, "unset");
        cr_assert_null(e.kind);
    }
}

#define ASSERT_ERROR(call, expected_kind, sentence)                                                \
    do {                                                                                           \
        struct err e = ERR_NONE;                                                                   \
        cr_assert_eq(call, -1);                                                                    \
        cr_assert_str_eq(e.text, sentence);                                                        \
        cr_assert_eq(e.kind, expected_kind);                                                       \
    } while (0)

Test(doc, errors_name_the_place_what_was_expected_and_what_was_found) {
    OWN(json) json_t *document = parse(sample);
    OWN(json) json_t *array = parse("[]");
    struct err none = ERR_NONE;
    struct doc_at root, probes, probe, at;
    const char *text = NULL;
    uint64_t number = 0;
    bool on = false;
    cr_assert_eq(doc_root(document, "agent.json", &root, &none), 0);
    cr_assert_eq(doc_array(&root, "probes", 3, &probes, &none), 0);
    cr_assert_eq(doc_element(&probes, 1, &probe, &none), 0);
    ASSERT_ERROR(doc_root(array, "agent.json", &at, &e), &err_syntax,
                 "agent.json: expected an object, found an array");
    ASSERT_ERROR(doc_string(&probe, "kind", 10, &text, &e), &err_syntax,
                 "agent.json: probes[1].kind: expected a string, found an integer");
    ASSERT_ERROR(doc_string(&root, "none", 10, &text, &e), &err_syntax,
                 "agent.json: none: missing; expected a string");
    ASSERT_ERROR(doc_string(&root, "nothing", 10, &text, &e), &err_syntax,
                 "agent.json: nothing: expected a string, found null");
    ASSERT_ERROR(doc_string(&root, "name", 7, &text, &e), &err_limit,
                 "agent.json: name: expected a string of at most 7 bytes, found 8");
    ASSERT_ERROR(doc_u64(&root, "name", 1, 86400, &number, &e), &err_syntax,
                 "agent.json: name: expected an integer from 1 to 86400, found a string");
    ASSERT_ERROR(doc_u64(&root, "poll_s", 31, 40, &number, &e), &err_syntax,
                 "agent.json: poll_s: expected an integer from 31 to 40, found 30");
    ASSERT_ERROR(doc_u64_opt(&root, "poll_s", 1, 29, &number, &e), &err_limit,
                 "agent.json: poll_s: expected an integer from 1 to 29, found 30");
    ASSERT_ERROR(doc_u64(&root, "less", 0, UINT64_MAX, &number, &e), &err_syntax,
                 "agent.json: less: expected an integer from 0 to 18446744073709551615, found -1");
    ASSERT_ERROR(doc_u64(&root, "real", 0, 9, &number, &e), &err_syntax,
                 "agent.json: real: expected an integer from 0 to 9, found a real number");
    ASSERT_ERROR(doc_bool_opt(&root, "poll_s", &on, &e), &err_syntax,
                 "agent.json: poll_s: expected true or false, found an integer");
    ASSERT_ERROR(doc_object(&root, "probes", &at, &e), &err_syntax,
                 "agent.json: probes: expected an object, found an array");
    ASSERT_ERROR(doc_array(&root, "o", 9, &at, &e), &err_syntax,
                 "agent.json: o: expected an array, found an object");
    ASSERT_ERROR(doc_array(&root, "probes", 2, &at, &e), &err_limit,
                 "agent.json: probes: expected at most 2 elements, found 3");
    ASSERT_ERROR(doc_element(&probes, 2, &at, &e), &err_syntax,
                 "agent.json: probes[2]: expected an object, found a string");
    ASSERT_ERROR(doc_element_string(&probes, 0, 9, &text, &e), &err_syntax,
                 "agent.json: probes[0]: expected a string, found an object");
}

Test(doc, unknown_members_are_named_with_what_was_probably_meant) {
    OWN(json) json_t *document = parse("{\"root\":1,\"pol_s\":2,\"\\u202egone\":3}");
    struct err none = ERR_NONE;
    struct doc_at root;
    const char *key = NULL;
    cr_assert_eq(doc_root(document, "agent.json", &root, &none), 0);
    const char *const all[] = {"root", "pol_s", "\u202egone", NULL};
    cr_assert_eq(doc_find_unknown(&root, all, &key), 0);
    cr_assert_eq(doc_no_unknown(&root, all, &none), 0);
    cr_assert_null(key);
    const char *const most[] = {"root", "poll_s", "state_dir", NULL};
    cr_assert_eq(doc_find_unknown(&root, most, &key), 1);
    cr_assert_str_eq(key, "pol_s");
    ASSERT_ERROR(doc_no_unknown(&root, most, &e), &err_syntax,
                 "agent.json: pol_s: unknown; did you mean \"poll_s\"?");
    const char *const some[] = {"root", "pol_s", NULL};
    ASSERT_ERROR(doc_no_unknown(&root, some, &e), &err_syntax,
                 "agent.json: \\u{202E}gone: unknown; remove it");
}

Test(doc, a_long_path_keeps_its_end) {
    OWN(json) json_t *document = json_object();
    json_t *at_value = document;
    for (int i = 0; i < 12; i++) {
        json_t *below = json_object();
        json_object_set_new(at_value, "schlüsselwörter", below);
        at_value = below;
    }
    json_object_set_new(at_value, "last", json_true());
    struct err e = ERR_NONE;
    struct doc_at at;
    cr_assert_eq(doc_root(document, "agent.json", &at, &e), 0);
    for (int i = 0; i < 12; i++)
        cr_assert_eq(doc_object(&at, "schlüsselwörter", &at, &e), 0);
    cr_assert_lt(strlen(at.path), DOC_PATH_BYTES);
    cr_assert_eq(strncmp(at.path, "…", 3), 0);
    const char *text;
    cr_assert_eq(doc_string(&at, "last", 9, &text, &e), -1);
    cr_assert(strstr(e.text, ".schlüsselwörter.last: expected a string, found true"), "%s", e.text);
}

Test(doc, without_memory_parsing_fails_and_says_so) {
    json_t *warm = parse("{}"); // the hash seed is drawn once, here
    json_decref(warm);
    bool hit = true;
    size_t n = 0;
    for (; hit; n++) {
        json_t *document = NULL;
        struct err e = ERR_NONE;
        alloc_fault_begin(n, false);
        int done = doc_parse(slice_of(sample), "a.json", &lax, &document, &e);
        hit = alloc_fault_end();
        if (done < 0) {
            cr_assert(hit, "allocation %zu: %s", n, e.text);
            cr_assert_null(document);
            cr_assert(err_is(&e, &err_memory), "allocation %zu: %s", n, e.text);
        }
        json_decref(document);
    }
    cr_assert_gt(n, 20);
}
