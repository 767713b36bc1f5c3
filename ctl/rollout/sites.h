// SPDX-License-Identifier: Apache-2.0
//
// The sites of a fleet, counted while it is walked, where sites are what is drawn (unit.h): how many
// there are, how many of them can be counted as evidence, and whether strata cut through one.
//
// A site is counted when more than half of its devices would be (score.h) and a stage names none; it is of one stratum, or the
// rollout cannot begin: a bound of one stratum would open a part of it. A device that has no site is a
// unit by itself and has no row here. Sites are told apart by their names.
//
// Limits: ROLLOUT_SITES_MAX sites.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bundle/stratum.h"

#define ROLLOUT_SITES_MAX 1000000

struct rollout_sites; // owned

int rollout_sites_open(struct rollout_sites **ret, struct err *e) __attribute__((nonnull));
void rollout_sites_close(struct rollout_sites *sites);
static inline void own_drop_rollout_sites(struct rollout_sites **sites) {
    rollout_sites_close(*sites);
    *sites = NULL;
}

// A device of the site with this name, in this stratum. Kinds memory, limit.
int rollout_sites_add(struct rollout_sites *io, const char *name, uint32_t stratum, bool counts,
                      struct err *e) __attribute__((nonnull));
// A stage names a device of this site, which was added: it brings the release there whatever the rank.
void rollout_sites_name(struct rollout_sites *io, const char *name) __attribute__((nonnull));
// A device that has none.
void rollout_sites_add_alone(struct rollout_sites *io) __attribute__((nonnull));

struct rollout_sites_sum {
    uint64_t sites;   // that have a name
    uint64_t alone;   // devices without one
    uint64_t largest; // devices of the largest site
};
// counted: [BUNDLE_STRATA_MAX], to which sites that are counted are added; may be NULL.
struct rollout_sites_sum rollout_sites_sum(const struct rollout_sites *sites, uint64_t *io_counted)
    __attribute__((nonnull(1)));
// Whether a rollout by sites can be: two units or more, one of them a site, none of several strata.
// Kind config; names the fact, and up to three sites.
int rollout_sites_check(const struct rollout_sites *sites, const char *fact, struct err *e)
    __attribute__((nonnull));
