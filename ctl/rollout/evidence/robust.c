// SPDX-License-Identifier: Apache-2.0
//
// Fragility, concentration, drift.
#include "ctl/rollout/evidence/robust.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/evidence/install.h"

#define HALF_PPM (EVIDENCE_PPM / 2)

static int check(const struct evidence_case *of, struct err *e) {
    assert(of->n_terms > 0);
    if (of->n_units > EVIDENCE_ROBUST_UNITS_MAX || of->n_clusters > EVIDENCE_ROBUST_CLUSTERS_MAX)
        return err_set(e, &err_limit,
                       "judging what a verdict rests on: %zu devices in %zu clusters; "
                       "at most %d in %d",
                       of->n_units, of->n_clusters, EVIDENCE_ROBUST_UNITS_MAX,
                       EVIDENCE_ROBUST_CLUSTERS_MAX);
    return 0;
}

static int out_of_memory(struct err *e) {
    return err_set(e, &err_memory, "judging what a verdict rests on: out of memory");
}

// ── Fragility ──

static int falling(const void *left, const void *right) {
    const int64_t *a = left, *b = right;
    return (*a < *b) - (*a > *b);
}

// columns[term][m]: the sum of the m largest that are taken from the term, m = 0 … n_units.
static void sum_largest(const struct evidence_case *of, int64_t *columns) {
    for (size_t term = 0; term < of->n_terms; term++) {
        int64_t *column = columns + term * (of->n_units + 1);
        column[0] = 0;
        for (size_t unit = 0; unit < of->n_units; unit++)
            column[unit + 1] = of->taken[unit * of->n_terms + term];
        qsort(column + 1, of->n_units, sizeof *column, falling);
        for (size_t unit = 1; unit <= of->n_units; unit++) {
            int64_t taken = column[unit] > 0 ? column[unit] : 0, sum = column[unit - 1] + taken;
            column[unit] = sum > EVIDENCE_LOG_MAX ? EVIDENCE_LOG_MAX : sum;
        }
    }
}

static bool stands(const struct evidence_case *of, const int64_t *columns, size_t m,
                   int64_t *work) {
    for (size_t term = 0; term < of->n_terms; term++)
        work[term] = evidence_num_product(of->terms[term], -columns[term * (of->n_units + 1) + m]);
    return evidence_num_sum(work, of->n_terms) >= of->level;
}

int evidence_robust_fragility(const struct evidence_case *of, size_t *ret, struct err *e) {
    if (check(of, e) < 0)
        return -1;
    OWN(mem) int64_t *columns = calloc(of->n_terms * (of->n_units + 1), sizeof *columns);
    OWN(mem) int64_t *work = calloc(of->n_terms, sizeof *work);
    if (columns == NULL || work == NULL)
        return out_of_memory(e);
    sum_largest(of, columns);
    // The least m with which it does not stand; with more it does not either.
    size_t low = 0, high = of->n_units + 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (stands(of, columns, middle, work))
            low = middle + 1;
        else
            high = middle;
    }
    *ret = low;
    return 0;
}

uint64_t evidence_robust_install(uint64_t scored, uint64_t failed, uint32_t baseline_ppm,
                                 int64_t level) {
    uint64_t low = 0, high = failed;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct evidence_install state = {.scored = scored, .failed = failed - middle};
        if (evidence_install_worse(&state, NULL, baseline_ppm) >= level)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// ── Concentration ──

int evidence_robust_cluster(const struct evidence_case *of, struct evidence_cluster *ret,
                            struct err *e) {
    if (check(of, e) < 0)
        return -1;
    assert(of->n_clusters > 0);
    OWN(mem) int64_t *logs = calloc(of->n_clusters * of->n_terms, sizeof *logs);
    OWN(mem) size_t *units = calloc(of->n_clusters, sizeof *units);
    if (logs == NULL || units == NULL)
        return out_of_memory(e);
    for (size_t cluster = 0; cluster < of->n_clusters; cluster++)
        memcpy(logs + cluster * of->n_terms, of->terms, of->n_terms * sizeof *logs);
    for (size_t unit = 0; unit < of->n_units; unit++) {
        assert(of->clusters[unit] < of->n_clusters);
        int64_t *own = logs + of->clusters[unit] * of->n_terms;
        units[of->clusters[unit]]++;
        for (size_t term = 0; term < of->n_terms; term++)
            own[term] = evidence_num_product(own[term], -of->taken[unit * of->n_terms + term]);
    }
    struct evidence_cluster least = {.left = EVIDENCE_LOG_MAX};
    for (size_t cluster = 0; cluster < of->n_clusters; cluster++) {
        int64_t left = evidence_num_sum(logs + cluster * of->n_terms, of->n_terms);
        if (cluster == 0 || left < least.left)
            least = (struct evidence_cluster){.cluster = cluster,
                                              .units = units[cluster],
                                              .left = left,
                                              .alone = left < of->level};
    }
    *ret = least;
    return 0;
}

// ── Drift ──

int64_t evidence_robust_drift(uint64_t worse, uint64_t better, uint32_t bound_ppm) {
    struct evidence_install up = {.scored = worse + better, .failed = worse};
    struct evidence_install down = {.scored = worse + better, .failed = better};
    assert(bound_ppm < HALF_PPM);
    int64_t logs[] = {evidence_install_worse(&up, NULL, HALF_PPM + bound_ppm),
                      evidence_install_worse(&down, NULL, HALF_PPM + bound_ppm)};
    return evidence_num_product(evidence_num_sum(logs, 2), evidence_num_share(2));
}
