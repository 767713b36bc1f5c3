// SPDX-License-Identifier: Apache-2.0
//
// What a rollout means for a device, looked up.
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/unit.h"
#include "ctl/serve/evidence.h"
#include "ctl/serve/fleet_view.h"
#include "ctl/serve/mandate.h"
#include "ctl/store/mandate.h"
#include "ctl/store/part.h"
#include "ctl/store/ran.h"
#include "ctl/store/undone.h"

void serve_fleet_fit(const struct serve_fleet *fleet, struct serve_fleet_view *view,
                     const char *name, const char *version, struct rollout_fit *ret) {
    serve_engine_fit(fleet->engine, name, version, view->facts, view->components,
                     view->reasons[view->n_reasons++], ret);
}

bool serve_fleet_selects(const struct serve_engine_rollout *r,
                         const struct serve_fleet_view *view) {
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    return bundle_predicate_holds(r->selector, view->facts, reason) &&
           bundle_predicate_holds(r->scope, view->facts, reason);
}

// A stage by count has taken as many as it says (or one of each kind), newcomers included. One by sites
// is not filled up: whoever called later would stand outside of a site that is within.
static bool is_full(const struct serve_engine_rollout *r, size_t stage) {
    struct rollout_tally all = {0};
    if (!r->row.policy.stages[stage].by_count || rollout_unit_is_site(&r->row.policy.gates))
        return false;
    for (size_t i = 0; i <= stage; i++) {
        struct rollout_tally one = serve_engine_sum(r, i);
        rollout_tally_add(&all, &one);
    }
    uint64_t room = r->row.policy.stages[stage].count;
    room = room < all.planned ? all.planned : room;
    return rollout_tally_offered(&all) + rollout_tally_moot(&all) -
               all.now[ROLLOUT_TASK_CANCELLED] >=
           room;
}

// ── A candidate ──

// Where its rank is. Whom a stage names waits for no batch.
static enum rollout_admission admission_of(const struct serve_engine_rollout *r, const char *device,
                                           const struct serve_fleet_beside *b) {
    const struct rollout_policy *policy = &r->row.policy;
    const struct rollout_progress *p = &r->row.progress;
    const struct rollout_batch_place open = {.stage = (size_t)p->stage,
                                             .started = p->stage < policy->n_stages &&
                                                        p->started_s[p->stage] != 0,
                                             .batch = &p->batch};
    size_t named = rollout_policy_named(policy, device);
    if (named >= policy->n_stages)
        return rollout_batch_admission(policy, &open, &r->strata[b->bounds].plan, b->rank);
    return named < open.stage || (named == open.stage && open.started) ? ROLLOUT_ADMISSION_OPEN
                                                                       : ROLLOUT_ADMISSION_STAGE;
}

static bool runs_now(const json_t *components, const struct rollout_stone *stone) {
    const char *key = NULL;
    json_t *c = NULL;
    json_object_foreach ((json_t *)(uintptr_t)components, key, c) {
        const char *name = json_string_value(json_object_get(c, "name"));
        const char *version = json_string_value(json_object_get(c, "version"));
        if (name != NULL && version != NULL && strcmp(name, stone->name) == 0 &&
            strcmp(version, stone->version) == 0)
            return true;
    }
    return false;
}

// The first stepping stone that it has not run.
static int find_stone(const struct serve_fleet *fleet, const struct store_device *device,
                      const struct serve_fleet_view *view, struct serve_fleet_beside *b,
                      struct rollout_candidate *io, struct err *e) {
    const struct rollout_policy *policy = io->policy;
    for (size_t i = 0; i < policy->n_stones && !io->fit.runs; i++) {
        const struct rollout_stone *stone = &policy->stones[i];
        if (runs_now(view->components, stone))
            continue;
        int found = store_ran_find(fleet->db, device->id, stone->name, stone->version, e);
        if (found < 0)
            return -1;
        if (found == 0)
            continue;
        (void)snprintf(b->stone, sizeof b->stone, "%s %s", stone->name, stone->version);
        io->stone = b->stone;
        return 0;
    }
    return 0;
}

// So many a minute; 0: no limit.
static bool has_room(struct rollout_bucket *bucket, uint32_t rate, int64_t now_ms) {
    return rate == 0 || rollout_bucket_has(bucket, rate, rollout_bucket_second(rate), now_ms);
}

// What going back asks.
static int find_way_back(const struct serve_fleet *fleet, const struct store_device *device,
                         struct serve_engine_rollout *r, struct rollout_candidate *io,
                         struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    enum rollout_state state = r->row.progress.state;
    struct store_undone undone;
    if (state != ROLLOUT_STATE_REVERTING && state != ROLLOUT_STATE_REVERTED)
        return 0;
    int found = store_undone_get(fleet->db, device->id, policy->release_name,
                                 policy->release_version, &undone, e);
    if (found < 0)
        return -1;
    io->went_back = found == 0 && strcmp(undone.rollout, policy->name) != 0;
    io->revert_full = !has_room(&r->reverts, policy->revert_rate, fleet->now_ms);
    return 0;
}

// What it counts as there while its task is another one's.
static int find_aside(const struct serve_fleet *fleet, const struct store_device *device,
                      struct serve_fleet_beside *b, struct rollout_candidate *io, struct err *e) {
    struct store_device_task aside = {.state = ROLLOUT_TASK_NONE};
    if (serve_fleet_is_part(device, b->rollout)) // then there is none
        return 0;
    if (store_part_get(fleet->db, device->id, io->policy->name, &aside, e) < 0)
        return -1;
    io->aside = aside.state;
    io->aside_attempt = aside.attempt;
    io->aside_since_s = aside.since_s;
    (void)snprintf(b->code, sizeof b->code, "%s", aside.code);
    io->aside_code = b->code;
    return 0;
}

// What it runs of the release's name: a bundle, or nothing that it could sham with.
static bool find_sham(const struct serve_fleet_view *view, const char *name,
                      struct keys_digest *ret) {
    const char *key = NULL, *found = NULL;
    struct err ignored = ERR_NONE;
    json_t *c = NULL;
    if (!json_is_true(bundle_facts_find(view->facts, "agent.sham")))
        return false;
    json_object_foreach ((json_t *)(uintptr_t)view->components, key, c) {
        const char *of = json_string_value(json_object_get(c, "name"));
        const char *manifest = json_string_value(json_object_get(c, "manifest"));
        if (of == NULL || manifest == NULL || strcmp(of, name) != 0)
            continue;
        if (found != NULL && strcmp(found, manifest) != 0)
            return false; // of two bundles
        found = manifest;
    }
    return found != NULL && keys_digest_parse(found, "manifest", ret, &ignored) == 0;
}

// What people signed for.
static int find_mandate(const struct serve_fleet *fleet, struct rollout_candidate *io,
                        struct err *e) {
    struct store_mandate mandate;
    int found = store_mandate_of_rollout(fleet->db, io->policy->name, &mandate, e);
    io->mandate_ends_s = serve_mandate_ends(fleet->engine, found, &mandate);
    return found < 0 ? -1 : 0;
}

int serve_fleet_candidate(const struct serve_fleet *fleet, const struct store_device *device,
                          struct serve_engine_rollout *r, bool selected,
                          struct serve_fleet_view *view, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    struct rollout_candidate *c = &view->candidates[view->n_candidates];
    struct serve_fleet_beside *b = &view->beside[view->n_candidates];
    struct rollout_tally all = serve_engine_sum(r, policy->n_stages);
    *c = (struct rollout_candidate){.policy = policy,
                                    .progress = &r->row.progress,
                                    .selected = selected,
                                    .stage = policy->n_stages,
                                    .unresolved = rollout_tally_unresolved(&all)};
    serve_fleet_fit(fleet, view, policy->release_name, policy->release_version, &c->fit);
    view->n_candidates++;
    b->rollout = r;
    b->rank = rollout_unit_rank(&policy->gates, device->id, view->facts, r->row.seed);
    b->shams = policy->gates.sham && find_sham(view, policy->release_name, &c->sham_bundle);
    if (find_aside(fleet, device, b, c, e) < 0 || find_way_back(fleet, device, r, c, e) < 0)
        return -1;
    if (!selected || rollout_advance_ended(r->row.progress.state))
        return 0;
    OWN(buf) struct buf key;
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    if (bundle_stratum_key(policy->stratify, policy->n_stratify, view->facts, &key, e) < 0 ||
        serve_engine_stratum(fleet->db, r, buf_text(&key), &b->stratum, e) < 0 ||
        find_stone(fleet, device, view, b, c, e) < 0)
        return -1;
    b->bounds = b->stratum;
    if (serve_evidence_bounds(fleet, r, device->id, view->facts, &b->bounds, e) < 0)
        return -1;
    c->offer_full = !has_room(&r->offers, policy->offer_rate, fleet->now_ms);
    c->stage = rollout_strata_admits(policy, &r->strata[b->bounds].plan, device->id, b->rank);
    c->admission = admission_of(r, device->id, b);
    bool inside = c->aside != ROLLOUT_TASK_NONE || serve_fleet_is_part(device, r);
    while (!inside && c->stage < policy->n_stages && is_full(r, c->stage))
        c->stage++;
    return find_mandate(fleet, c, e);
}
