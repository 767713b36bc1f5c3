// SPDX-License-Identifier: Apache-2.0
//
// What dry probes say of a release.
#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/dry.h"

static void count(struct rollout_dry *dry, const char *stratum, const char *code,
                  const char *probes) {
    struct err e = ERR_NONE;
    OWN(json) json_t *list = probes == NULL ? NULL : json_loads(probes, 0, NULL);
    const struct rollout_dry_device device = {.stratum = stratum,
                                              .asked = code != NULL,
                                              .answered = code != NULL && strcmp(code, "?") != 0,
                                              .code = code,
                                              .text = "why",
                                              .probes = list};
    cr_assert_eq(rollout_dry_count(dry, &device, &e), 0, "%s", e.text);
}

#define GOOD   "[{\"code\":\"\",\"name\":\"a\"},{\"code\":\"not_runnable\",\"name\":\"b\"}]"
#define BAD    "[{\"code\":\"probe_failed\",\"name\":\"a\"},{\"code\":\"\",\"name\":\"c\"}]"
#define SILENT "[{\"code\":\"not_runnable\",\"name\":\"b\"}]"

static json_t *format(struct rollout_dry *dry) {
    struct err e = ERR_NONE;
    json_t *made = NULL;
    cr_assert_eq(rollout_dry_format(dry, &made, &e), 0, "%s", e.text);
    return made;
}

static json_int_t number(const json_t *row, const char *key) {
    cr_assert(json_is_integer(json_object_get(row, key)), "%s", key);
    return json_integer_value(json_object_get(row, key));
}

static const char *words(const json_t *row, const char *key) {
    const char *text = json_string_value(json_object_get(row, key));
    return text == NULL ? "(none)" : text;
}

Test(rollout_dry, counts_who_would_fail_and_who_said_nothing) {
    OWN(rollout_dry) struct rollout_dry dry;
    struct err e = ERR_NONE;
    cr_assert_eq(rollout_dry_init(&dry, &e), 0);
    count(&dry, "x", "", GOOD);
    count(&dry, "x", "", BAD);
    count(&dry, "x", "?", NULL); // asked, and silent
    count(&dry, "y", "", SILENT);
    count(&dry, "y", "", GOOD);
    count(&dry, "y", "busy", "[]");
    count(&dry, "y", NULL, NULL); // never heard of
    OWN(json) json_t *made = format(&dry);
    cr_expect_eq(number(made, "sample"), 7);
    cr_expect_eq(number(made, "asked"), 6);
    cr_expect_eq(number(made, "answered"), 4);
    cr_expect_eq(number(made, "judged"), 3,
                 "one of which nothing could be run is not taken for good");
    cr_expect_eq(number(made, "would_fail"), 1);
    cr_expect_str_eq(words(made, "would_fail_pct"), "33.3333");
    cr_expect_str_eq(words(made, "lower_pct"), "0.8403"); // Clopper-Pearson, 1 of 3
    cr_expect_str_eq(words(made, "upper_pct"), "90.5701");
    const json_t *declined = json_array_get(json_object_get(made, "declined"), 0);
    cr_expect_str_eq(words(declined, "code"), "busy");
    cr_expect_eq(number(declined, "devices"), 1);
    const json_t *a = json_array_get(json_object_get(made, "probes"), 0);
    cr_expect_str_eq(words(a, "name"), "a");
    cr_expect_eq(number(a, "passed"), 2);
    cr_expect_eq(number(a, "failed"), 1);
    cr_expect_eq(number(json_object_get(a, "codes"), "probe_failed"), 1);
    const json_t *b = json_array_get(json_object_get(made, "probes"), 1);
    cr_expect_eq(number(b, "not_runnable"), 3);
    cr_expect_eq(number(b, "passed") + number(b, "failed"), 0, "never counted as passed");
    const json_t *strata = json_object_get(made, "strata");
    cr_assert_eq(json_array_size(strata), 2);
    cr_expect_eq(number(json_array_get(strata, 0), "would_fail"), 1);
    cr_expect_eq(number(json_array_get(strata, 1), "judged"), 1);
    cr_expect_str_eq(words(json_array_get(strata, 1), "lower_pct"), "0");
    const char *text = words(made, "text");
    cr_expect(strstr(text, "1 of 3 devices would fail"), "%s", text);
    cr_expect(strstr(text, "3 of 7 that were chosen did not answer"), "%s", text);
}

Test(rollout_dry, says_plainly_that_nothing_is_known) {
    OWN(rollout_dry) struct rollout_dry dry;
    struct err e = ERR_NONE;
    cr_assert_eq(rollout_dry_init(&dry, &e), 0);
    count(&dry, "x", NULL, NULL);
    OWN(json) json_t *none = format(&dry);
    cr_expect(json_is_null(json_object_get(none, "would_fail_pct")));
    cr_expect(json_is_null(json_object_get(none, "upper_pct")));
    cr_expect(strstr(words(none, "text"), "no device answered"), "%s", words(none, "text"));
    count(&dry, "x", "", SILENT);
    OWN(json) json_t *one = format(&dry);
    cr_expect(json_is_null(json_object_get(one, "would_fail_pct")));
    cr_expect(strstr(words(one, "text"), "nothing is known of 1"), "%s", words(one, "text"));
}

Test(rollout_dry, what_devices_say_has_ceilings) {
    OWN(rollout_dry) struct rollout_dry dry;
    struct err e = ERR_NONE;
    char probes[128];
    cr_assert_eq(rollout_dry_init(&dry, &e), 0);
    for (int i = 0; i < 2 * ROLLOUT_DRY_PROBES_MAX; i++) {
        (void)snprintf(probes, sizeof probes,
                       "[{\"code\":\"code%d\",\"name\":\"a\"},{\"code\":\"\",\"name\":\"p%d\"}]", i,
                       i);
        count(&dry, "x", "", probes);
        (void)snprintf(probes, sizeof probes, "why%d", i);
        count(&dry, "x", probes, "[]");
    }
    OWN(json) json_t *made = format(&dry);
    cr_expect_eq(json_array_size(json_object_get(made, "probes")), ROLLOUT_DRY_PROBES_MAX);
    cr_expect_eq(json_array_size(json_object_get(made, "declined")), ROLLOUT_DRY_DECLINED_MAX);
    const json_t *a = json_array_get(json_object_get(made, "probes"), 0);
    cr_expect_eq(json_object_size(json_object_get(a, "codes")), ROLLOUT_DRY_CODES_MAX);
    cr_expect_eq(number(a, "failed"), 2 * ROLLOUT_DRY_PROBES_MAX, "all are counted");
    cr_expect_eq(number(made, "would_fail"), 2 * ROLLOUT_DRY_PROBES_MAX);
}
