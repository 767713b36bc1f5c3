// SPDX-License-Identifier: Apache-2.0
//
// See floors.h.
#include "agent/floors.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/pair.h"
#include "base/doc.h"
#include "base/own.h"
#include "bundle/kind.h"

#define NAME "floors"

int agent_floors_read(int private_dir, struct agent_floors *ret, struct err *e) {
    static const struct doc_limits limits = {
        .bytes = AGENT_PAIR_MAX_BYTES, .depth = 2, .values = 1024};
    OWN(buf) struct buf text;
    OWN(json) json_t *object = NULL;
    buf_init(&text, AGENT_PAIR_MAX_BYTES);
    uint64_t serial = 0;
    int found = agent_pair_read(private_dir, NAME, &text, &serial, e);
    if (found < 0)
        return -1;
    struct slice slice = {.data = text.data, .len = text.len};
    if (found == 0 && doc_parse(slice, NAME, &limits, &object, e) < 0)
        return -1;
    if (found == AGENT_PAIR_ABSENT)
        object = json_object();
    if (!json_is_object(object))
        return err_set(e, &err_bad_journal, "the floors are not an object");
    *ret = (struct agent_floors){.serial = serial, .object = own_take(&object)};
    return 0;
}

void agent_floors_clear(struct agent_floors *floors) {
    json_decref(floors->object);
    floors->object = NULL;
}

int agent_floors_raise(int private_dir, struct agent_floors *floors, const json_t *wanted,
                       struct err *e) {
    OWN(json) json_t *raised = json_copy(floors->object);
    if (!raised)
        return err_set(e, &err_memory, "raising the floors: out of memory");
    bool changed = false;
    const char *name;
    json_t *value;
    // The iteration does not change the object; jansson's macro wants it without const.
    json_object_foreach ((json_t *)(uintptr_t)wanted, name, value) {
        json_int_t now = json_integer_value(json_object_get(raised, name));
        if (json_integer_value(value) <= now)
            continue;
        if (json_object_set(raised, name, value) < 0)
            return err_set(e, &err_memory, "raising the floors: out of memory");
        changed = true;
    }
    if (!changed)
        return 0;
    json_object_foreach (floors->object, name, value) {
        json_int_t now = json_integer_value(json_object_get(raised, name));
        assert(now >= json_integer_value(value) && "I6: a floor never falls");
    }
    if (agent_pair_write_json(private_dir, NAME, floors->serial + 1, raised, e) < 0)
        return err_prefix(e, "raising the floors");
    json_decref(floors->object);
    floors->object = own_take(&raised);
    floors->serial++;
    return 0;
}

int agent_floors_admit(const struct agent_floors *floors, const struct bundle_generation *g,
                       struct err *e) {
    for (size_t i = 0; i < g->n_components; i++) {
        const struct bundle_generation_component *c = &g->components[i];
        json_int_t floor = json_integer_value(json_object_get(floors->object, c->name));
        if (floor > 0 && c->security_version < (uint64_t)floor)
            return err_set(e, &err_below_floor,
                           "generation %" PRIu64 " has %s with security version %" PRIu64
                           ", below the floor of %lld",
                           g->number, c->name, c->security_version, (long long)floor);
    }
    return 0;
}
