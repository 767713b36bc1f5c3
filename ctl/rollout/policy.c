// SPDX-License-Identifier: Apache-2.0
//
// Reading a policy and writing its normal form. What is about stages, gates and pace is in
// ctl/rollout/policy/.
#include "ctl/rollout/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/doc.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/mandate.h"
#include "bundle/predicate.h"
#include "ctl/rollout/policy/evidence.h"
#include "ctl/rollout/policy/gates.h"
#include "ctl/rollout/policy/pace.h"
#include "ctl/rollout/policy/read.h"
#include "ctl/rollout/policy/stages.h"

static const char *const members[] = {
    "name",       "release",  "selector",        "stratify",     "stages",      "gate",
    "gates",      "evidence", "timeout_s",       "timeout",      "timeouts",    "max_unresolved",
    "batch",      "retries",  "windows",         "priority",     "on_failure",  "not_before",
    "until",      "baseline", "stepping_stones", "revert_scope", "revert_rate", "byte_budget",
    "offer_rate", NULL};
static const char *const release_members[] = {"name", "version", NULL};
static const char *const budget_members[] = {"bytes", "metered_bytes", NULL};

const struct rollout_policy_place rollout_policy_places[] = {
    {"", members},
    {"release", release_members},
    {"stages[]", policy_stages_members},
    {"stages[].gate", policy_stages_gate_members},
    {"gate", policy_stages_gate_members},
    {"gates[]", policy_gates_members},
    {"evidence", policy_evidence_members},
    {"batch", policy_pace_batch_members},
    {"windows", policy_pace_windows_members},
    {"windows.download[]", policy_pace_window_members},
    {"windows.install[]", policy_pace_window_members},
    {"retries", policy_pace_retries_members},
    {"timeouts", policy_pace_timeouts_members},
    {"byte_budget", budget_members},
    {NULL, NULL}};

static const char *const on_failure_names[] = {"pause", "revert"};

static int read_release(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    const json_t *value = json_object_get(at->value, "release");
    struct doc_at release;
    if (json_is_string(value))
        return policy_read_release(at, "release", json_string_value(value), ret->release_name,
                                   ret->release_version, e);
    if (!json_is_object(value))
        return policy_read_wrong(at, "release", "\"NAME VERSION\" or {\"name\": …, \"version\": …}",
                                 e);
    if (doc_object(at, "release", &release, e) < 0 ||
        doc_no_unknown(&release, release_members, e) < 0)
        return policy_read_config(e);
    if (policy_read_name(&release, "name", BUNDLE_NAME_MAX, ret->release_name, e) < 0)
        return -1;
    return policy_read_name(&release, "version", BUNDLE_RELEASE_MAX, ret->release_version, e);
}

static int read_selector(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    const char *text = "";
    struct bundle_predicate *predicate = NULL;
    if (doc_string_opt(at, "selector", BUNDLE_PREDICATE_MAX, &text, e) < 0)
        return policy_read_config(e);
    if (bundle_predicate_parse(text, &predicate, e) < 0)
        return err_prefix(e, "%s.selector", at->path);
    bundle_predicate_free(predicate);
    policy_read_copy(ret->selector, sizeof ret->selector, text);
    return 0;
}

static int read_stratify(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    struct doc_at facts;
    int found = doc_array_opt(at, "stratify", ROLLOUT_POLICY_STRATIFY_MAX, &facts, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : 0;
    ret->n_stratify = json_array_size(facts.value);
    for (size_t i = 0; i < ret->n_stratify; i++) {
        const char *name = NULL;
        if (doc_element_string(&facts, i, BUNDLE_FACT_NAME_MAX, &name, e) < 0)
            return policy_read_config(e);
        if (!text_is_name(name, BUNDLE_FACT_NAME_MAX))
            return policy_read_wrong(at, "stratify",
                                     "names of facts, like \"arch\" or \"label.site\"", e);
        policy_read_copy(ret->stratify[i], sizeof ret->stratify[i], name);
    }
    return 0;
}

static int read_on_failure(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    unsigned chosen = ROLLOUT_ON_FAILURE_PAUSE;
    if (policy_read_choice(at, "on_failure", on_failure_names, 2, "\"pause\" or \"revert\"",
                           &chosen, e) < 0)
        return -1;
    ret->on_failure = (enum rollout_on_failure)chosen;
    return 0;
}

static int read_times(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    ret->timeout_s = ROLLOUT_POLICY_TIMEOUT_DEFAULT_S;
    if (policy_read_duration(at, "timeout_s", 1, &ret->timeout_s, e) < 0 ||
        policy_read_time(at, "not_before", &ret->not_before_s, e) < 0 ||
        policy_read_time(at, "until", &ret->until_s, e) < 0)
        return -1;
    if (ret->until_s != 0 && ret->until_s <= ret->not_before_s)
        return policy_read_wrong(at, "until", "a time after not_before", e);
    return 0;
}

static int read_budget(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    struct doc_at budget;
    int found = doc_object_opt(at, "byte_budget", &budget, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : 0;
    int all = doc_no_unknown(&budget, budget_members, e);
    if (all == 0)
        all = doc_u64_opt(&budget, "bytes", 1, ROLLOUT_POLICY_BUDGET_MAX, &ret->budget_bytes, e);
    ret->has_budget_bytes = all == 0;
    if (all >= 0)
        all = doc_u64_opt(&budget, "metered_bytes", 0, ROLLOUT_POLICY_BUDGET_MAX,
                          &ret->budget_metered_bytes, e);
    ret->has_budget_metered_bytes = all == 0;
    if (all < 0)
        return policy_read_config(e);
    return ret->has_budget_bytes || ret->has_budget_metered_bytes
               ? 0
               : policy_read_wrong(at, "byte_budget", "bytes, metered_bytes, or both", e);
}

// A rollout that ends below the whole fleet does not say what the rest should have.
static int read_baseline(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    const struct rollout_stage_policy *last = &ret->stages[ret->n_stages - 1];
    bool whole = !last->by_count && last->ppm == ROLLOUT_PPM;
    ret->baseline = whole;
    if (doc_bool_opt(at, "baseline", &ret->baseline, e) < 0)
        return policy_read_config(e);
    if (ret->baseline && !whole)
        return policy_read_wrong(at, "baseline", "false, or a last stage with \"percent\": 100", e);
    return 0;
}

bool rollout_policy_by_label(const struct rollout_policy *policy) {
    for (size_t i = 0; i < policy->n_stratify; i++)
        if (strncmp(policy->stratify[i], BUNDLE_MANDATE_LABEL, strlen(BUNDLE_MANDATE_LABEL)) == 0)
            return true;
    return false;
}

size_t rollout_policy_named(const struct rollout_policy *policy, const char *device) {
    for (size_t i = 0; i < policy->n_stages; i++)
        for (size_t k = 0; k < policy->stages[i].n_devices; k++)
            if (strcmp(policy->devices[policy->stages[i].first_device + k], device) == 0)
                return i;
    return policy->n_stages;
}

// A hold-back is of those who would get the release in the end.
static int check_holdback(const struct doc_at *at, const struct rollout_policy *policy,
                          struct err *e) {
    const struct rollout_stage_policy *last = &policy->stages[policy->n_stages - 1];
    if (policy->gates.holdback_ppm > 0 && last->ppm != ROLLOUT_PPM)
        return err_set(e, &err_config,
                       "%s.evidence.holdback_pct: expected a last stage with \"percent\": 100, of "
                       "which something can be held back",
                       at->path);
    return 0;
}

int rollout_policy_parse(json_t *document, const char *what, struct rollout_policy *ret,
                         struct err *e) {
    struct doc_at root;
    OWN(mem) struct rollout_policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL)
        return err_set(e, &err_memory, "%s: out of memory", what);
    if (doc_root(document, what, &root, e) < 0 || doc_no_unknown(&root, members, e) < 0)
        return policy_read_config(e);
    if (policy_read_name(&root, "name", BUNDLE_NAME_MAX, policy->name, e) < 0 ||
        read_release(&root, policy, e) < 0 || read_selector(&root, policy, e) < 0 ||
        read_stratify(&root, policy, e) < 0 || policy_stages_parse(&root, policy, e) < 0 ||
        policy_gates_parse(&root, &policy->gates, e) < 0 || read_on_failure(&root, policy, e) < 0 ||
        read_times(&root, policy, e) < 0 || read_baseline(&root, policy, e) < 0 ||
        read_budget(&root, policy, e) < 0 || policy_pace_parse(&root, policy, e) < 0 ||
        check_holdback(&root, policy, e) < 0)
        return -1;
    if (doc_u64_opt(&root, "max_unresolved", 0, ROLLOUT_POLICY_COUNT_MAX, &policy->max_unresolved,
                    e) < 0)
        return policy_read_config(e);
    *ret = *policy;
    return 0;
}

// ── The normal form ──

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
    json_t *stratify = json_array();
    bool ok = stratify != NULL;
    for (size_t i = 0; ok && i < policy->n_stratify; i++)
        ok = json_array_append_new(stratify, json_string(policy->stratify[i])) == 0;
    OWN(json)
    json_t *made = json_pack(
        "{s:s, s:{s:s, s:s}, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:o, s:o, s:b, s:o}", "name",
        policy->name, "release", "name", policy->release_name, "version", policy->release_version,
        "selector", policy->selector, "stratify", stratify, "stages", policy_stages_format(policy),
        "gates", policy_gates_format(&policy->gates), "evidence",
        policy_evidence_format(&policy->gates), "timeout_s", (json_int_t)policy->timeout_s,
        "max_unresolved", (json_int_t)policy->max_unresolved, "on_failure",
        on_failure_names[policy->on_failure], "not_before", time_json(policy->not_before_s),
        "until", time_json(policy->until_s), "baseline", (int)policy->baseline, "byte_budget",
        budget_json(policy));
    if (!ok || made == NULL || policy_pace_format(policy, made) < 0)
        return err_set(e, &err_memory, "writing the policy %s: out of memory", policy->name);
    *ret = json_incref(made);
    return 0;
}
