// SPDX-License-Identifier: Apache-2.0
//
// The bounds of a rollout from the devices that are known: one pass over the fleet.
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/sites.h"
#include "ctl/rollout/unit.h"
#include "ctl/serve/fleet.h"

struct census {
    const struct serve_engine_rollout *rollout;
    struct rollout_member *members;
    size_t n, capacity;
    struct rollout_sites *sites; // where sites are drawn, else NULL
    size_t n_strata;
    char *keys[BUNDLE_STRATA_MAX];
};

static void clear(struct census *census) {
    for (size_t i = 0; i < census->n_strata; i++)
        free(census->keys[i]);
    free(census->members);
    rollout_sites_close(census->sites);
}

static int stratum_of(struct census *census, const char *key, uint32_t *ret, struct err *e) {
    for (size_t i = 0; i < census->n_strata; i++)
        if (strcmp(census->keys[i], key) == 0) {
            *ret = (uint32_t)i;
            return 0;
        }
    if (census->n_strata == BUNDLE_STRATA_MAX)
        return err_set(e, &err_config,
                       "stratify: the fleet has more than %d combinations of these facts; choose "
                       "facts with fewer values",
                       BUNDLE_STRATA_MAX);
    census->keys[census->n_strata] = strdup(key);
    if (census->keys[census->n_strata] == NULL)
        return err_set(e, &err_memory, "counting the fleet: out of memory");
    *ret = (uint32_t)census->n_strata++;
    return 0;
}

static int enlist(struct census *census, const struct rollout_member *member, struct err *e) {
    if (census->n == census->capacity) {
        size_t capacity = census->capacity == 0 ? 256 : 2 * census->capacity;
        void *grown = reallocarray(census->members, capacity, sizeof *census->members);
        if (grown == NULL)
            return err_set(e, &err_memory, "counting the fleet: out of memory");
        census->members = grown;
        census->capacity = capacity;
    }
    census->members[census->n++] = *member;
    return 0;
}

static int count_site(struct census *census, const char *device, const struct bundle_facts *facts,
                      uint32_t stratum, struct err *e) {
    char unit[ROLLOUT_UNIT_ID_MAX + 1];
    const struct rollout_gates *gates = &census->rollout->row.policy.gates;
    if (rollout_unit_of(gates, device, facts, unit) == ROLLOUT_UNIT_ALONE) {
        rollout_sites_add_alone(census->sites);
        return 0;
    }
    return rollout_sites_add(census->sites, unit + sizeof BUNDLE_UNIT_SITE - 1, stratum, false, e);
}

static int count_facts(struct census *census, const char *device, const struct bundle_facts *facts,
                       struct err *e) {
    const struct serve_engine_rollout *r = census->rollout;
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    if (!bundle_predicate_holds(r->selector, facts, reason) ||
        !bundle_predicate_holds(r->scope, facts, reason))
        return 0;
    OWN(buf) struct buf key;
    size_t named = rollout_policy_named(&r->row.policy, device);
    struct rollout_member member = {
        .rank = rollout_unit_rank(&r->row.policy.gates, device, facts, r->row.seed),
        .named = named < r->row.policy.n_stages ? (uint32_t)named + 1 : 0};
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    if (bundle_stratum_key(r->row.policy.stratify, r->row.policy.n_stratify, facts, &key, e) < 0 ||
        stratum_of(census, buf_text(&key), &member.stratum, e) < 0 ||
        (census->sites != NULL && count_site(census, device, facts, member.stratum, e) < 0))
        return -1;
    return enlist(census, &member, e);
}

static int count(void *context, const struct store_device *device, struct err *e) {
    struct bundle_facts *facts = NULL;
    if (device->state != STORE_DEVICE_ACCEPTED)
        return 0;
    if (serve_engine_facts(device, &facts, e) < 0)
        return -1;
    int done = count_facts(context, device->id, facts, e);
    bundle_facts_free(facts);
    return done;
}

static int keep(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                struct census *census, struct err *e) {
    OWN(mem)
    struct rollout_stratum_plan *plans =
        calloc(census->n_strata == 0 ? 1 : census->n_strata, sizeof *plans);
    if (plans == NULL)
        return err_set(e, &err_memory, "planning: out of memory");
    r->row.members =
        rollout_strata_plan(&r->row.policy, census->members, census->n, plans, census->n_strata);
    if (serve_engine_set_strata(r, census->n_strata, e) < 0)
        return -1;
    for (size_t s = 0; s < census->n_strata; s++) {
        r->strata[s] =
            (struct serve_engine_stratum){.key = own_take(&census->keys[s]), .plan = plans[s]};
        for (size_t i = 0; i < r->row.policy.n_stages; i++)
            serve_engine_tally(r, i, s)->planned = plans[s].planned[i];
        if (store_rollout_put_stratum(fleet->db, r->row.policy.name, s, r->strata[s].key, &plans[s],
                                      e) < 0)
            return -1;
    }
    return store_rollout_put(fleet->db, &r->row, e);
}

int serve_fleet_plan(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                     struct err *e) {
    struct census census = {.rollout = rollout};
    const struct rollout_gates *gates = &rollout->row.policy.gates;
    int done = rollout_unit_is_site(gates) ? rollout_sites_open(&census.sites, e) : 0;
    if (done == 0)
        done = store_device_list(fleet->db, "", count, &census, e);
    if (done == 0 && census.sites != NULL)
        done = rollout_sites_check(census.sites, gates->site, e);
    if (done == 0)
        done = keep(fleet, rollout, &census, e);
    clear(&census);
    return done;
}
