// SPDX-License-Identifier: Apache-2.0
//
// Asking a sample of the fleet, and what it answered.
#include "ctl/serve/dry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/random.h"
#include "base/text.h"
#include "bundle/rank.h"
#include "ctl/kind.h"
#include "ctl/rollout/dry.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/evidence.h"
#include "ctl/serve/plan.h"
#include "ctl/serve/plan_class.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"

#define KEPT_S (7 * 86400) // after its end

// Whether a rollout of the release compares devices that have it with those that would be asked.
static bool is_compared(const struct serve_engine *engine, const char *name, const char *version) {
    for (size_t i = 0; i < engine->n_rollouts; i++) {
        const struct rollout_policy *policy = &engine->rollouts[i]->row.policy;
        if (serve_evidence_counts(engine->rollouts[i]) && strcmp(policy->release_name, name) == 0 &&
            strcmp(policy->release_version, version) == 0)
            return true;
    }
    return false;
}

// ── Choosing ──

struct chosen {
    uint64_t rank;
    char id[BUNDLE_DEVICE_ID_MAX + 1];
    size_t stratum, variant;
};

// The devices of the lowest ranks so far, in their order.
struct sample {
    struct serve_plan_classes *classes;
    uint8_t seed[BUNDLE_RANK_SEED_BYTES];
    size_t n, max;
    struct chosen *list; // [max]
};

static void choose(struct sample *s, const char *id, const struct serve_plan_class *class) {
    uint64_t rank = bundle_rank(id, s->seed);
    if (s->n == s->max && rank >= s->list[s->n - 1].rank)
        return;
    size_t at = s->n < s->max ? s->n++ : s->n - 1;
    for (; at > 0 && s->list[at - 1].rank > rank; at--)
        s->list[at] = s->list[at - 1];
    s->list[at] =
        (struct chosen){.rank = rank, .stratum = class->stratum, .variant = class->variant};
    (void)snprintf(s->list[at].id, sizeof s->list[at].id, "%s", id);
}

// Who would get the release.
static int visit(void *context, const struct store_census_row *row, struct err *e) {
    struct sample *s = context;
    const struct serve_plan_class *class = NULL;
    const struct rollout_plan_variant *variants = NULL;
    if (serve_plan_class_find(s->classes, row, &class, e) < 0)
        return -1;
    if (class->selected && !row->held && !row->pinned && !row->cloned &&
        class->variant < serve_plan_class_variants(s->classes, &variants) &&
        !serve_plan_class_runs(s->classes, class->variant, row))
        choose(s, row->id, class);
    return 0;
}

static int keep(struct store_db *db, const struct sample *s, const char *id, struct err *e) {
    OWN(mem) struct store_dry_device *device = calloc(1, sizeof *device);
    const struct rollout_plan_variant *variants = NULL;
    const char *const *keys = NULL;
    if (device == NULL)
        return err_set(e, &err_memory, "asking devices: out of memory");
    (void)serve_plan_class_variants(s->classes, &variants);
    (void)serve_plan_class_strata(s->classes, &keys);
    for (size_t i = 0; i < s->n; i++) {
        const struct chosen *one = &s->list[i];
        (void)snprintf(device->device, sizeof device->device, "%s", one->id);
        (void)snprintf(device->stratum, sizeof device->stratum, "%s", keys[one->stratum]);
        (void)keys_digest_hex(&variants[one->variant].bundle, device->bundle);
        if (store_dry_add_device(db, id, device, e) < 0)
            return -1;
    }
    return 0;
}

static int choose_all(struct store_db *db, const struct serve_plan_class_for *of,
                      const struct store_dry *dry, size_t max, struct err *e) {
    OWN(plan_classes) struct serve_plan_classes *classes = NULL;
    OWN(mem) struct chosen *list = calloc(max, sizeof *list);
    const struct rollout_plan_variant *variants = NULL;
    if (list == NULL)
        return err_set(e, &err_memory, "asking devices: out of memory");
    if (serve_plan_class_open(of, &classes, e) < 0)
        return -1;
    if (serve_plan_class_variants(classes, &variants) == 0)
        return err_set(e, &err_not_found,
                       "the release %s %s was not published, and devices look at its probes: "
                       "publish it first",
                       dry->name, dry->version);
    struct sample sample = {.classes = classes, .max = max, .list = list};
    random_fill(sample.seed, sizeof sample.seed);
    if (store_census_walk(db, visit, &sample, e) < 0)
        return -1;
    return keep(db, &sample, dry->id, e);
}

// ── The request ──

struct wish {
    struct rollout_policy policy;
    uint64_t sample, wait_s;
};

static int read_wish(struct serve_call *call, struct wish *ret, struct err *e) {
    static const char *const known[] = {"policy", "sample", "wait_s", NULL};
    struct doc_at at;
    ret->sample = SERVE_DRY_SAMPLE_DEFAULT;
    if (serve_call_members(call, known, &at, e) < 0 ||
        doc_u64_opt(&at, "sample", 1, SERVE_DRY_SAMPLE_MAX, &ret->sample, e) < 0 ||
        doc_u64(&at, "wait_s", 1, SERVE_DRY_WAIT_MAX_S, &ret->wait_s, e) < 0)
        return -1;
    return serve_plan_policy(&at, &ret->policy, e);
}

static void describe(const struct serve_call *call, const struct wish *wish,
                     struct store_dry *ret) {
    uint8_t random[(STORE_DRY_ID_BYTES - 1) / 2];
    random_fill(random, sizeof random);
    text_hex(random, sizeof random, ret->id);
    (void)snprintf(ret->name, sizeof ret->name, "%s", wish->policy.release_name);
    (void)snprintf(ret->version, sizeof ret->version, "%s", wish->policy.release_version);
    (void)snprintf(ret->scope, sizeof ret->scope, "%s", call->who.selector);
    (void)snprintf(ret->actor, sizeof ret->actor, "%s", call->who.name);
    ret->created_s = serve_call_now_s(call);
    ret->expires_s = ret->created_s + (int64_t)wish->wait_s;
}

static int add(struct store_db *db, const struct serve_call *call, const struct store_dry *dry,
               struct err *e) {
    uint64_t live = 0;
    if (is_compared(call->server->engine, dry->name, dry->version))
        return err_set(e, &err_conflict,
                       "a rollout of %s %s is under way and compares the devices that have it with "
                       "those that would be asked: ask before, or when it has ended",
                       dry->name, dry->version);
    if (store_dry_forget(db, dry->created_s - KEPT_S, e) < 0 ||
        store_dry_live(db, dry->created_s, &live, e) < 0)
        return -1;
    if (live >= SERVE_DRY_LIVE_MAX)
        return err_set(
            e, &err_conflict,
            "devices are asked about %llu releases already: wait for one of these to end",
            (unsigned long long)live);
    OWN(json)
    json_t *data =
        json_pack("{s:s, s:s, s:s}", "id", dry->id, "name", dry->name, "version", dry->version);
    if (data == NULL)
        return err_set(e, &err_memory, "asking devices: out of memory");
    if (store_dry_add(db, dry, e) < 0)
        return -1;
    return serve_admin_audit(db, call, "rollout.dry_probes", dry->name, data, e);
}

static int ask(struct store_db *db, struct serve_call *call, struct wish *wish,
               struct store_dry *dry, struct err *e) {
    struct serve_engine *engine = call->server->engine;
    OWN(predicate) struct bundle_predicate *selector = NULL;
    json_t *shown = NULL;
    if (read_wish(call, wish, e) < 0 || serve_repository_check(call, &wish->policy, e) < 0 ||
        bundle_predicate_parse(wish->policy.selector, &selector, e) < 0)
        return -1;
    const struct serve_plan_class_for of = {.engine = engine,
                                            .policy = &wish->policy,
                                            .selector = selector,
                                            .scope = call->who.predicate,
                                            .scope_text = call->who.selector};
    describe(call, wish, dry);
    if (add(db, call, dry, e) < 0 || choose_all(db, &of, dry, (size_t)wish->sample, e) < 0 ||
        serve_dry_show(db, call, dry->id, &shown, e) < 0)
        return -1;
    engine->dry_until_s =
        dry->expires_s > engine->dry_until_s ? dry->expires_s : engine->dry_until_s;
    return serve_call_answer(call, 201, shown, e);
}

int serve_dry_ask(struct store_db *db, struct serve_call *call, struct err *e) {
    OWN(mem) struct wish *wish = calloc(1, sizeof *wish);
    OWN(mem) struct store_dry *dry = calloc(1, sizeof *dry);
    if (wish == NULL || dry == NULL)
        return err_set(e, &err_memory, "asking devices: out of memory");
    return ask(db, call, wish, dry, e);
}

// ── How it stands ──

static int count(void *context, const struct store_dry_device *device, struct err *e) {
    const struct rollout_dry_device one = {.stratum = device->stratum,
                                           .asked = device->asks > 0,
                                           .answered = device->answered_s != 0,
                                           .code = device->code,
                                           .text = device->text,
                                           .probes = device->probes};
    return rollout_dry_count(context, &one, e);
}

int serve_dry_show(struct store_db *db, const struct serve_call *call, const char *id, json_t **ret,
                   struct err *e) {
    OWN(mem) struct store_dry *dry = calloc(1, sizeof *dry);
    OWN(json) json_t *made = NULL;
    OWN(rollout_dry) struct rollout_dry all = {.probes = NULL};
    if (dry == NULL || rollout_dry_init(&all, e) < 0)
        return err_set(e, &err_memory, "showing dry probes: out of memory");
    int found = store_dry_get(db, id, dry, e);
    if (found < 0)
        return -1;
    if (found != 0 ||
        (call->who.selector[0] != '\0' && strcmp(call->who.selector, dry->scope) != 0))
        return err_set(e, &err_not_found, "there is no request for dry probes %.20s", id);
    if (store_dry_list(db, id, count, &all, e) < 0 || rollout_dry_format(&all, &made, e) < 0)
        return -1;
    OWN(json)
    json_t *head =
        json_pack("{s:s, s:o, s:o, s:o}", "id", dry->id, "release",
                  serve_show_release(dry->name, dry->version), "created",
                  serve_show_time(dry->created_s), "expires", serve_show_time(dry->expires_s));
    if (head == NULL || json_object_update(made, head) < 0)
        return err_set(e, &err_memory, "showing dry probes: out of memory");
    *ret = own_take(&made);
    return 0;
}

int serve_dry_get(struct store_db *db, struct serve_call *call, struct err *e) {
    json_t *shown = NULL;
    if (serve_dry_show(db, call, call->args[0], &shown, e) < 0)
        return -1;
    return serve_call_answer(call, 200, shown, e);
}

// ── Check-ins ──

int serve_dry_heard(const struct serve_fleet *fleet, const struct store_device *device,
                    const struct bundle_checkin_probed *probed, struct err *e) {
    if (probed->sequence == 0)
        return 0;
    return store_dry_answered(fleet->db, device->id, probed, fleet->now_ms / 1000, e);
}

struct search {
    const struct serve_engine *engine;
    bool found;
    struct serve_dry_due *ret;
};

static int consider(void *context, const struct store_dry_due *due, struct err *e) {
    struct search *search = context;
    struct keys_digest id;
    if (keys_digest_parse(due->bundle, "a bundle", &id, e) < 0)
        return -1;
    const struct serve_engine_bundle *bundle = serve_engine_bundle(search->engine, &id);
    if (bundle == NULL || // withdrawn since
        is_compared(search->engine, bundle->row.name, bundle->row.version))
        return 0;
    (void)snprintf(search->ret->request, sizeof search->ret->request, "%s", due->id);
    search->ret->bundle = id;
    search->found = true;
    return 1;
}

int serve_dry_due(const struct serve_fleet *fleet, const struct store_device *device,
                  const struct bundle_checkin *said, struct serve_dry_due *ret, struct err *e) {
    struct search search = {.engine = fleet->engine, .ret = ret};
    int64_t now_s = fleet->now_ms / 1000;
    const struct store_dry_when when = {
        .now_s = now_s, .since_s = now_s - SERVE_DRY_AGAIN_S, .most = SERVE_DRY_ASKS};
    if (fleet->engine->dry_until_s <= now_s || said->has_update || device->held ||
        device->clone_s != 0 || strcmp(said->state, "idle") != 0)
        return SERVE_DRY_NOTHING;
    if (store_dry_due(fleet->db, device->id, &when, consider, &search, e) < 0)
        return -1;
    return search.found ? 0 : SERVE_DRY_NOTHING;
}
