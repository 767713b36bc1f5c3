// SPDX-License-Identifier: Apache-2.0
//
// Counting a fleet by classes of devices, out of the text that the store has.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/serve/plan_class.h"
#include "ctl/serve/plan_facts.h"

static struct slice of(const char *text) {
    return (struct slice){.data = (const uint8_t *)text, .len = strlen(text)};
}

// The values of the named facts, one a line.
static void project(const char *names, const char *facts, const char *labels,
                    const char *expected) {
    struct serve_plan_facts wanted = {.n = 0};
    struct err e = ERR_NONE;
    const struct store_census_row row = {.id = "d", .facts = of(facts), .labels = of(labels)};
    OWN(buf) struct buf found;
    buf_init(&found, 4096);
    cr_assert(serve_plan_facts_name(&wanted, names), "%s", names);
    cr_assert_eq(serve_plan_facts_project(&wanted, &row, &found, &e), 0, "%s", e.text);
    cr_expect_str_eq(buf_text(&found), expected, "%s of %s", names, facts);
}

Test(serve_plan_facts, finds_the_values_that_a_predicate_names) {
    project("arch == \"arm64\"", "{\"arch\":\"arm64\",\"os\":\"x\"}", "", "\"arm64\"\n");
    project("os", "{\"arch\":\"arm64\",\"os\":\"x\"}", "{}", "\"x\"\n");
    project("b and a", "{\"a\":1,\"b\":[\"x,y\",\"}\"],\"c\":\"z\"}", "", "[\"x,y\",\"}\"]\n\n1\n");
    project("label.site", "{\"site\":\"no\"}", "{\"site\":\"yes\"}", "\"yes\"\n");
    project("site", "{\"site\":\"no\"}", "{\"site\":\"yes\"}", "\"no\"\n");
    project("missing", "{\"a\":1}", "{\"missing\":\"2\"}", "\n");
    project("a", "{}", "", "\n");
    project("a", "", "", "\n");
    project("a", "{\"a\":\"quote \\\" and \\\\\",\"b\":2}", "", "\"quote \\\" and \\\\\"\n");
    project("a", "{\"ab\":1,\"a\":2,\"aa\":3}", "", "2\n");
    project("b", "{\"a\":{\"b\":1},\"b\":true}", "", "true\n");
}

Test(serve_plan_facts, what_stands_in_quotes_names_nothing) {
    struct serve_plan_facts wanted = {.n = 0};
    cr_assert(serve_plan_facts_name(&wanted, "os.id == \"deb \\\" ian\" and known(ram_mb)"));
    cr_assert_eq(wanted.n, 4, "with the words and, known");
    cr_assert_str_eq(wanted.names[0], "os.id");
    cr_assert_str_eq(wanted.names[3], "ram_mb");
}

// Where the text is not of the form that the store writes the whole of it stands for the device.
Test(serve_plan_facts, what_is_not_understood_is_taken_whole) {
    static const char *const odd[] = {"[1]",         "{\"a\" :1}", "{\"a\":1",
                                      "{\"a\":\"x}", "{a:1}",      "{\"a\":1}x"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char expected[64];
        (void)snprintf(expected, sizeof expected, "%s\n{}", odd[i]);
        project("a", odd[i], "{}", expected);
    }
}

Test(serve_plan_facts, there_is_a_ceiling_to_the_names) {
    struct serve_plan_facts wanted = {.n = 0};
    char name[16];
    for (unsigned i = 0; i < SERVE_PLAN_FACTS_MAX; i++) {
        (void)snprintf(name, sizeof name, "fact%u", i);
        cr_assert(serve_plan_facts_name(&wanted, name), "%s", name);
    }
    cr_assert(serve_plan_facts_name(&wanted, "fact7"), "known already");
    cr_assert(!serve_plan_facts_name(&wanted, "more"));
}

static int site_of(const char *fact, const char *facts, const char *labels,
                   char ret[static BUNDLE_FACT_VALUE_MAX + 1]) {
    struct serve_plan_facts wanted = {.n = 1};
    struct err e = ERR_NONE;
    const struct store_census_row row = {.facts = of(facts), .labels = of(labels)};
    (void)snprintf(wanted.names[0], sizeof wanted.names[0], "%s", fact);
    int found = serve_plan_facts_text(&wanted, &row, ret, &e);
    cr_assert_geq(found, 0, "%s", e.text);
    return found;
}

Test(serve_plan_facts, a_site_is_the_text_of_one_fact) {
    static const struct {
        const char *fact, *facts, *labels, *site; // NULL: none
    } rows[] = {
        {"site", "{\"a\":1,\"site\":\"b\"}", "{\"site\":\"c\"}", "b"},
        {"label.site", "{\"site\":\"b\"}", "{\"site\":\"c\"}", "c"},
        {"site", "{\"site\":\"b\\\"\\\\ \\u00e9\"}", "", "b\"\\ \xc3\xa9"},
        {"site", "{\"sites\":\"b\"}", "{\"site\":\"c\"}", NULL},
        {"site", "{\"site\":7}", "", NULL},
        {"site", "{\"site\":[\"b\"]}", "", NULL},
        {"site", "", "", NULL},
        // As no controller writes it: read as a document.
        {"site", "{ \"site\" : \"b\" }", "", "b"},
        {"label.site", "{ }", "{ \"site\" : \"c\" }", "c"},
        {"site", "{ \"a\" : 1 }", "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char site[BUNDLE_FACT_VALUE_MAX + 1] = "";
        int found = site_of(rows[i].fact, rows[i].facts, rows[i].labels, site);
        cr_expect_eq(found == 0, rows[i].site != NULL, "%zu: %s", i, site);
        cr_expect_str_eq(site, rows[i].site == NULL ? "" : rows[i].site, "%zu", i);
    }
}

// ── Classes ──

struct fleet {
    struct serve_engine engine;
    struct serve_engine_bundle bundles[2];
    struct rollout_policy policy;
    struct bundle_predicate *selector;
    struct serve_plan_classes *classes;
};

static struct bundle_predicate *predicate(const char *text) {
    struct bundle_predicate *made = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(bundle_predicate_parse(text, &made, &e), 0, "%s: %s", text, e.text);
    return made;
}

static void open_fleet(struct fleet *f, const char *selector) {
    struct err e = ERR_NONE;
    *f = (struct fleet){.policy = {.release_name = "app",
                                   .release_version = "1",
                                   .n_stratify = 1,
                                   .stratify = {"line"}},
                        .selector = predicate(selector)};
    (void)snprintf(f->policy.selector, sizeof f->policy.selector, "%s", selector);
    static const char *const requires[] = {"arch == \"arm64\"", "arch == \"x86_64\""};
    for (size_t i = 0; i < 2; i++) {
        struct serve_engine_bundle *b = &f->bundles[i];
        (void)snprintf(b->row.name, sizeof b->row.name, "app");
        (void)snprintf(b->row.version, sizeof b->row.version, "1");
        (void)snprintf(b->row.requires, sizeof b->row.requires, "%s", requires[i]);
        memset(b->row.id, i == 0 ? 'a' : 'b', sizeof b->row.id - 1);
        b->row.components = json_pack("{s:{}}", "app");
        b->requires = predicate(requires[i]);
    }
    f->engine.n_bundles = 2;
    f->engine.bundles = f->bundles;
    const struct serve_plan_class_for for_whom = {
        .engine = &f->engine, .policy = &f->policy, .selector = f->selector, .scope_text = ""};
    cr_assert_eq(serve_plan_class_open(&for_whom, &f->classes, &e), 0, "%s", e.text);
}

static void close_fleet(struct fleet *f) {
    serve_plan_class_close(f->classes);
    bundle_predicate_free(f->selector);
    for (size_t i = 0; i < 2; i++) {
        json_decref(f->bundles[i].row.components);
        bundle_predicate_free(f->bundles[i].requires);
    }
}

static struct serve_plan_class judge(struct fleet *f, const char *facts, const char *labels) {
    const struct store_census_row row = {.id = "d", .facts = of(facts), .labels = of(labels)};
    const struct serve_plan_class *class = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(serve_plan_class_find(f->classes, &row, &class, &e), 0, "%s", e.text);
    return *class;
}

Test(serve_plan_class, devices_that_agree_in_what_matters_are_judged_alike) {
    struct fleet f;
    const char *const *keys = NULL;
    open_fleet(&f, "label.site == \"b\"");
    for (int round = 0; round < 2; round++) { // judged, and looked up
        struct serve_plan_class arm =
            judge(&f, "{\"arch\":\"arm64\",\"line\":\"one\",\"serial\":\"7\"}", "{\"site\":\"b\"}");
        cr_assert(arm.selected && arm.variant == 0 && arm.stratum == 0);
        struct serve_plan_class pc =
            judge(&f, "{\"arch\":\"x86_64\",\"line\":\"two\"}", "{\"site\":\"b\"}");
        cr_assert(pc.selected && pc.variant == 1 && pc.stratum == 1);
        struct serve_plan_class other = judge(&f, "{\"arch\":\"riscv\"}", "{\"site\":\"b\"}");
        cr_assert(other.selected && other.variant == 2 && other.stratum == 2);
        cr_assert_not_null(strstr(other.reason, "arch"), "%s", other.reason);
        cr_assert(!judge(&f, "{\"arch\":\"arm64\",\"line\":\"one\"}", "{\"site\":\"a\"}").selected);
        cr_assert(!judge(&f, "", "").selected);
    }
    cr_assert_eq(serve_plan_class_strata(f.classes, &keys), 3);
    cr_assert_str_eq(keys[0], "{\"line\":\"one\"}");
    cr_assert_str_eq(keys[2], "{\"line\":null}");
    close_fleet(&f);
}

// More kinds than the table takes: each is judged by itself, and rightly.
Test(serve_plan_class, beyond_the_ceiling_of_classes_every_device_is_judged) {
    struct fleet f;
    open_fleet(&f, "serial != \"9\"");
    for (unsigned i = 0; i < SERVE_PLAN_CLASS_MAX + 3; i++) {
        char facts[64];
        (void)snprintf(facts, sizeof facts, "{\"arch\":\"arm64\",\"serial\":\"%u\"}", i);
        struct serve_plan_class class = judge(&f, facts, "");
        if (class.selected != (i != 9) || (class.selected && class.variant != 0))
            cr_assert(false, "%s", facts);
    }
    close_fleet(&f);
}

Test(serve_plan_class, more_strata_than_there_may_be_are_refused) {
    struct fleet f;
    open_fleet(&f, "");
    for (unsigned i = 0; i <= BUNDLE_STRATA_MAX; i++) {
        char facts[64];
        const struct serve_plan_class *class = NULL;
        struct err e = ERR_NONE;
        (void)snprintf(facts, sizeof facts, "{\"line\":\"%u\"}", i);
        const struct store_census_row row = {.id = "d", .facts = of(facts)};
        int done = serve_plan_class_find(f.classes, &row, &class, &e);
        cr_assert_eq(done, i < BUNDLE_STRATA_MAX ? 0 : -1, "%u: %s", i, e.text);
        if (done < 0)
            cr_assert_str_eq(e.kind->name, "config");
    }
    close_fleet(&f);
}

Test(serve_plan_class, a_device_runs_a_variant_when_all_of_its_components_come_from_it) {
    struct fleet f;
    char said[256];
    open_fleet(&f, "");
    static const struct {
        const char *format;
        bool runs;
    } rows[] = {
        {"{\"components\":{\"app\":{\"manifest\":\"%s\"}}}", true},
        {"{\"components\":{\"app\":{\"manifest\":\"x\"}},\"progress\":{\"bundle\":\"%s\"}}", false},
        {"{\"components\":{\"model\":{\"manifest\":\"%s\"}}}", false},
        {"{\"components\":{}}", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *mark = strstr(rows[i].format, "%s");
        int before = mark == NULL ? (int)strlen(rows[i].format) : (int)(mark - rows[i].format);
        (void)snprintf(said, sizeof said, "%.*s%s%s", before, rows[i].format,
                       mark == NULL ? "" : f.bundles[0].row.id, mark == NULL ? "" : mark + 2);
        const struct store_census_row row = {.id = "d", .said = of(said)};
        cr_expect_eq(serve_plan_class_runs(f.classes, 0, &row), rows[i].runs, "%s", said);
    }
    close_fleet(&f);
}
