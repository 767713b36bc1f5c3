// SPDX-License-Identifier: Apache-2.0
//
// Whom a stolen controller could reach.
#include "ctl/rollout/plan/reach.h"

#include <string.h>

#define LABEL "label."

static bool is_label(const char *name) {
    return strncmp(name, LABEL, strlen(LABEL)) == 0;
}

static bool has_labels(const struct rollout_policy *policy) {
    bool any = false;
    for (size_t i = 0; i < policy->n_stratify; i++)
        any = any || is_label(policy->stratify[i]);
    return any;
}

// What a device knows of its stratum; NULL, which may be any, for a key that is not understood.
static json_t *known(const char *key) {
    json_t *facts = json_loads(key, 0, NULL), *value;
    const char *name;
    void *next;
    json_object_foreach_safe (facts, next, name, value) {
        if (is_label(name))
            (void)json_object_del(facts, name);
    }
    return facts;
}

struct bounds {
    uint64_t bound[ROLLOUT_POLICY_STAGES_MAX];
};

static void widen(struct bounds *io, const struct rollout_stratum_plan *by, size_t n) {
    for (size_t i = 0; i < n; i++)
        io->bound[i] = by->bound[i] > io->bound[i] ? by->bound[i] : io->bound[i];
}

static void find_bounds(const struct rollout_policy *policy,
                        const struct rollout_plan_census *census, const struct rollout_plan *plan,
                        struct bounds ret[static BUNDLE_STRATA_MAX]) {
    json_t *facts[BUNDLE_STRATA_MAX] = {NULL};
    bool labels = has_labels(policy);
    memset(ret, 0, sizeof *ret * plan->n_strata);
    for (size_t s = 0; labels && s < plan->n_strata; s++)
        facts[s] = known(census->keys[s]);
    for (size_t s = 0; s < plan->n_strata; s++) {
        widen(&ret[s], &plan->strata[s], policy->n_stages);
        if (labels)
            widen(&ret[s], &plan->newcomers, policy->n_stages);
        for (size_t other = 0; labels && other < plan->n_strata; other++)
            if (facts[s] == NULL || facts[other] == NULL || json_equal(facts[s], facts[other]))
                widen(&ret[s], &plan->strata[other], policy->n_stages);
    }
    for (size_t s = 0; s < plan->n_strata; s++)
        json_decref(facts[s]);
}

void plan_reach_find(const struct rollout_policy *policy, const struct rollout_plan_census *census,
                     struct rollout_plan *io) {
    struct bounds bounds[BUNDLE_STRATA_MAX];
    find_bounds(policy, census, io, bounds);
    memset(io->reach, 0, sizeof io->reach);
    for (size_t m = 0; m < census->n_members; m++) {
        const struct rollout_member *member = &census->members[m];
        size_t stage = 0;
        while (stage < policy->n_stages && member->named != stage + 1 &&
               (policy->stages[stage].by_device ||
                member->rank > bounds[member->stratum].bound[stage]))
            stage++;
        if (stage < policy->n_stages)
            io->reach[stage]++;
    }
    for (size_t i = 1; i < policy->n_stages; i++)
        io->reach[i] += io->reach[i - 1];
}
