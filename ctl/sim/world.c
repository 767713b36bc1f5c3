// SPDX-License-Identifier: Apache-2.0
//
// Devices from a fleet file: facts, predicates, strata.
#include "ctl/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/predicate.h"
#include "ctl/sim/world_units.h"

#define LABEL "label."

struct predicates {
    struct bundle_predicate *selector;
    struct bundle_predicate *where[SIM_FLEET_FAULTS_MAX];
};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "making the fleet: out of memory");
}

char *sim_world_id(size_t device, char ret[static SIM_WORLD_DEVICE_ID_BYTES]) {
    (void)snprintf(ret, SIM_WORLD_DEVICE_ID_BYTES, "d-%08u", (unsigned)device);
    return ret;
}

static void free_predicates(struct predicates *p) {
    bundle_predicate_free(p->selector);
    for (size_t i = 0; i < SIM_FLEET_FAULTS_MAX; i++)
        bundle_predicate_free(p->where[i]);
}

static int read_predicates(const struct sim_fleet *fleet, const struct rollout_policy *policy,
                           struct predicates *ret, struct err *e) {
    if (bundle_predicate_parse(policy->selector, &ret->selector, e) < 0)
        return -1;
    for (size_t i = 0; i < fleet->n_faults; i++)
        if (bundle_predicate_parse(fleet->faults[i].where, &ret->where[i], e) < 0)
            return -1;
    return 0;
}

// ── Facts ──

static json_t *value_json(const struct sim_fleet_value *value) {
    switch (value->type) {
    case SIM_FLEET_INTEGER:
        return json_integer(value->number);
    case SIM_FLEET_BOOLEAN:
        return json_boolean((int)value->number);
    case SIM_FLEET_TEXT:
        break;
    }
    return json_string(value->text);
}

// One of the fact's values, by their weights.
static const struct sim_fleet_value *choose(const struct sim_fleet_fact *fact,
                                            struct sim_dice *dice) {
    uint64_t at = sim_dice_below(dice, fact->weights);
    size_t i = 0;
    while (i + 1 < fact->n && at >= fact->values[i].weight)
        at -= fact->values[i++].weight;
    return &fact->values[i];
}

// Labels have an object of their own. What is there stays.
static int set_fact(json_t *facts, json_t *labels, const char *name, json_t *value, struct err *e) {
    bool label = strncmp(name, LABEL, strlen(LABEL)) == 0;
    json_t *object = label ? labels : facts;
    const char *key = label ? name + strlen(LABEL) : name;
    if (value != NULL && json_object_get(object, key) != NULL) {
        json_decref(value);
        return 0;
    }
    if (value != NULL && label && !json_is_string(value)) {
        json_decref(value);
        return err_set(e, &err_config, "facts: %s: a label is a text", name);
    }
    return value == NULL || json_object_set_new(object, key, value) < 0 ? no_memory(e) : 0;
}

static int add_facts(const struct sim_fleet_facts *from, struct sim_dice *dice, json_t *facts,
                     json_t *labels, struct err *e) {
    for (size_t i = 0; i < from->n; i++)
        if (set_fact(facts, labels, from->list[i].name, value_json(choose(&from->list[i], dice)),
                     e) < 0)
            return -1;
    return 0;
}

static int make_facts(const struct sim_world *world, size_t index, struct bundle_facts **ret,
                      struct err *e) {
    const struct sim_fleet *fleet = world->fleet;
    const struct sim_world_device *device = &world->devices[index];
    struct sim_dice dice = sim_dice_make(world->seed, index, SIM_WORLD_FACTS);
    OWN(json) json_t *facts = json_object();
    OWN(json) json_t *labels = json_object();
    char site[32];
    if (facts == NULL || labels == NULL)
        return no_memory(e);
    (void)snprintf(site, sizeof site, "s%u", device->site);
    if (set_fact(facts, labels, fleet->site_fact, json_string(site), e) < 0 ||
        add_facts(&fleet->kinds[device->kind].facts, &dice, facts, labels, e) < 0 ||
        add_facts(&fleet->facts, &dice, facts, labels, e) < 0)
        return -1;
    return bundle_facts_with_labels(facts, labels, ret, e);
}

// ── Strata ──

static int find_stratum(struct sim_world *world, const char *key, uint16_t *ret, struct err *e) {
    for (size_t i = world->n_strata; i-- > 0;)
        if (strcmp(world->strata[i], key) == 0) {
            *ret = (uint16_t)i;
            return 0;
        }
    if (world->n_strata == BUNDLE_STRATA_MAX)
        return err_set(e, &err_config,
                       "stratify: the fleet has more than %d combinations of these facts; choose "
                       "facts with fewer values",
                       BUNDLE_STRATA_MAX);
    world->strata[world->n_strata] = strdup(key);
    if (world->strata[world->n_strata] == NULL)
        return no_memory(e);
    *ret = (uint16_t)world->n_strata++;
    return 0;
}

static int judge_facts(struct sim_world *world, const struct predicates *predicates, size_t index,
                       const struct bundle_facts *facts, struct err *e) {
    struct sim_world_device *device = &world->devices[index];
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    OWN(buf) struct buf key;
    device->selected = bundle_predicate_holds(predicates->selector, facts, reason);
    for (size_t i = 0; i < world->fleet->n_faults; i++)
        if (bundle_predicate_holds(predicates->where[i], facts, reason))
            device->where = (uint16_t)(device->where | 1U << i);
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    if (bundle_stratum_key(world->policy->stratify, world->policy->n_stratify, facts, &key, e) < 0)
        return -1;
    return find_stratum(world, buf_text(&key), &device->stratum, e);
}

static uint16_t choose_kind(const struct sim_fleet *fleet, struct sim_dice *dice) {
    uint64_t all = 0;
    uint16_t kind = 0;
    for (size_t i = 0; i < fleet->n_kinds; i++)
        all += fleet->kinds[i].weight;
    uint64_t at = sim_dice_below(dice, all);
    while ((size_t)kind + 1 < fleet->n_kinds && at >= fleet->kinds[kind].weight)
        at -= fleet->kinds[kind++].weight;
    return kind;
}

static int16_t choose_zone(const struct sim_fleet *fleet, struct sim_dice *dice) {
    uint64_t all = 0;
    size_t i = 0;
    for (size_t k = 0; k < fleet->n_zones; k++)
        all += fleet->zones[k].weight;
    if (all == 0)
        return 0;
    uint64_t at = sim_dice_below(dice, all);
    while (i + 1 < fleet->n_zones && at >= fleet->zones[i].weight)
        at -= fleet->zones[i++].weight;
    return fleet->zones[i].east_min;
}

static int take_facts(struct sim_world *world, const struct predicates *predicates, size_t index,
                      const struct bundle_facts *facts, struct sim_world_units *units,
                      struct err *e) {
    return judge_facts(world, predicates, index, facts, e) < 0
               ? -1
               : sim_world_units_add(world, index, facts, units, e);
}

static int make_device(struct sim_world *world, const struct predicates *predicates,
                       const struct sim_world_given *given, size_t index,
                       struct sim_world_units *units, struct err *e) {
    struct sim_dice kind = sim_dice_make(world->seed, index, SIM_WORLD_KIND);
    struct sim_dice site = sim_dice_make(world->seed, index, SIM_WORLD_SITE);
    struct sim_dice zone = sim_dice_make(world->seed, index, SIM_WORLD_ZONE);
    struct sim_world_device *device = &world->devices[index];
    struct bundle_facts *facts = NULL;
    device->kind = choose_kind(world->fleet, &kind);
    device->zone_min = choose_zone(world->fleet, &zone);
    device->site =
        given == NULL ? (uint32_t)sim_dice_below(&site, world->fleet->sites) : given->sites[index];
    if (given != NULL)
        return take_facts(world, predicates, index, given->facts[index], units, e);
    if (make_facts(world, index, &facts, e) < 0)
        return -1;
    int done = take_facts(world, predicates, index, facts, units, e);
    bundle_facts_free(facts);
    return done;
}

static int make(const struct sim_world *from, const struct sim_world_given *given,
                struct sim_world *ret, struct err *e) {
    struct predicates predicates = {.selector = NULL};
    struct sim_world world = *from;
    world.n = world.fleet->devices;
    world.devices = calloc(world.n, sizeof *world.devices);
    struct sim_world_units units = {.sites = NULL};
    int done = world.devices == NULL ? no_memory(e) : sim_world_units_open(&world, &units, e);
    if (done == 0)
        done = read_predicates(world.fleet, world.policy, &predicates, e);
    for (size_t i = 0; done == 0 && i < world.n; i++)
        done = make_device(&world, &predicates, given, i, &units, e);
    if (done == 0)
        done = sim_world_units_find(&units, &world, e);
    sim_world_units_clear(&units);
    free_predicates(&predicates);
    if (done < 0)
        sim_world_clear(&world);
    else
        *ret = world;
    return done;
}

int sim_world_make(const struct sim_fleet *fleet, const struct rollout_policy *policy,
                   uint64_t seed, struct sim_world *ret, struct err *e) {
    const struct sim_world from = {.fleet = fleet, .policy = policy, .seed = seed};
    return make(&from, NULL, ret, e);
}

int sim_world_take(const struct sim_fleet *fleet, const struct rollout_policy *policy,
                   const struct sim_world_given *given, struct sim_world *ret, struct err *e) {
    const struct sim_world from = {.fleet = fleet, .policy = policy};
    return make(&from, given, ret, e);
}

void sim_world_clear(struct sim_world *world) {
    for (size_t i = 0; i < world->n_strata; i++)
        free(world->strata[i]);
    free(world->devices);
    *world = (struct sim_world){.n = 0};
}
