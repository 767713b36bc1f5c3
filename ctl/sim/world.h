// SPDX-License-Identifier: Apache-2.0
//
// The devices that a fleet file and a policy make, the same in all runs: what each is, where it stands,
// which stratum it is in. And what a run adds by its seed: who joins late, which sites go dark when,
// what the release does to whom, and what a device's metrics read.
//
// Pure: time is an argument. All numbers are integers (dice.h).
#pragma once

#include "bundle/facts.h"
#include "bundle/stratum.h"
#include "ctl/rollout/policy.h"
#include "ctl/sim/dice.h"
#include "ctl/sim/fleet.h"

// What streams are for; further ones are counted up from the last.
enum sim_world_purpose {
    SIM_WORLD_KIND,
    SIM_WORLD_FACTS,
    SIM_WORLD_SITE,
    SIM_WORLD_JOIN,
    SIM_WORLD_RHYTHM,
    SIM_WORLD_READINGS,
    SIM_WORLD_INSTALL,
    SIM_WORLD_OUTAGES,
    SIM_WORLD_SEED,
    SIM_WORLD_RESTARTS,
    SIM_WORLD_RELOADS,
    SIM_WORLD_ZONE,
    SIM_WORLD_OFFSETS = 100, // one for each metric
    SIM_WORLD_FAULTS = 200   // two for each fault
};

#define SIM_WORLD_DEVICE_ID_BYTES 16

// A device, in all runs.
struct sim_world_device {
    uint32_t site;
    uint32_t unit; // what is drawn: the first device of its site, or itself
    uint16_t kind;
    uint16_t stratum;
    int16_t zone_min; // east of UTC
    bool selected;
    uint16_t where; // bit for each fault whose predicate holds
};

struct sim_world {
    const struct sim_fleet *fleet;       // borrowed
    const struct rollout_policy *policy; // borrowed
    uint64_t seed;
    size_t n;
    struct sim_world_device *devices;
    size_t n_strata;
    char *strata[BUNDLE_STRATA_MAX];
};

// Makes the devices. Fleet and policy have to outlive *ret, which is the caller's (sim_world_clear).
// Kinds: config (more than BUNDLE_STRATA_MAX strata), limit, memory.
int sim_world_make(const struct sim_fleet *fleet, const struct rollout_policy *policy,
                   uint64_t seed, struct sim_world *ret, struct err *e) __attribute__((nonnull));
// Devices that are there, in place of those that a fleet file deals out: their facts and where each
// is. The fleet's devices and sites say how many there are.
struct sim_world_given {
    struct bundle_facts *const *facts; // [devices], borrowed
    const uint32_t *sites;             // [devices], below the fleet's sites
};
// The same of such devices.
int sim_world_take(const struct sim_fleet *fleet, const struct rollout_policy *policy,
                   const struct sim_world_given *given, struct sim_world *ret, struct err *e)
    __attribute__((nonnull));
void sim_world_clear(struct sim_world *world) __attribute__((nonnull));
#define own_drop_world sim_world_clear
// "d-00000042". Returns ret.
char *sim_world_id(size_t device, char ret[static SIM_WORLD_DEVICE_ID_BYTES]);

// From one instant to another a site is dark; the site behind the last one stands for all of them.
struct sim_world_outage {
    uint32_t site;
    int64_t start_s, end_s;
};

// What a run adds.
struct sim_world_luck {
    const struct sim_world *world; // borrowed
    uint64_t seed;
    int64_t start_s, end_s;
    size_t n_outages;
    struct sim_world_outage *outages; // by site, then by start
    size_t *first;                    // of each site, and one behind the last
    uint8_t *sites_hit;               // [site]: bit for each fault that this site has
};
// Kinds: memory.
int sim_world_roll(const struct sim_world *world, uint64_t seed, int64_t start_s, int64_t end_s,
                   struct sim_world_luck *ret, struct err *e) __attribute__((nonnull));
void sim_world_luck_clear(struct sim_world_luck *luck) __attribute__((nonnull));
#define own_drop_luck sim_world_luck_clear

// When the device can reach the controller again: now_s when it can now.
int64_t sim_world_reachable_s(const struct sim_world_luck *luck, size_t device, int64_t now_s)
    __attribute__((nonnull));
// The bits of the faults that the release has for this device.
uint32_t sim_world_faults(const struct sim_world_luck *luck, size_t device)
    __attribute__((nonnull));
// What a gauge reads now, in units of 1e-9. noise: the device's own stream of readings.
// running_s: since when it runs the release, or negative; faults: those that its readings show.
int64_t sim_world_read(const struct sim_world_luck *luck, size_t device, size_t metric,
                       int64_t now_s, int64_t running_s, uint32_t faults, struct sim_dice *noise)
    __attribute__((nonnull));
// Events of a counter between two instants; the same arguments.
uint32_t sim_world_count(const struct sim_world_luck *luck, size_t metric, int64_t from_s,
                         int64_t now_s, int64_t running_s, uint32_t faults, struct sim_dice *noise)
    __attribute__((nonnull));
