// SPDX-License-Identifier: Apache-2.0
//
// Reading a policy and writing its normal form.
#include "ctl/rollout/policy.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/doc.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/predicate.h"

static const char *const on_failure_names[] = {"pause", "revert"};

static int wrong(const struct doc_at *at, const char *key, const char *expected, struct err *e) {
    return err_set(e, &err_config, "%s.%s: expected %s", at->path, key, expected);
}

// The getters of base/doc say syntax; in a policy every mistake is of kind config.
static int as_config(struct err *e) {
    if (err_is(e, &err_syntax) || err_is(e, &err_limit))
        e->kind = &err_config;
    return -1;
}

static void copy(char *ret, size_t ret_bytes, const char *text) {
    int n = snprintf(ret, ret_bytes, "%s", text);
    assert(n >= 0 && (size_t)n < ret_bytes);
}

static int read_name(const struct doc_at *at, const char *key, size_t max, char *ret,
                     struct err *e) {
    const char *text = NULL;
    if (doc_string(at, key, max, &text, e) < 0)
        return as_config(e);
    if (!text_is_name(text, max))
        return wrong(at, key, "a name of letters, digits, '.', '_', '-' and '+'", e);
    copy(ret, max + 1, text);
    return 0;
}

// An integer, a decimal in text or a real number, as parts per million.
static int read_percent(const struct doc_at *at, const char *key, uint32_t min_ppm, uint32_t *ret,
                        struct err *e) {
    const json_t *value = json_object_get(at->value, key);
    struct decimal decimal = {0};
    struct err ignored = ERR_NONE;
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        json_integer_value(value) <= 100)
        decimal = num_decimal_of(json_integer_value(value));
    else if (json_is_real(value) && json_real_value(value) >= 0 && json_real_value(value) <= 100)
        decimal.nano = (int64_t)(json_real_value(value) * (double)NUM_DECIMAL_SCALE + 0.5);
    else if (!json_is_string(value) ||
             num_parse_decimal(json_string_value(value), key, &decimal, &ignored) < 0)
        return wrong(at, key, "a percentage from 0 to 100", e);
    if (decimal.nano < 0 || decimal.nano > 100 * NUM_DECIMAL_SCALE)
        return wrong(at, key, "a percentage from 0 to 100", e);
    uint32_t ppm = (uint32_t)(decimal.nano / (NUM_DECIMAL_SCALE / 10000));
    if (ppm < min_ppm)
        return wrong(at, key, "at least 0.0001 percent", e);
    *ret = ppm;
    return 0;
}

// Seconds, or text with a unit. 1 when absent.
static int read_seconds(const struct doc_at *at, const char *key, uint64_t *ret, struct err *e) {
    const json_t *value = json_object_get(at->value, key);
    if (value == NULL || json_is_null(value))
        return DOC_ABSENT;
    if (json_is_integer(value))
        return doc_u64(at, key, 0, ROLLOUT_POLICY_TIME_MAX_S, ret, e) < 0 ? as_config(e) : 0;
    struct err detail = ERR_NONE;
    if (!json_is_string(value) || num_parse_seconds(json_string_value(value), key,
                                                    ROLLOUT_POLICY_TIME_MAX_S, ret, &detail) < 0)
        return wrong(at, key, "a duration like 90, \"15m\", \"2h\" or \"3d\", at most 366 days", e);
    return 0;
}

// "soak_s" and "soak" mean the same; the unit's letter makes the latter read better.
static int read_duration(const struct doc_at *at, const char *key, const char *other, uint64_t *ret,
                         struct err *e) {
    uint64_t first = 0, second = 0;
    int a = read_seconds(at, key, &first, e);
    int b = a < 0 ? -1 : read_seconds(at, other, &second, e);
    if (a < 0 || b < 0)
        return -1;
    if (a == 0 && b == 0)
        return err_set(e, &err_config, "%s: %s and %s mean the same: give one of them", at->path,
                       key, other);
    if (a == 0 || b == 0)
        *ret = a == 0 ? first : second;
    return 0;
}

static int read_time(const struct doc_at *at, const char *key, int64_t *ret, struct err *e) {
    const char *text = NULL;
    struct err detail = ERR_NONE;
    int found = doc_string_opt(at, key, CHRONO_TEXT_BYTES, &text, e);
    if (found < 0)
        return as_config(e);
    if (found == 0 && chrono_parse(text, key, ret, &detail) < 0)
        return wrong(at, key, "a time in UTC like 2026-11-22T14:00:00Z", e);
    return 0;
}

static int read_gate(const struct doc_at *at, struct rollout_gate_bounds *io, struct err *e) {
    static const char *const known[] = {"success_pct", "failure_pct", "min_sample", NULL};
    struct doc_at gate;
    int found = doc_object_opt(at, "gate", &gate, e);
    if (found != 0)
        return found < 0 ? as_config(e) : 0;
    if (doc_no_unknown(&gate, known, e) < 0)
        return as_config(e);
    if (json_object_get(gate.value, "success_pct") != NULL &&
        read_percent(&gate, "success_pct", 0, &io->success_ppm, e) < 0)
        return -1;
    if (json_object_get(gate.value, "failure_pct") != NULL &&
        read_percent(&gate, "failure_pct", 0, &io->failure_ppm, e) < 0)
        return -1;
    if (doc_u64_opt(&gate, "min_sample", 1, ROLLOUT_POLICY_COUNT_MAX, &io->min_sample, e) < 0)
        return as_config(e);
    return 0;
}

static int read_share(const struct doc_at *at, struct rollout_stage_policy *ret, struct err *e) {
    bool percent = json_object_get(at->value, "percent") != NULL;
    bool count = json_object_get(at->value, "count") != NULL;
    if (percent == count)
        return err_set(e, &err_config, "%s: give either percent or count", at->path);
    ret->by_count = count;
    if (percent)
        return read_percent(at, "percent", 1, &ret->ppm, e);
    return doc_u64(at, "count", 1, ROLLOUT_POLICY_COUNT_MAX, &ret->count, e) < 0 ? as_config(e) : 0;
}

static int read_stage(const struct doc_at *at, const struct rollout_gate_bounds *gate,
                      struct rollout_stage_policy *ret, struct err *e) {
    static const char *const known[] = {"name", "percent", "count", "soak_s",
                                        "soak", "approve", "gate",  NULL};
    *ret = (struct rollout_stage_policy){.gate = *gate};
    if (doc_no_unknown(at, known, e) < 0)
        return as_config(e);
    if (read_name(at, "name", BUNDLE_NAME_MAX, ret->name, e) < 0 || read_share(at, ret, e) < 0 ||
        read_duration(at, "soak_s", "soak", &ret->soak_s, e) < 0)
        return -1;
    if (doc_bool_opt(at, "approve", &ret->approve, e) < 0)
        return as_config(e);
    return read_gate(at, &ret->gate, e);
}

// Names differ, and of two stages that count alike the later one is larger.
static int check_stage(const struct doc_at *at, const struct rollout_policy *policy, size_t index,
                       struct err *e) {
    const struct rollout_stage_policy *now = &policy->stages[index];
    for (size_t i = 0; i < index; i++) {
        const struct rollout_stage_policy *before = &policy->stages[i];
        if (strcmp(now->name, before->name) == 0)
            return wrong(at, "name", "a name that no stage before has", e);
        if (now->by_count && before->by_count && now->count <= before->count)
            return wrong(at, "count",
                         "more than the stage before: stages are cumulative, so 2, then 10 means "
                         "2 devices and then 8 more",
                         e);
        if (!now->by_count && !before->by_count && now->ppm <= before->ppm)
            return wrong(at, "percent",
                         "more than the stage before: stages are cumulative, so 10, then 100 "
                         "means a tenth and then the rest",
                         e);
    }
    return 0;
}

static int read_stages(const struct doc_at *at, const struct rollout_gate_bounds *gate,
                       struct rollout_policy *ret, struct err *e) {
    struct doc_at stages, stage;
    int found = doc_array_opt(at, "stages", ROLLOUT_POLICY_STAGES_MAX, &stages, e);
    if (found < 0)
        return as_config(e);
    if (found == DOC_ABSENT) {
        ret->n_stages = 1;
        ret->stages[0] = (struct rollout_stage_policy){.ppm = ROLLOUT_PPM, .gate = *gate};
        copy(ret->stages[0].name, sizeof ret->stages[0].name, "all");
        return 0;
    }
    ret->n_stages = json_array_size(stages.value);
    if (ret->n_stages == 0)
        return wrong(at, "stages", "at least one stage", e);
    for (size_t i = 0; i < ret->n_stages; i++) {
        if (doc_element(&stages, i, &stage, e) < 0)
            return as_config(e);
        if (read_stage(&stage, gate, &ret->stages[i], e) < 0 || check_stage(&stage, ret, i, e) < 0)
            return -1;
    }
    return 0;
}

static int read_release(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    static const char *const known[] = {"name", "version", NULL};
    const json_t *value = json_object_get(at->value, "release");
    struct doc_at release;
    if (!json_is_string(value)) {
        if (!json_is_object(value))
            return wrong(at, "release", "\"NAME VERSION\" or {\"name\": …, \"version\": …}", e);
        if (doc_object(at, "release", &release, e) < 0 || doc_no_unknown(&release, known, e) < 0)
            return as_config(e);
        if (read_name(&release, "name", BUNDLE_NAME_MAX, ret->release_name, e) < 0)
            return -1;
        return read_name(&release, "version", BUNDLE_RELEASE_MAX, ret->release_version, e);
    }
    const char *text = json_string_value(value);
    const char *blank = strchr(text, ' ');
    size_t len = blank == NULL ? 0 : (size_t)(blank - text);
    if (blank == NULL || len > BUNDLE_NAME_MAX)
        return wrong(at, "release", "\"NAME VERSION\" or {\"name\": …, \"version\": …}", e);
    memcpy(ret->release_name, text, len);
    ret->release_name[len] = '\0';
    if (!text_is_name(ret->release_name, BUNDLE_NAME_MAX) ||
        !text_is_name(blank + 1, BUNDLE_RELEASE_MAX))
        return wrong(at, "release", "\"NAME VERSION\", both of letters, digits, '.', '_', '-', '+'",
                     e);
    copy(ret->release_version, sizeof ret->release_version, blank + 1);
    return 0;
}

static int read_selector(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    const char *text = "";
    struct bundle_predicate *predicate = NULL;
    if (doc_string_opt(at, "selector", BUNDLE_PREDICATE_MAX, &text, e) < 0)
        return as_config(e);
    if (bundle_predicate_parse(text, &predicate, e) < 0)
        return err_prefix(e, "%s.selector", at->path);
    bundle_predicate_free(predicate);
    copy(ret->selector, sizeof ret->selector, text);
    return 0;
}

static int read_stratify(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    struct doc_at facts;
    int found = doc_array_opt(at, "stratify", ROLLOUT_POLICY_STRATIFY_MAX, &facts, e);
    if (found != 0)
        return found < 0 ? as_config(e) : 0;
    ret->n_stratify = json_array_size(facts.value);
    for (size_t i = 0; i < ret->n_stratify; i++) {
        const char *name = NULL;
        if (doc_element_string(&facts, i, BUNDLE_FACT_NAME_MAX, &name, e) < 0)
            return as_config(e);
        if (!text_is_name(name, BUNDLE_FACT_NAME_MAX))
            return wrong(at, "stratify", "names of facts, like \"arch\" or \"label.site\"", e);
        copy(ret->stratify[i], sizeof ret->stratify[i], name);
    }
    return 0;
}

static int read_on_failure(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    const char *text = on_failure_names[ROLLOUT_ON_FAILURE_PAUSE];
    if (doc_string_opt(at, "on_failure", 16, &text, e) < 0)
        return as_config(e);
    for (int i = ROLLOUT_ON_FAILURE_PAUSE; i <= ROLLOUT_ON_FAILURE_REVERT; i++)
        if (strcmp(text, on_failure_names[i]) == 0) {
            ret->on_failure = (enum rollout_on_failure)i;
            return 0;
        }
    return wrong(at, "on_failure", "\"pause\" or \"revert\"", e);
}

static int read_times(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    ret->timeout_s = ROLLOUT_POLICY_TIMEOUT_DEFAULT_S;
    if (read_duration(at, "timeout_s", "timeout", &ret->timeout_s, e) < 0 ||
        read_time(at, "not_before", &ret->not_before_s, e) < 0 ||
        read_time(at, "until", &ret->until_s, e) < 0)
        return -1;
    if (ret->timeout_s == 0)
        return wrong(at, "timeout_s", "at least one second", e);
    if (ret->until_s != 0 && ret->until_s <= ret->not_before_s)
        return wrong(at, "until", "a time after not_before", e);
    return 0;
}

static int read_budget(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    static const char *const known[] = {"bytes", "metered_bytes", NULL};
    struct doc_at budget;
    int found = doc_object_opt(at, "byte_budget", &budget, e);
    if (found != 0)
        return found < 0 ? as_config(e) : 0;
    int all = doc_no_unknown(&budget, known, e);
    if (all == 0)
        all = doc_u64_opt(&budget, "bytes", 1, ROLLOUT_POLICY_BUDGET_MAX, &ret->budget_bytes, e);
    ret->has_budget_bytes = all == 0;
    if (all >= 0)
        all = doc_u64_opt(&budget, "metered_bytes", 0, ROLLOUT_POLICY_BUDGET_MAX,
                          &ret->budget_metered_bytes, e);
    ret->has_budget_metered_bytes = all == 0;
    if (all < 0)
        return as_config(e);
    return ret->has_budget_bytes || ret->has_budget_metered_bytes
               ? 0
               : wrong(at, "byte_budget", "bytes, metered_bytes, or both", e);
}

// A rollout that ends below the whole fleet does not say what the rest should have.
static int read_baseline(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    const struct rollout_stage_policy *last = &ret->stages[ret->n_stages - 1];
    bool whole = !last->by_count && last->ppm == ROLLOUT_PPM;
    ret->baseline = whole;
    if (doc_bool_opt(at, "baseline", &ret->baseline, e) < 0)
        return as_config(e);
    if (ret->baseline && !whole)
        return wrong(at, "baseline", "false, or a last stage with \"percent\": 100", e);
    return 0;
}

size_t rollout_policy_named(const struct rollout_policy *policy, const char *device) {
    for (size_t i = 0; i < policy->n_stages; i++)
        for (size_t k = 0; k < policy->stages[i].n_devices; k++)
            if (strcmp(policy->devices[policy->stages[i].first_device + k], device) == 0)
                return i;
    return policy->n_stages;
}

int rollout_policy_parse(json_t *document, const char *what, struct rollout_policy *ret,
                         struct err *e) {
    static const char *const known[] = {"name",           "release",     "selector",   "stratify",
                                        "stages",         "gate",        "timeout_s",  "timeout",
                                        "max_unresolved", "on_failure",  "not_before", "until",
                                        "baseline",       "byte_budget", NULL};
    struct rollout_gate_bounds gate = {.success_ppm = ROLLOUT_POLICY_SUCCESS_DEFAULT_PPM,
                                       .failure_ppm = ROLLOUT_POLICY_FAILURE_DEFAULT_PPM,
                                       .min_sample = ROLLOUT_POLICY_SAMPLE_DEFAULT};
    struct doc_at root;
    OWN(mem) struct rollout_policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL)
        return err_set(e, &err_memory, "%s: out of memory", what);
    if (doc_root(document, what, &root, e) < 0 || doc_no_unknown(&root, known, e) < 0)
        return as_config(e);
    if (read_name(&root, "name", BUNDLE_NAME_MAX, policy->name, e) < 0 ||
        read_release(&root, policy, e) < 0 || read_selector(&root, policy, e) < 0 ||
        read_stratify(&root, policy, e) < 0 || read_gate(&root, &gate, e) < 0 ||
        read_stages(&root, &gate, policy, e) < 0 || read_on_failure(&root, policy, e) < 0 ||
        read_times(&root, policy, e) < 0 || read_baseline(&root, policy, e) < 0 ||
        read_budget(&root, policy, e) < 0)
        return -1;
    if (doc_u64_opt(&root, "max_unresolved", 0, ROLLOUT_POLICY_COUNT_MAX, &policy->max_unresolved,
                    e) < 0)
        return as_config(e);
    *ret = *policy;
    return 0;
}

// ── The normal form ──

static json_t *percent_json(uint32_t ppm) {
    char text[NUM_DECIMAL_TEXT];
    return json_string(
        num_format_decimal((struct decimal){(int64_t)ppm * (NUM_DECIMAL_SCALE / 10000)}, text));
}

static json_t *gate_json(const struct rollout_gate_bounds *gate) {
    return json_pack("{s:o, s:o, s:I}", "failure_pct", percent_json(gate->failure_ppm),
                     "success_pct", percent_json(gate->success_ppm), "min_sample",
                     (json_int_t)gate->min_sample);
}

static json_t *stage_json(const struct rollout_stage_policy *stage) {
    json_t *share =
        stage->by_count ? json_integer((json_int_t)stage->count) : percent_json(stage->ppm);
    return json_pack("{s:s, s:o, s:I, s:b, s:o}", "name", stage->name,
                     stage->by_count ? "count" : "percent", share, "soak_s",
                     (json_int_t)stage->soak_s, "approve", (int)stage->approve, "gate",
                     gate_json(&stage->gate));
}

static json_t *time_json(int64_t at_s) {
    char text[CHRONO_TEXT_BYTES];
    return at_s == 0 ? json_null() : json_string(chrono_format(at_s, text));
}

static json_t *budget_json(const struct rollout_policy *p) {
    if (!p->has_budget_bytes && !p->has_budget_metered_bytes)
        return json_null();
    json_t *bytes = p->has_budget_bytes ? json_integer((json_int_t)p->budget_bytes) : json_null();
    json_t *metered = p->has_budget_metered_bytes
                          ? json_integer((json_int_t)p->budget_metered_bytes)
                          : json_null();
    return json_pack("{s:o, s:o}", "bytes", bytes, "metered_bytes", metered);
}

int rollout_policy_format(const struct rollout_policy *policy, json_t **ret, struct err *e) {
    json_t *stages = json_array(), *stratify = json_array();
    bool ok = stages != NULL && stratify != NULL;
    for (size_t i = 0; ok && i < policy->n_stages; i++)
        ok = json_array_append_new(stages, stage_json(&policy->stages[i])) == 0;
    for (size_t i = 0; ok && i < policy->n_stratify; i++)
        ok = json_array_append_new(stratify, json_string(policy->stratify[i])) == 0;
    json_t *made = json_pack(
        "{s:s, s:{s:s, s:s}, s:s, s:o, s:o, s:I, s:I, s:s, s:o, s:o, s:b, s:o}", "name",
        policy->name, "release", "name", policy->release_name, "version", policy->release_version,
        "selector", policy->selector, "stratify", stratify, "stages", stages, "timeout_s",
        (json_int_t)policy->timeout_s, "max_unresolved", (json_int_t)policy->max_unresolved,
        "on_failure", on_failure_names[policy->on_failure], "not_before",
        time_json(policy->not_before_s), "until", time_json(policy->until_s), "baseline",
        (int)policy->baseline, "byte_budget", budget_json(policy));
    if (!ok || made == NULL) {
        json_decref(made);
        return err_set(e, &err_memory, "writing the policy %s: out of memory", policy->name);
    }
    *ret = made;
    return 0;
}
