// SPDX-License-Identifier: Apache-2.0
//
// Each ceiling of a policy: at it, below it, above it. And a plan of as many strata as there may
// be.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "bundle/rank.h"
#include "ctl/rollout/policy.h"
#include "ctl/rollout/strata.h"

static json_t *repeated(size_t len) {
    char text[BUNDLE_PREDICATE_MAX + 16];
    cr_assert_lt(len, sizeof text);
    memset(text, 'x', len);
    return json_stringn(text, len);
}

// A policy with this member; steals value.
static json_t *with(const char *key, json_t *value) {
    json_t *policy = json_pack("{s:s, s:s}", "name", "r", "release", "app 1.0");
    cr_assert_eq(json_object_set_new(policy, key, value), 0);
    return policy;
}

static json_t *in_stage(const char *key, json_t *value) {
    json_t *stage = json_pack("{s:s}", "name", "s");
    if (strcmp(key, "count") != 0)
        (void)json_object_set_new(stage, "percent", json_integer(100));
    cr_assert_eq(json_object_set_new(stage, key, value), 0);
    return with("stages", json_pack("[o]", stage));
}

static json_t *of_name(uint64_t n) {
    return with("name", repeated(n));
}

static json_t *of_release_name(uint64_t n) {
    return with("release", json_pack("{s:o, s:s}", "name", repeated(n), "version", "1"));
}

static json_t *of_release_version(uint64_t n) {
    return with("release", json_pack("{s:s, s:o}", "name", "a", "version", repeated(n)));
}

static json_t *of_release_text(uint64_t n) {
    char text[2 * BUNDLE_NAME_MAX];
    memset(text, 'x', sizeof text);
    (void)snprintf(text + n, sizeof text - n, " 1");
    return with("release", json_string(text));
}

// A predicate of so many bytes, blanks among them.
static json_t *of_selector(uint64_t n) {
    char text[BUNDLE_PREDICATE_MAX + 16];
    (void)snprintf(text, sizeof text, "%-*s", (int)n, "arch == \"x\"");
    return with("selector", json_string(text));
}

static json_t *of_stratify(uint64_t n) {
    json_t *facts = json_array();
    for (uint64_t i = 0; i < n; i++)
        (void)json_array_append_new(facts, json_sprintf("fact%d", (int)i));
    return with("stratify", facts);
}

static json_t *of_fact_name(uint64_t n) {
    return with("stratify", json_pack("[o]", repeated(n)));
}

static json_t *of_stages(uint64_t n) {
    json_t *stages = json_array();
    for (uint64_t i = 0; i < n; i++)
        (void)json_array_append_new(
            stages,
            json_pack("{s:o, s:i}", "name", json_sprintf("s%d", (int)i), "count", (int)i + 1));
    return with("stages", stages);
}

static json_t *of_stage_name(uint64_t n) {
    return in_stage("name", repeated(n));
}

static json_t *of_count(uint64_t n) {
    return in_stage("count", json_integer((json_int_t)n));
}

static json_t *of_soak(uint64_t n) {
    return in_stage("soak_s", json_integer((json_int_t)n));
}

static json_t *of_soak_text(uint64_t n) {
    return in_stage("soak", json_sprintf("%llu", (unsigned long long)n));
}

static json_t *of_timeout(uint64_t n) {
    return with("timeout_s", json_integer((json_int_t)n));
}

static json_t *of_unresolved(uint64_t n) {
    return with("max_unresolved", json_integer((json_int_t)n));
}

static json_t *of_sample(uint64_t n) {
    return with("gate", json_pack("{s:I}", "min_sample", (json_int_t)n));
}

// In parts per million.
static json_t *of_percent(uint64_t n) {
    return in_stage("percent", json_sprintf("%d.%04d", (int)(n / 10000), (int)(n % 10000)));
}

static json_t *of_success(uint64_t n) {
    return with("gate", json_pack("{s:o}", "success_pct",
                                  json_sprintf("%d.%04d", (int)(n / 10000), (int)(n % 10000))));
}

static int parse(json_t *document, struct err *e) {
    OWN(json) json_t *owned = document;
    struct rollout_policy *policy = calloc(1, sizeof *policy);
    cr_assert_not_null(owned);
    err_clear(e);
    int done = rollout_policy_parse(owned, "policy.json", policy, e);
    if (done == 0) { // what is taken has a normal form, which is taken too
        OWN(json) json_t *form = NULL;
        cr_assert_eq(rollout_policy_format(policy, &form, e), 0);
        cr_assert_eq(rollout_policy_parse(form, "form", policy, e), 0, "%s", e->text);
    }
    free(policy);
    return done;
}

Test(rollout_limits, every_ceiling_of_a_policy) {
    static const struct {
        const char *says; // the place
        json_t *(*make)(uint64_t n);
        uint64_t least, most;
    } rows[] = {
        {"name", of_name, 1, BUNDLE_NAME_MAX},
        {"release.name", of_release_name, 1, BUNDLE_NAME_MAX},
        {"release.version", of_release_version, 1, BUNDLE_RELEASE_MAX},
        {"release", of_release_text, 1, BUNDLE_NAME_MAX},
        {"selector", of_selector, 11, BUNDLE_PREDICATE_MAX},
        {"stratify", of_stratify, 0, ROLLOUT_POLICY_STRATIFY_MAX},
        {"stratify", of_fact_name, 1, BUNDLE_FACT_NAME_MAX},
        {"stages", of_stages, 1, ROLLOUT_POLICY_STAGES_MAX},
        {"stages[0].name", of_stage_name, 1, BUNDLE_NAME_MAX},
        {"stages[0].count", of_count, 1, ROLLOUT_POLICY_COUNT_MAX},
        {"stages[0].soak_s", of_soak, 0, ROLLOUT_POLICY_TIME_MAX_S},
        {"stages[0].soak", of_soak_text, 0, ROLLOUT_POLICY_TIME_MAX_S},
        {"stages[0].percent", of_percent, 1, ROLLOUT_PPM},
        {"timeout_s", of_timeout, 1, ROLLOUT_POLICY_TIME_MAX_S},
        {"max_unresolved", of_unresolved, 0, ROLLOUT_POLICY_COUNT_MAX},
        {"gate.min_sample", of_sample, 1, ROLLOUT_POLICY_COUNT_MAX},
        {"gate.success_pct", of_success, 0, ROLLOUT_PPM},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = ERR_NONE;
        uint64_t good[] = {rows[i].least, rows[i].least + 1, rows[i].most - 1, rows[i].most};
        for (size_t k = 0; k < sizeof good / sizeof *good; k++)
            cr_expect_eq(parse(rows[i].make(good[k]), &e), 0, "%s: %llu: %s", rows[i].says,
                         (unsigned long long)good[k], e.text);
        cr_expect_lt(parse(rows[i].make(rows[i].most + 1), &e), 0, "%s", rows[i].says);
        cr_assert(err_is(&e, &err_config), "%s: %s", rows[i].says, e.text);
        cr_expect_not_null(strstr(e.text, rows[i].says), "%s: %s", rows[i].says, e.text);
        if (rows[i].least == 1)
            cr_expect_lt(parse(rows[i].make(0), &e), 0, "%s: 0", rows[i].says);
    }
}

Test(rollout_limits, a_stage_takes_one_of_each_of_as_many_strata_as_there_may_be) {
    static const uint8_t seed[BUNDLE_RANK_SEED_BYTES] = {7};
    static struct rollout_member members[2 * BUNDLE_STRATA_MAX];
    static struct rollout_stratum_plan plans[BUNDLE_STRATA_MAX];
    for (size_t n = BUNDLE_STRATA_MAX - 1; n <= BUNDLE_STRATA_MAX; n++) {
        struct rollout_policy p = {
            .n_stages = 2, .stages = {{.by_count = true, .count = 1}, {.ppm = ROLLOUT_PPM}}};
        for (size_t i = 0; i < 2 * n; i++) {
            char id[32];
            (void)snprintf(id, sizeof id, "device-%zu", i);
            members[i] = (struct rollout_member){.stratum = (uint32_t)(i % n),
                                                 .rank = bundle_rank(id, seed)};
        }
        rollout_strata_plan(&p, members, 2 * n, plans, n);
        for (size_t i = 0; i < n; i++) {
            cr_expect_eq(plans[i].planned[0], 1, "stratum %zu of %zu", i, n);
            cr_expect_eq(plans[i].planned[1], 1, "stratum %zu of %zu", i, n);
        }
    }
}
