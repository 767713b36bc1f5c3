// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/policy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

static int parse(const char *text, struct rollout_policy *ret, struct err *e) {
    OWN(json) json_t *document = json_loads(text, 0, NULL);
    cr_assert_not_null(document, "%s", text);
    return rollout_policy_parse(document, "policy.json", ret, e);
}

Test(rollout_policy, says_little_and_means_the_defaults) {
    struct rollout_policy p;
    struct err e = ERR_NONE;
    cr_assert_eq(parse("{\"name\":\"r\",\"release\":\"app 1.0\"}", &p, &e), 0, "%s", e.text);
    cr_assert_str_eq(p.release_name, "app");
    cr_assert_str_eq(p.release_version, "1.0");
    cr_assert_eq(p.n_stages, 1);
    cr_assert_eq(p.stages[0].ppm, ROLLOUT_PPM);
    cr_assert_eq(p.timeout_s, ROLLOUT_POLICY_TIMEOUT_DEFAULT_S);
    cr_assert_eq(p.on_failure, ROLLOUT_ON_FAILURE_PAUSE);
    cr_assert(p.baseline);
    cr_assert(!p.has_budget_bytes && !p.has_budget_metered_bytes);
}

Test(rollout_policy, its_normal_form_reads_back_as_itself) {
    struct rollout_policy a, b;
    struct err e = ERR_NONE;
    cr_assert_eq(
        parse(
            "{\"name\":\"r\",\"release\":{\"name\":\"app\",\"version\":\"1.0\"},\"selector\":"
            "\"arch =="
            " \\\"x\\\"\",\"stratify\":[\"arch\",\"label.site\"],\"stages\":[{\"name\":\"a\","
            "\"count\":2,"
            "\"soak\":\"10m\"},{\"name\":\"b\",\"percent\":\"0.5\",\"approve\":true,\"gate\":"
            "{\"min_sample\":7}},{\"name\":\"c\",\"percent\":100}],\"gate\":{\"success_pct\":99.5,"
            "\"failure_pct\":1},\"timeout\":\"2h\",\"max_unresolved\":5,\"on_failure\":\"revert\","
            "\"not_before\":\"2026-01-01T00:00:00Z\",\"until\":\"2026-02-01T00:00:00Z\","
            "\"byte_budget\":{\"bytes\":1,\"metered_bytes\":0}}",
            &a, &e),
        0, "%s", e.text);
    cr_assert_eq(a.stages[0].soak_s, 600);
    cr_assert_eq(a.stages[1].ppm, 5000);
    cr_assert_eq(a.stages[1].gate.min_sample, 7);
    cr_assert_eq(a.stages[1].gate.success_ppm, 995000);
    cr_assert_eq(a.timeout_s, 7200);
    cr_assert(a.has_budget_bytes && a.budget_bytes == 1);
    cr_assert(a.has_budget_metered_bytes && a.budget_metered_bytes == 0);
    OWN(json) json_t *form = NULL;
    OWN(json) json_t *again = NULL;
    cr_assert_eq(rollout_policy_format(&a, &form, &e), 0);
    cr_assert_eq(rollout_policy_parse(form, "form", &b, &e), 0, "%s", e.text);
    cr_assert_eq(rollout_policy_format(&b, &again, &e), 0);
    cr_assert(json_equal(form, again));
}

// No budget for metered links is another thing than one of nothing.
Test(rollout_policy, a_budget_has_either_part_or_both) {
    static const struct {
        const char *budget;
        bool bytes, metered;
    } rows[] = {{"{\"bytes\":1125899906842624}", true, false},
                {"{\"metered_bytes\":1125899906842624}", false, true},
                {"null", false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rollout_policy a, b;
        struct err e = ERR_NONE;
        char text[200];
        OWN(json) json_t *form = NULL;
        (void)snprintf(text, sizeof text,
                       "{\"name\":\"r\",\"release\":\"app 1.0\",\"byte_budget\":%s}",
                       rows[i].budget);
        cr_assert_eq(parse(text, &a, &e), 0, "%s", e.text);
        cr_assert_eq(rollout_policy_format(&a, &form, &e), 0);
        cr_assert_eq(rollout_policy_parse(form, "form", &b, &e), 0, "%s", e.text);
        cr_expect_eq(b.has_budget_bytes, rows[i].bytes, "%zu", i);
        cr_expect_eq(b.has_budget_metered_bytes, rows[i].metered, "%zu", i);
        cr_expect(b.budget_bytes == a.budget_bytes &&
                  b.budget_metered_bytes == a.budget_metered_bytes);
    }
}

struct mistake {
    const char *text, *kind, *says;
};

static void check_mistakes(const struct mistake *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct rollout_policy p;
        struct err e = ERR_NONE;
        cr_assert_lt(parse(cases[i].text, &p, &e), 0, "%s", cases[i].text);
        cr_assert_str_eq(e.kind->name, cases[i].kind, "%s: %s", cases[i].text, e.text);
        cr_assert_not_null(strstr(e.text, cases[i].says), "%s: %s", cases[i].text, e.text);
    }
}

Test(rollout_policy, names_the_place_of_each_mistake_in_a_budget) {
    static const struct mistake cases[] = {
        {"{\"name\":\"r\",\"release\":\"a 1\",\"byte_budget\":{}}", "config", "byte_budget"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"byte_budget\":5}", "config", "byte_budget"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"byte_budget\":{\"bytes\":0}}", "config",
         "byte_budget.bytes"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"byte_budget\":{\"bytes\":1125899906842625}}",
         "config", "byte_budget.bytes"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"byte_budget\":{\"metered_bytes\":-1}}", "config",
         "byte_budget.metered_bytes"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"byte_budget\":{\"byte\":1}}", "config", "byte"},
    };
    check_mistakes(cases, sizeof cases / sizeof *cases);
}

Test(rollout_policy, names_the_place_of_each_mistake) {
    static const struct mistake cases[] = {
        {"[]", "config", "policy.json"},
        {"{\"release\":\"a 1\"}", "config", "name"},
        {"{\"name\":\"r\"}", "config", "release"},
        {"{\"name\":\"r\",\"release\":\"a\"}", "config", "NAME VERSION"},
        {"{\"name\":\"r\",\"release\":\"a 1 2\"}", "config", "release"},
        {"{\"name\":\"r s\",\"release\":\"a 1\"}", "config", "name"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"stagse\":[]}", "config", "stages"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"stages\":[]}", "config", "at least one"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"stages\":[{\"name\":\"x\"}]}", "config",
         "stages[0]"},
        {"{\"name\":\"r\",\"release\":\"a "
         "1\",\"stages\":[{\"name\":\"x\",\"count\":1,\"percent\":1}]}",
         "config", "either percent or count"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"stages\":[{\"name\":\"x\",\"count\":0}]}", "config",
         "stages[0].count"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"stages\":[{\"name\":\"x\",\"percent\":0}]}",
         "config", "percent"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"stages\":[{\"name\":\"x\",\"percent\":101}]}",
         "config", "of 0.0001 at least and 100 at most"},
        {"{\"name\":\"r\",\"release\":\"a "
         "1\",\"stages\":[{\"name\":\"x\",\"percent\":50},{\"name\":\"y\","
         "\"percent\":50}]}",
         "config", "stages[1].percent"},
        {"{\"name\":\"r\",\"release\":\"a "
         "1\",\"stages\":[{\"name\":\"x\",\"percent\":50},{\"name\":\"x\","
         "\"percent\":60}]}",
         "config", "stages[1].name"},
        {"{\"name\":\"r\",\"release\":\"a "
         "1\",\"stages\":[{\"name\":\"x\",\"count\":5}],\"baseline\":true}",
         "config", "baseline"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"selector\":\"arch ==\"}", "bad_predicate",
         "selector"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"on_failure\":\"panic\"}", "config", "on_failure"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"timeout_s\":0}", "config", "timeout_s"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"timeout_s\":1,\"timeout\":\"1s\"}", "config",
         "the same"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"timeout\":\"1 year\"}", "config", "duration"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"until\":\"tomorrow\"}", "config", "until"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"gate\":{\"min_sample\":0}}", "config",
         "gate.min_sample"},
        {"{\"name\":\"r\",\"release\":\"a 1\",\"stratify\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}",
         "config", "stratify"},
    };
    check_mistakes(cases, sizeof cases / sizeof *cases);
}
