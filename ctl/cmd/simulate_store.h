// SPDX-License-Identifier: Apache-2.0
//
// The devices of a controller's store, for `edgectl simulate --store`: their facts and labels, and where
// each is. A store is used by one process at a time, so it is one whose controller does not run, or
// a copy.
#pragma once

#include "bundle/facts.h"
#include "ctl/sim/fleet.h"

struct cmd_simulate_store {
    size_t n, capacity;
    struct bundle_facts **facts;
    uint32_t *sites;
};

// Reads the accepted devices; io gets their number and that of their sites (values of its site_fact) in
// place of its own. *ret is the caller's (cmd_simulate_store_clear). Kinds: not_found, limit (more
// than SIM_FLEET_DEVICES_MAX), config (none is accepted), those of store_db_open.
int cmd_simulate_store_read(const char *path, struct sim_fleet *io, struct cmd_simulate_store *ret,
                            struct err *e) __attribute__((nonnull));
void cmd_simulate_store_clear(struct cmd_simulate_store *store) __attribute__((nonnull));
