// SPDX-License-Identifier: Apache-2.0
//
// What apply takes of a plan document.
#include <string.h>

#include "base/doc.h"
#include "base/text.h"
#include "ctl/rollout/plan.h"
#include "ctl/rollout/policy/read.h"
#include "ctl/rollout/unit.h"

// 16 digits each, and no bound below the one before.
static int read_bounds(const struct doc_at *at, const char *key,
                       const struct rollout_policy *policy, struct rollout_stratum_plan *ret,
                       struct err *e) {
    const char *text = NULL;
    struct err ignored = ERR_NONE;
    if (doc_string(at, key, ROLLOUT_PLAN_BOUNDS_BYTES, &text, e) < 0)
        return policy_read_config(e);
    if (strlen(text) != 16 * policy->n_stages)
        return policy_read_wrong(at, key, "16 hex digits for each stage of the policy", e);
    for (size_t i = 0; i < policy->n_stages; i++) {
        uint8_t bytes[8];
        uint64_t bound = 0;
        char digits[17] = "";
        memcpy(digits, text + 16 * i, 16);
        if (text_unhex(digits, bytes, sizeof bytes, key, &ignored) < 0)
            return policy_read_wrong(at, key, "16 hex digits for each stage of the policy", e);
        for (size_t k = 0; k < sizeof bytes; k++)
            bound = bound << 8 | bytes[k];
        if (i > 0 && bound < ret->bound[i - 1])
            return policy_read_wrong(at, key, "bounds of which none is below the one before", e);
        ret->bound[i] = bound;
    }
    return 0;
}

// Of a plan by devices there is one for each.
static int read_units(const struct doc_at *root, const struct rollout_policy *policy,
                      struct rollout_plan_read *io, struct err *e) {
    struct doc_at sites;
    io->units = io->devices;
    if (!rollout_unit_is_site(&policy->gates))
        return 0;
    if (doc_object(root, "sites", &sites, e) < 0 ||
        doc_u64(&sites, "units", 0, ROLLOUT_POLICY_COUNT_MAX, &io->units, e) < 0)
        return policy_read_config(e);
    return 0;
}

int rollout_plan_read(const struct rollout_policy *policy, json_t *document,
                      struct rollout_plan_read *ret, struct err *e) {
    struct doc_at root, strata;
    struct rollout_plan_read read = {.n_strata = 0};
    const char *name = NULL, *seed = NULL;
    uint64_t format = 0;
    struct err ignored = ERR_NONE;
    if (doc_root(document, "plan", &root, e) < 0 ||
        doc_u64(&root, "format", 1, UINT32_MAX, &format, e) < 0)
        return policy_read_config(e);
    if (format != ROLLOUT_PLAN_FORMAT)
        return err_set(e, &err_newer_format, "plan.format is %llu, known is %d: plan anew",
                       (unsigned long long)format, ROLLOUT_PLAN_FORMAT);
    if (doc_string(&root, "rollout", BUNDLE_NAME_MAX, &name, e) < 0 ||
        doc_string(&root, "seed", sizeof read.seed * 2, &seed, e) < 0 ||
        doc_u64(&root, "devices", 0, ROLLOUT_POLICY_COUNT_MAX, &read.devices, e) < 0 ||
        doc_array(&root, "strata", BUNDLE_STRATA_MAX, &strata, e) < 0)
        return policy_read_config(e);
    if (read_units(&root, policy, &read, e) < 0)
        return -1;
    if (strcmp(name, policy->name) != 0)
        return policy_read_wrong(&root, "rollout", "the name of the policy beside it", e);
    if (text_unhex(seed, read.seed, sizeof read.seed, "seed", &ignored) < 0)
        return policy_read_wrong(&root, "seed", "64 hex digits", e);
    read.strata = strata.value;
    read.n_strata = json_array_size(strata.value);
    *ret = read;
    return 0;
}

int rollout_plan_read_stratum(const struct rollout_policy *policy,
                              const struct rollout_plan_read *plan, size_t n, const char **ret_key,
                              struct rollout_plan_read_size *ret_size, bool *ret_pooled,
                              struct rollout_stratum_plan *ret, struct err *e) {
    struct doc_at strata = {.value = plan->strata, .path = "plan: strata"}, at;
    struct rollout_stratum_plan read = {.bound = {0}};
    struct rollout_plan_read_size size = {.devices = 0};
    bool pooled = false;
    const char *key = NULL;
    if (doc_element(&strata, n, &at, e) < 0 ||
        doc_string(&at, "key", BUNDLE_STRATUM_KEY_MAX_BYTES, &key, e) < 0 ||
        doc_u64(&at, "devices", 0, ROLLOUT_POLICY_COUNT_MAX, &size.devices, e) < 0 ||
        doc_bool_opt(&at, "pooled", &pooled, e) < 0)
        return policy_read_config(e);
    size.units = size.devices;
    if (rollout_unit_is_site(&policy->gates) &&
        doc_u64(&at, "units", 0, ROLLOUT_POLICY_COUNT_MAX, &size.units, e) < 0)
        return policy_read_config(e);
    if (read_bounds(&at, "bounds", policy, &read, e) < 0)
        return -1;
    *ret_key = key;
    *ret_size = size;
    *ret_pooled = pooled;
    *ret = read;
    return 0;
}
