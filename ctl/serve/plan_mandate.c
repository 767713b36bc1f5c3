// SPDX-License-Identifier: Apache-2.0
//
// What people sign of a plan (bundle/mandate.h): its bounds, for this release and policy alone.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/mandate.h"
#include "ctl/rollout/retry.h"
#include "ctl/rollout/unit.h"
#include "ctl/serve/mandate.h"
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

// A stage is open as a whole when its last step is over; the steps count back from there.
static json_t *steps_of(const struct rollout_plan_ramp *ramp) {
    json_t *steps = json_array();
    for (size_t i = 0; i < ramp->n; i++)
        (void)json_array_append_new(steps,
                                    json_pack("{s:I, s:I}", "before",
                                              (json_int_t)(ramp->whole_s - ramp->steps[i].after_s),
                                              "share", (json_int_t)ramp->steps[i].share));
    return steps;
}

static void fill_ramp(const struct rollout_plan *plan, size_t i, json_t *lists,
                      struct bundle_mandate_stage *ret) {
    const struct rollout_plan_ramp *ramp = &plan->ramp[i];
    ret->not_before_s = plan->not_before_s[i];
    if (ramp->n == 0)
        return;
    json_t *steps = steps_of(ramp);
    ret->not_before_s += (int64_t)ramp->whole_s;
    if (json_array_append_new(lists, steps) == 0)
        ret->steps = steps;
}

static void fill_stages(const struct rollout_policy *policy, const struct rollout_plan *plan,
                        json_t *lists, struct bundle_mandate_content *ret) {
    bool listed = false;
    size_t n = policy->n_stages;
    for (size_t i = 0; i < n; i++) {
        struct bundle_mandate_stage *stage = &ret->stages[i];
        (void)snprintf(stage->name, sizeof stage->name, "%s", policy->stages[i].name);
        stage->approve = policy->stages[i].approve;
        listed = listed || policy->stages[i].by_device;
        if (!policy->stages[i].by_device) {
            fill_ramp(plan, i, lists, stage);
            continue;
        }
        json_t *ids = devices_of(policy, i);
        stage->not_before_s = plan->not_before_s[i];
        if (json_array_append_new(lists, ids) == 0)
            stage->devices = ids;
    }
    ret->n_stages = n;
    ret->signed_stages = signed_stages(policy);
    if (serve_mandate_holds_back(policy)) {
        struct bundle_mandate_stage *last = &ret->stages[ret->n_stages++];
        (void)snprintf(last->name, sizeof last->name, "%s", BUNDLE_MANDATE_HELD_BACK);
        fill_ramp(plan, n, lists, last);
        ret->signed_stages += ret->signed_stages == n;
    }
    // As a mandate has it: all of it signed, and open to whoever the selector holds for.
    ret->baseline = policy->baseline && !listed && ret->signed_stages == ret->n_stages;
    ret->baseline_not_before_s = policy->baseline && !listed ? plan->over_s : 0;
}

// Devices rank themselves, by what they know of themselves.
static int check_site(const struct rollout_policy *policy, struct err *e) {
    return rollout_unit_is_site(&policy->gates) && strncmp(policy->gates.site, BUNDLE_MANDATE_LABEL,
                                                           strlen(BUNDLE_MANDATE_LABEL)) == 0
               ? err_set(e, &err_config,
                         "it draws sites by %s, and devices do not know their labels: name a fact "
                         "that they report (\"facts\" of edge-agent.json) as evidence.site",
                         policy->gates.site)
               : 0;
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
    for (size_t i = 0; i < policy->n_stratify; i++)
        if (strncmp(policy->stratify[i], BUNDLE_MANDATE_LABEL, strlen(BUNDLE_MANDATE_LABEL)) != 0)
            memcpy(ret->stratify[ret->n_stratify++], policy->stratify[i], sizeof ret->stratify[0]);
    if (rollout_unit_is_site(&policy->gates))
        memcpy(ret->site, policy->gates.site, sizeof ret->site);
    serve_mandate_bounds(policy, plan->newcomers.bound, ret->newcomer_bounds);
    fill_stages(policy, plan, lists, ret);
    return find_bundles(ask, ret, e) < 0 ? -1 : find_selector(ask, ret, e);
}

// One for each of the combinations that devices can tell apart; keys are the caller's, on failure too.
static int fill_strata(const struct serve_plan_ask *ask, const struct rollout_plan_census *census,
                       const struct rollout_plan *plan, struct bundle_mandate_stratum *ret,
                       size_t *ret_n, struct err *e) {
    if (census->groups == NULL && rollout_policy_by_label(ask->policy))
        return err_set(e, &err_config,
                       "it stratifies by labels, which devices do not know, and was planned where "
                       "devices do not judge: plan again when the root has the role mandate");
    for (size_t s = 0; s < plan->n_strata; s++) {
        size_t at = census->groups == NULL ? s : census->groups[s];
        if (at < *ret_n)
            continue;
        ret[at].key = rollout_strata_known(census->keys[s]);
        if (ret[at].key == NULL)
            return err_set(e, &err_memory, "writing a mandate: out of memory");
        serve_mandate_bounds(ask->policy, plan->strata[s].bound, ret[at].bounds);
        *ret_n = at + 1;
    }
    return 0;
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
    if (check_site(ask->policy, e) < 0 || fill(ask, plan, lists, content, e) < 0)
        return -1;
    int done = fill_strata(ask, census, plan, strata, &content->n_strata, e);
    if (done == 0)
        done = bundle_mandate_format(content, strata, ret, e);
    for (size_t s = 0; s < content->n_strata; s++)
        free((char *)(uintptr_t)strata[s].key);
    return done;
}
