// SPDX-License-Identifier: Apache-2.0
//
// Guards: how many devices carry one, and whether a cluster does.
#include "ctl/rollout/verdict_guard.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/own.h"

struct sum {
    __int128 nano;
    size_t n;
};

static bool is_beyond(const struct rollout_gate_policy *gate, const struct sum *sum) {
    __int128 bound = (__int128)gate->guard.nano * (__int128)sum->n;
    return sum->n > 0 && (gate->lower_worse ? sum->nano < bound : sum->nano > bound);
}

static int rising(const void *left, const void *right) {
    const int64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

// How many of the worst have to be left out until the others are within.
static size_t rests_on(const struct rollout_gate_policy *gate, int64_t *values, struct sum sum) {
    size_t all = sum.n;
    qsort(values, all, sizeof *values, rising);
    while (is_beyond(gate, &sum)) {
        size_t out = all - sum.n;
        sum.nano -= values[gate->lower_worse ? out : all - 1 - out];
        sum.n--;
    }
    return all - sum.n;
}

// Whether it is the cluster's alone: as verdict.h says of gates.
static int ask_cluster(const struct rollout_verdict_case *of, enum rollout_cluster kind,
                       const struct sum *all, struct rollout_verdict *io, struct err *e) {
    size_t g = of->judgement->guard_gate, n = of->n_clusters[kind], against = 0;
    const struct rollout_gate_policy *gate = &of->gates->gate[g];
    OWN(mem) struct sum *own = calloc(n + 1, sizeof *own);
    OWN(mem) size_t *speak = calloc(n + 1, sizeof *speak);
    if (own == NULL || speak == NULL)
        return err_set(e, &err_memory, "judging what a guard rests on: out of memory");
    for (size_t i = 0; i < of->n_units; i++) {
        const struct rollout_unit *unit = &of->units[i];
        if (!(unit->guarded & 1U << g))
            continue;
        assert(unit->cluster[kind] < n);
        struct sum one = {unit->guard_nano[g], 1};
        own[unit->cluster[kind]].nano += one.nano;
        own[unit->cluster[kind]].n++;
        speak[unit->cluster[kind]] += is_beyond(gate, &one);
        against += is_beyond(gate, &one);
    }
    for (size_t c = 0; c < n && !io->alone; c++) {
        struct sum rest = {all->nano - own[c].nano, all->n - own[c].n};
        if (is_beyond(gate, &rest) || 2 * speak[c] <= against || 2 * own[c].n > all->n)
            continue;
        io->alone = true;
        io->kind = kind;
        io->cluster = (uint32_t)c;
        io->cluster_units = speak[c];
    }
    return 0;
}

static void say(const struct rollout_verdict_case *of, struct rollout_verdict *io) {
    char mean[NUM_DECIMAL_TEXT], bound[NUM_DECIMAL_TEXT];
    const struct rollout_gate_policy *gate = &of->gates->gate[io->gate];
    const char *unit = rollout_verdict_unit_name(of->gates), *s = io->fragility == 1 ? "" : "s";
    (void)num_format_decimal(of->judgement->guard_mean, mean);
    (void)num_format_decimal(gate->guard, bound);
    if (io->alone)
        rollout_why_set(&io->why, ROLLOUT_WHY_one_cluster,
                        "gate %s: the mean of the treated %ss is %s, beyond its guard of %s; "
                        "but not without the %ss of one %s",
                        gate->name, unit, mean, bound, unit,
                        rollout_verdict_cluster_name(io->kind));
    else if (io->fragility < of->gates->min_fragility)
        rollout_why_set(&io->why, ROLLOUT_WHY_fragile,
                        "gate %s: the mean of the treated %ss is %s, beyond its guard of %s; "
                        "but it rests on %zu %s%s, and the policy wants %" PRIu32,
                        gate->name, unit, mean, bound, io->fragility, unit, s,
                        of->gates->min_fragility);
    else
        rollout_why_set(&io->why, ROLLOUT_WHY_guard_exceeded,
                        "gate %s: the mean of the treated %ss is %s, beyond its guard of %s; "
                        "it rests on %zu %s%s",
                        gate->name, unit, mean, bound, io->fragility, unit, s);
    io->doubt = io->why.code != ROLLOUT_WHY_guard_exceeded;
}

int rollout_verdict_guard(const struct rollout_verdict_case *of, struct rollout_verdict *ret,
                          struct err *e) {
    size_t g = of->judgement->guard_gate;
    struct rollout_verdict found = {.guard = true,
                                    .gate = g,
                                    .line = EVIDENCE_LINE_METRICS,
                                    .level = of->judgement->sum.level,
                                    .drift = of->judgement->drift};
    struct sum sum = {0, 0};
    OWN(mem) int64_t *values = calloc(of->n_units + 1, sizeof *values);
    if (values == NULL)
        return err_set(e, &err_memory, "judging what a guard rests on: out of memory");
    for (size_t i = 0; i < of->n_units; i++)
        if (of->units[i].guarded & 1U << g) {
            values[sum.n++] = of->units[i].guard_nano[g];
            sum.nano += of->units[i].guard_nano[g];
        }
    found.fragility = rests_on(&of->gates->gate[g], values, sum);
    for (unsigned kind = 0; kind < ROLLOUT_CLUSTERS && !found.alone; kind++)
        if (of->n_clusters[kind] > 0 && sum.n > 0 &&
            ask_cluster(of, (enum rollout_cluster)kind, &sum, &found, e) < 0)
            return -1;
    say(of, &found);
    *ret = found;
    return 0;
}
