// SPDX-License-Identifier: Apache-2.0
//
// Which devices of a world are one unit (ctl/rollout/unit.h). Within ctl/sim/world*.
#pragma once

#include "ctl/rollout/sites.h"
#include "ctl/sim/world.h"

struct sim_world_units {
    struct rollout_sites *sites; // NULL: devices are drawn
    uint64_t *names;             // [devices]: hashes of their units' names, 0 alone
};
int sim_world_units_open(const struct sim_world *world, struct sim_world_units *ret, struct err *e)
    __attribute__((nonnull));
// The next device, of which everything but its unit is there.
int sim_world_units_add(const struct sim_world *world, size_t device,
                        const struct bundle_facts *facts, struct sim_world_units *io, struct err *e)
    __attribute__((nonnull));
// Once all are added. Kinds config (rollout_sites_check), memory.
int sim_world_units_find(const struct sim_world_units *units, struct sim_world *io, struct err *e)
    __attribute__((nonnull));
void sim_world_units_clear(struct sim_world_units *units) __attribute__((nonnull));
