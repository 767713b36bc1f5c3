// SPDX-License-Identifier: Apache-2.0
//
// Cells of stratum and site.
#include "ctl/rollout/score_sites.h"

#include <assert.h>
#include <string.h>

#define CELL_BITS 12

_Static_assert(1U << CELL_BITS == ROLLOUT_SCORE_SITE_CELLS, "the table is a power of two");
_Static_assert(ROLLOUT_SCORE_SITE_BLOCKS == 64, "blocks are bits of a word");

static size_t first_of(uint32_t stratum, uint64_t site) {
    return (size_t)((site + stratum) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - CELL_BITS));
}

// Where the cell is, or would be: there is always a free one.
static size_t place_of(const struct rollout_score_sites *sites, uint32_t stratum, uint64_t site) {
    size_t at = first_of(stratum, site);
    while (sites->cells[at].site != 0 &&
           (sites->cells[at].site != site || sites->cells[at].stratum != stratum))
        at = (at + 1) % ROLLOUT_SCORE_SITE_CELLS;
    return at;
}

static uint64_t block_of(size_t at) {
    return UINT64_C(1) << at / ROLLOUT_SCORE_SITE_BLOCK;
}

void rollout_score_sites_open(uint64_t epoch, struct rollout_score_sites *ret) {
    memset(ret, 0, sizeof *ret);
    ret->epoch = epoch;
}

void rollout_score_sites_next(uint64_t epoch, struct rollout_score_sites *io) {
    const struct rollout_score_sites before = *io;
    rollout_score_sites_open(epoch, io);
    for (size_t i = 0; i < ROLLOUT_SCORE_SITE_CELLS; i++) {
        const struct rollout_score_site *cell = &before.cells[i];
        if (cell->site == 0 || cell->risk.comparison + cell->risk.treated == 0)
            continue;
        uint32_t stratum = cell->stratum % ROLLOUT_SCORE_SITE_LATE + ROLLOUT_SCORE_SITE_LATE;
        struct rollout_score_site *to = &io->cells[place_of(io, stratum, cell->site)];
        io->n += to->site == 0;
        to->site = cell->site;
        to->stratum = stratum;
        to->entered = cell->entered > to->entered ? cell->entered : to->entered;
        to->risk.comparison += cell->risk.comparison;
        to->risk.treated += cell->risk.treated;
        to->heard_s = cell->heard_s > to->heard_s ? cell->heard_s : to->heard_s;
    }
}

const struct rollout_score_site *rollout_score_sites_find(const struct rollout_score_sites *sites,
                                                          uint32_t stratum, uint64_t site) {
    const struct rollout_score_site *cell = &sites->cells[place_of(sites, stratum, site)];
    return site == 0 || cell->site == 0 ? NULL : cell;
}

bool rollout_score_sites_used(const struct rollout_score_sites *sites, size_t block) {
    size_t at = block * ROLLOUT_SCORE_SITE_BLOCK, end = at + ROLLOUT_SCORE_SITE_BLOCK;
    while (at < end && sites->cells[at].site == 0)
        at++;
    return at < end;
}

static uint64_t *side(struct rollout_score_site *cell, bool treated) {
    return treated ? &cell->risk.treated : &cell->risk.comparison;
}

uint64_t rollout_score_sites_enter(struct rollout_score_sites *io, uint32_t stratum, uint64_t site,
                                   bool treated, int64_t now_s) {
    size_t at = place_of(io, stratum, site);
    struct rollout_score_site *cell = &io->cells[at];
    if (site == 0 || (cell->site == 0 && io->n == ROLLOUT_SCORE_SITES))
        return 0;
    if (cell->site == 0) {
        io->n++;
        *cell = (struct rollout_score_site){.site = site, .stratum = stratum};
    }
    cell->entered += cell->entered < UINT32_MAX;
    cell->heard_s = now_s;
    *side(cell, treated) += 1;
    return block_of(at);
}

uint64_t rollout_score_sites_leave(struct rollout_score_sites *io, uint32_t stratum, uint64_t site,
                                   bool treated) {
    size_t at = place_of(io, stratum, site);
    uint64_t *n = side(&io->cells[at], treated);
    assert(io->cells[at].site == site && *n > 0);
    *n -= 1;
    return block_of(at);
}

uint64_t rollout_score_sites_hear(struct rollout_score_sites *io, uint32_t stratum, uint64_t site,
                                  uint64_t rhythm_s, int64_t now_s) {
    size_t at = place_of(io, stratum, site);
    struct rollout_score_site *cell = &io->cells[at];
    assert(cell->site == site);
    if (now_s - cell->heard_s < (int64_t)(rhythm_s / ROLLOUT_SCORE_HEARD))
        return 0;
    cell->heard_s = now_s;
    return block_of(at);
}

bool rollout_score_sites_put(struct rollout_score_sites *io, size_t at,
                             const struct rollout_score_site *cell) {
    if (at >= ROLLOUT_SCORE_SITE_CELLS || cell->site == 0 || io->cells[at].site != 0 ||
        io->n == ROLLOUT_SCORE_SITES)
        return false;
    io->n++;
    io->cells[at] = *cell;
    return true;
}

uint64_t rollout_score_sites_group(const struct rollout_score_sites *sites, uint32_t stratum,
                                   uint64_t site) {
    const struct rollout_score_site *cell = rollout_score_sites_find(sites, stratum, site);
    return cell == NULL || cell->entered < ROLLOUT_SCORE_SITE_MIN ? 0 : site;
}

struct evidence_risk rollout_score_sites_apart(const struct rollout_score_sites *sites,
                                               uint32_t stratum) {
    struct evidence_risk all = {0};
    for (size_t i = 0; i < ROLLOUT_SCORE_SITE_CELLS; i++) {
        const struct rollout_score_site *cell = &sites->cells[i];
        if (cell->stratum != stratum || cell->entered < ROLLOUT_SCORE_SITE_MIN)
            continue;
        all.comparison += cell->risk.comparison;
        all.treated += cell->risk.treated;
    }
    return all;
}
