// SPDX-License-Identifier: Apache-2.0
//
// Counting bases, and choosing among them.
#include "ctl/rollout/bases.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct keys_digest none;

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "counting what the fleet runs: out of memory");
}

static int compare(const struct keys_digest *a, const struct keys_digest *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static int compare_pair(const struct rollout_bases_pair *pair, const struct keys_digest *bundle,
                        const struct keys_digest *base) {
    int order = compare(&pair->bundle, bundle);
    return order != 0 ? order : compare(&pair->base, base);
}

// ── Counting ─────────────────────────────────────────────────────────────────────────────────────

// Where the pair is, or belongs.
static size_t place_of(const struct rollout_bases *bases, const struct keys_digest *bundle,
                       const struct keys_digest *base) {
    size_t low = 0, high = bases->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_pair(&bases->pairs[middle], bundle, base) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int make_room(struct rollout_bases *bases, struct err *e) {
    if (bases->n < bases->capacity)
        return 0;
    size_t capacity = bases->capacity == 0 ? 16 : 2 * bases->capacity;
    void *grown = reallocarray(bases->pairs, capacity, sizeof *bases->pairs);
    if (grown == NULL)
        return no_memory(e);
    bases->pairs = grown;
    bases->capacity = capacity;
    return 0;
}

int rollout_bases_count(struct rollout_bases *bases, const struct keys_digest *bundle,
                        const struct keys_digest *base, struct err *e) {
    if (base == NULL)
        base = &none;
    size_t at = place_of(bases, bundle, base);
    bool there = at < bases->n && compare_pair(&bases->pairs[at], bundle, base) == 0;
    if (!there && compare(base, &none) != 0 && bases->n >= ROLLOUT_BASES_PAIRS_MAX)
        return rollout_bases_count(bases, bundle, NULL, e);
    if (!there) {
        if (make_room(bases, e) < 0)
            return -1;
        memmove(&bases->pairs[at + 1], &bases->pairs[at], (bases->n - at) * sizeof *bases->pairs);
        bases->pairs[at] = (struct rollout_bases_pair){.bundle = *bundle, .base = *base};
        bases->n++;
    }
    bases->pairs[at].devices++;
    return 0;
}

void rollout_bases_clear(struct rollout_bases *bases) {
    free(bases->pairs);
    *bases = (struct rollout_bases){.n = 0};
}

// ── Choosing ─────────────────────────────────────────────────────────────────────────────────────

static int most_devices_first(const void *left, const void *right) {
    const struct rollout_bases_choice *a = left, *b = right;
    if (a->pair.devices != b->pair.devices)
        return a->pair.devices > b->pair.devices ? -1 : 1;
    return compare_pair(&a->pair, &b->pair.bundle, &b->pair.base);
}

static void sort(struct rollout_bases_choice *choices, size_t n) {
    if (n > 0)
        qsort(choices, n, sizeof *choices, most_devices_first);
}

// Keeps the first of the n candidates for one bundle, which is for `devices`, of which `reached`
// need no delta. Returns how many.
static size_t keep(const struct rollout_bases_how *how, uint64_t devices, uint64_t reached,
                   struct rollout_bases_choice *candidates, size_t n) {
    size_t kept = 0;
    sort(candidates, n);
    while (kept < n && kept < how->most && reached * 100 < devices * how->share_pc)
        reached += candidates[kept++].pair.devices;
    return kept;
}

// The pairs of one bundle, from `first` on, into the plan. Returns where those of the next begin.
static size_t add_bundle(const struct rollout_bases *bases, size_t first,
                         const struct rollout_bases_how *how, struct rollout_bases_plan *plan) {
    const struct keys_digest *bundle = &bases->pairs[first].bundle;
    struct rollout_bases_choice *candidates = plan->choices + plan->n;
    size_t n = 0, at = first;
    uint64_t devices = 0, had = 0;
    for (; at < bases->n && compare(&bases->pairs[at].bundle, bundle) == 0; at++) {
        const struct rollout_bases_pair *pair = &bases->pairs[at];
        devices += pair->devices;
        bool has_it = compare(&pair->base, bundle) == 0;
        had += has_it ? pair->devices : 0;
        if (has_it || compare(&pair->base, &none) == 0)
            continue;
        candidates[n] = (struct rollout_bases_choice){
            .pair = *pair, .state = how->state(how->context, &pair->bundle, &pair->base)};
        plan->based += pair->devices;
        if (candidates[n++].state == ROLLOUT_BASES_THERE)
            plan->reached += pair->devices;
    }
    plan->devices += devices;
    plan->had += had;
    plan->n += keep(how, devices, had, candidates, n);
    return at;
}

int rollout_bases_choose(const struct rollout_bases *bases, const struct rollout_bases_how *how,
                         struct rollout_bases_plan *ret, struct err *e) {
    assert(how->most <= ROLLOUT_BASES_MAX && how->share_pc <= 100);
    struct rollout_bases_plan plan = {.n = 0};
    plan.choices = calloc(bases->n == 0 ? 1 : bases->n, sizeof *plan.choices);
    if (plan.choices == NULL)
        return no_memory(e);
    for (size_t at = 0; at < bases->n;)
        at = add_bundle(bases, at, how, &plan);
    sort(plan.choices, plan.n);
    *ret = plan;
    return 0;
}

void rollout_bases_drop(struct rollout_bases_plan *plan) {
    free(plan->choices);
    *plan = (struct rollout_bases_plan){.n = 0};
}
