// SPDX-License-Identifier: Apache-2.0
//
// Classes of devices: a table from the facts that matter to a judgement.
#include "ctl/serve/plan_class.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/serve/plan_facts.h"

#define TABLE_SLOTS (4 * SERVE_PLAN_CLASS_MAX)

struct entry {
    uint64_t hash;
    size_t at, len; // of its facts, in the text of all
    struct serve_plan_class judged;
};

struct serve_plan_classes {
    struct serve_plan_class_for of;
    struct serve_plan_facts facts;
    bool too_many_facts;
    size_t n_strata;
    char *keys[BUNDLE_STRATA_MAX];
    size_t n_variants;
    struct rollout_plan_variant variants[ROLLOUT_PLAN_VARIANTS_MAX];
    const struct serve_engine_bundle *bundles[ROLLOUT_PLAN_VARIANTS_MAX];
    size_t n, capacity;
    struct entry *entries;
    uint32_t *slots; // number of an entry, and 1
    struct buf texts;
    struct buf text; // of the device at hand
    struct serve_plan_class single;
};

// ── What is known beforehand ──

static void find_variants(struct serve_plan_classes *c) {
    const struct rollout_policy *policy = c->of.policy;
    for (size_t i = 0; i < c->of.engine->n_bundles; i++) {
        const struct serve_engine_bundle *bundle = &c->of.engine->bundles[i];
        if (strcmp(bundle->row.name, policy->release_name) != 0 ||
            strcmp(bundle->row.version, policy->release_version) != 0 ||
            c->n_variants == ROLLOUT_PLAN_VARIANTS_MAX)
            continue;
        struct rollout_plan_variant *v = &c->variants[c->n_variants];
        v->bundle = bundle->id;
        v->bytes = bundle->row.size;
        (void)snprintf(v->variant, sizeof v->variant, "%s", bundle->row.variant);
        c->bundles[c->n_variants++] = bundle;
    }
}

static void find_facts(struct serve_plan_classes *c) {
    bool all = serve_plan_facts_name(&c->facts, c->of.policy->selector) &&
               serve_plan_facts_name(&c->facts, c->of.scope_text);
    if (all && c->of.policy->gates.sham)
        all = serve_plan_facts_name(&c->facts, "agent.sham");
    for (size_t i = 0; all && i < c->of.policy->n_stratify; i++)
        all = serve_plan_facts_name(&c->facts, c->of.policy->stratify[i]);
    for (size_t i = 0; all && i < c->n_variants; i++)
        all = serve_plan_facts_name(&c->facts, c->bundles[i]->row.requires);
    c->too_many_facts = !all;
}

int serve_plan_class_open(const struct serve_plan_class_for *of, struct serve_plan_classes **ret,
                          struct err *e) {
    struct serve_plan_classes *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(e, &err_memory, "counting the fleet: out of memory");
    c->of = *of;
    c->slots = calloc(TABLE_SLOTS, sizeof *c->slots);
    buf_init(&c->texts, (size_t)1 << 30);
    buf_init(&c->text, (size_t)BUNDLE_MESSAGE_MAX_BYTES * 4);
    if (c->slots == NULL) {
        serve_plan_class_close(c);
        return err_set(e, &err_memory, "counting the fleet: out of memory");
    }
    find_variants(c);
    find_facts(c);
    *ret = c;
    return 0;
}

void serve_plan_class_close(struct serve_plan_classes *c) {
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n_strata; i++)
        free(c->keys[i]);
    free(c->entries);
    free(c->slots);
    buf_clear(&c->texts);
    buf_clear(&c->text);
    free(c);
}

// ── Judging ──

static int stratum_of(struct serve_plan_classes *c, const char *key, size_t *ret, struct err *e) {
    for (size_t i = 0; i < c->n_strata; i++)
        if (strcmp(c->keys[i], key) == 0) {
            *ret = i;
            return 0;
        }
    if (c->n_strata == BUNDLE_STRATA_MAX)
        return err_set(e, &err_config,
                       "stratify: the fleet has more than %d combinations of these facts; choose "
                       "facts with fewer values",
                       BUNDLE_STRATA_MAX);
    c->keys[c->n_strata] = strdup(key);
    if (c->keys[c->n_strata] == NULL)
        return err_set(e, &err_memory, "counting the fleet: out of memory");
    *ret = c->n_strata++;
    return 0;
}

static int judge_facts(struct serve_plan_classes *c, const struct bundle_facts *facts,
                       struct serve_plan_class *ret, struct err *e) {
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    OWN(buf) struct buf key;
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    *ret = (struct serve_plan_class){.variant = c->n_variants};
    ret->shams = json_is_true(bundle_facts_find(facts, "agent.sham"));
    ret->in_scope = c->of.scope == NULL || bundle_predicate_holds(c->of.scope, facts, reason);
    if (!ret->in_scope || !bundle_predicate_holds(c->of.selector, facts, reason))
        return 0;
    if (bundle_stratum_key(c->of.policy->stratify, c->of.policy->n_stratify, facts, &key, e) < 0 ||
        stratum_of(c, buf_text(&key), &ret->stratum, e) < 0)
        return -1;
    ret->selected = true;
    for (size_t i = 0; i < c->n_variants && ret->variant == c->n_variants; i++)
        if (bundle_predicate_holds(c->bundles[i]->requires, facts, ret->reason))
            ret->variant = i;
    return 0;
}

static int read_json(struct slice text, json_t **ret, struct err *e) {
    *ret = text.len == 0 ? NULL : json_loadb((const char *)text.data, text.len, 0, NULL);
    return text.len > 0 && *ret == NULL
               ? err_set(e, &err_bad_store, "counting the fleet: a device's facts are damaged")
               : 0;
}

static int judge(struct serve_plan_classes *c, const struct store_census_row *row,
                 struct serve_plan_class *ret, struct err *e) {
    struct store_device device = {.facts = NULL};
    struct bundle_facts *facts = NULL;
    int done = read_json(row->facts, &device.facts, e);
    if (done == 0)
        done = read_json(row->labels, &device.labels, e);
    if (done == 0)
        done = serve_engine_facts(&device, &facts, e);
    if (done == 0)
        done = judge_facts(c, facts, ret, e);
    bundle_facts_free(facts);
    store_device_clear(&device);
    return done;
}

// ── The table ──

static uint64_t hash_of(struct slice text) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ text.data[i]) * 0x100000001b3ULL;
    return hash ^ hash >> 29;
}

// The slot of these facts, or the empty one where they would be.
static uint32_t *slot_of(const struct serve_plan_classes *c, uint64_t hash, struct slice text) {
    size_t at = (size_t)(hash % TABLE_SLOTS);
    for (;; at = (at + 1) % TABLE_SLOTS) {
        uint32_t *slot = &c->slots[at];
        if (*slot == 0)
            return slot;
        const struct entry *entry = &c->entries[*slot - 1];
        if (entry->hash == hash && entry->len == text.len &&
            (text.len == 0 || memcmp(c->texts.data + entry->at, text.data, text.len) == 0))
            return slot;
    }
}

static int add(struct serve_plan_classes *c, uint64_t hash, struct slice text,
               const struct serve_plan_class *judged, uint32_t *slot, struct err *e) {
    if (c->n == c->capacity) {
        size_t capacity = c->capacity == 0 ? 256 : 2 * c->capacity;
        void *grown = reallocarray(c->entries, capacity, sizeof *c->entries);
        if (grown == NULL)
            return err_set(e, &err_memory, "counting the fleet: out of memory");
        c->entries = grown;
        c->capacity = capacity;
    }
    struct entry *entry = &c->entries[c->n];
    *entry = (struct entry){.hash = hash, .at = c->texts.len, .len = text.len, .judged = *judged};
    if (buf_add(&c->texts, text.data, text.len, e) < 0)
        return -1;
    *slot = (uint32_t)++c->n;
    return 0;
}

int serve_plan_class_find(struct serve_plan_classes *c, const struct store_census_row *row,
                          const struct serve_plan_class **ret, struct err *e) {
    buf_consume(&c->text, c->text.len);
    *ret = &c->single;
    if (c->too_many_facts)
        return judge(c, row, &c->single, e);
    if (serve_plan_facts_project(&c->facts, row, &c->text, e) < 0)
        return -1;
    struct slice text = buf_slice(&c->text);
    uint64_t hash = hash_of(text);
    uint32_t *slot = slot_of(c, hash, text);
    if (*slot == 0) {
        if (judge(c, row, &c->single, e) < 0)
            return -1;
        if (c->n == SERVE_PLAN_CLASS_MAX)
            return 0;
        if (add(c, hash, text, &c->single, slot, e) < 0)
            return -1;
    }
    *ret = &c->entries[*slot - 1].judged;
    return 0;
}

size_t serve_plan_class_strata(const struct serve_plan_classes *c, const char *const **ret_keys) {
    *ret_keys = (const char *const *)c->keys;
    return c->n_strata;
}

size_t serve_plan_class_variants(const struct serve_plan_classes *c,
                                 const struct rollout_plan_variant **ret) {
    *ret = c->variants;
    return c->n_variants;
}

bool serve_plan_class_runs(const struct serve_plan_classes *c, size_t variant,
                           const struct store_census_row *row) {
    const struct serve_engine_bundle *bundle = c->bundles[variant];
    if (row->said.len == 0 ||
        memmem(row->said.data, row->said.len, bundle->row.id, strlen(bundle->row.id)) == NULL)
        return false;
    // It is named there, perhaps as what is being fetched: looked at closely.
    OWN(json) json_t *said = json_loadb((const char *)row->said.data, row->said.len, 0, NULL);
    return serve_engine_runs(bundle, json_object_get(said, "components"));
}
