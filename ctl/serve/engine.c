// SPDX-License-Identifier: Apache-2.0
//
// Rollouts and releases in memory.
#include "ctl/serve/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/serve/evidence.h"
#include "ctl/serve/spent.h"
#include "ctl/store/dry.h"

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "reading the store: out of memory");
}

int serve_engine_open(struct serve_engine **ret, struct err *e) {
    struct serve_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return no_memory(e);
    engine->doubted = true;
    *ret = engine;
    return 0;
}

static void free_strata(struct serve_engine_rollout *rollout) {
    for (size_t i = 0; i < rollout->n_strata; i++)
        free(rollout->strata[i].key);
    free(rollout->strata);
    free(rollout->tallies);
    rollout->strata = NULL;
    rollout->tallies = NULL;
    rollout->n_strata = 0;
}

static void free_rollout(struct serve_engine_rollout *rollout) {
    if (rollout == NULL)
        return;
    free_strata(rollout);
    free(rollout->score);
    bundle_predicate_free(rollout->selector);
    bundle_predicate_free(rollout->scope);
    free(rollout);
}

static void forget(struct serve_engine *engine) {
    for (size_t i = 0; i < engine->n_rollouts; i++)
        free_rollout(engine->rollouts[i]);
    for (size_t i = 0; i < engine->n_bundles; i++) {
        store_release_clear(&engine->bundles[i].row);
        bundle_predicate_free(engine->bundles[i].requires);
    }
    free(engine->rollouts);
    free(engine->bundles);
    engine->rollouts = NULL;
    engine->bundles = NULL;
    engine->n_rollouts = engine->n_bundles = 0;
}

void serve_engine_close(struct serve_engine *engine) {
    if (engine == NULL)
        return;
    forget(engine);
    free(engine);
}

void serve_engine_doubt(struct serve_engine *engine) {
    engine->doubted = true;
}

// Doubles at powers of two; *slot keeps its meaning when memory is out.
static void *room(void *list, size_t n, size_t each) {
    if ((n & (n - 1)) != 0)
        return list;
    return reallocarray(list, n == 0 ? 1 : 2 * n, each);
}

int serve_engine_add(struct serve_engine *engine, const struct store_rollout *row,
                     struct serve_engine_rollout **ret, struct err *e) {
    struct serve_engine_rollout *made = calloc(1, sizeof *made);
    void *list = room(engine->rollouts, engine->n_rollouts, sizeof(struct serve_engine_rollout *));
    if (list != NULL)
        engine->rollouts = list;
    if (made == NULL || list == NULL) {
        free(made);
        return no_memory(e);
    }
    made->row = *row;
    made->judged.overall = ROLLOUT_VERDICT_WAIT;
    if (row->policy.gates.n > 0) {
        made->score = calloc(1, sizeof *made->score);
        if (made->score == NULL) {
            free_rollout(made);
            return no_memory(e);
        }
    }
    if (bundle_predicate_parse(row->policy.selector, &made->selector, e) < 0 ||
        bundle_predicate_parse(row->scope, &made->scope, e) < 0) {
        free_rollout(made);
        return err_prefix(e, "rollout %s", row->policy.name);
    }
    engine->rollouts[engine->n_rollouts++] = made;
    *ret = made;
    return 0;
}

int serve_engine_set_strata(struct serve_engine_rollout *rollout, size_t n, struct err *e) {
    size_t stages = rollout->row.policy.n_stages;
    free_strata(rollout);
    rollout->strata = calloc(n == 0 ? 1 : n, sizeof *rollout->strata);
    rollout->tallies = calloc((n == 0 ? 1 : n) * stages, sizeof *rollout->tallies);
    if (rollout->strata == NULL || rollout->tallies == NULL)
        return no_memory(e);
    rollout->n_strata = n;
    return 0;
}

// One stratum more at the end; the tallies move apart.
static int grow(struct serve_engine_rollout *rollout, const char *key,
                const struct rollout_stratum_plan *plan, struct err *e) {
    size_t n = rollout->n_strata, stages = rollout->row.policy.n_stages;
    struct rollout_tally *tallies = calloc((n + 1) * stages, sizeof *tallies);
    void *strata = reallocarray(rollout->strata, n + 1, sizeof *rollout->strata);
    char *copy = strdup(key);
    if (strata != NULL)
        rollout->strata = strata;
    if (tallies == NULL || strata == NULL || copy == NULL) {
        free(tallies);
        free(copy);
        return no_memory(e);
    }
    for (size_t s = 0; s < stages && n > 0; s++)
        memcpy(&tallies[s * (n + 1)], &rollout->tallies[s * n], n * sizeof *tallies);
    for (size_t s = 0; s < stages; s++)
        tallies[s * (n + 1) + n].planned = plan->planned[s];
    free(rollout->tallies);
    rollout->tallies = tallies;
    rollout->strata[n] = (struct serve_engine_stratum){.key = copy, .plan = *plan};
    rollout->n_strata++;
    return 0;
}

// Where devices judge, those that differ in labels alone have the same bounds, whoever comes.
static int plan_for(const struct serve_engine_rollout *rollout, const char *key,
                    struct rollout_stratum_plan *ret, struct err *e) {
    const struct rollout_policy *policy = &rollout->row.policy;
    bool judged = rollout->row.progress.not_before_s[0] != 0 && rollout_policy_by_label(policy);
    OWN(mem) char *known = judged ? rollout_strata_known(key) : NULL;
    rollout_strata_newcomer(policy, rollout->row.members, ret);
    for (size_t i = 0; judged && i < rollout->n_strata; i++) {
        OWN(mem) char *other = rollout_strata_known(rollout->strata[i].key);
        if (known == NULL || other == NULL)
            return no_memory(e);
        if (strcmp(known, other) != 0)
            continue;
        memcpy(ret->bound, rollout->strata[i].plan.bound, sizeof ret->bound);
        break;
    }
    return 0;
}

int serve_engine_stratum(struct store_db *db, struct serve_engine_rollout *rollout, const char *key,
                         size_t *ret, struct err *e) {
    struct rollout_stratum_plan plan;
    for (size_t i = 0; i < rollout->n_strata; i++)
        if (strcmp(rollout->strata[i].key, key) == 0) {
            *ret = i;
            return 0;
        }
    if (rollout->n_strata >= BUNDLE_STRATA_MAX) {
        *ret = rollout->n_strata - 1;
        return 0;
    }
    if (plan_for(rollout, key, &plan, e) < 0)
        return -1;
    if (store_rollout_put_stratum(db, rollout->row.policy.name, rollout->n_strata, key, &plan, e) <
            0 ||
        grow(rollout, key, &plan, e) < 0)
        return -1;
    *ret = rollout->n_strata - 1;
    return 0;
}

struct rollout_tally *serve_engine_tally(struct serve_engine_rollout *rollout, size_t stage,
                                         size_t stratum) {
    return &rollout->tallies[stage * rollout->n_strata + stratum];
}

struct rollout_tally serve_engine_sum(const struct serve_engine_rollout *rollout, size_t stage) {
    struct rollout_tally all = {0};
    size_t stages = rollout->row.policy.n_stages, n = rollout->n_strata;
    size_t first = stage == stages ? 0 : stage, last = stage == stages ? stages : stage + 1;
    for (size_t i = first * n; i < last * n; i++)
        rollout_tally_add(&all, &rollout->tallies[i]);
    return all;
}

struct serve_engine_rollout *serve_engine_find(struct serve_engine *engine, const char *name) {
    for (size_t i = 0; i < engine->n_rollouts; i++)
        if (strcmp(engine->rollouts[i]->row.policy.name, name) == 0)
            return engine->rollouts[i];
    return NULL;
}

// ── Reading the store ──

static int load_stratum(void *context, uint64_t stratum, const char *key,
                        const struct rollout_stratum_plan *plan, struct err *e) {
    struct serve_engine_rollout *rollout = context;
    if (stratum != rollout->n_strata)
        return err_set(e, &err_bad_store, "reading the store: strata of rollout %s are missing",
                       rollout->row.policy.name);
    return grow(rollout, key, plan, e);
}

static int load_tally(void *context, uint64_t stage, uint64_t stratum, enum rollout_task task,
                      uint64_t n, struct err *e) {
    struct serve_engine_rollout *rollout = context;
    if (stage >= rollout->row.policy.n_stages || stratum >= rollout->n_strata)
        return err_set(e, &err_bad_store, "reading the store: a tally of rollout %s is damaged",
                       rollout->row.policy.name);
    serve_engine_tally(rollout, stage, stratum)->now[task] = n;
    return 0;
}

static int load_rollout(void *context, const struct store_rollout *row, struct err *e) {
    struct serve_engine_rollout *ignored = NULL;
    return serve_engine_add(context, row, &ignored, e);
}

static int load_bundle(void *context, const struct store_bundle *row, struct err *e) {
    struct serve_engine *engine = context;
    struct serve_engine_bundle made = {.row = *row};
    void *list = room(engine->bundles, engine->n_bundles, sizeof *engine->bundles);
    if (list == NULL)
        return no_memory(e);
    engine->bundles = list;
    if (keys_digest_parse(row->id, "bundle id", &made.id, e) < 0 ||
        bundle_predicate_parse(row->requires, &made.requires, e) < 0)
        return -1;
    json_incref(made.row.components);
    engine->bundles[engine->n_bundles++] = made;
    return 0;
}

static int load_clock(struct serve_engine *engine, struct store_db *db, struct err *e) {
    uint8_t bytes[ROLLOUT_DOWNTIME_BYTES] = {0};
    if (store_db_get_meta(db, SERVE_ENGINE_DOWN_META, bytes, sizeof bytes, e) < 0)
        return -1;
    rollout_downtime_parse(bytes, &engine->down);
    engine->down_kept_s = engine->down.last_s;
    return 0;
}

int serve_engine_load(struct serve_engine *engine, struct store_db *db, struct err *e) {
    if (!engine->doubted)
        return 0;
    forget(engine);
    if (load_clock(engine, db, e) < 0)
        return -1;
    if (store_release_list(db, NULL, NULL, load_bundle, engine, e) < 0 ||
        store_rollout_list(db, load_rollout, engine, e) < 0 ||
        store_dry_until(db, &engine->dry_until_s, e) < 0)
        return -1;
    for (size_t i = 0; i < engine->n_rollouts; i++) {
        struct serve_engine_rollout *rollout = engine->rollouts[i];
        const char *name = rollout->row.policy.name;
        if (store_rollout_list_strata(db, name, load_stratum, rollout, e) < 0 ||
            store_rollout_list_tallies(db, name, load_tally, rollout, e) < 0 ||
            serve_spent_load(db, rollout, e) < 0 || serve_evidence_load(db, rollout, e) < 0)
            return -1;
    }
    engine->doubted = false;
    return 0;
}

// ── A device and a release ──

int serve_engine_facts(const struct store_device *device, struct bundle_facts **ret,
                       struct err *e) {
    struct err ignored = ERR_NONE;
    OWN(json) json_t *none = json_object();
    const json_t *facts = device->facts == NULL ? none : device->facts;
    if (bundle_facts_with_labels(facts, device->labels, ret, &ignored) == 0)
        return 0;
    return bundle_facts_with_labels(none, device->labels, ret, e);
}

bool serve_engine_runs(const struct serve_engine_bundle *bundle, const json_t *components) {
    const char *name = NULL;
    json_t *ignored = NULL;
    if (json_object_size(bundle->row.components) == 0)
        return false;
    json_object_foreach (bundle->row.components, name, ignored) {
        const char *from =
            json_string_value(json_object_get(json_object_get(components, name), "manifest"));
        if (from == NULL || strcmp(from, bundle->row.id) != 0)
            return false;
    }
    return true;
}

void serve_engine_fit(const struct serve_engine *engine, const char *name, const char *version,
                      const struct bundle_facts *facts, const json_t *components,
                      char reason[static BUNDLE_PREDICATE_REASON_BYTES], struct rollout_fit *ret) {
    *ret = (struct rollout_fit){.reason = reason};
    reason[0] = '\0';
    for (size_t i = 0; i < engine->n_bundles; i++) {
        const struct serve_engine_bundle *bundle = &engine->bundles[i];
        if (strcmp(bundle->row.name, name) != 0 || strcmp(bundle->row.version, version) != 0)
            continue;
        ret->published = true;
        ret->runs = ret->runs || serve_engine_runs(bundle, components);
        if (!ret->fits && bundle_predicate_holds(bundle->requires, facts, reason)) {
            ret->fits = true;
            ret->bundle = bundle->id;
        }
    }
}

const struct serve_engine_bundle *serve_engine_bundle(const struct serve_engine *engine,
                                                      const struct keys_digest *id) {
    for (size_t i = 0; i < engine->n_bundles; i++)
        if (keys_digest_equal(&engine->bundles[i].id, id))
            return &engine->bundles[i];
    return NULL;
}

int serve_engine_tell(struct serve_engine *engine, struct store_db *db, int64_t now_ms,
                      struct store_event *event, struct err *e) {
    if (store_event_add(db, event, now_ms, e) < 0)
        return -1;
    engine->news++;
    return 0;
}
