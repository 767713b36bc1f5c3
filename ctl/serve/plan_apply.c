// SPDX-License-Identifier: Apache-2.0
//
// A plan carried out: its bounds, on the fleet as it is now.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/rollout/unit.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/plan.h"
#include "ctl/store/rollout.h"

#define NOWHERE UINT32_MAX

struct taken {
    size_t n;
    const char *keys[BUNDLE_STRATA_MAX]; // borrowed from the document
    struct rollout_plan_read_size sizes[BUNDLE_STRATA_MAX], now[BUNDLE_STRATA_MAX];
    struct rollout_stratum_plan plans[BUNDLE_STRATA_MAX];
    struct rollout_plan_read_size elsewhere; // of strata that the plan does not know
    uint32_t of[BUNDLE_STRATA_MAX];          // stratum of the count → of the plan
};

static uint32_t find(const struct taken *t, size_t n, const char *key) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(t->keys[i], key) == 0)
            return (uint32_t)i;
    return NOWHERE;
}

static int read_strata(const struct rollout_policy *policy, const struct rollout_plan_read *read,
                       struct taken *ret, struct err *e) {
    uint32_t pool = 0;
    for (size_t i = 0; i < read->n_strata; i++) {
        bool pooled = false;
        if (rollout_plan_read_stratum(policy, read, i, &ret->keys[i], &ret->sizes[i], &pooled,
                                      &ret->plans[i], e) < 0)
            return -1;
        if (find(ret, i, ret->keys[i]) != NOWHERE)
            return err_set(e, &err_config, "plan: strata[%zu].key: expected one that is not there",
                           i);
        if (pooled && pool == 0)
            pool = (uint32_t)i + 1;
        ret->plans[i].pool = pooled ? pool : 0;
    }
    ret->n = read->n_strata;
    return 0;
}

// Where the devices are now; members of the plan's strata come first, with its numbers. What is drawn
// stands first among all.
static void match(const struct rollout_policy *policy, struct rollout_plan_census *census,
                  struct taken *io) {
    size_t kept = 0, n_units = rollout_strata_units(policy, census->members, census->n_members);
    for (size_t s = 0; s < census->n_strata; s++)
        io->of[s] = find(io, io->n, census->keys[s]);
    for (size_t i = 0; i < census->n_members; i++) {
        struct rollout_member member = census->members[i];
        member.stratum = io->of[member.stratum];
        struct rollout_plan_read_size *size =
            member.stratum == NOWHERE ? &io->elsewhere : &io->now[member.stratum];
        size->devices++;
        size->units += i < n_units;
        if (member.stratum != NOWHERE)
            census->members[kept++] = member;
    }
    census->n_members = kept;
}

static uint64_t apart(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

static int check_moved(const struct rollout_policy *policy, const struct serve_plan_given *given,
                       uint64_t moved, uint64_t all, const char *what, struct err *e) {
    if ((unsigned __int128)moved * ROLLOUT_PPM <= (unsigned __int128)all * given->drift_ppm)
        return 0;
    return err_set(e, &err_fleet_drifted,
                   "applying the plan of %s: it was made for %" PRIu64 " %s, and %" PRIu64
                   " of them or of others came or went since, which is more than the %u.%u %% that "
                   "are tolerated; plan anew",
                   policy->name, all, what, moved, given->drift_ppm / 10000,
                   given->drift_ppm / 1000 % 10);
}

static int check_drift(const struct rollout_policy *policy, const struct serve_plan_given *given,
                       const struct taken *t, struct err *e) {
    uint64_t devices = t->elsewhere.devices, units = t->elsewhere.units;
    for (size_t i = 0; i < t->n; i++) {
        devices += apart(t->now[i].devices, t->sizes[i].devices);
        units += apart(t->now[i].units, t->sizes[i].units);
    }
    if (check_moved(policy, given, devices, given->read.devices, "devices", e) < 0)
        return -1;
    return rollout_unit_is_site(&policy->gates)
               ? check_moved(policy, given, units, given->read.units, "sites", e)
               : 0;
}

static int keep(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                const struct serve_plan_given *given, const struct taken *t, struct err *e) {
    if (serve_engine_set_strata(r, t->n, e) < 0)
        return -1;
    r->row.members = given->read.units;
    r->row.progress.planned = true;
    for (size_t s = 0; s < t->n; s++) {
        char *key = strdup(t->keys[s]);
        if (key == NULL)
            return err_set(e, &err_memory, "applying a plan: out of memory");
        r->strata[s] = (struct serve_engine_stratum){.key = key, .plan = t->plans[s]};
        for (size_t i = 0; i < r->row.policy.n_stages; i++)
            serve_engine_tally(r, i, s)->planned = t->plans[s].planned[i];
        if (store_rollout_put_stratum(fleet->db, r->row.policy.name, s, key, &t->plans[s], e) < 0)
            return -1;
    }
    return store_rollout_put(fleet->db, &r->row, e);
}

int serve_plan_take(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                    const struct serve_plan_given *given, struct err *e) {
    const struct serve_plan_ask ask = {.engine = fleet->engine,
                                       .db = fleet->db,
                                       .policy = &r->row.policy,
                                       .scope = r->row.scope,
                                       .now_s = fleet->now_ms / 1000,
                                       .seed = r->row.seed};
    OWN(plan_count) struct serve_plan_count *count = NULL;
    OWN(mem) struct taken *taken = calloc(1, sizeof *taken);
    if (taken == NULL)
        return err_set(e, &err_memory, "applying a plan: out of memory");
    if (read_strata(&r->row.policy, &given->read, taken, e) < 0 ||
        serve_plan_count(&ask, &count, e) < 0)
        return -1;
    struct rollout_plan_census *census = serve_plan_count_census(count);
    match(&r->row.policy, census, taken);
    if (check_drift(&r->row.policy, given, taken, e) < 0)
        return -1;
    rollout_strata_count(&r->row.policy, census->members, census->n_members, taken->plans,
                         taken->n);
    return keep(fleet, r, given, taken, e);
}
