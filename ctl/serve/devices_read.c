// SPDX-License-Identifier: Apache-2.0
//
// Reading devices: list, show, why.
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "ctl/kind.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/devices.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"
#include "ctl/store/report.h"

#define REPORTS_SHOWN 32

struct page {
    struct serve_call *call;
    const struct bundle_predicate *selector;
    const char *state;
    uint64_t limit;
    json_t *devices;
    const char *next; // id of the last one shown, when there are more
    char last[BUNDLE_DEVICE_ID_MAX + 1];
};

static int matches(struct page *page, const struct store_device *device, bool *ret, struct err *e) {
    struct bundle_facts *facts = NULL;
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    if (serve_admin_sees(page->call, device, ret, e) < 0)
        return -1;
    if (page->state != NULL && strcmp(page->state, store_device_state_name(device->state)) != 0)
        *ret = false;
    if (!*ret)
        return 0;
    if (serve_engine_facts(device, &facts, e) < 0)
        return -1;
    *ret = bundle_predicate_holds(page->selector, facts, reason);
    bundle_facts_free(facts);
    return 0;
}

static int visit(void *context, const struct store_device *device, struct err *e) {
    struct page *page = context;
    bool shown = false;
    if (matches(page, device, &shown, e) < 0)
        return -1;
    if (!shown)
        return 0;
    if (json_array_size(page->devices) == page->limit) {
        page->next = page->last;
        return 1;
    }
    (void)snprintf(page->last, sizeof page->last, "%s", device->id);
    if (json_array_append_new(page->devices,
                              serve_show_device(page->call->server->engine, device)) < 0)
        return err_set(e, &err_memory, "listing devices: out of memory");
    return 0;
}

int serve_devices_list(struct store_db *db, struct serve_call *call, struct err *e) {
    struct bundle_predicate *selector = NULL;
    const char *after = serve_call_query(call, "after");
    struct page page = {.call = call, .limit = 100, .state = serve_call_query(call, "state")};
    if (serve_call_query_u64(call, "limit", 1, 1000, &page.limit, e) < 0 ||
        serve_admin_selector(call, &selector, e) < 0)
        return -1;
    page.selector = selector;
    page.devices = json_array();
    int done = store_device_list(db, after == NULL ? "" : after, visit, &page, e);
    bundle_predicate_free(selector);
    if (done < 0) {
        json_decref(page.devices);
        return -1;
    }
    return serve_call_answer(
        call, 200, json_pack("{s:o, s:s?}", "devices", page.devices, "next", page.next), e);
}

static json_t *detail(const struct serve_call *call, const struct store_device *d,
                      json_t *reports) {
    char key[2 * KEYS_ED25519_PUBLIC_BYTES + 1];
    json_t *dropped = json_object_get(d->said, "dropped");
    json_t *metrics = json_object_get(d->said, "metrics");
    json_t *progress = json_object_get(d->said, "progress");
    text_hex(d->key, sizeof d->key, key);
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:O}", "device",
                     serve_show_device(call->server->engine, d), "facts",
                     d->facts == NULL ? json_object() : json_incref(d->facts), "metrics",
                     metrics == NULL ? json_object() : json_incref(metrics), "key", key, "progress",
                     progress == NULL ? json_null() : json_incref(progress), "dropped",
                     dropped == NULL ? json_pack("{s:i, s:i}", "heartbeats", 0, "refused", 0)
                                     : json_incref(dropped),
                     "last_update", d->spent == NULL ? json_null() : json_incref(d->spent),
                     "reports", reports);
}

int serve_devices_show(struct store_db *db, struct serve_call *call, struct err *e) {
    struct store_device device;
    OWN(json) json_t *reports = NULL;
    if (serve_admin_device(db, call, &device, e) < 0)
        return -1;
    int done = store_report_list(db, device.id, REPORTS_SHOWN, &reports, e);
    if (done == 0)
        done = serve_call_answer(call, 200, detail(call, &device, reports), e);
    store_device_clear(&device);
    return done;
}

// One sentence: what the controller last thought, or why nobody asked it.
static void summarise(const struct store_device *d, const struct serve_call *call, char *ret,
                      size_t ret_bytes) {
    int64_t silent_s = serve_call_now_s(call) - d->seen_s;
    if (d->state == STORE_DEVICE_PENDING)
        (void)snprintf(ret, ret_bytes, "%s waits to be accepted: edgectl device accept %s", d->id,
                       d->id);
    else if (d->state != STORE_DEVICE_ACCEPTED)
        (void)snprintf(ret, ret_bytes, "%s is %s", d->id, store_device_state_name(d->state));
    else if (d->seen_s == 0)
        (void)snprintf(ret, ret_bytes, "%s has not checked in yet", d->id);
    else if (silent_s > 86400)
        (void)snprintf(ret, ret_bytes, "%s has been silent for %lld hours; before that: %s", d->id,
                       (long long)(silent_s / 3600), d->why_text);
    else
        (void)snprintf(ret, ret_bytes, "%s: %s", d->id, d->why_text);
}

// Rollouts move between two check-ins: what counts is what it would be told now.
static int decide_anew(struct store_db *db, struct serve_call *call, struct store_device *d,
                       struct err *e) {
    struct serve_fleet fleet = {.engine = call->server->engine, .db = db, .now_ms = call->now_ms};
    struct rollout_decision decision;
    if (d->state != STORE_DEVICE_ACCEPTED || d->seen_s == 0)
        return 0;
    if (serve_fleet_foresee(&fleet, d, &decision, e) < 0)
        return -1;
    (void)snprintf(d->why_code, sizeof d->why_code, "%s", rollout_why_name(decision.why.code));
    (void)snprintf(d->why_text, sizeof d->why_text, "%s", decision.why.text);
    return 0;
}

static int add_why(void *context, const char *rollout, const struct rollout_why *why,
                   struct err *e) {
    json_t *one =
        json_pack("{s:s, s:o}", "rollout", rollout, "why",
                  serve_show_why(why->code == ROLLOUT_WHY_NONE ? "" : rollout_why_name(why->code),
                                 why->text));
    return json_array_append_new(context, one) < 0
               ? err_set(e, &err_memory, "showing a device: out of memory")
               : 0;
}

// What each rollout that has not ended means for it.
static int list_whys(struct store_db *db, struct serve_call *call, const struct store_device *d,
                     json_t **ret, struct err *e) {
    struct serve_fleet fleet = {.engine = call->server->engine, .db = db, .now_ms = call->now_ms};
    OWN(json) json_t *all = json_array();
    if (d->state == STORE_DEVICE_ACCEPTED && d->seen_s != 0 &&
        serve_fleet_foresee_each(&fleet, d, add_why, all, e) < 0)
        return -1;
    *ret = own_take(&all);
    return 0;
}

int serve_devices_why(struct store_db *db, struct serve_call *call, struct err *e) {
    struct store_device d;
    char summary[BUNDLE_REPORT_TEXT_MAX + 128];
    OWN(json) json_t *rollouts = NULL;
    json_t *failure = NULL;
    if (serve_admin_device(db, call, &d, e) < 0)
        return -1;
    int done = decide_anew(db, call, &d, e);
    if (done == 0)
        done = list_whys(db, call, &d, &rollouts, e);
    if (done == 0)
        done = store_report_failure(db, d.id, &failure, e);
    if (done >= 0) {
        json_t *why = json_object_get(d.said, "why");
        const char *state = json_string_value(json_object_get(d.said, "state"));
        summarise(&d, call, summary, sizeof summary);
        done = serve_call_answer(
            call, 200,
            json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:O}", "device", d.id, "state",
                      store_device_state_name(d.state), "summary", summary, "controller",
                      serve_show_why(d.why_code, d.why_text), "agent",
                      why == NULL ? serve_show_why("", "") : json_incref(why), "agent_state",
                      state == NULL ? "" : state, "update",
                      serve_show_update(call->server->engine, &d), "last_failure",
                      failure == NULL ? json_null() : failure, "rollouts", rollouts),
            e);
    }
    store_device_clear(&d);
    return done;
}
