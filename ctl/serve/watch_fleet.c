// SPDX-License-Identifier: Apache-2.0
//
// The fleet at a glance.
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"
#include "ctl/serve/watch.h"

#define SILENT_S  86400
#define SAMPLES   20
#define UNMATCHED 5

struct census {
    struct serve_call *call;
    const struct bundle_predicate *selector; // query
    uint64_t devices, examined, silent, held, pinned, clones;
    json_t *states, *agent_states, *releases, *sample, *unmatched;
};

static void count_one(json_t *in, const char *key) {
    (void)json_object_set_new(in, key,
                              json_integer(json_integer_value(json_object_get(in, key)) + 1));
}

static void count_releases(json_t *in, const struct store_device *device) {
    const char *component = NULL;
    json_t *c = NULL;
    json_object_foreach (json_object_get(device->said, "components"), component, c) {
        char text[BUNDLE_NAME_MAX + BUNDLE_RELEASE_MAX + 2];
        json_t *versions = json_object_get(in, component);
        if (versions == NULL) {
            versions = json_object();
            (void)json_object_set_new(in, component, versions);
        }
        (void)snprintf(text, sizeof text, "%s %s", json_string_value(json_object_get(c, "name")),
                       json_string_value(json_object_get(c, "version")));
        count_one(versions, text);
    }
}

static int summarise(void *context, const struct store_device *d, struct err *e) {
    struct census *c = context;
    bool sees = false;
    if (serve_admin_sees(c->call, d, &sees, e) < 0)
        return -1;
    if (!sees)
        return 0;
    const char *state = json_string_value(json_object_get(d->said, "state"));
    bool accepted = d->state == STORE_DEVICE_ACCEPTED;
    c->devices++;
    c->silent += accepted && serve_call_now_s(c->call) - d->seen_s > SILENT_S;
    c->held += d->held;
    c->pinned += d->pin_name[0] != '\0';
    c->clones += d->clone_s != 0;
    count_one(c->states, store_device_state_name(d->state));
    if (accepted && state != NULL)
        count_one(c->agent_states, state);
    if (accepted)
        count_releases(c->releases, d);
    return 0;
}

int serve_watch_summary(struct store_db *db, struct serve_call *call, struct err *e) {
    const struct serve_engine *engine = call->server->engine;
    OWN(json) json_t *states = json_object();
    OWN(json) json_t *agent_states = json_object();
    OWN(json) json_t *releases = json_object();
    OWN(json) json_t *rollouts = json_array();
    struct census c = {
        .call = call, .states = states, .agent_states = agent_states, .releases = releases};
    if (store_device_list(db, "", summarise, &c, e) < 0)
        return -1;
    for (size_t i = engine->n_rollouts; i-- > 0;)
        if (!rollout_advance_ended(engine->rollouts[i]->row.progress.state) &&
            serve_admin_sees_rollout(call, engine->rollouts[i]))
            (void)json_array_append_new(rollouts, serve_show_rollout_summary(engine->rollouts[i]));
    return serve_call_answer(
        call, 200,
        json_pack("{s:I, s:O, s:O, s:O, s:I, s:I, s:I, s:I, s:O}", "devices", (json_int_t)c.devices,
                  "states", states, "agent_states", agent_states, "releases", releases, "silent",
                  (json_int_t)c.silent, "held", (json_int_t)c.held, "pinned", (json_int_t)c.pinned,
                  "clones", (json_int_t)c.clones, "rollouts", rollouts),
        e);
}

static int query(void *context, const struct store_device *d, struct err *e) {
    struct census *c = context;
    struct bundle_facts *facts = NULL;
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    bool sees = false;
    if (serve_admin_sees(c->call, d, &sees, e) < 0)
        return -1;
    if (!sees || d->state != STORE_DEVICE_ACCEPTED)
        return 0;
    if (serve_engine_facts(d, &facts, e) < 0)
        return -1;
    c->examined++;
    if (bundle_predicate_holds(c->selector, facts, reason)) {
        c->devices++;
        count_releases(c->releases, d);
        if (json_array_size(c->sample) < SAMPLES)
            (void)json_array_append_new(c->sample, json_string(d->id));
    } else if (json_array_size(c->unmatched) < UNMATCHED) {
        (void)json_array_append_new(c->unmatched,
                                    json_pack("{s:s, s:s}", "device", d->id, "reason", reason));
    }
    bundle_facts_free(facts);
    return 0;
}

int serve_watch_query(struct store_db *db, struct serve_call *call, struct err *e) {
    struct bundle_predicate *selector = NULL;
    OWN(json) json_t *releases = json_object();
    OWN(json) json_t *sample = json_array();
    OWN(json) json_t *unmatched = json_array();
    const char *text = serve_call_query(call, "selector");
    if (text == NULL)
        return err_set(e, &err_bad_request, "the query parameter selector is missing");
    if (serve_admin_selector(call, &selector, e) < 0)
        return -1;
    struct census c = {.call = call,
                       .selector = selector,
                       .releases = releases,
                       .sample = sample,
                       .unmatched = unmatched};
    int done = store_device_list(db, "", query, &c, e);
    bundle_predicate_free(selector);
    if (done < 0)
        return -1;
    return serve_call_answer(call, 200,
                             json_pack("{s:s, s:I, s:I, s:O, s:O, s:O}", "selector", text,
                                       "matching", (json_int_t)c.devices, "examined",
                                       (json_int_t)c.examined, "releases", releases, "unmatched",
                                       unmatched, "sample", sample),
                             e);
}
