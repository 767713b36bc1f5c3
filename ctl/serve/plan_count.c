// SPDX-License-Identifier: Apache-2.0
//
// The fleet counted for a plan, in one pass.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/score.h"
#include "ctl/rollout/sites.h"
#include "ctl/rollout/unit.h"
#include "ctl/serve/plan.h"
#include "ctl/serve/plan_class.h"
#include "ctl/serve/plan_facts.h"
#include "ctl/store/census.h"

#define WEEK_S (7 * 86400)

struct serve_plan_count {
    const struct serve_plan_ask *ask;
    struct bundle_predicate *selector, *scope;
    struct serve_plan_classes *classes;
    struct rollout_sites *sites;  // NULL where devices are drawn
    struct serve_plan_facts site; // names its fact
    struct rollout_plan_census census;
    size_t capacity;
    uint64_t counted[BUNDLE_STRATA_MAX];
    uint32_t groups[BUNDLE_STRATA_MAX];
    struct rollout_plan_variant variants[ROLLOUT_PLAN_VARIANTS_MAX];
    struct rollout_plan_nothing nothings[ROLLOUT_PLAN_NOTHINGS_MAX];
};

// ── One device ──

// Reasons beyond the ceiling are added to the last of the same code, or to the last.
static void count_nothing(struct serve_plan_count *c, const char *code, const char *text) {
    struct rollout_plan_census *census = &c->census;
    struct rollout_plan_nothing *same = NULL;
    for (size_t i = 0; i < census->n_nothings; i++) {
        struct rollout_plan_nothing *one = &c->nothings[i];
        if (strcmp(one->code, code) != 0)
            continue;
        same = one;
        if (strcmp(one->text, text) == 0)
            break;
    }
    bool new = same == NULL || strcmp(same->text, text) != 0;
    if (new && census->n_nothings < ROLLOUT_PLAN_NOTHINGS_MAX) {
        same = &c->nothings[census->n_nothings++];
        (void)snprintf(same->code, sizeof same->code, "%s", code);
        (void)snprintf(same->text, sizeof same->text, "%s", text);
    } else if (same == NULL) {
        same = &c->nothings[ROLLOUT_PLAN_NOTHINGS_MAX - 1];
    }
    same->devices++;
}

// Whether it can be brought the release: a bundle fits, and it does not run it. Of a release that is
// yet to be published every device is taken to be one.
static bool count_fit(struct serve_plan_count *c, const struct serve_plan_class *class,
                      const struct store_census_row *row) {
    bool fits = class->variant < c->census.n_variants;
    bool runs = fits && serve_plan_class_runs(c->classes, class->variant, row);
    if (fits) {
        c->variants[class->variant].devices++;
        c->variants[class->variant].had += runs;
    }
    if (row->cloned)
        count_nothing(c, "clone", "two devices seem to share its identity");
    else if (row->held)
        count_nothing(c, "held", "an operator holds it");
    else if (row->pinned)
        count_nothing(c, "pinned", "an operator pinned it to a release");
    else if (c->census.n_variants == 0)
        count_nothing(c, "release_missing", "the release was not published");
    else if (!fits)
        count_nothing(c, "requirement_unmet", class->reason);
    else if (runs)
        count_nothing(c, "up_to_date", "it runs the release");
    return c->census.n_variants == 0 || (fits && !runs);
}

// How long it was silent; and whether it is one that fell silent in the past week.
static void count_age(struct serve_plan_count *c, const struct store_census_row *row) {
    const struct rollout_policy *policy = c->ask->policy;
    struct rollout_plan_ages *ages = &c->census.ages;
    int64_t age_s = c->ask->now_s > row->seen_s ? c->ask->now_s - row->seen_s : 0;
    rollout_plan_call_add(&c->census.calls, &row->gaps, row->seen_s != 0, (uint64_t)age_s);
    if (row->seen_s == 0) {
        ages->never++;
        return;
    }
    int64_t silence_s = (int64_t)policy->timeout_s;
    int64_t rhythms_s = (int64_t)policy->gates.rhythm_s * ROLLOUT_SCORE_SILENCE;
    silence_s = silence_s > rhythms_s ? silence_s : rhythms_s;
    rollout_plan_age_add(ages, (uint64_t)age_s);
    ages->lost_week += age_s > silence_s && age_s <= silence_s + WEEK_S;
}

// As rollout_score_counts has it; but whether one bundle is what it runs is seen when it checks in.
static bool counts(const struct serve_plan_count *c, const struct store_census_row *row, bool fits,
                   bool named, bool shams) {
    const struct rollout_gates *gates = &c->ask->policy->gates;
    const struct rollout_score_seen seen = {.enrolled_s = row->created_s,
                                            .seen_s = row->seen_s,
                                            .fits = fits,
                                            .named = named,
                                            .shams = shams,
                                            .apart = row->held || row->pinned || row->cloned};
    return gates->n > 0 && rollout_score_counts(gates, &seen, c->ask->now_s);
}

static int enlist(struct serve_plan_count *c, const struct rollout_member *member, struct err *e) {
    struct rollout_plan_census *census = &c->census;
    if (census->n_members == c->capacity) {
        size_t capacity = c->capacity == 0 ? 1024 : 2 * c->capacity;
        void *grown = reallocarray(census->members, capacity, sizeof *census->members);
        if (grown == NULL)
            return err_set(e, &err_memory, "counting the fleet: out of memory");
        census->members = grown;
        c->capacity = capacity;
    }
    census->members[census->n_members++] = *member;
    return 0;
}

// Where sites are drawn, its site, which is what is counted: a device that has none counts for itself.
static int count_site(struct serve_plan_count *c, const struct store_census_row *row, bool counts,
                      struct rollout_member *io, struct err *e) {
    char site[BUNDLE_FACT_VALUE_MAX + 1] = "", unit[BUNDLE_UNIT_MAX + 1];
    int found = serve_plan_facts_text(&c->site, row, site, e);
    if (found < 0)
        return -1;
    bool alone = bundle_unit_by(row->id, found == 0 ? site : NULL, unit) == BUNDLE_UNIT_ALONE;
    io->rank = bundle_rank(unit, c->ask->seed);
    if (alone) {
        rollout_sites_add_alone(c->sites);
        c->counted[io->stratum] += counts;
        return 0;
    }
    if (rollout_sites_add(c->sites, site, io->stratum, counts, e) < 0)
        return -1;
    if (io->named != 0)
        rollout_sites_name(c->sites, site);
    return 0;
}

static int visit(void *context, const struct store_census_row *row, struct err *e) {
    struct serve_plan_count *c = context;
    const struct rollout_policy *policy = c->ask->policy;
    const struct serve_plan_class *class = NULL;
    if (serve_plan_class_find(c->classes, row, &class, e) < 0)
        return -1;
    c->census.accepted += class->in_scope;
    if (!class->selected)
        return 0;
    size_t named =
        policy->n_devices == 0 ? policy->n_stages : rollout_policy_named(policy, row->id);
    struct rollout_member member = {.stratum = (uint32_t) class->stratum,
                                    .named = named < policy->n_stages ? (uint32_t)named + 1 : 0,
                                    .rank = bundle_rank(row->id, c->ask->seed)};
    bool fits = count_fit(c, class, row);
    bool counted = counts(c, row, fits, member.named != 0, class->shams);
    count_age(c, row);
    if (c->sites == NULL)
        c->counted[class->stratum] += counted;
    else if (count_site(c, row, counted, &member, e) < 0)
        return -1;
    return enlist(c, &member, e);
}

// ── All of them ──

// What finished rollouts came to, of those that whoever asks may see.
static void count_past(struct serve_plan_count *c) {
    const struct serve_engine *engine = c->ask->engine;
    struct rollout_plan_past *past = &c->census.past;
    for (size_t i = 0; i < engine->n_rollouts; i++) {
        const struct serve_engine_rollout *r = engine->rollouts[i];
        if (r->row.progress.state != ROLLOUT_STATE_FINISHED ||
            (c->ask->scope[0] != '\0' && strcmp(c->ask->scope, r->row.scope) != 0))
            continue;
        struct rollout_tally all = serve_engine_sum(r, r->row.policy.n_stages);
        past->rollouts++;
        past->good += rollout_tally_good(&all);
        past->bad += rollout_tally_bad(&all);
    }
}

static int walk(struct serve_plan_count *c, struct err *e) {
    const struct serve_plan_class_for of = {.engine = c->ask->engine,
                                            .policy = c->ask->policy,
                                            .selector = c->selector,
                                            .scope = c->scope,
                                            .scope_text = c->ask->scope};
    const struct rollout_plan_variant *variants = NULL;
    if (serve_plan_class_open(&of, &c->classes, e) < 0)
        return -1;
    c->census.n_variants = serve_plan_class_variants(c->classes, &variants);
    memcpy(c->variants, variants, c->census.n_variants * sizeof *variants);
    if (store_census_walk(c->ask->db, visit, c, e) < 0)
        return -1;
    rollout_plan_call_spread(&c->census.calls);
    if (c->sites != NULL) {
        if (rollout_sites_check(c->sites, c->site.names[0], e) < 0)
            return err_prefix(e, "%s", c->ask->policy->name);
        c->census.sites = rollout_sites_sum(c->sites, c->counted);
    }
    c->census.n_strata = serve_plan_class_strata(c->classes, &c->census.keys);
    c->census.counted = c->counted;
    c->census.variants = c->variants;
    c->census.nothings = c->nothings;
    count_past(c);
    if (!c->ask->devices_judge || !rollout_policy_by_label(c->ask->policy))
        return 0;
    c->census.groups = c->groups;
    return rollout_strata_group(c->census.keys, c->census.n_strata, c->groups, &c->census.n_groups,
                                e);
}

static int open_sites(struct serve_plan_count *c, struct err *e) {
    c->site.n = 1;
    memcpy(c->site.names[0], c->ask->policy->gates.site, sizeof c->site.names[0]);
    return rollout_sites_open(&c->sites, e);
}

int serve_plan_count(const struct serve_plan_ask *ask, struct serve_plan_count **ret,
                     struct err *e) {
    struct serve_plan_count *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(e, &err_memory, "counting the fleet: out of memory");
    c->ask = ask;
    if (rollout_unit_is_site(&ask->policy->gates) && open_sites(c, e) < 0) {
        free(c);
        return -1;
    }
    int done = bundle_predicate_parse(ask->policy->selector, &c->selector, e);
    if (done == 0 && ask->scope[0] != '\0')
        done = bundle_predicate_parse(ask->scope, &c->scope, e);
    if (done == 0)
        done = walk(c, e);
    if (done < 0) {
        serve_plan_count_free(c);
        return -1;
    }
    *ret = c;
    return 0;
}

struct rollout_plan_census *serve_plan_count_census(struct serve_plan_count *count) {
    return &count->census;
}

void serve_plan_count_free(struct serve_plan_count *c) {
    if (c == NULL)
        return;
    serve_plan_class_close(c->classes);
    rollout_sites_close(c->sites);
    bundle_predicate_free(c->selector);
    bundle_predicate_free(c->scope);
    free(c->census.members);
    free(c);
}
