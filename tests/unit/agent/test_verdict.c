// SPDX-License-Identifier: Apache-2.0
//
// Verdicts as a worker that was taken over could write them.
#include <criterion/criterion.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/trust/verdict.h"
#include "base/own.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ID  "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define STEP(from, to)                                                                             \
    "{\"blake2b-256\":\"" HEX "\",\"bytes\":5,\"from\":\"" from "\",\"to\":\"" to "\"}"
#define STEPS(list)     "{\"steps\":[" list "]}"
#define TARGET(members) "{\"steps\":[],\"target\":{" members "}}"
#define DELTA(members)  "{\"steps\":[],\"delta\":{" members "}}"
#define GOOD_TARGET     "\"blake2b-256\":\"" HEX "\",\"executable\":true,\"length\":10"

static int parse(const char *text, struct trust_verdict *ret, struct err *e) {
    return trust_verdict_parse((struct slice){(const uint8_t *)text, strlen(text)}, ret, e);
}

Test(verdict, says_what_it_says) {
    struct trust_verdict v;
    struct trust_verdict_step step;
    struct err e = ERR_NONE;
    cr_assert_eq(
        parse("{\"floors\":{\"app\":4},\"snapshot\":{\"expires\":20,\"issued\":10,\"version\":3},"
              "\"steps\":[" STEP("3.snapshot.json",
                                 "snapshot.json") ",{\"from\":\"\",\"to\":"
                                                  "\"timestamp.json\"}],\"target\":{" GOOD_TARGET
                                                  ",\"components\":[\"app\"]},"
                                                  "\"targets\":null,\"timestamp\":null}",
              &v, &e),
        0, "%s", e.text);
    cr_expect(v.roles[TRUST_STORE_SNAPSHOT].known && v.roles[TRUST_STORE_SNAPSHOT].version == 3);
    cr_expect_not(v.roles[TRUST_STORE_TARGETS].known);
    cr_expect(v.found && v.target.length == 10 && json_array_size(v.target.components) == 1);
    cr_expect_eq(v.n_steps, 2);
    trust_verdict_step(&v, 0, &step);
    cr_expect(strcmp(step.from, "3.snapshot.json") == 0 && step.bytes == 5);
    trust_verdict_step(&v, 1, &step);
    cr_expect(step.from[0] == '\0' && strcmp(step.to, "timestamp.json") == 0);
    trust_verdict_clear(&v);
}

Test(verdict, a_delta_is_told_from_the_bundle) {
    struct trust_verdict v;
    struct err e = ERR_NONE;
    cr_assert_eq(parse("{\"delta\":{" GOOD_TARGET "},\"steps\":[],\"target\":{\"blake2b-256\":\"" ID
                       "\",\"executable\":false,\"length\":65536}}",
                       &v, &e),
                 0, "%s", e.text);
    cr_expect(v.found && v.target.length == 65536);
    cr_expect(v.found_delta && v.delta.length == 10);
    cr_expect_not(keys_digest_equal(&v.target.id, &v.delta.id));
    trust_verdict_clear(&v);
    cr_assert_eq(parse("{\"delta\":null,\"steps\":[],\"target\":{" GOOD_TARGET "}}", &v, &e), 0,
                 "%s", e.text);
    cr_expect(v.found && !v.found_delta);
    trust_verdict_clear(&v);
    // What a judge of before wrote.
    cr_assert_eq(parse("{\"steps\":[],\"target\":null}", &v, &e), 0, "%s", e.text);
    cr_expect(!v.found && !v.found_delta);
    trust_verdict_clear(&v);
}

static const char *const hostile[] = {
    "",
    "{}",
    "[]",
    "\x7f"
    "ELF",
    "{\"steps\":{}}",
    "{\"steps\":[1]}",
    "{\"steps\":[{}]}",
    STEPS("{\"from\":\"\",\"to\":\"root.json\"}"),
    STEPS("{\"from\":\"a.json\",\"to\":\"b.json\"}"),
    STEPS(STEP("../root.json", "root.json")),
    STEPS(STEP("a/root.json", "root.json")),
    STEPS(STEP("2.root.json", "../root.json")),
    STEPS(STEP("2.root.json", "/etc/passwd")),
    STEPS(STEP("2.root.json", "journal")),
    STEPS(STEP("2.root.json", ".json")),
    STEPS(STEP("2.root.json", "..json")),
    STEPS(STEP("2.root.json", "")),
    STEPS(STEP("2.root.json", "a\\u0000.json")),
    STEPS(STEP("2.root.json", "a b.json")),
    STEPS(STEP("2.root.json", "root.json.tmp-0123456789abcdef")),
    STEPS("{\"blake2b-256\":\"" HEX "\",\"bytes\":-5,\"from\":\"a.json\",\"to\":\"a.json\"}"),
    STEPS("{\"blake2b-256\":\"" HEX "\",\"bytes\":0,\"from\":\"a.json\",\"to\":\"a.json\"}"),
    STEPS("{\"blake2b-256\":\"" HEX
          "\",\"bytes\":9999999999,\"from\":\"a.json\",\"to\":\"a.json\"}"),
    STEPS("{\"blake2b-256\":\"00\",\"bytes\":5,\"from\":\"a.json\",\"to\":\"a.json\"}"),
    "{\"snapshot\":{\"expires\":20,\"issued\":10,\"version\":0},\"steps\":[]}",
    "{\"snapshot\":{\"expires\":20,\"issued\":10,\"version\":9007199254740992},\"steps\":[]}",
    "{\"snapshot\":{\"expires\":-1,\"issued\":10,\"version\":1},\"steps\":[]}",
    "{\"snapshot\":{\"expires\":253402300800,\"issued\":10,\"version\":1},\"steps\":[]}",
    "{\"snapshot\":{\"expires\":20,\"issued\":1.5,\"version\":1},\"steps\":[]}",
    "{\"snapshot\":3,\"steps\":[]}",
    "{\"floors\":[],\"steps\":[]}",
    "{\"floors\":{\"app\":-1},\"steps\":[]}",
    "{\"floors\":{\"app\":4294967296},\"steps\":[]}",
    "{\"floors\":{\"app\":\"4\"},\"steps\":[]}",
    "{\"floors\":{\"../app\":4},\"steps\":[]}",
    "{\"floors\":{\"\":4},\"steps\":[]}",
    TARGET(""),
    TARGET("\"blake2b-256\":\"" HEX "\",\"executable\":true"),
    TARGET("\"blake2b-256\":\"" HEX "\",\"executable\":1,\"length\":10"),
    TARGET("\"blake2b-256\":\"" HEX "\",\"executable\":true,\"length\":0"),
    TARGET("\"blake2b-256\":\"" HEX "\",\"executable\":true,\"length\":65537"),
    TARGET("\"blake2b-256\":\"" HEX "00\",\"executable\":true,\"length\":10"),
    TARGET(GOOD_TARGET ",\"components\":\"app\""),
    TARGET(GOOD_TARGET ",\"components\":[1]"),
    TARGET(GOOD_TARGET ",\"components\":[[]]"),
    DELTA(""),
    DELTA("\"blake2b-256\":\"00\",\"executable\":true,\"length\":10"),
    DELTA("\"blake2b-256\":\"" HEX "\",\"executable\":true,\"length\":0"),
    DELTA("\"blake2b-256\":\"" HEX "\",\"executable\":true,\"length\":65537"),
    DELTA("\"blake2b-256\":\"" HEX "\",\"length\":10"),
    "{\"delta\":[],\"steps\":[]}",
    "{\"steps\":[],\"steps\":[]}",
    "{\"steps\":[]} ",
    "{\"steps\":[]}x",
};

Test(verdict, anything_else_is_a_worker_that_failed) {
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        struct trust_verdict v = {.n_steps = 77};
        struct err e = ERR_NONE;
        bool blank = strcmp(hostile[i], "{\"steps\":[]} ") == 0; // the one that is fine
        int parsed = parse(hostile[i], &v, &e);
        cr_expect_eq(parsed < 0, !blank, "%s", hostile[i]);
        cr_expect(blank || (err_is(&e, &err_worker_failed) && v.n_steps == 77), "%s: %s",
                  hostile[i], e.text);
        if (parsed == 0)
            trust_verdict_clear(&v);
    }
}

Test(verdict, ceilings_hold_at_and_above) {
    for (size_t above = 0; above < 2; above++) {
        OWN(json) json_t *all = json_object();
        json_t *steps = json_array();
        for (size_t i = 0; i < TRUST_VERDICT_STEPS_MAX + above; i++)
            json_array_append_new(steps, json_pack("{ss ss}", "from", "", "to", "a.json"));
        json_object_set_new(all, "steps", steps);
        OWN(mem) char *text = json_dumps(all, JSON_COMPACT);
        struct trust_verdict v;
        struct err e = ERR_NONE;
        cr_expect_eq(parse(text, &v, &e), above ? -1 : 0, "%s", e.text);
        if (!above)
            trust_verdict_clear(&v);
    }
}

Test(verdict, file_names) {
    char name[TRUST_VERDICT_FILE_MAX + 2];
    static const char *const wrong[] = {
        "../a.json",     "a/b.json",  "/a.json",  "a\\b.json", ".json",
        ".a.json",       "..json",    "a\n.json", "a b.json",  "\x1b[2J.json",
        "\xc3\xa4.json", "\xff.json", "a.json/",  "a.json.",   "a.jso",
        "a.JSON",        "a",         "",
    };
    cr_expect(trust_verdict_is_file("4.root.json") && trust_verdict_is_file("a%2F~b-C_d.json"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_not(trust_verdict_is_file(wrong[i]), "%zu", i);
    memset(name, 'a', sizeof name);
    memcpy(name + TRUST_VERDICT_FILE_MAX - 5, ".json", 6);
    cr_expect(trust_verdict_is_file(name));
    memcpy(name + TRUST_VERDICT_FILE_MAX - 5, "a.json", 7);
    cr_expect_not(trust_verdict_is_file(name));
}
