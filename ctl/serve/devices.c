// SPDX-License-Identifier: Apache-2.0
//
// Changing devices.
#include "ctl/serve/devices.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "ctl/kind.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/evidence.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/mandate.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"

#define LABELS_MAX        64
#define REPLACE_DEFAULT_S 86400
#define REPLACE_MAX_S     (30 * 86400)

// A change: reads the body into the device. The rest is the same for all.
typedef int (*change_fn)(struct store_db *db, struct serve_call *call, struct store_device *device,
                         struct err *e);

static int keep(struct store_db *db, struct serve_call *call, const struct store_device *device,
                const char *action, struct err *e) {
    call->server->engine->fleet_changes++;
    if (store_device_put(db, device, e) < 0 || store_device_put_facts(db, device, e) < 0)
        return -1;
    return serve_admin_audit(db, call, action, device->id, call->document, e);
}

static int change(struct store_db *db, struct serve_call *call, const char *action, change_fn fn,
                  struct err *e) {
    struct store_device device;
    if (serve_admin_device(db, call, &device, e) < 0)
        return -1;
    int done = fn(db, call, &device, e);
    if (done == 0)
        done = keep(db, call, &device, action, e);
    if (done == 0)
        done = serve_call_answer(call, 200, serve_show_device(call->server->engine, &device), e);
    store_device_clear(&device);
    return done;
}

static int no_members(struct serve_call *call, struct err *e) {
    static const char *const none[] = {NULL};
    struct doc_at at;
    return serve_call_members(call, none, &at, e);
}

// ── State ──

static int accept(struct store_db *db, struct serve_call *call, struct store_device *device,
                  struct err *e) {
    (void)db;
    if (no_members(call, e) < 0)
        return -1;
    if (device->state == STORE_DEVICE_REPLACING)
        return err_set(
            e, &err_device_state,
            "device %s is being replaced: accepting would let the old hardware in again; "
            "enrol the new one, or reject it first to keep the old",
            device->id);
    device->state = STORE_DEVICE_ACCEPTED;
    device->clone_s = 0; // a person looked at it
    return 0;
}

// To be waited for: it has no outcome, or has yet to go back.
static bool is_awaited(const struct serve_fleet *fleet, const struct store_device *device) {
    const struct serve_engine_rollout *r = serve_engine_find(fleet->engine, device->task.rollout);
    bool reverts = r != NULL && r->row.progress.state == ROLLOUT_STATE_REVERTING;
    return rollout_task_unresolved(device->task.state) ||
           (reverts && rollout_task_took(device->task.state));
}

// Its tokens end with the epoch, and it is no longer waited for.
static int shut_out(struct store_db *db, struct serve_call *call, struct store_device *device,
                    enum store_device_state state, struct err *e) {
    struct serve_fleet fleet = {.engine = call->server->engine, .db = db, .now_ms = call->now_ms};
    if (serve_fleet_excuse(&fleet, device, NULL, e) < 0 ||
        serve_evidence_leave(&fleet, NULL, device->id, e) < 0 ||
        (is_awaited(&fleet, device) &&
         serve_fleet_move(&fleet, device, ROLLOUT_TASK_CANCELLED, e) < 0))
        return -1;
    device->state = state;
    device->token_epoch++;
    return 0;
}

static int reject(struct store_db *db, struct serve_call *call, struct store_device *device,
                  struct err *e) {
    if (no_members(call, e) < 0)
        return -1;
    return shut_out(db, call, device, STORE_DEVICE_REJECTED, e);
}

static int retire(struct store_db *db, struct serve_call *call, struct store_device *device,
                  struct err *e) {
    if (no_members(call, e) < 0)
        return -1;
    return shut_out(db, call, device, STORE_DEVICE_RETIRED, e);
}

int serve_devices_accept(struct store_db *db, struct serve_call *call, struct err *e) {
    return change(db, call, "device.accept", accept, e);
}

int serve_devices_reject(struct store_db *db, struct serve_call *call, struct err *e) {
    return change(db, call, "device.reject", reject, e);
}

int serve_devices_retire(struct store_db *db, struct serve_call *call, struct err *e) {
    return change(db, call, "device.retire", retire, e);
}

// ── Labels, pin, hold ──

static int set_label(struct store_device *device, const char *name, const json_t *value,
                     struct err *e) {
    if (!text_is_name(name, BUNDLE_FACT_NAME_MAX - 6))
        return err_set(e, &err_bad_request,
                       "labels: a name has letters, digits, '.', '_', '-' and '+'");
    if (json_is_null(value)) {
        (void)json_object_del(device->labels, name);
        return 0;
    }
    if (!json_is_string(value) || json_string_length(value) > BUNDLE_FACT_VALUE_MAX)
        return err_set(e, &err_bad_request, "labels.%s: expected text of at most %d bytes, or null",
                       name, BUNDLE_FACT_VALUE_MAX);
    if (json_object_set(device->labels, name, (json_t *)(uintptr_t)value) < 0)
        return err_set(e, &err_memory, "setting labels: out of memory");
    return 0;
}

static int set_labels(struct serve_call *call, struct store_device *device, struct err *e) {
    static const char *const known[] = {"labels", NULL};
    struct doc_at at, labels;
    const char *name = NULL;
    json_t *value = NULL;
    bool sees = false;
    if (serve_call_members(call, known, &at, e) < 0 || doc_object(&at, "labels", &labels, e) < 0)
        return -1;
    if (device->labels == NULL && (device->labels = json_object()) == NULL)
        return err_set(e, &err_memory, "setting labels: out of memory");
    json_object_foreach (labels.value, name, value) {
        if (set_label(device, name, value, e) < 0)
            return -1;
    }
    if (json_object_size(device->labels) > LABELS_MAX)
        return err_set(e, &err_limit, "a device has at most %d labels", LABELS_MAX);
    // Nobody moves a device into, or out of, what they may touch.
    if (serve_admin_sees(call, device, &sees, e) < 0)
        return -1;
    return sees ? 0
                : err_set(e, &err_permission,
                          "with these labels the device would be outside of the token's selector");
}

// A rollout whose selector it leaves does not wait for it.
static int label(struct store_db *db, struct serve_call *call, struct store_device *device,
                 struct err *e) {
    struct serve_fleet fleet = {.engine = call->server->engine, .db = db, .now_ms = call->now_ms};
    OWN(json) json_t *labels = json_deep_copy(device->labels);
    if (set_labels(call, device, e) < 0)
        return -1;
    struct store_device before = *device;
    before.labels = labels;
    return serve_fleet_excuse(&fleet, &before, device, e);
}

int serve_devices_label(struct store_db *db, struct serve_call *call, struct err *e) {
    return change(db, call, "device.label", label, e);
}

// "NAME VERSION", an object of both, or null.
static int read_release(const struct doc_at *at, char *ret_name, char *ret_version, struct err *e) {
    const json_t *value = json_object_get(at->value, "release");
    const char *name = NULL, *version = NULL;
    char text[BUNDLE_NAME_MAX + BUNDLE_RELEASE_MAX + 2];
    struct doc_at release;
    if (json_is_string(value) && json_string_length(value) < sizeof text) {
        (void)snprintf(text, sizeof text, "%s", json_string_value(value));
        char *blank = strchr(text, ' ');
        if (blank != NULL) {
            *blank = '\0';
            name = text;
            version = blank + 1;
        }
    } else if (json_is_object(value)) {
        if (doc_object(at, "release", &release, e) < 0 ||
            doc_string(&release, "name", BUNDLE_NAME_MAX, &name, e) < 0 ||
            doc_string(&release, "version", BUNDLE_RELEASE_MAX, &version, e) < 0)
            return -1;
    }
    if (name == NULL || !text_is_name(name, BUNDLE_NAME_MAX) ||
        !text_is_name(version, BUNDLE_RELEASE_MAX))
        return err_set(e, &err_bad_request, "release: expected \"NAME VERSION\" or null");
    (void)snprintf(ret_name, BUNDLE_NAME_MAX + 1, "%s", name);
    (void)snprintf(ret_version, BUNDLE_RELEASE_MAX + 1, "%s", version);
    return 0;
}

static int note_bundle(void *context, const struct store_bundle *bundle, struct err *e) {
    bool *found = context;
    (void)bundle;
    (void)e;
    *found = true;
    return 0;
}

static int check_published(struct store_db *db, const char *name, const char *version,
                           struct err *e) {
    bool found = false;
    if (store_release_list(db, name, version, note_bundle, &found, e) < 0)
        return -1;
    if (!found)
        return err_set(e, &err_not_found, "the release %s %s was not published; publish it first",
                       name, version);
    return 0;
}

static int pin(struct store_db *db, struct serve_call *call, struct store_device *device,
               struct err *e) {
    static const char *const known[] = {"release", "mandate", NULL};
    const struct serve_mandate_pin to = {
        .device = device->id, .name = device->pin_name, .release = device->pin_version};
    const json_t *mandate = json_object_get(call->document, "mandate");
    struct doc_at at;
    if (serve_call_members(call, known, &at, e) < 0)
        return -1;
    if (json_is_null(json_object_get(at.value, "release"))) {
        device->pin_name[0] = device->pin_version[0] = '\0';
        return 0;
    }
    if (read_release(&at, device->pin_name, device->pin_version, e) < 0 ||
        check_published(db, device->pin_name, device->pin_version, e) < 0 ||
        serve_mandate_pin(db, call, mandate, &to, e) < 0)
        return -1;
    // The audit says that there was one; the store has it.
    if (mandate != NULL && json_object_set_new(call->document, "mandate", json_true()) < 0)
        return err_set(e, &err_memory, "pinning: out of memory");
    device->direct_attempt++; // a person wants it: what failed before may be tried again
    return 0;
}

int serve_devices_pin(struct store_db *db, struct serve_call *call, struct err *e) {
    return change(db, call, "device.pin", pin, e);
}

static int hold(struct store_db *db, struct serve_call *call, struct store_device *device,
                struct err *e) {
    static const char *const known[] = {"held", NULL};
    struct doc_at at;
    bool was = device->held;
    (void)db;
    if (serve_call_members(call, known, &at, e) < 0 || doc_bool(&at, "held", &device->held, e) < 0)
        return -1;
    if (!was)
        device->held_s = serve_call_now_s(call);
    return 0;
}

int serve_devices_hold(struct store_db *db, struct serve_call *call, struct err *e) {
    return change(db, call, "device.hold", hold, e);
}

// ── Replace, remove ──

static int replace(struct store_db *db, struct serve_call *call, struct store_device *device,
                   struct err *e) {
    static const char *const known[] = {"expires_in_s", NULL};
    char secret[STORE_TOKEN_SECRET_BYTES];
    struct store_token token = {
        .kind = STORE_TOKEN_ENROLL, .max_uses = 1, .created_s = serve_call_now_s(call)};
    uint64_t expires_in_s = REPLACE_DEFAULT_S;
    struct doc_at at;
    if (serve_call_members(call, known, &at, e) < 0 ||
        doc_u64_opt(&at, "expires_in_s", 1, REPLACE_MAX_S, &expires_in_s, e) < 0 ||
        shut_out(db, call, device, STORE_DEVICE_REPLACING, e) < 0)
        return -1;
    token.expires_s = token.created_s + (int64_t)expires_in_s;
    (void)snprintf(token.name, sizeof token.name, "replace-%.50s", device->id);
    (void)snprintf(token.device, sizeof token.device, "%s", device->id);
    if (store_token_add(db, &token, secret, e) < 0 ||
        keep(db, call, device, "device.replace", e) < 0)
        return -1;
    int done = serve_call_answer(
        call, 200,
        json_pack("{s:o, s:s, s:o}", "device", serve_show_device(call->server->engine, device),
                  "enroll_token", secret, "expires", serve_show_time(token.expires_s)),
        e);
    explicit_bzero(secret, sizeof secret);
    return done;
}

int serve_devices_replace(struct store_db *db, struct serve_call *call, struct err *e) {
    struct store_device device;
    if (serve_admin_device(db, call, &device, e) < 0)
        return -1;
    int done = replace(db, call, &device, e);
    store_device_clear(&device);
    return done;
}

int serve_devices_remove(struct store_db *db, struct serve_call *call, struct err *e) {
    struct store_device device;
    if (serve_admin_device(db, call, &device, e) < 0)
        return -1;
    bool out = device.state != STORE_DEVICE_ACCEPTED && device.state != STORE_DEVICE_REPLACING;
    int done = 0;
    if (!out)
        done = err_set(e, &err_device_state,
                       "device %s is %s: retire it before removing it, so that its tokens end",
                       device.id, store_device_state_name(device.state));
    if (done == 0)
        done = store_device_remove(db, device.id, e);
    if (done == 0)
        done = serve_admin_audit(db, call, "device.remove", device.id, NULL, e);
    if (done == 0)
        done = serve_call_answer(call, 200, json_pack("{s:s}", "removed", device.id), e);
    store_device_clear(&device);
    return done;
}
