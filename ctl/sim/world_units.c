// SPDX-License-Identifier: Apache-2.0
//
// Units of a world: devices whose units have one name.
#include "ctl/sim/world_units.h"

#include <stdlib.h>

#include "base/own.h"
#include "ctl/rollout/unit.h"

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "simulating: out of memory");
}

int sim_world_units_open(const struct sim_world *world, struct sim_world_units *ret,
                         struct err *e) {
    *ret = (struct sim_world_units){.sites = NULL};
    if (!rollout_unit_is_site(&world->policy->gates))
        return 0;
    ret->names = calloc(world->n, sizeof *ret->names);
    if (ret->names == NULL)
        return no_memory(e);
    return rollout_sites_open(&ret->sites, e);
}

void sim_world_units_clear(struct sim_world_units *units) {
    rollout_sites_close(units->sites);
    free(units->names);
    *units = (struct sim_world_units){.sites = NULL};
}

int sim_world_units_add(const struct sim_world *world, size_t device,
                        const struct bundle_facts *facts, struct sim_world_units *io,
                        struct err *e) {
    static const uint8_t any_seed[BUNDLE_RANK_SEED_BYTES] = {1};
    const struct sim_world_device *d = &world->devices[device];
    char id[SIM_WORLD_DEVICE_ID_BYTES], unit[ROLLOUT_UNIT_ID_MAX + 1];
    if (io->sites == NULL)
        return 0;
    if (rollout_unit_of(&world->policy->gates, sim_world_id(device, id), facts, unit) ==
        ROLLOUT_UNIT_ALONE) {
        if (d->selected)
            rollout_sites_add_alone(io->sites);
        return 0;
    }
    io->names[device] = bundle_rank(unit, any_seed);
    return d->selected ? rollout_sites_add(io->sites, unit + sizeof BUNDLE_UNIT_SITE - 1,
                                           d->stratum, false, e)
                       : 0;
}

struct named {
    uint64_t name;
    uint32_t device;
};

static int by_name(const void *left, const void *right) {
    const struct named *a = left, *b = right;
    if (a->name != b->name)
        return a->name < b->name ? -1 : 1;
    return (a->device > b->device) - (a->device < b->device);
}

int sim_world_units_find(const struct sim_world_units *units, struct sim_world *io, struct err *e) {
    for (size_t i = 0; i < io->n; i++)
        io->devices[i].unit = (uint32_t)i;
    if (units->sites == NULL)
        return 0;
    if (rollout_sites_check(units->sites, io->policy->gates.site, e) < 0)
        return -1;
    OWN(mem) struct named *named = calloc(io->n, sizeof *named);
    if (named == NULL)
        return no_memory(e);
    for (size_t i = 0; i < io->n; i++)
        named[i] = (struct named){units->names[i], (uint32_t)i};
    qsort(named, io->n, sizeof *named, by_name);
    for (size_t i = 1; i < io->n; i++)
        if (named[i].name != 0 && named[i].name == named[i - 1].name)
            io->devices[named[i].device].unit = io->devices[named[i - 1].device].unit;
    return 0;
}
