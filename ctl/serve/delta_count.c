// SPDX-License-Identifier: Apache-2.0
//
// What the devices of running rollouts run: one pass over the fleet for all of them, in slices.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/serve/delta_base.h"
#include "ctl/serve/delta_parts.h"

void serve_delta_count_clear(struct serve_delta_counts *counts) {
    for (size_t i = 0; i < counts->n; i++) {
        rollout_bases_clear(&counts->of[i].bases);
        rollout_bases_drop(&counts->of[i].plan);
    }
    free(counts->of);
    *counts = (struct serve_delta_counts){.n = 0};
}

const struct serve_delta_count *serve_delta_count_find(const struct serve_deltas *d,
                                                       const char *rollout) {
    for (size_t i = 0; i < d->last.n; i++)
        if (strcmp(d->last.of[i].rollout, rollout) == 0)
            return &d->last.of[i];
    return NULL;
}

// ── When ─────────────────────────────────────────────────────────────────────────────────────────

static bool counts_now(const struct serve_engine_rollout *r) {
    return r->row.progress.state == ROLLOUT_STATE_RUNNING;
}

static uint64_t mix(uint64_t sum, uint64_t value) {
    return (sum ^ value) * 0x100000001B3ULL;
}

// Changes with the running rollouts, their stages and attempts, and with what is published. 0: no
// rollout is running.
static uint64_t what_for(const struct serve_engine *engine) {
    uint64_t sum = 0;
    for (size_t i = 0; i < engine->n_rollouts; i++) {
        const struct serve_engine_rollout *r = engine->rollouts[i];
        if (!counts_now(r))
            continue;
        sum = mix(mix(mix(sum, i + 1), r->row.progress.stage), r->row.progress.attempt);
        sum = mix(sum, engine->n_bundles) | 1;
    }
    return sum;
}

static bool is_due(const struct serve_deltas *d, uint64_t now_for, int64_t boot_ms) {
    int64_t past_ms = boot_ms - d->counted_ms;
    if (d->counted_s == 0)
        return true;
    return past_ms >= SERVE_DELTA_COUNT_S * 1000LL ||
           (now_for != d->counted_for && past_ms >= SERVE_DELTA_COUNT_PAUSE_S * 1000LL);
}

// ── Counting ─────────────────────────────────────────────────────────────────────────────────────

struct slice_state {
    struct serve_deltas *deltas;
    const struct serve_engine *engine;
    size_t n;
};

static bool selects(const struct serve_engine_rollout *r, const struct bundle_facts *facts) {
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    return bundle_predicate_holds(r->selector, facts, reason) &&
           bundle_predicate_holds(r->scope, facts, reason);
}

static int count_for(const struct serve_engine *engine, const struct serve_engine_rollout *r,
                     const struct bundle_facts *facts, const json_t *components,
                     struct rollout_bases *bases, struct err *e) {
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    struct rollout_fit fit;
    if (!selects(r, facts))
        return 0;
    serve_engine_fit(engine, r->row.policy.release_name, r->row.policy.release_version, facts,
                     components, reason, &fit);
    if (!fit.fits)
        return 0;
    const struct serve_engine_bundle *to = serve_engine_bundle(engine, &fit.bundle);
    const struct serve_engine_bundle *base =
        fit.runs ? to : serve_delta_base(engine, to, components);
    return rollout_bases_count(bases, &to->id, base == NULL ? NULL : &base->id, e);
}

static int count_facts(const struct slice_state *s, const struct bundle_facts *facts,
                       const json_t *components, struct err *e) {
    struct serve_delta_counts *walk = &s->deltas->walk;
    for (size_t i = 0; i < walk->n; i++) {
        // One that ended meanwhile is not counted any more.
        const struct serve_engine_rollout *r =
            serve_engine_find((struct serve_engine *)(uintptr_t)s->engine, walk->of[i].rollout);
        if (r != NULL && counts_now(r) &&
            count_for(s->engine, r, facts, components, &walk->of[i].bases, e) < 0)
            return -1;
    }
    return 0;
}

static int visit(void *context, const struct store_device *device, struct err *e) {
    struct slice_state *s = context;
    struct bundle_facts *facts = NULL;
    (void)snprintf(s->deltas->after, sizeof s->deltas->after, "%s", device->id);
    s->n++;
    if (device->state == STORE_DEVICE_ACCEPTED) {
        if (serve_engine_facts(device, &facts, e) < 0)
            return -1;
        int done = count_facts(s, facts, json_object_get(device->said, "components"), e);
        bundle_facts_free(facts);
        if (done < 0)
            return -1;
    }
    return s->n >= SERVE_DELTA_SLICE;
}

static int begin(struct serve_deltas *d, const struct serve_engine *engine, struct err *e) {
    struct serve_delta_counts *walk = &d->walk;
    serve_delta_count_clear(walk);
    walk->of = calloc(engine->n_rollouts + 1, sizeof *walk->of);
    if (walk->of == NULL)
        return err_set(e, &err_memory, "counting what the fleet runs: out of memory");
    for (size_t i = 0; i < engine->n_rollouts; i++)
        if (counts_now(engine->rollouts[i])) {
            struct serve_delta_count *one = &walk->of[walk->n++];
            (void)snprintf(one->rollout, sizeof one->rollout, "%s",
                           engine->rollouts[i]->row.policy.name);
        }
    d->after[0] = '\0';
    d->walking = true;
    return 0;
}

static void finish(struct serve_deltas *d) {
    serve_delta_count_clear(&d->last);
    d->last = d->walk;
    d->walk = (struct serve_delta_counts){.n = 0};
    d->walking = false;
    d->stale = true;
}

int serve_delta_count_step(struct serve_deltas *d, struct store_db *db, int64_t now_ms,
                           struct err *e) {
    const struct serve_engine *engine = d->server->engine;
    int64_t boot_ms = chrono_boot_ms(d->server->clock);
    struct slice_state slice = {.deltas = d, .engine = engine};
    uint64_t now_for = what_for(engine);
    if (!d->walking) {
        if (now_for == 0 || !is_due(d, now_for, boot_ms))
            return 0;
        d->counted_s = now_ms / 1000;
        d->counted_ms = boot_ms;
        d->counted_for = now_for;
        if (begin(d, engine, e) < 0)
            return -1;
    }
    if (store_device_list(db, d->after, visit, &slice, e) < 0) {
        d->walking = false; // from the start, when it is due
        return -1;
    }
    if (slice.n >= SERVE_DELTA_SLICE)
        return SERVE_DELTA_COUNTING;
    finish(d);
    return 0;
}
