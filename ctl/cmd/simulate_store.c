// SPDX-License-Identifier: Apache-2.0
//
// Devices out of a store.
#include "ctl/cmd/simulate_store.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/store/device.h"

struct reading {
    struct cmd_simulate_store *store;
    const struct sim_fleet *fleet;
    json_t *places; // value of the site's fact → its number
};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "reading the store: out of memory");
}

static int make_room(struct cmd_simulate_store *s, struct err *e) {
    size_t capacity = s->capacity == 0 ? 1024 : 2 * s->capacity;
    if (s->n < s->capacity)
        return 0;
    void *facts = reallocarray(s->facts, capacity, sizeof(struct bundle_facts *));
    if (facts != NULL)
        s->facts = facts;
    void *sites = reallocarray(s->sites, capacity, sizeof *s->sites);
    if (sites != NULL)
        s->sites = sites;
    if (facts == NULL || sites == NULL)
        return no_memory(e);
    s->capacity = capacity;
    return 0;
}

// Devices that say no place are all at one.
static int find_place(struct reading *r, const struct bundle_facts *facts, uint32_t *ret,
                      struct err *e) {
    const json_t *value = bundle_facts_find(facts, r->fleet->site_fact);
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    const json_t *known = json_object_get(r->places, name);
    if (known != NULL) {
        *ret = (uint32_t)json_integer_value(known);
        return 0;
    }
    size_t n = json_object_size(r->places);
    if (n >= SIM_FLEET_SITES_MAX)
        return err_set(e, &err_limit, "the fleet has more than %d sites by the fact %s",
                       SIM_FLEET_SITES_MAX, r->fleet->site_fact);
    *ret = (uint32_t)n;
    return json_object_set_new(r->places, name, json_integer((json_int_t)n)) < 0 ? no_memory(e) : 0;
}

static int take(void *context, const struct store_device *device, struct err *e) {
    struct reading *r = context;
    struct cmd_simulate_store *s = r->store;
    struct err ignored = ERR_NONE;
    OWN(json) json_t *none = json_object();
    if (device->state != STORE_DEVICE_ACCEPTED)
        return 0;
    if (s->n >= SIM_FLEET_DEVICES_MAX)
        return err_set(e, &err_limit, "the store has more than %d devices", SIM_FLEET_DEVICES_MAX);
    if (make_room(s, e) < 0)
        return -1;
    // What cannot be read counts as no facts, as in the controller.
    const json_t *facts = device->facts == NULL ? none : device->facts;
    if (bundle_facts_with_labels(facts, device->labels, &s->facts[s->n], &ignored) < 0 &&
        bundle_facts_with_labels(none, device->labels, &s->facts[s->n], e) < 0)
        return -1;
    s->n++;
    return find_place(r, s->facts[s->n - 1], &s->sites[s->n - 1], e);
}

int cmd_simulate_store_read(const char *path, struct sim_fleet *io, struct cmd_simulate_store *ret,
                            struct err *e) {
    struct store_db *db = NULL;
    struct stat there;
    OWN(json) json_t *places = json_object();
    struct reading reading = {.store = ret, .fleet = io, .places = places};
    if (places == NULL)
        return no_memory(e);
    // Opening makes one where there is none.
    int found = fs_stat(AT_FDCWD, path, &there, e);
    if (found != 0)
        return found < 0 ? -1 : err_set(e, &err_not_found, "%s: there is no store", path);
    if (store_db_open(path, &db, e) < 0)
        return -1;
    int done = store_device_list(db, "", take, &reading, e);
    store_db_close(db);
    if (done == 0 && ret->n == 0)
        done = err_set(e, &err_config, "%s: no device was accepted", path);
    if (done < 0) {
        cmd_simulate_store_clear(ret);
        return -1;
    }
    io->devices = ret->n;
    io->sites = json_object_size(places);
    return 0;
}

void cmd_simulate_store_clear(struct cmd_simulate_store *store) {
    for (size_t i = 0; i < store->n; i++)
        bundle_facts_free(store->facts[i]);
    free(store->facts);
    free(store->sites);
    *store = (struct cmd_simulate_store){.n = 0};
}
