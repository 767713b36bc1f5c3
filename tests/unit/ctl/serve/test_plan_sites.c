// SPDX-License-Identifier: Apache-2.0
//
// Rollouts that draw whole sites, as the controller plans and carries them out.
#include "ctl/rollout/unit.h"
#include "ctl/serve/fleet_view.h"
#include "ctl/serve/mandate.h"
#include "ctl/serve/plan.h"
#include "tests/unit/ctl/serve/small_fleet.h"

#define DEVICES 30 // ten at each of the sites a, b and c

static void add(struct small_fleet *w, const char *id, const char *site, const char *line) {
    struct err e = ERR_NONE;
    struct store_device device = {.state = STORE_DEVICE_ACCEPTED,
                                  .created_s = SMALL_FLEET_FROM - 30 * 86400,
                                  .seen_s = SMALL_FLEET_FROM,
                                  .direct_attempt = 1};
    (void)snprintf(device.id, sizeof device.id, "%s", id);
    device.labels = json_pack("{s:s*, s:s}", "site", site, "line", line);
    must(store_device_add(w->fleet.db, &device, &e));
    store_device_clear(&device);
}

// The rollout as it is added; whether it could be planned.
static int apply_policy(struct small_fleet *w, enum rollout_unit_kind unit, json_t *policy,
                        struct err *e) {
    OWN(mem) struct store_rollout *row = calloc(1, sizeof *row);
    struct serve_engine_rollout *r = NULL;
    cr_assert_not_null(row);
    cr_assert_eq(rollout_policy_parse(policy, "policy", &row->policy, e), 0, "%s", e->text);
    json_decref(policy);
    row->policy.gates.unit = unit;
    row->created_s = w->fleet.now_ms / 1000;
    row->progress.attempt = 1;
    row->progress.failed_stage = row->policy.n_stages;
    memset(row->seed, 7, sizeof row->seed);
    cr_assert_eq(store_rollout_add(w->fleet.db, row, e), 0, "%s", e->text);
    cr_assert_eq(serve_engine_add(w->fleet.engine, row, &r, e), 0, "%s", e->text);
    return serve_fleet_plan(&w->fleet, r, e);
}

static int apply(struct small_fleet *w, enum rollout_unit_kind unit, const char *stratify,
                 struct err *e) {
    json_t *policy =
        json_pack("{s:s, s:s, s:[s], s:[{s:s, s:s}], s:[{s:s, s:i}, {s:s, s:i}]}", "name", "r",
                  "release", "app 1.0", "stratify", stratify, "gates", "name", "i", "kind",
                  "install", "stages", "name", "few", "count", 1, "name", "all", "percent", 100);
    return apply_policy(w, unit, policy, e);
}

Test(serve_plan_sites, a_stage_of_one_is_one_site) {
    struct small_fleet *w = small_fleet_open(DEVICES);
    struct err e = ERR_NONE;
    must(apply(w, ROLLOUT_UNIT_SITE, "arch", &e));
    const struct serve_engine_rollout *r = small_fleet_rollout(w);
    cr_expect_eq(r->row.members, 3);
    cr_assert_eq(r->n_strata, 1);
    cr_expect_eq(r->strata[0].plan.planned[0], DEVICES / 3, "all devices of one site");
    cr_expect_eq(r->strata[0].plan.planned[1], DEVICES - DEVICES / 3);
    small_fleet_close(w);
}

static uint64_t candidate_stage(struct small_fleet *w, const char *id) {
    struct store_device device = {.held = false};
    struct serve_fleet_view view = {.n_candidates = 0};
    struct rollout_candidate candidate;
    struct serve_fleet_beside beside = {.rank = 0};
    char reasons[2][BUNDLE_PREDICATE_REASON_BYTES];
    struct err e = ERR_NONE;
    view.candidates = &candidate;
    view.beside = &beside;
    view.reasons = reasons;
    must(store_device_get(w->fleet.db, id, &device, &e));
    must(serve_engine_facts(&device, &view.facts, &e));
    must(serve_fleet_candidate(&w->fleet, &device, small_fleet_rollout(w), true, &view, &e));
    bundle_facts_free(view.facts);
    store_device_clear(&device);
    return candidate.stage;
}

// Also of a site that has more devices than were planned for: a stage is not full in the middle of it.
Test(serve_plan_sites, a_bound_admits_whole_sites_newcomers_included) {
    static const char *const sites[] = {"a", "b", "c"};
    struct small_fleet *w = small_fleet_open(DEVICES);
    struct err e = ERR_NONE;
    char id[24];
    size_t early = 0;
    must(apply(w, ROLLOUT_UNIT_SITE, "arch", &e));
    struct serve_engine_rollout *r = small_fleet_rollout(w);
    for (size_t s = 0; s < 3; s++) {
        (void)snprintf(id, sizeof id, "new-%zu", s);
        add(w, id, sites[s], "x");
    }
    uint64_t stages[3];
    for (size_t i = 0; i < DEVICES; i++) {
        uint64_t stage = candidate_stage(w, small_fleet_id(i, id));
        early += stage == 0;
        if (i < 3)
            stages[i] = stage;
        cr_expect_eq(stage, stages[i % 3], "%s: all of its site are", id);
    }
    cr_expect_eq(early, DEVICES / 3);
    // The stage has offered it to as many as were planned.
    serve_engine_tally(r, 0, 0)->now[ROLLOUT_TASK_OFFERED] = DEVICES / 3;
    for (size_t s = 0; s < 3; s++) {
        (void)snprintf(id, sizeof id, "new-%zu", s);
        cr_expect_eq(candidate_stage(w, id), stages[s], "%s", id);
    }
    small_fleet_close(w);
}

// Who is taken out is missed in the stage that its site is of.
Test(serve_plan_sites, a_device_that_is_retired_is_excused_where_its_site_is) {
    struct small_fleet *w = small_fleet_open(DEVICES);
    struct err e = ERR_NONE;
    char id[24];
    must(apply(w, ROLLOUT_UNIT_SITE, "arch", &e));
    for (size_t i = 0; i < DEVICES; i++) {
        struct store_device device = {.held = false};
        must(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e));
        must(serve_fleet_excuse(&w->fleet, &device, NULL, &e));
        store_device_clear(&device);
    }
    struct serve_engine_rollout *r = small_fleet_rollout(w);
    cr_expect_eq(serve_engine_tally(r, 0, 0)->now[ROLLOUT_TASK_SKIPPED], DEVICES / 3);
    cr_expect_eq(serve_engine_tally(r, 1, 0)->now[ROLLOUT_TASK_SKIPPED], DEVICES - DEVICES / 3);
    small_fleet_close(w);
}

// A device of a site that is held back would refuse what is said to be of another stage.
Test(serve_plan_sites, who_is_held_back_is_so_with_the_whole_site) {
    struct small_fleet *w = small_fleet_open(DEVICES);
    struct err e = ERR_NONE;
    char id[24];
    must(apply(w, ROLLOUT_UNIT_SITE, "arch", &e));
    struct serve_engine_rollout *r = small_fleet_rollout(w);
    // Just the highest of the three sites.
    uint64_t high = 0, middle = 0;
    for (size_t i = 0; i < 3; i++) {
        char site[] = {'s', 'i', 't', 'e', ':', (char)('a' + i), '\0'};
        uint64_t rank = bundle_rank(site, r->row.seed);
        middle = rank > high ? high : rank > middle ? rank : middle;
        high = rank > high ? rank : high;
    }
    while (rollout_batch_holdback(&r->row.policy) >= high)
        r->row.policy.gates.holdback_ppm++;
    cr_assert_gt(rollout_batch_holdback(&r->row.policy), middle);
    for (size_t i = 0; i < DEVICES; i++) {
        struct store_device device = {.held = false};
        uint64_t stage = 0, rank = 0;
        must(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e));
        char site[] = {'s', 'i', 't', 'e', ':', (char)('a' + i % 3), '\0'};
        rank = bundle_rank(site, r->row.seed);
        device.task.stage = 1;
        must(serve_mandate_stage(r, &device, &stage, &e));
        cr_expect_eq(stage, rank == high ? 2 : 1, "%s", id);
        store_device_clear(&device);
    }
    small_fleet_close(w);
}

Test(serve_plan_sites, a_site_of_several_strata_is_refused_by_name) {
    struct small_fleet *w = small_fleet_open(0);
    struct err e = ERR_NONE;
    add(w, "d1", "a", "x");
    add(w, "d2", "b", "x");
    add(w, "d3", "b", "y");
    cr_assert_lt(apply(w, ROLLOUT_UNIT_SITE, "label.line", &e), 0);
    cr_expect(strstr(e.text, "1 site is of devices of several strata (b)"), "%s", e.text);
    small_fleet_close(w);
    w = small_fleet_open(0);
    add(w, "d1", "a", "x");
    add(w, "d2", "b", "x");
    add(w, "d3", "b", "y");
    e = (struct err)ERR_NONE;
    must(apply(w, ROLLOUT_UNIT_DEVICE, "label.line", &e));
    small_fleet_close(w);
}

// ── Plans ──

static json_t *plan(struct small_fleet *w, struct serve_engine_rollout *r, struct err *e) {
    const struct serve_plan_ask ask = {.engine = w->fleet.engine,
                                       .db = w->fleet.db,
                                       .policy = &r->row.policy,
                                       .scope = "",
                                       .now_s = w->fleet.now_ms / 1000,
                                       .expires_s = w->fleet.now_ms / 1000 + 86400,
                                       .seed = r->row.seed};
    json_t *made = NULL;
    return serve_plan_make(&ask, &made, e) < 0 ? NULL : made;
}

static int take(struct small_fleet *w, struct serve_engine_rollout *r, json_t *document,
                struct err *e) {
    struct serve_plan_given given = {.drift_ppm = 100000};
    if (rollout_plan_read(&r->row.policy, document, &given.read, e) < 0)
        return -1;
    return serve_plan_take(&w->fleet, r, &given, e);
}

Test(serve_plan_sites, a_plan_counts_sites_and_is_held_to_them) {
    struct small_fleet *w = small_fleet_open(DEVICES);
    struct err e = ERR_NONE;
    add(w, "lone", NULL, "x");
    must(apply(w, ROLLOUT_UNIT_SITE, "arch", &e));
    struct serve_engine_rollout *r = small_fleet_rollout(w);
    OWN(json) json_t *made = plan(w, r, &e);
    cr_assert_not_null(made, "%s", e.text);
    json_t *document = json_object_get(made, "plan");
    const json_t *sites = json_object_get(document, "sites");
    const json_t *stratum = json_array_get(json_object_get(document, "strata"), 0);
    cr_expect_eq(json_integer_value(json_object_get(document, "devices")), DEVICES + 1);
    cr_expect_eq(json_integer_value(json_object_get(sites, "units")), 4);
    cr_expect_eq(json_integer_value(json_object_get(sites, "sites")), 3);
    cr_expect_eq(json_integer_value(json_object_get(sites, "alone")), 1);
    cr_expect_eq(json_integer_value(json_object_get(sites, "largest")), DEVICES / 3);
    cr_expect_eq(json_integer_value(json_object_get(stratum, "units")), 4);
    cr_expect_eq(json_integer_value(json_object_get(stratum, "counted")), 4);
    must(take(w, r, document, &e));
    cr_expect_eq(r->row.members, 4);
    // One device more is within the tolerance, unless it is a site more.
    add(w, "more", "a", "x");
    must(take(w, r, document, &e));
    add(w, "other", "d", "x");
    cr_assert_lt(take(w, r, document, &e), 0);
    cr_expect(strstr(e.text, "4 sites, and 1 of them"), "%s", e.text);
    small_fleet_close(w);
}

// Nor are the gates told of it (ctl/serve/evidence.h).
Test(serve_plan_sites, the_site_of_a_device_that_a_stage_names_is_not_counted) {
    struct small_fleet *w = small_fleet_open(DEVICES);
    struct err e = ERR_NONE;
    char id[24];
    json_t *policy =
        json_pack("{s:s, s:s, s:[{s:s, s:s}], s:[{s:s, s:[s]}, {s:s, s:i}]}", "name", "r",
                  "release", "app 1.0", "gates", "name", "i", "kind", "install", "stages", "name",
                  "lab", "devices", small_fleet_id(0, id), "name", "all", "percent", 100);
    must(apply_policy(w, ROLLOUT_UNIT_SITE, policy, &e));
    OWN(json) json_t *made = plan(w, small_fleet_rollout(w), &e);
    cr_assert_not_null(made, "%s", e.text);
    const json_t *strata = json_object_get(json_object_get(made, "plan"), "strata");
    const json_t *stratum = json_array_get(strata, 0);
    cr_expect_eq(json_integer_value(json_object_get(stratum, "units")), 3);
    cr_expect_eq(json_integer_value(json_object_get(stratum, "counted")), 2);
    small_fleet_close(w);
}
