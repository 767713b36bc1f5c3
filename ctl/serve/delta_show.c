// SPDX-License-Identifier: Apache-2.0
//
// JSON of a rollout's deltas.
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "ctl/serve/delta_parts.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/show.h"

struct list {
    const struct serve_deltas *deltas;
    const struct store_bundle *bundle; // to which the deltas lead
    json_t *rows;
};

// The row of a pair; a new one at the end when there is none. NULL without memory.
static json_t *row_of(const struct list *l, const char *bundle, const char *base) {
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach (l->rows, i, row)
        if (strcmp(json_string_value(json_object_get(row, "bundle")), bundle) == 0 &&
            strcmp(json_string_value(json_object_get(row, "base")), base) == 0)
            return row;
    struct keys_digest id;
    struct err ignored = ERR_NONE;
    const struct serve_engine_bundle *from =
        keys_digest_parse(base, "a bundle's id", &id, &ignored) < 0
            ? NULL
            : serve_engine_bundle(l->deltas->server->engine, &id);
    row = json_pack(
        "{s:s, s:s, s:o, s:s, s:n, s:n, s:n, s:n}", "bundle", bundle, "base", base, "from",
        from == NULL ? json_null() : serve_show_release(from->row.name, from->row.version), "state",
        "", "devices", "size", "by", "why");
    return json_array_append_new(l->rows, row) < 0 ? NULL : row;
}

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "showing deltas: out of memory");
}

static const char *state_of(const json_t *row) {
    return json_string_value(json_object_get(row, "state"));
}

static bool set(json_t *row, const char *member, json_t *value) {
    return json_object_set_new(row, member, value) == 0;
}

// ── What there is ────────────────────────────────────────────────────────────────────────────────

// The newest counts, but one that is offered before one that is not.
static int add_stored(void *context, const struct store_delta *d, struct err *e) {
    const struct list *l = context;
    bool named = serve_repository_names_delta(l->deltas->server, l->bundle, d);
    json_t *row = row_of(l, d->bundle, d->base);
    if (row == NULL)
        return no_memory(e);
    if (state_of(row)[0] != '\0' && !named)
        return 0;
    return set(row, "state", json_string(named ? "offered" : "stored")) &&
                   set(row, "size", json_integer((json_int_t)d->size)) &&
                   set(row, "by", json_string(d->actor))
               ? 0
               : no_memory(e);
}

static int add_attempt(void *context, const struct store_making *m, struct err *e) {
    const struct list *l = context;
    if (*m->head != '\0')
        return 0;
    json_t *row = row_of(l, m->bundle, m->base);
    if (row == NULL)
        return no_memory(e);
    if (state_of(row)[0] != '\0')
        return 0;
    bool no_gain = strcmp(m->code, err_no_gain.name) == 0;
    return set(row, "state", json_string(no_gain ? "no_gain" : "failed")) &&
                   set(row, "why", serve_show_why(m->code, m->text))
               ? 0
               : no_memory(e);
}

// What was chosen, and what is being made.
static int add_choice(const struct list *l, const struct rollout_bases_choice *c, struct err *e) {
    char bundle[KEYS_DIGEST_HEX], base[KEYS_DIGEST_HEX];
    json_t *row =
        row_of(l, keys_digest_hex(&c->pair.bundle, bundle), keys_digest_hex(&c->pair.base, base));
    if (row == NULL || !set(row, "devices", json_integer((json_int_t)c->pair.devices)))
        return no_memory(e);
    const struct serve_delta_pair *now = &l->deltas->made;
    bool making = strcmp(now->bundle, bundle) == 0 && strcmp(now->base, base) == 0;
    bool waits = c->state == ROLLOUT_BASES_WANTED || state_of(row)[0] == '\0';
    if (!making && !waits)
        return 0;
    return set(row, "state", json_string(making ? "making" : "waiting")) ? 0 : no_memory(e);
}

static int list(const struct serve_deltas *d, struct store_db *db,
                const struct serve_engine_rollout *r, const struct serve_delta_count *count,
                json_t *rows, struct err *e) {
    const struct serve_engine *engine = d->server->engine;
    const struct rollout_policy *policy = &r->row.policy;
    struct list l = {.deltas = d, .rows = rows};
    for (size_t i = 0; i < engine->n_bundles; i++) {
        l.bundle = &engine->bundles[i].row;
        if (strcmp(l.bundle->name, policy->release_name) == 0 &&
            strcmp(l.bundle->version, policy->release_version) == 0 &&
            (store_delta_list(db, l.bundle->id, add_stored, &l, e) < 0 ||
             store_making_list(db, l.bundle->id, add_attempt, &l, e) < 0))
            return -1;
    }
    for (size_t i = 0; count != NULL && i < count->plan.n; i++)
        if (add_choice(&l, &count->plan.choices[i], e) < 0)
            return -1;
    return 0;
}

// ── The whole ────────────────────────────────────────────────────────────────────────────────────

// Why none are made; null when they are.
static json_t *show_why(const struct serve_deltas *d) {
    if (d->server->options->deltas_off)
        return serve_show_why("off", "the controller was started with --deltas off");
    return d->role.why.code[0] == '\0' ? json_null()
                                       : serve_show_why(d->role.why.code, d->role.why.text);
}

int serve_delta_show(const struct serve_deltas *d, struct store_db *db,
                     const struct serve_engine_rollout *r, json_t **ret, struct err *e) {
    const struct serve_delta_count *count = serve_delta_count_find(d, r->row.policy.name);
    const struct rollout_bases_plan none = {.n = 0};
    const struct rollout_bases_plan *plan = count == NULL ? &none : &count->plan;
    OWN(json) json_t *rows = json_array();
    if (rows == NULL || list(d, db, r, count, rows, e) < 0)
        return rows == NULL ? no_memory(e) : -1;
    json_t *made =
        json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:O}", "why", show_why(d), "counted",
                  serve_show_time(count == NULL ? 0 : d->counted_s), "devices",
                  (json_int_t)plan->devices, "had", (json_int_t)plan->had, "based",
                  (json_int_t)plan->based, "reached", (json_int_t)plan->reached, "list", rows);
    if (made == NULL)
        return no_memory(e);
    *ret = made;
    return 0;
}
