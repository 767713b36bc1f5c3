// SPDX-License-Identifier: Apache-2.0
//
// The plan as a document.
#include <stdio.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/rollout/plan.h"
#include "ctl/rollout/plan/pace.h"
#include "ctl/rollout/plan/sight.h"
#include "ctl/rollout/unit.h"

static json_t *time_json(int64_t at_s) {
    char text[CHRONO_TEXT_BYTES];
    return at_s == 0 ? json_null() : json_string(chrono_format(at_s, text));
}

static json_t *bounds_json(const struct rollout_policy *policy,
                           const struct rollout_stratum_plan *plan) {
    char text[ROLLOUT_PLAN_BOUNDS_BYTES];
    rollout_plan_bounds(policy, plan, text);
    return json_string(text);
}

// Beside devices, where sites are drawn.
static void add_units(const struct rollout_policy *policy, uint64_t units, json_t *io) {
    if (rollout_unit_is_site(&policy->gates))
        (void)json_object_set_new(io, "units", json_integer((json_int_t)units));
}

// The largest site is more than may be without an outcome at once: it is brought in parts.
static json_t *sites_json(const struct rollout_policy *policy,
                          const struct rollout_plan_census *census,
                          const struct rollout_plan *plan) {
    const struct rollout_sites_sum *sum = &census->sites;
    char text[256] = "", shown[64] = "";
    uint64_t most = policy->batch.start;
    if (policy->max_unresolved != 0 && (most == 0 || policy->max_unresolved < most))
        most = policy->max_unresolved;
    if (most != 0 && sum->largest > most)
        (void)snprintf(text, sizeof text,
                       "the largest site has %llu devices, and at first %llu may be without an "
                       "outcome at once: it is brought in several parts",
                       (unsigned long long)sum->largest, (unsigned long long)most);
    if (sum->alone > 0)
        (void)snprintf(shown, sizeof shown, "%llu devices of no site count for themselves%s",
                       (unsigned long long)sum->alone, text[0] == '\0' ? "" : "; ");
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "units", (json_int_t)plan->units, "sites",
                     (json_int_t)sum->sites, "alone", (json_int_t)sum->alone, "largest",
                     (json_int_t)sum->largest, "text", json_sprintf("%s%s", shown, text));
}

static json_t *strata_json(const struct rollout_policy *policy,
                           const struct rollout_plan_census *census,
                           const struct rollout_plan *plan) {
    json_t *all = json_array();
    for (size_t s = 0; s < plan->n_strata; s++) {
        json_t *adds = json_array();
        for (size_t i = 0; i < policy->n_stages; i++)
            (void)json_array_append_new(adds, json_integer((json_int_t)plan->strata[s].planned[i]));
        json_t *one = NULL;
        (void)json_array_append_new(
            all,
            one = json_pack("{s:s, s:I, s:I, s:b, s:o, s:o, s:I}", "key", census->keys[s],
                            "devices", (json_int_t)plan->sizes[s], "counted",
                            (json_int_t)census->counted[s], "pooled", plan->strata[s].pool != 0,
                            "bounds", bounds_json(policy, &plan->strata[s]), "adds", adds,
                            "held_back", (json_int_t)plan->strata[s].held_back));
        add_units(policy, plan->unit_sizes[s], one);
    }
    return all;
}

static json_t *pooled_json(const struct rollout_plan_census *census,
                           const struct rollout_plan *plan) {
    json_t *all = json_array();
    for (size_t s = 0; s < plan->n_strata; s++)
        if (plan->strata[s].pool != 0)
            (void)json_array_append_new(all, json_string(census->keys[s]));
    return all;
}

static json_t *variants_json(const struct rollout_policy *policy,
                             const struct rollout_plan_census *census) {
    json_t *all = json_array();
    for (size_t i = 0; i < census->n_variants; i++) {
        const struct rollout_plan_variant *v = &census->variants[i];
        char id[KEYS_DIGEST_HEX];
        keys_digest_hex(&v->bundle, id);
        bool over = policy->has_budget_bytes && v->bytes > policy->budget_bytes;
        (void)json_array_append_new(
            all, json_pack("{s:s, s:s, s:I, s:I, s:I, s:b}", "bundle", id, "variant", v->variant,
                           "bytes", (json_int_t)v->bytes, "devices", (json_int_t)v->devices, "had",
                           (json_int_t)v->had, "over_budget", (int)over));
    }
    return all;
}

static json_t *nothings_json(const struct rollout_plan_census *census) {
    json_t *all = json_array();
    for (size_t i = 0; i < census->n_nothings; i++) {
        const struct rollout_plan_nothing *n = &census->nothings[i];
        (void)json_array_append_new(all, json_pack("{s:s, s:s, s:I}", "code", n->code, "text",
                                                   n->text, "devices", (json_int_t)n->devices));
    }
    return all;
}

static const struct rollout_plan_ages *calls_of(const struct rollout_plan_census *census) {
    return census->calls.until.n > 0 ? &census->calls.until : &census->ages;
}

static json_t *calls_json(const struct rollout_plan_census *census) {
    const struct rollout_plan_ages *calls = calls_of(census);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "devices", (json_int_t)census->ages.n,
                     "never", (json_int_t)census->ages.never, "known",
                     (json_int_t)census->calls.known, "silent", (json_int_t)census->calls.silent,
                     "half_s", (json_int_t)rollout_plan_age_at(calls, 500000), "most_s",
                     (json_int_t)rollout_plan_age_at(calls, 800000), "nearly_all_s",
                     (json_int_t)rollout_plan_age_at(calls, 950000));
}

// ── When it is over ──

// When this share of the devices that stages admit can have it, by the stages as they were written.
static uint64_t expected_s(const struct rollout_plan_census *census, const json_t *stages,
                           uint32_t ppm) {
    uint64_t total = 0, before = 0, at_s = 0;
    size_t i;
    json_t *stage;
    json_array_foreach (stages, i, stage)
        total += (uint64_t)json_integer_value(json_object_get(stage, "adds"));
    uint64_t wanted = (total * ppm + ROLLOUT_PPM - 1) / ROLLOUT_PPM;
    json_array_foreach (stages, i, stage) {
        uint64_t adds = (uint64_t)json_integer_value(json_object_get(stage, "adds"));
        uint64_t calls_s = (uint64_t)json_integer_value(json_object_get(stage, "calls_s"));
        if (adds > 0 && before + adds >= wanted) {
            uint64_t share = (wanted - before) * ROLLOUT_PPM / adds;
            bool one = json_integer_value(json_object_get(stage, "batches")) <= 1;
            uint64_t in_s = one ? rollout_plan_age_at(calls_of(census), (uint32_t)share)
                                : calls_s * share / ROLLOUT_PPM;
            at_s += (uint64_t)json_integer_value(json_object_get(stage, "windows_s"));
            return at_s + (in_s < calls_s ? in_s : calls_s);
        }
        before += adds;
        at_s += (uint64_t)json_integer_value(json_object_get(stage, "expected_s"));
    }
    return at_s;
}

static json_t *expected_json(const struct rollout_plan_census *census, const json_t *stages) {
    char text[160] = "all were heard of within a week";
    uint64_t silent = census->calls.silent;
    if (silent > 0)
        (void)snprintf(text, sizeof text,
                       "%llu devices were not heard of for a week, and cannot be expected",
                       (unsigned long long)silent);
    return json_pack(
        "{s:I, s:I, s:I, s:s}", "half_s", (json_int_t)expected_s(census, stages, 500000), "p90_s",
        (json_int_t)expected_s(census, stages, 900000), "silent", (json_int_t)silent, "text", text);
}

// What the links of so many devices carry at most: a bundle for each, in proportion to who gets
// which and has not got it.
static uint64_t bytes_of(const struct rollout_plan_census *census, uint64_t devices) {
    double bytes = 0;
    for (size_t i = 0; i < census->n_variants; i++)
        bytes += (double)census->variants[i].bytes *
                 (double)(census->variants[i].devices - census->variants[i].had);
    return census->n_members == 0
               ? 0
               : (uint64_t)(bytes * (double)devices / (double)census->n_members + 0.5);
}

static json_t *steps_json(const struct rollout_plan *plan, size_t stage) {
    const struct rollout_plan_ramp *ramp = &plan->ramp[stage];
    json_t *all = json_array();
    for (size_t i = 0; i < ramp->n; i++)
        (void)json_array_append_new(
            all, json_pack("{s:o, s:I}", "at",
                           time_json(plan->not_before_s[stage] + (int64_t)ramp->steps[i].after_s),
                           "reach", (json_int_t)ramp->steps[i].reach));
    if (ramp->n > 0)
        (void)json_array_append_new(
            all, json_pack("{s:o, s:I}", "at",
                           time_json(plan->not_before_s[stage] + (int64_t)ramp->whole_s), "reach",
                           (json_int_t)plan->reach[stage]));
    return all;
}

static uint64_t plan_units(const struct rollout_plan *plan, size_t stage) {
    uint64_t sum = 0;
    for (size_t s = 0; s < plan->n_strata; s++)
        sum += plan->unit_adds[s][stage];
    return sum;
}

// A stage whose gates cannot pass waits for as long as the policy lets it.
static json_t *stage_json(const struct plan_sight_view *view, size_t i, uint64_t total,
                          uint64_t *io_size) {
    const struct rollout_policy *policy = view->policy;
    const struct rollout_stage_policy *stage = &policy->stages[i];
    struct plan_pace_stage pace;
    uint64_t adds = view->plan->adds[i];
    plan_pace_find(policy, calls_of(view->census), view->plan, i, io_size, &pace);
    json_t *gates = plan_sight_stage(view, i, pace.calls_s + pace.hours_s + pace.waits_s);
    bool waits = !plan_sight_passes(gates);
    if (waits && pace.waits_s < policy->gates.max_soak_s)
        pace.waits_s = policy->gates.max_soak_s;
    json_t *losses = pace.seen_after_s == 0
                         ? json_null()
                         : json_pack("{s:I, s:I}", "by_s", (json_int_t)pace.dies_by_s,
                                     "seen_after_s", (json_int_t)pace.seen_after_s);
    json_t *made = json_pack(
        "{s:s, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o, s:o}", "name",
        stage->name, "approve", (int)stage->approve, "not_before",
        time_json(view->plan->not_before_s[i]), "adds", (json_int_t)adds, "total",
        (json_int_t)total, "reach", (json_int_t)view->plan->reach[i], "bytes",
        (json_int_t)bytes_of(view->census, adds), "batches", (json_int_t)pace.batches, "calls_s",
        (json_int_t)pace.calls_s, "waits_s", (json_int_t)pace.waits_s, "windows_s",
        (json_int_t)pace.hours_s, "expected_s",
        (json_int_t)(pace.calls_s + pace.hours_s + pace.waits_s), "inconclusive", (int)waits,
        "losses", losses, "gates", gates, "steps", steps_json(view->plan, i));
    add_units(policy, plan_units(view->plan, i), made);
    return made;
}

static json_t *stages_json(const struct plan_sight_view *view) {
    uint64_t total = 0, size = 0;
    json_t *all = json_array();
    for (size_t i = 0; i < view->policy->n_stages; i++) {
        total += view->plan->adds[i];
        (void)json_array_append_new(all, stage_json(view, i, total, &size));
    }
    return all;
}

static json_t *head_json(const struct rollout_policy *policy,
                         const struct rollout_plan_census *census,
                         const struct rollout_plan *plan) {
    char seed[2 * BUNDLE_RANK_SEED_BYTES + 1];
    text_hex(plan->seed, sizeof plan->seed, seed);
    return json_pack("{s:i, s:o, s:s, s:{s:s, s:s}, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "format",
                     ROLLOUT_PLAN_FORMAT, "made", time_json(plan->made_s), "rollout", policy->name,
                     "release", "name", policy->release_name, "version", policy->release_version,
                     "selector", policy->selector, "seed", seed, "accepted",
                     (json_int_t)census->accepted, "devices", (json_int_t)census->n_members,
                     "held_back", (json_int_t)plan->held_back, "newcomer_bounds",
                     bounds_json(policy, &plan->newcomers), "held_back_from",
                     time_json(plan->held_back == 0 ? 0 : plan->not_before_s[policy->n_stages]));
}

int rollout_plan_format(const struct rollout_policy *policy,
                        const struct rollout_plan_census *census, const struct rollout_plan *plan,
                        json_t **ret, struct err *e) {
    OWN(mem) struct plan_sight_memo *memo = calloc(1, sizeof *memo);
    OWN(json) json_t *made = head_json(policy, census, plan);
    if (memo == NULL || made == NULL)
        return err_set(e, &err_memory, "writing the plan of %s: out of memory", policy->name);
    struct plan_sight_view view = {policy, census, plan, memo};
    OWN(json)
    json_t *rest = json_pack(
        "{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "by_known_facts",
        (int)(census->groups != NULL), "stages", stages_json(&view), "strata",
        strata_json(policy, census, plan), "pooled", pooled_json(census, plan), "variants",
        variants_json(policy, census), "nothing", nothings_json(census), "gates",
        plan_sight_gates(policy), "exposure", plan_pace_exposure(policy, plan), "installs",
        plan_pace_installs(policy, &census->past), "calls", calls_json(census));
    if (rest == NULL || json_object_update(made, rest) < 0 ||
        json_object_set_new(made, "expected",
                            expected_json(census, json_object_get(rest, "stages"))) < 0 ||
        (rollout_unit_is_site(&policy->gates) &&
         json_object_set_new(made, "sites", sites_json(policy, census, plan)) < 0))
        return err_set(e, &err_memory, "writing the plan of %s: out of memory", policy->name);
    *ret = json_incref(made);
    return 0;
}
