// SPDX-License-Identifier: Apache-2.0
//
// What a stop rests on, from the rows of the treated devices; and the record of it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/serve/evidence_parts.h"
#include "ctl/store/verdict.h"

#define WEEK_S (7 * 86400)

// Names of clusters, numbered as they come: an open hash, since each may be a device's own.
struct names {
    size_t n, capacity; // a power of two, more than n
    struct name {
        char *text; // NULL: free
        uint32_t number;
    } * slots;
};

struct gathering {
    const struct serve_engine_rollout *rollout;
    struct rollout_unit *units;
    size_t n, capacity;
    struct names names[ROLLOUT_CLUSTERS];
};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "judging a rollout: out of memory");
}

static void clear(struct gathering *g) {
    for (size_t kind = 0; kind < ROLLOUT_CLUSTERS; kind++) {
        for (size_t i = 0; i < g->names[kind].capacity; i++)
            free(g->names[kind].slots[i].text);
        free(g->names[kind].slots);
    }
    free(g->units);
}

static uint64_t hash(const char *text) {
    uint64_t sum = 0xCBF29CE484222325ULL;
    for (; *text != '\0'; text++)
        sum = (sum ^ (unsigned char)*text) * 0x100000001B3ULL;
    return sum;
}

static struct name *find(struct names *names, const char *text) {
    size_t at = hash(text) & (names->capacity - 1);
    while (names->slots[at].text != NULL && strcmp(names->slots[at].text, text) != 0)
        at = (at + 1) & (names->capacity - 1);
    return &names->slots[at];
}

static int grow(struct names *names, struct err *e) {
    struct names larger = {.capacity = names->capacity == 0 ? 64 : 2 * names->capacity};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return no_memory(e);
    for (size_t i = 0; i < names->capacity; i++)
        if (names->slots[i].text != NULL)
            *find(&larger, names->slots[i].text) = names->slots[i];
    larger.n = names->n;
    free(names->slots);
    *names = larger;
    return 0;
}

static int number_of(struct names *names, const char *text, uint32_t *ret, struct err *e) {
    if (2 * (names->n + 1) > names->capacity && grow(names, e) < 0)
        return -1;
    struct name *name = find(names, text);
    if (name->text == NULL) {
        name->text = strdup(text);
        if (name->text == NULL)
            return no_memory(e);
        name->number = (uint32_t)names->n++;
    }
    *ret = name->number;
    return 0;
}

static int take(void *context, const struct rollout_score_device *row,
                const struct store_cohort_origin *origin, struct err *e) {
    struct gathering *g = context;
    const struct serve_engine_rollout *r = g->rollout;
    struct rollout_unit unit;
    char week[24];
    if (!rollout_verdict_unit(r->score, &r->row.policy.gates, row, &unit))
        return 0;
    (void)snprintf(week, sizeof week, "%lld", (long long)(origin->enrolled_s / WEEK_S));
    const char *const of[ROLLOUT_CLUSTERS] = {[ROLLOUT_CLUSTER_SITE] = origin->site,
                                              [ROLLOUT_CLUSTER_TOKEN] = origin->token,
                                              [ROLLOUT_CLUSTER_AGE] = week};
    for (size_t kind = 0; kind < ROLLOUT_CLUSTERS; kind++)
        if (number_of(&g->names[kind], of[kind], &unit.cluster[kind], e) < 0)
            return -1;
    if (g->n == g->capacity) {
        size_t capacity = g->capacity == 0 ? 64 : 2 * g->capacity;
        void *grown = reallocarray(g->units, capacity, sizeof *g->units);
        if (grown == NULL)
            return no_memory(e);
        g->units = grown;
        g->capacity = capacity;
    }
    g->units[g->n++] = unit;
    return 0;
}

static const char *name_of(const struct names *names, uint32_t number) {
    for (size_t i = 0; i < names->capacity; i++)
        if (names->slots[i].text != NULL && names->slots[i].number == number)
            return names->slots[i].text;
    return "";
}

// People look for the cluster's name; an age is the day on which its week began.
static void name_cluster(const struct gathering *g, struct serve_engine_rollout *r) {
    const struct rollout_verdict *v = &r->verdict;
    char text[CHRONO_TEXT_BYTES];
    r->cluster[0] = '\0';
    if (!v->alone)
        return;
    const char *name = name_of(&g->names[v->kind], v->cluster);
    if (v->kind == ROLLOUT_CLUSTER_AGE)
        name = chrono_format((int64_t)strtoll(name, NULL, 10) * WEEK_S, text);
    (void)snprintf(r->cluster, sizeof r->cluster, "%s", name);
}

static int find_verdict(struct gathering *g, struct serve_engine_rollout *r,
                        struct rollout_verdict *ret, struct err *e) {
    struct rollout_verdict_case of = {.gates = &r->row.policy.gates,
                                      .score = r->score,
                                      .judgement = &r->judged,
                                      .alpha_ppm = r->row.progress.spend.alpha_ppm,
                                      .units = g->units,
                                      .n_units = g->n};
    for (size_t kind = 0; kind < ROLLOUT_CLUSTERS; kind++)
        of.n_clusters[kind] = g->names[kind].n;
    return rollout_verdict_find(&of, ret, e);
}

int serve_evidence_verdict(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                           struct rollout_verdict *ret, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct gathering g = {.rollout = r};
    int done = store_cohort_treated(&of, r->score->first_number, take, &g, e);
    if (done == 0)
        done = find_verdict(&g, r, ret, e);
    if (done == 0)
        name_cluster(&g, r);
    clear(&g);
    return done;
}

// ── The record ──

static json_t *show(const struct serve_engine_rollout *r) {
    const struct rollout_verdict *v = &r->verdict;
    const struct rollout_gate_policy *gate = &r->row.policy.gates.gate[v->gate];
    char odds[ROLLOUT_VERDICT_ODDS_BYTES], needed[ROLLOUT_VERDICT_ODDS_BYTES];
    char drift[ROLLOUT_VERDICT_ODDS_BYTES];
    json_t *cluster = json_null();
    if (v->alone)
        cluster = json_pack("{s:s, s:s, s:I}", "kind", rollout_verdict_cluster_name(v->kind),
                            "name", r->cluster, "devices", (json_int_t)v->cluster_units);
    return json_pack("{s:{s:s, s:s}, s:b, s:s, s:s, s:s, s:s, s:I, s:o}", "why", "code",
                     rollout_why_name(v->why.code), "text", v->why.text, "doubt", (int)v->doubt,
                     "gate", gate->name, "evidence",
                     v->guard ? "" : rollout_verdict_odds(v->log, odds), "needed",
                     v->guard ? "" : rollout_verdict_odds(v->level, needed), "drift",
                     rollout_verdict_odds(v->drift, drift), "fragility", (json_int_t)v->fragility,
                     "cluster", cluster);
}

int serve_evidence_archive(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                           const struct rollout_progress *before, struct err *e) {
    const struct rollout_progress *p = &r->row.progress;
    bool acts = p->stopped && p->state != before->state && !r->verdict.doubt &&
                (p->state == ROLLOUT_STATE_REVERTING || p->state == ROLLOUT_STATE_FAILED);
    bool doubts = p->doubt && (!before->doubt || before->why.code != p->why.code);
    if (r->score == NULL || r->verdict_s == 0 || (!acts && !doubts))
        return 0;
    OWN(json) json_t *body = show(r);
    if (body == NULL)
        return err_set(e, &err_memory, "keeping a verdict: out of memory");
    return store_verdict_add(fleet->db, r->row.policy.name, r->score->run, fleet->now_ms / 1000,
                             body, e);
}
