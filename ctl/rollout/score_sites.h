// SPDX-License-Identifier: Apache-2.0
//
// Sites, inside score.h: whose silence a device's silence is compared with. A gateway, a power line or
// a shop that closes takes all devices behind it along, of both arms. Compared within the stratum
// alone that is a draw of many devices at once, from few sites; compared within the site it says
// what it is worth. So devices at risk of being lost are counted by stratum and site, and a loss is
// compared with those of the same cell.
//
//  * A site is a number (a hash of its name; 0: the device names none). What has no cell of its own
//    is compared with what has none either, within its stratum: devices without a site, those of a
//    site of which fewer than ROLLOUT_SCORE_SITE_MIN were ever at risk in this epoch (a site of one
//    would be compared with nobody), and those of sites that came when ROLLOUT_SCORE_SITES had one.
//  * A cell of which nobody at risk was heard of for as long as the first of them that is declared
//    lost, less a rhythm, is dark: the site is silent, not a device of it. They leave the risk sets
//    together without an event. (Among all of a cell it is certain which arms the silent ones are
//    of: the likelihood ratio of that tie is one.) When heard of again they are counted in again.
//
// Why it may be believed (events.h): which devices are compared with one another, when a cell is its
// own and when it is dark depends on facts, on when devices were heard of and on how many of both
// arms together are at risk, never on who is in which arm. Given all that, the arms that the events
// reveal are draws without replacement from those at risk in the cell. A finer or coarser cell is
// more or less power, never more false stops. Stratified log-rank tests: Mantel, Cancer Chemother.
// Rep. 50, 1966; Peto et al., Br. J. Cancer 35, 1977.
//
// Limits: ROLLOUT_SCORE_SITES cells a rollout, however many strata and sites: 160 KiB of memory. A
// million devices need no more. Pure; no allocation.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bundle/stratum.h"
#include "ctl/rollout/evidence/events.h"

#define ROLLOUT_SCORE_SITES       3072 // cells in use, at most
#define ROLLOUT_SCORE_SITE_CELLS  4096 // of the table
#define ROLLOUT_SCORE_SITE_BLOCK  64   // cells in a line of text
#define ROLLOUT_SCORE_SITE_BLOCKS (ROLLOUT_SCORE_SITE_CELLS / ROLLOUT_SCORE_SITE_BLOCK)
#define ROLLOUT_SCORE_SITE_MIN    5 // fewer devices are not compared by themselves
#define ROLLOUT_SCORE_HEARD       4 // times in a rhythm that heard_s, of whomever, is brought up to date

struct rollout_score_site {
    uint64_t site; // 0: free
    uint32_t stratum;
    uint32_t entered; // devices that were ever at risk in this epoch
    struct evidence_risk risk;
    int64_t
        heard_s; // of one of them, at most 1/ROLLOUT_SCORE_SITE_HEARD of a rhythm before the last
};

// An open hash, by stratum and site. All zero at the beginning of a run, but for its epoch.
struct rollout_score_sites {
    uint64_t epoch;
    size_t n; // in use
    struct rollout_score_site cells[ROLLOUT_SCORE_SITE_CELLS];
};

// A new epoch of the same run: those at risk are not heard of yet, and wait in cells of another stratum,
// ROLLOUT_SCORE_SITE_LATE more, with those that waited before.
#define ROLLOUT_SCORE_SITE_LATE BUNDLE_STRATA_MAX
void rollout_score_sites_next(uint64_t epoch, struct rollout_score_sites *io)
    __attribute__((nonnull));
// Begins an epoch of a new run.
void rollout_score_sites_open(uint64_t epoch, struct rollout_score_sites *ret)
    __attribute__((nonnull));
// The cell, NULL when it has none.
const struct rollout_score_site *rollout_score_sites_find(const struct rollout_score_sites *sites,
                                                          uint32_t stratum, uint64_t site)
    __attribute__((nonnull));

// Whether a block has any cell.
bool rollout_score_sites_used(const struct rollout_score_sites *sites, size_t block)
    __attribute__((nonnull));

// What follows returns a bit for the block of cells that changed, 0 when none did.

// A device at risk more; 0 when the site has no cell.
uint64_t rollout_score_sites_enter(struct rollout_score_sites *io, uint32_t stratum, uint64_t site,
                                   bool treated, int64_t now_s) __attribute__((nonnull));
// One less, that has entered.
uint64_t rollout_score_sites_leave(struct rollout_score_sites *io, uint32_t stratum, uint64_t site,
                                   bool treated) __attribute__((nonnull));
// One that has entered was heard of.
uint64_t rollout_score_sites_hear(struct rollout_score_sites *io, uint32_t stratum, uint64_t site,
                                  uint64_t rhythm_s, int64_t now_s) __attribute__((nonnull));
// Takes a cell as it was kept; false when it is there, or cannot be at this place.
bool rollout_score_sites_put(struct rollout_score_sites *io, size_t at,
                             const struct rollout_score_site *cell) __attribute__((nonnull));

// The site whose devices a loss is compared with; 0: those that have no cell of their own.
uint64_t rollout_score_sites_group(const struct rollout_score_sites *sites, uint32_t stratum,
                                   uint64_t site) __attribute__((nonnull));
// At risk in cells of a stratum that are compared by themselves.
struct evidence_risk rollout_score_sites_apart(const struct rollout_score_sites *sites,
                                               uint32_t stratum) __attribute__((nonnull));
