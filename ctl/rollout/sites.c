// SPDX-License-Identifier: Apache-2.0
//
// Sites by name: an open hash that doubles.
#include "ctl/rollout/sites.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"

#define FIRST_CELLS 256
#define NAMED_MAX   3 // in a refusal
#define SHOWN_BYTES 80

struct site {
    char *name; // owned; NULL: free
    uint64_t hash;
    uint32_t stratum;
    bool mixed, named;
    uint64_t devices, counted;
};

struct rollout_sites {
    size_t n, cells; // a power of two
    struct site *table;
    uint64_t alone;
};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "counting sites: out of memory");
}

int rollout_sites_open(struct rollout_sites **ret, struct err *e) {
    struct rollout_sites *made = calloc(1, sizeof *made);
    if (made == NULL)
        return no_memory(e);
    made->cells = FIRST_CELLS;
    made->table = calloc(made->cells, sizeof *made->table);
    if (made->table == NULL) {
        free(made);
        return no_memory(e);
    }
    *ret = made;
    return 0;
}

void rollout_sites_close(struct rollout_sites *sites) {
    if (sites == NULL)
        return;
    for (size_t i = 0; i < sites->cells; i++)
        free(sites->table[i].name);
    free(sites->table);
    free(sites);
}

static uint64_t hash_of(const char *name) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3ULL;
    return hash ^ hash >> 29;
}

// The cell of this name, or the free one where it would be.
static struct site *cell_of(struct site *table, size_t cells, uint64_t hash, const char *name) {
    size_t at = (size_t)hash & (cells - 1);
    while (table[at].name != NULL && (table[at].hash != hash || strcmp(table[at].name, name) != 0))
        at = (at + 1) & (cells - 1);
    return &table[at];
}

static int grow(struct rollout_sites *io, struct err *e) {
    size_t cells = 2 * io->cells;
    struct site *table = calloc(cells, sizeof *table);
    if (table == NULL)
        return no_memory(e);
    for (size_t i = 0; i < io->cells; i++)
        if (io->table[i].name != NULL)
            *cell_of(table, cells, io->table[i].hash, io->table[i].name) = io->table[i];
    free(io->table);
    io->table = table;
    io->cells = cells;
    return 0;
}

int rollout_sites_add(struct rollout_sites *io, const char *name, uint32_t stratum, bool counts,
                      struct err *e) {
    uint64_t hash = hash_of(name);
    if (io->n >= io->cells / 2 && grow(io, e) < 0)
        return -1;
    struct site *site = cell_of(io->table, io->cells, hash, name);
    if (site->name == NULL) {
        if (io->n == ROLLOUT_SITES_MAX)
            return err_set(e, &err_limit, "the fleet has more than %d sites", ROLLOUT_SITES_MAX);
        char *copy = strdup(name);
        if (copy == NULL)
            return no_memory(e);
        *site = (struct site){.name = copy, .hash = hash, .stratum = stratum};
        io->n++;
    }
    site->mixed = site->mixed || site->stratum != stratum;
    site->devices++;
    site->counted += counts;
    return 0;
}

void rollout_sites_name(struct rollout_sites *io, const char *name) {
    struct site *site = cell_of(io->table, io->cells, hash_of(name), name);
    assert(site->name != NULL);
    site->named = true;
}

void rollout_sites_add_alone(struct rollout_sites *io) {
    io->alone++;
}

struct rollout_sites_sum rollout_sites_sum(const struct rollout_sites *sites,
                                           uint64_t *io_counted) {
    struct rollout_sites_sum sum = {.sites = sites->n, .alone = sites->alone};
    for (size_t i = 0; i < sites->cells; i++) {
        const struct site *site = &sites->table[i];
        if (site->name == NULL)
            continue;
        if (site->devices > sum.largest)
            sum.largest = site->devices;
        if (io_counted != NULL && !site->named && 2 * site->counted > site->devices)
            io_counted[site->stratum]++;
    }
    return sum;
}

// ── What cannot be ──

static int by_name(const void *left, const void *right) {
    return strcmp((*(const struct site *const *)left)->name,
                  (*(const struct site *const *)right)->name);
}

// The first names in their order, whatever order the fleet was walked in.
static int refuse_mixed(const struct rollout_sites *sites, size_t n_mixed, struct err *e) {
    OWN(mem) const struct site **mixed = calloc(n_mixed, sizeof *mixed);
    char names[NAMED_MAX * (SHOWN_BYTES + 2)] = "", shown[SHOWN_BYTES];
    size_t n = 0, len = 0;
    if (mixed == NULL)
        return no_memory(e);
    for (size_t i = 0; i < sites->cells; i++)
        if (sites->table[i].name != NULL && sites->table[i].mixed)
            mixed[n++] = &sites->table[i];
    qsort(mixed, n, sizeof *mixed, by_name);
    for (size_t i = 0; i < n && i < NAMED_MAX; i++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", i == 0 ? "" : ", ",
                                text_safe(mixed[i]->name, shown, sizeof shown));
    return err_set(
        e, &err_config,
        "stratify: %zu site%s of devices of several strata (%s%s), and a site is drawn as "
        "a whole: stratify by facts that all devices of a site have in common",
        n, n == 1 ? " is" : "s are", names, n > NAMED_MAX ? ", …" : "");
}

int rollout_sites_check(const struct rollout_sites *sites, const char *fact, struct err *e) {
    size_t n_mixed = 0;
    for (size_t i = 0; i < sites->cells; i++)
        n_mixed += sites->table[i].name != NULL && sites->table[i].mixed;
    if (sites->n == 0)
        return err_set(e, &err_config,
                       "evidence.unit: sites are drawn by %s, and no device of the selector has it",
                       fact);
    if (sites->n + sites->alone < 2)
        return err_set(
            e, &err_config,
            "evidence.unit: all devices of the selector are of one site by %s: nothing is "
            "left to compare it with",
            fact);
    return n_mixed > 0 ? refuse_mixed(sites, n_mixed, e) : 0;
}
