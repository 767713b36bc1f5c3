// SPDX-License-Identifier: Apache-2.0
//
// What the store has of a device for a rollout's gates: its unit's row, and, where that is a site's, its
// own.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/rank.h"
#include "ctl/kind.h"
#include "ctl/serve/evidence_parts.h"

static int make(const struct serve_engine_rollout *r, struct serve_evidence_rows **ret,
                struct err *e) {
    struct serve_evidence_rows *rows = calloc(1, sizeof *rows);
    if (rows == NULL)
        return err_set(e, &err_memory, "counting for a rollout: out of memory");
    rows->of_site = rollout_unit_is_site(&r->row.policy.gates);
    *ret = rows;
    return 0;
}

static int damaged(const struct serve_engine_rollout *r, struct err *e) {
    return err_set(e, &err_bad_store, "reading the store: a site of rollout %s has no row",
                   r->row.policy.name);
}

int serve_evidence_rows_get(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                            const char *device, struct serve_evidence_rows **ret, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    OWN(mem) struct serve_evidence_rows *rows = NULL;
    int found = 0;
    if (make(r, &rows, e) < 0)
        return -1;
    if (rows->of_site)
        found = store_member_get(&of, device, rows->unit, &rows->member, e);
    else
        (void)snprintf(rows->unit, sizeof rows->unit, "%s", device);
    if (found != 0)
        return found;
    found = store_cohort_get(&of, rows->unit, &rows->row, e);
    if (found == STORE_ABSENT && rows->of_site)
        return damaged(r, e);
    if (found == 0)
        *ret = own_take(&rows);
    return found;
}

int serve_evidence_rows_keep(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                             const char *device, const struct serve_evidence_rows *rows,
                             const struct rollout_score_news *news, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    if (rows->of_site && rows->member_changed &&
        store_member_put(&of, device, rows->unit, &rows->member, e) < 0)
        return -1;
    return serve_evidence_keep(fleet, r, rows->unit, &rows->row, news, NULL, e);
}

// ── Making them ──

static void read_site(const struct rollout_gates *gates, const struct bundle_facts *facts,
                      char ret[static BUNDLE_FACT_NAME_MAX + 1]) {
    const json_t *value =
        bundle_facts_find(facts, gates->site[0] == '\0' ? ROLLOUT_GATES_SITE_DEFAULT : gates->site);
    const char *text = json_string_value(value);
    // One that is longer is cut: two sites that begin alike for so long count as one.
    (void)snprintf(ret, BUNDLE_FACT_NAME_MAX + 1, "%.*s", BUNDLE_FACT_NAME_MAX,
                   text == NULL ? "" : text);
}

static struct rollout_score_seen what_is_known(const struct serve_fleet *fleet,
                                               const struct store_device *device,
                                               const struct serve_evidence_place *place) {
    return (struct rollout_score_seen){.enrolled_s = device->created_s,
                                       .seen_s = fleet->before_s,
                                       .fits = place->fits,
                                       .named = place->named,
                                       .shams = place->shams,
                                       .apart = device->held || device->pin_name[0] != '\0' ||
                                                device->clone_s != 0};
}

struct asking {
    const struct rollout_gates *gates;
    const char *but; // the device that calls: what is known of it is newer
    int64_t now_s;
    struct rollout_score_ballot ballot;
};

static int ask(void *context, const char *device, const char *unit,
               const struct rollout_score_member *member, struct err *e) {
    struct asking *asking = context;
    (void)unit;
    (void)e;
    if (strcmp(device, asking->but) != 0 && !member->gone)
        rollout_score_ballot_add(asking->gates, &member->seen, asking->now_s, &asking->ballot);
    return 0;
}

// Whether a device of this unit is named by a stage, whether it was heard of or not.
static int find_named(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                      const char *unit, bool *io, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    for (size_t i = 0; i < policy->n_devices && !*io; i++) {
        struct store_device device = {.held = false};
        struct bundle_facts *facts = NULL;
        char other[ROLLOUT_UNIT_ID_MAX + 1];
        int found = store_device_get(fleet->db, policy->devices[i], &device, e);
        if (found == 0)
            found = serve_engine_facts(&device, &facts, e);
        if (found == 0) {
            (void)rollout_unit_of(&policy->gates, policy->devices[i], facts, other);
            *io = strcmp(other, unit) == 0;
        }
        bundle_facts_free(facts);
        store_device_clear(&device);
        if (found < 0)
            return -1;
    }
    return 0;
}

// Whether the unit is counted, by what is known of its devices now.
static int count(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                 const char *device, const struct rollout_score_seen *seen, const char *unit,
                 struct rollout_score_ballot *ret, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct asking asking = {.gates = of.gates, .but = device, .now_s = fleet->now_ms / 1000};
    rollout_score_ballot_add(of.gates, seen, asking.now_s, &asking.ballot);
    if (rollout_unit_is_site(of.gates) && (store_member_of(&of, unit, ask, &asking, e) < 0 ||
                                           find_named(fleet, r, unit, &asking.ballot.named, e) < 0))
        return -1;
    *ret = asking.ballot;
    return 0;
}

// The first check-in of any of its devices since the rollout began: who it is is settled now.
static int enlist(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                  const struct store_device *device, const struct serve_evidence_place *place,
                  const struct rollout_score_seen *seen, struct serve_evidence_rows *io,
                  struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct store_cohort_origin origin = {.enrolled_s = device->created_s};
    struct rollout_score_ballot ballot;
    read_site(of.gates, place->facts, origin.site);
    if (io->of_site && origin.site[0] == '\0') // each is a site of its own
        (void)snprintf(origin.site, sizeof origin.site, "%s", device->id);
    (void)snprintf(origin.token, sizeof origin.token, "%s", device->token);
    if (count(fleet, r, device->id, seen, io->unit, &ballot, e) < 0)
        return -1;
    size_t stratum = rollout_strata_pool(&r->strata[place->stratum].plan, place->stratum);
    rollout_score_device_init(r->score, (uint32_t)stratum, (uint32_t)place->stage, place->rank,
                              rollout_score_ballot_counts(&ballot), &io->row);
    // Silence is compared within a site; a site has nothing within it to compare.
    if (!io->of_site && origin.site[0] != '\0')
        io->row.site = bundle_rank(origin.site, r->row.seed);
    return store_cohort_add(&of, io->unit, &origin, &io->row, e);
}

// Whether the unit is counted from now on.
static int count_again(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                       const struct store_device *device, const struct rollout_score_seen *seen,
                       struct serve_evidence_rows *io, struct err *e) {
    struct rollout_score_ballot ballot;
    if (!rollout_score_is_asked(r->score, &io->row))
        return 0;
    if (count(fleet, r, device->id, seen, io->unit, &ballot, e) < 0)
        return -1;
    io->counted_again = rollout_score_count_ballot(r->score, &ballot, &io->row);
    return 0;
}

int serve_evidence_rows_open(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                             const struct store_device *device,
                             const struct serve_evidence_place *place,
                             struct serve_evidence_rows **ret, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    const struct rollout_score_seen seen = what_is_known(fleet, device, place);
    OWN(mem) struct serve_evidence_rows *rows = NULL;
    char unit[ROLLOUT_UNIT_ID_MAX + 1];
    if (make(r, &rows, e) < 0)
        return -1;
    (void)rollout_unit_of(of.gates, device->id, place->facts, rows->unit);
    int found = STORE_ABSENT;
    if (rows->of_site)
        found = store_member_get(&of, device->id, unit, &rows->member, e);
    if (found < 0)
        return -1;
    if (found == 0 && strcmp(unit, rows->unit) != 0) {
        (void)snprintf(rows->unit, sizeof rows->unit, "%s", unit);
        rows->moved = true;
    }
    found = store_cohort_get(&of, rows->unit, &rows->row, e);
    if (found == STORE_ABSENT && rows->moved)
        return damaged(r, e);
    if (found == STORE_ABSENT)
        found = enlist(fleet, r, device, place, &seen, rows, e);
    else if (found == 0 && !rows->moved)
        found = count_again(fleet, r, device, &seen, rows, e);
    if (found < 0)
        return -1;
    if (rows->of_site)
        rows->member_changed = rollout_score_member_know(&seen, &rows->member);
    *ret = own_take(&rows);
    return 0;
}
