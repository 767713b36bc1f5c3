// SPDX-License-Identifier: Apache-2.0
//
// Strata: devices that are alike in the facts a policy stratifies by (bundle/stratum.h). Each has
// bounds of its own on the rank (bundle/rank.h), one for each stage, found from the devices that are known when the rollout
// starts: the k-th lowest rank, where k is the stage's share of the stratum, at least one. So the
// smallest canary still sees every kind of hardware, and a stage by count has just that many
// devices (or one of each stratum when there are more strata than that).
//
// Where sites are drawn (unit.h) k and counts are of sites: all devices of a site have one rank, and
// members of one stratum and rank are one. What is planned stays in devices.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bundle/stratum.h"
#include "ctl/rollout/policy.h"

#define ROLLOUT_STRATA_POOL_MIN 5

// A known device: which stratum, whether a stage names it, and its rank.
struct rollout_member {
    uint32_t stratum;
    uint32_t named; // the stage that names it (rollout_policy_named), and 1; 0: none does
    uint64_t rank;
};

// What a plan says of one stratum. A stage admits ranks up to and including its bound; planned is
// how many known devices it admits that no stage before it does, those that it names among them.
struct rollout_stratum_plan {
    uint64_t bound[ROLLOUT_POLICY_STAGES_MAX];
    uint64_t planned[ROLLOUT_POLICY_STAGES_MAX];
    uint64_t held_back; // known devices that a stage would admit, were they not held back
    uint32_t pool;      // the stratum that it is compared with, and 1; 0: itself
};

// Fills ret[n_strata], and returns how many units the members are: these stand first in members, by
// stratum and rank, each with one of its devices. With gates of evidence the strata of fewer than
// ROLLOUT_STRATA_POOL_MIN devices are planned as one, so that a share of them is a share, and is
// compared within them all: they have the same bounds, and the first of them as their pool.
size_t rollout_strata_plan(const struct rollout_policy *policy, struct rollout_member *members,
                           size_t n_members, struct rollout_stratum_plan *ret, size_t n_strata)
    __attribute__((nonnull(1, 4)));

// The highest bounds to be expected of strata of so many units, devices or sites (1 or more each): what
// to hold a plan of somebody else against, when the devices themselves are not known. A draw of seed
// gives a higher one with a probability of half a millionth. Fills bound of ret[n_strata]; sizes are in
// the order in which the strata were planned.
void rollout_strata_most(const struct rollout_policy *policy, const size_t *sizes, size_t n_strata,
                         struct rollout_stratum_plan *ret) __attribute__((nonnull));

// Sorts the members so: units first. How many these are; without sites all members are.
size_t rollout_strata_units(const struct rollout_policy *policy, struct rollout_member *members,
                            size_t n_members) __attribute__((nonnull(1)));

// Fills planned and held_back of io[n_strata] anew, from bounds that are there.
void rollout_strata_count(const struct rollout_policy *policy, const struct rollout_member *members,
                          size_t n_members, struct rollout_stratum_plan *io, size_t n_strata)
    __attribute__((nonnull(1, 4)));

// What a device knows of its stratum: the key without labels, which are the controller's word. The
// caller's; NULL when memory ran out.
char *rollout_strata_known(const char *key) __attribute__((nonnull));
// Which strata differ in labels alone. groups: [n], numbered from 0 up. Kind memory.
int rollout_strata_group(const char *const *keys, size_t n, uint32_t *ret_groups,
                         size_t *ret_n_groups, struct err *e) __attribute__((nonnull));
// Gives strata of one group (groups[stratum], below n_groups) the same bounds, those of all their
// devices together, in a plan that was made. What they are compared within stays as it is, but for
// small strata, which are compared with those of one group alone.
void rollout_strata_join(const struct rollout_policy *policy, struct rollout_member *members,
                         size_t n_members, const uint32_t *groups, size_t n_groups,
                         struct rollout_stratum_plan *io, size_t n_strata)
    __attribute__((nonnull(1, 4, 6)));

// The bounds of a stratum nobody was in when the rollout started: the stage's share of the fleet.
// n_units is how many were known then.
void rollout_strata_newcomer(const struct rollout_policy *policy, size_t n_units,
                             struct rollout_stratum_plan *ret) __attribute__((nonnull));

// The stratum that evidence of this one counts for.
size_t rollout_strata_pool(const struct rollout_stratum_plan *plan, size_t stratum)
    __attribute__((nonnull));
// The first stage that admits this device, by its rank or by its name; policy->n_stages when none
// does.
size_t rollout_strata_admits(const struct rollout_policy *policy,
                             const struct rollout_stratum_plan *plan, const char *device,
                             uint64_t rank) __attribute__((nonnull));
// The first stage that admits this rank; policy->n_stages when none does.
size_t rollout_strata_stage(const struct rollout_policy *policy,
                            const struct rollout_stratum_plan *plan, uint64_t rank)
    __attribute__((nonnull));
