// SPDX-License-Identifier: Apache-2.0
//
// Grammar, three-valued logic and reasons of predicates.
#include "tests/unit/bundle/wire.h"

#include "base/text.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/limits.h"
#include "bundle/predicate.h"

static struct bundle_facts *device(void) {
    OWN(json)
    json_t *facts = wire_json("{\"arch\":\"arm64\",\"os.version\":\"12.10\",\"ram_mb\":2048,"
                              "\"temp\":\"-0.5\",\"big\":5000000000,"
                              "\"accel.edgetpu\":true,\"debug\":false,\"runtimes\":[\"tflite\","
                              "\"onnx\"],\"model\":\"Jetson Nänö\","
                              "\"hostile\":\"\\u001b[31m\"}");
    OWN(json) json_t *labels = wire_json("{\"site\":\"north\"}");
    struct err e = ERR_NONE;
    struct bundle_facts *set = NULL;
    cr_assert_eq(bundle_facts_with_labels(facts, labels, &set, &e), 0, "%s", e.text);
    return set;
}

static bool holds(const char *text, char reason[static BUNDLE_PREDICATE_REASON_BYTES]) {
    struct err e = ERR_NONE;
    OWN(predicate) struct bundle_predicate *predicate = NULL;
    cr_assert_eq(bundle_predicate_parse(text, &predicate, &e), 0, "%s: %s", text, e.text);
    OWN(facts) struct bundle_facts *facts = device();
    bool held = bundle_predicate_holds(predicate, facts, reason);
    cr_assert_eq(held, !*reason, "%s: %s", text, reason);
    cr_assert_lt(strlen(reason), BUNDLE_PREDICATE_REASON_BYTES);
    cr_assert(text_is_utf8(reason, strlen(reason)));
    return held;
}

static void refused(const char *text, const char *piece) {
    struct err e = ERR_NONE;
    struct bundle_predicate *predicate = NULL;
    cr_assert_lt(bundle_predicate_parse(text, &predicate, &e), 0, "accepted: %s", text);
    cr_assert(err_is(&e, &err_bad_predicate), "%s", e.text);
    cr_assert(strstr(e.text, piece), "%s: \"%s\" is not in \"%s\"", text, piece, e.text);
    cr_assert_null(predicate);
}

Test(predicate, what_holds_holds) {
    static const char *const rows[] = {
        "",
        "  \t\n ",
        "true",
        "not false",
        "arch == \"arm64\"",
        "arch==\"arm64\"",
        "arch != \"amd64\"",
        "ram_mb >= 2048",
        "ram_mb<=2048",
        "ram_mb > 2047.999",
        "ram_mb < 2048.1",
        "big == 5000000000",
        "big > 999999999.5",
        "temp == -0.5",
        "temp < 0",
        "temp > -1",
        "temp > -0.6",
        "os.version > \"12.9\"",
        "os.version <= \"12.10\"",
        "os.version == \"12.10\"",
        "accel.edgetpu",
        "accel.edgetpu == true",
        "not debug",
        "debug != true",
        "runtimes has \"onnx\"",
        "not runtimes has \"tvm\"",
        "arch in (\"amd64\", \"arm64\")",
        "ram_mb in (1024,2048)",
        "arch ~ \"arm*\"",
        "arch ~ \"*\"",
        "arch ~ \"a?m64\"",
        "model ~ \"*N?n?\"",
        "model ~ \"Jetson*\"",
        "known(arch)",
        "not known(absent)",
        "label.site == \"north\"",
        "known(absent) or arch == \"arm64\" and ram_mb > 1",
        "not (arch == \"x\" or debug)",
        "(((arch == \"arm64\")))",
        "not(debug)and(true)",
        "true or absent",
        "not (false and absent)",
        "false or true and true",
        "not false and true",
    };
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert(holds(rows[i], reason), "%s: %s", rows[i], reason);
}

Test(predicate, what_does_not_hold_says_why) {
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"arch == \"armhf\"", "arch is \"arm64\", wanted == \"armhf\""},
        {"accel.hailo", "accel.hailo is unknown"},
        {"not accel.hailo", "accel.hailo is unknown"},
        {"accel.hailo == true and arch == \"arm64\"", "accel.hailo is unknown"},
        {"arch == \"a\" or arch == \"b\"",
         "arch is \"arm64\", wanted == \"a\"; arch is \"arm64\", wanted == \"b\""},
        {"arch == \"a\" and ram_mb > 9999", "arch is \"arm64\", wanted == \"a\""},
        {"arch == \"arm64\" and ram_mb > 9999", "ram_mb is 2048, wanted > 9999"},
        {"absent and ram_mb > 9999", "ram_mb is 2048, wanted > 9999"},
        {"false or absent", "absent is unknown; the predicate says false"},
        {"not arch == \"arm64\"", "arch is \"arm64\", wanted not == \"arm64\""},
        {"not (accel.edgetpu and known(arch))",
         "accel.edgetpu is true, wanted not true; arch is known"},
        {"not true", "the predicate says not true"},
        {"debug", "debug is false, wanted true"},
        {"arch", "arch is \"arm64\", which cannot be compared: wanted true"},
        {"ram_mb == \"2048\"", "ram_mb is 2048, which cannot be compared: wanted == \"2048\""},
        {"arch < 3", "arch is \"arm64\", which cannot be compared: wanted < 3"},
        {"runtimes has \"tvm\"", "runtimes is [\"tflite\", \"onnx\"], wanted has \"tvm\""},
        {"arch has \"arm64\"", "arch is \"arm64\", which cannot be compared: wanted has \"arm64\""},
        {"runtimes == \"onnx\"",
         "runtimes is [\"tflite\", \"onnx\"], which cannot be compared: wanted == \"onnx\""},
        {"ram_mb ~ \"2*\"", "ram_mb is 2048, which cannot be compared: wanted ~ \"2*\""},
        {"arch in (\"a\", 3, true)",
         "arch is \"arm64\", which cannot be compared: wanted in (\"a\", 3, true)"},
        {"arch in (\"a\", \"b\")", "arch is \"arm64\", wanted in (\"a\", \"b\")"},
        {"os.version < \"12.9\"", "os.version is \"12.10\", wanted < \"12.9\""},
        {"hostile == \"x\"", "hostile is \"\\x1B[31m\", wanted == \"x\""},
        {"arch ~ \"\"", "arch is \"arm64\", wanted ~ \"\""},
        {"temp == 0", "temp is \"-0.5\", wanted == 0"},
        {"known(absent)", "absent is unknown"},
    };
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_not(holds(rows[i].text, reason), "%s", rows[i].text);
        cr_assert_str_eq(reason, rows[i].reason, "%s: %s", rows[i].text, reason);
    }
}

// All truth tables: a and b run over true, false and unknown.
Test(predicate, logic_is_kleenes) {
    static const char *const atoms[] = {"debug", "absent",
                                        "accel.edgetpu"}; // 0 no, 1 unknown, 2 yes
    char reason[BUNDLE_PREDICATE_REASON_BYTES], text[128];
    for (int a = 0; a < 3; a++) {
        (void)snprintf(text, sizeof text, "not %s", atoms[a]);
        cr_assert_eq(holds(text, reason), 2 - a == 2, "%s", text);
        for (int b = 0; b < 3; b++) {
            int both = a < b ? a : b, any = a > b ? a : b;
            (void)snprintf(text, sizeof text, "%s and %s", atoms[a], atoms[b]);
            cr_assert_eq(holds(text, reason), both == 2, "%s", text);
            (void)snprintf(text, sizeof text, "not (%s and %s)", atoms[a], atoms[b]);
            cr_assert_eq(holds(text, reason), both == 0, "%s", text);
            (void)snprintf(text, sizeof text, "%s or %s", atoms[a], atoms[b]);
            cr_assert_eq(holds(text, reason), any == 2, "%s", text);
            (void)snprintf(text, sizeof text, "not (%s or %s)", atoms[a], atoms[b]);
            cr_assert_eq(holds(text, reason), any == 0, "%s", text);
        }
    }
}

static bool may_hold(const char *text, const struct bundle_facts *facts) {
    OWN(predicate) struct bundle_predicate *predicate = NULL;
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    struct err e = ERR_NONE;
    cr_assert_eq(bundle_predicate_parse(text, &predicate, &e), 0, "%s", e.text);
    bool may = bundle_predicate_may_hold(predicate, facts, "label.", reason);
    cr_expect_eq(reason[0] == '\0', may, "%s: %s", text, reason);
    return may;
}

Test(predicate, what_could_hold_with_other_labels_may_hold) {
    static const struct {
        const char *text;
        bool may;
    } rows[] = {
        {"", true},
        {"label.a == 1", true},
        {"label.a == 1 and arch == \"arm64\"", true},
        {"label.a == 1 and arch == \"mips\"", false},
        {"label.a == 1 or arch == \"mips\"", true},
        {"not label.a", true},
        {"not known(label.a)", true},
        {"not (label.a == 1 and arch == \"arm64\")", true},
        {"not (label.a == 1 or arch == \"arm64\")", false},
        {"absent == 1 and label.a == 1", false},
        {"absent == 1 or label.a == 1", true},
        {"false and label.a", false},
        {"arch == \"arm64\"", true},
        {"arch == \"mips\"", false},
        {"labels == 1", false},
    };
    OWN(json) json_t *object = json_pack("{s:s}", "arch", "arm64");
    OWN(facts) struct bundle_facts *facts = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(bundle_facts_parse(object, &facts, &e), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(may_hold(rows[i].text, facts), rows[i].may, "%s", rows[i].text);
}

Test(predicate, and_binds_stronger_than_or_and_not_strongest) {
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    cr_assert(holds("true or true and false", reason));
    cr_assert_not(holds("(true or true) and false", reason));
    cr_assert(holds("not false or true and false", reason));
    cr_assert_not(holds("not (false or true) and true", reason));
    cr_assert(holds("false and false or true", reason));
    cr_assert_not(holds("false and (false or true)", reason));
}

Test(predicate, what_is_malformed_is_refused_with_its_place) {
    static const struct {
        const char *text, *piece;
    } rows[] = {
        {"arch ==", "at its end: expected text in double quotes"},
        {"arch = \"x\"", "byte 6"},
        {"== \"x\"", "byte 1"},
        {"arch == arm64", "byte 9 (arm64)"},
        {"(true", "at its end: expected and, or, or )"},
        {"true)", "byte 5"},
        {"()", "byte 2"},
        {"true true", "byte 6"},
        {"true and", "at its end"},
        {"and true", "byte 1"},
        {"not", "at its end"},
        {"not not true", "byte 5"},
        {"arch == \"x", "byte 9"},
        {"arch == \"x\ny\"", "control characters"},
        {"arch == \"a\\n\"", "only \" and \\"},
        {"arch == \"\\", "only \" and \\"},
        {"x in ()", "byte 7"},
        {"x in (1", "at its end: expected a comma or )"},
        {"x in (1,)", "byte 9"},
        {"x in 1", "( after in"},
        {"x has 3", "byte 7"},
        {"x ~ true", "byte 5"},
        {"x < true", "have no order"},
        {"x == 01", "byte 6"},
        {"x == 1.", "byte 6"},
        {"x == -", "byte 6"},
        {"x == 1e3", "byte 6"},
        {"x == 1.0000000001", "at most nine"},
        {"x == 9223372036854775808", "byte 6"},
        {"x == 1000000000.5", "byte 6"},
        {"x == --1", "byte 6"},
        {"known(3)", "byte 7"},
        {"known x", "( after known"},
        {"known(a", "at its end"},
        {"known(true)", "byte 7"},
        {"1 == x", "byte 1"},
        {"x & y", "byte 3"},
        {"x == \"a\" == \"b\"", "byte 10"},
        {"x == 1 and == 2", "byte 12"},
        {"t\xc3\xa4st", "byte 2"},
        {"x == \"\x7f\"", "control characters"},
        {"\x01", "byte 1 (\\x01)"},
        {"\xff", "not UTF-8"},
        {"x == \"\xed\xa0\x80\"", "not UTF-8"},
        {"in == 1", "byte 1"},
        {"has", "byte 1"},
        {"x, y", "byte 2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(rows[i].text, rows[i].piece);
}

Test(predicate, numbers_reach_to_their_ends) {
    static const char *const good[] = {"x == 9223372036854775807", "x == -9223372036854775807",
                                       "x == 0", "x == -0.000000001", "x == 999999999.999999999"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct err e = ERR_NONE;
        OWN(predicate) struct bundle_predicate *predicate = NULL;
        cr_assert_eq(bundle_predicate_parse(good[i], &predicate, &e), 0, "%s", e.text);
    }
}

// BUNDLE_PREDICATE_MAX bytes of text are read, one more is not.
Test(predicate, the_ceiling_of_its_length_holds) {
    OWN(mem) char *text = wire_repeat(' ', BUNDLE_PREDICATE_MAX + 1);
    memcpy(text, "true", 4);
    refused(text, "2049 bytes");
    text[BUNDLE_PREDICATE_MAX] = '\0';
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    cr_assert(holds(text, reason));
}

static void nest(size_t depth, char *ret) {
    memset(ret, '(', depth);
    memcpy(ret + depth, "true", 4);
    memset(ret + depth + 4, ')', depth);
    ret[2 * depth + 4] = '\0';
}

Test(predicate, the_ceiling_of_its_depth_holds) {
    char text[512], reason[BUNDLE_PREDICATE_REASON_BYTES];
    nest(BUNDLE_PREDICATE_DEPTH_MAX - 1, text);
    cr_assert(holds(text, reason));
    nest(BUNDLE_PREDICATE_DEPTH_MAX, text);
    cr_assert(holds(text, reason));
    nest(BUNDLE_PREDICATE_DEPTH_MAX + 1, text);
    refused(text, "byte 33");
}

Test(predicate, the_deepest_waiting_of_connectives_fits) {
    char text[BUNDLE_PREDICATE_MAX] = "", reason[BUNDLE_PREDICATE_REASON_BYTES];
    size_t len = 0;
    for (size_t i = 0; i < BUNDLE_PREDICATE_DEPTH_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "false or true and not (");
    len += (size_t)snprintf(text + len, sizeof text - len, "false or true and not false");
    for (size_t i = 0; i < BUNDLE_PREDICATE_DEPTH_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ")");
    cr_assert(holds(text, reason), "%s", reason);
}

Test(predicate, the_ceiling_of_nodes_and_values_holds) {
    char text[BUNDLE_PREDICATE_MAX + 1], reason[BUNDLE_PREDICATE_REASON_BYTES];
    for (size_t leaves = 127; leaves <= 129; leaves++) {
        size_t len = 0; // 128 leaves and 127 connectives are 255 nodes, one more of both 257
        for (size_t i = 0; i < leaves; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "%strue", i ? " and " : "");
        if (leaves <= 128)
            cr_assert(holds(text, reason));
        else
            refused(text, "256");
    }
    for (size_t values = 255; values <= 257; values++) {
        size_t len = (size_t)snprintf(text, sizeof text, "ram_mb in (2048");
        for (size_t i = 1; i < values; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, ",1");
        (void)snprintf(text + len, sizeof text - len, ")");
        if (values <= 256)
            cr_assert(holds(text, reason));
        else
            refused(text, "fewer values");
    }
}

Test(predicate, names_and_strings_have_the_ceilings_of_facts) {
    char text[512], reason[BUNDLE_PREDICATE_REASON_BYTES];
    OWN(mem) char *name = wire_repeat('n', BUNDLE_FACT_NAME_MAX + 1);
    OWN(mem) char *value = wire_repeat('v', BUNDLE_FACT_VALUE_MAX + 1);
    (void)snprintf(text, sizeof text, "not known(%s)", name);
    refused(text, "64 bytes at most");
    (void)snprintf(text, sizeof text, "not known(%s)", name + 1);
    cr_assert(holds(text, reason));
    (void)snprintf(text, sizeof text, "arch != \"%s\"", value);
    refused(text, "256 bytes at most");
    (void)snprintf(text, sizeof text, "arch != \"%s\"", value + 1);
    cr_assert(holds(text, reason));
}

Test(predicate, a_reason_that_is_too_long_is_cut_between_characters) {
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    for (size_t pad = 1; pad < 200; pad++) {
        char text[1024];
        size_t len = (size_t)snprintf(text, sizeof text, "arch == \"");
        memset(text + len, 'x', pad);
        len += pad;
        (void)snprintf(text + len, sizeof text - len,
                       "ääääääääää\" or arch == \"öööööööööööööööööööööööööööööööööööööööööö\"");
        cr_assert_not(holds(text, reason));
        if (pad > 120)
            cr_assert_str_eq(reason + strlen(reason) - 3, "…");
    }
}

Test(predicate, a_glob_takes_time_that_is_bounded) {
    OWN(mem) char *many = wire_repeat('a', BUNDLE_FACT_VALUE_MAX);
    OWN(json) json_t *object = json_pack("{s:s}", "x", many);
    struct err e = ERR_NONE;
    OWN(facts) struct bundle_facts *facts = NULL;
    OWN(predicate) struct bundle_predicate *predicate = NULL;
    cr_assert_eq(bundle_facts_parse(object, &facts, &e), 0);
    cr_assert_eq(bundle_predicate_parse("x ~ \"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b\"",
                                        &predicate, &e),
                 0);
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    cr_assert_not(bundle_predicate_holds(predicate, facts, reason));
}
