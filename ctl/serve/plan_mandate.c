// SPDX-License-Identifier: Apache-2.0
//
// What people sign of a plan (bundle/mandate.h): its bounds, for this release and policy alone.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/mandate.h"
#include "ctl/kind.h"
#include "ctl/rollout/retry.h"
#include "ctl/serve/plan.h"

#define RESUMES 8 // after failures; a rollout that is resumed more often is planned and signed anew

static int find_bundles(const struct serve_plan_ask *ask, struct bundle_mandate_content *ret,
                        struct err *e) {
    const struct rollout_policy *policy = ask->policy;
    for (size_t i = 0; i < ask->engine->n_bundles; i++) {
        const struct serve_engine_bundle *bundle = &ask->engine->bundles[i];
        if (strcmp(bundle->row.name, policy->release_name) != 0 ||
            strcmp(bundle->row.version, policy->release_version) != 0)
            continue;
        if (ret->n_bundles == BUNDLE_MANDATE_BUNDLES_MAX)
            return err_set(e, &err_limit, "a mandate names at most %d bundles of a release",
                           BUNDLE_MANDATE_BUNDLES_MAX);
        ret->bundles[ret->n_bundles++] = bundle->id;
    }
    if (ret->n_bundles == 0)
        return err_set(e, &err_not_found,
                       "the release %s %s was not published: what is signed names its bundles",
                       policy->release_name, policy->release_version);
    return 0;
}

// A device judges by itself: what the token's scope says is part of what people sign.
static int find_selector(const struct serve_plan_ask *ask, struct bundle_mandate_content *ret,
                         struct err *e) {
    const char *selector = ask->policy->selector;
    int n = ask->scope[0] == '\0' ? snprintf(ret->selector, sizeof ret->selector, "%s", selector)
            : selector[0] == '\0' ? snprintf(ret->selector, sizeof ret->selector, "%s", ask->scope)
                                  : snprintf(ret->selector, sizeof ret->selector, "(%s) and (%s)",
                                             selector, ask->scope);
    return n < 0 || (size_t)n >= sizeof ret->selector
               ? err_set(e, &err_limit, "selector and the token's scope are too long together")
               : 0;
}

// Stages behind a point of approval are signed for when people are there.
static size_t signed_stages(const struct rollout_policy *policy) {
    size_t n = 1;
    while (n < policy->n_stages && !policy->stages[n].approve)
        n++;
    return n;
}

static json_t *devices_of(const struct rollout_policy *policy, size_t stage) {
    json_t *ids = json_array();
    for (size_t i = 0; i < policy->stages[stage].n_devices; i++)
        (void)json_array_append_new(
            ids, json_string(policy->devices[policy->stages[stage].first_device + i]));
    return ids;
}

static void fill_stages(const struct rollout_policy *policy, const struct rollout_plan *plan,
                        json_t *lists, struct bundle_mandate_content *ret) {
    bool listed = false;
    ret->n_stages = policy->n_stages;
    ret->signed_stages = signed_stages(policy);
    for (size_t i = 0; i < policy->n_stages; i++) {
        struct bundle_mandate_stage *stage = &ret->stages[i];
        (void)snprintf(stage->name, sizeof stage->name, "%s", policy->stages[i].name);
        stage->not_before_s = plan->not_before_s[i];
        ret->newcomer_bounds[i] = plan->newcomers.bound[i];
        if (!policy->stages[i].by_device)
            continue;
        listed = true;
        json_t *ids = devices_of(policy, i);
        if (json_array_append_new(lists, ids) == 0)
            stage->devices = ids;
    }
    // As a mandate has it: all of it signed, and open to whoever the selector holds for.
    ret->baseline = policy->baseline && !listed && ret->signed_stages == ret->n_stages;
    ret->baseline_not_before_s = policy->baseline ? plan->not_before_s[policy->n_stages] : 0;
}

static int fill(const struct serve_plan_ask *ask, const struct rollout_plan *plan, json_t *lists,
                struct bundle_mandate_content *ret, struct err *e) {
    const struct rollout_policy *policy = ask->policy;
    ret->header.version = 1;
    ret->header.issued_s = ask->now_s;
    ret->header.expires_s = ask->expires_s;
    ret->attempt_max = rollout_retry_step(policy) * (RESUMES + 1);
    (void)snprintf(ret->rollout, sizeof ret->rollout, "%s", policy->name);
    (void)snprintf(ret->name, sizeof ret->name, "%s", policy->release_name);
    (void)snprintf(ret->release, sizeof ret->release, "%s", policy->release_version);
    memcpy(ret->seed, plan->seed, sizeof ret->seed);
    ret->n_stratify = policy->n_stratify;
    for (size_t i = 0; i < policy->n_stratify; i++)
        memcpy(ret->stratify[i], policy->stratify[i], sizeof ret->stratify[i]);
    fill_stages(policy, plan, lists, ret);
    return find_bundles(ask, ret, e) < 0 ? -1 : find_selector(ask, ret, e);
}

int serve_plan_mandate(const struct serve_plan_ask *ask, const struct rollout_plan_census *census,
                       const struct rollout_plan *plan, struct buf *ret, struct err *e) {
    OWN(mem) struct bundle_mandate_content *content = calloc(1, sizeof *content);
    OWN(mem)
    struct bundle_mandate_stratum *strata =
        calloc(plan->n_strata == 0 ? 1 : plan->n_strata, sizeof *strata);
    OWN(json) json_t *lists = json_array();
    if (content == NULL || strata == NULL || lists == NULL)
        return err_set(e, &err_memory, "writing a mandate: out of memory");
    if (fill(ask, plan, lists, content, e) < 0)
        return -1;
    content->n_strata = plan->n_strata;
    for (size_t s = 0; s < plan->n_strata; s++) {
        strata[s].key = census->keys[s];
        memcpy(strata[s].bounds, plan->strata[s].bound, sizeof strata[s].bounds);
    }
    return bundle_mandate_format(content, strata, ret, e);
}
