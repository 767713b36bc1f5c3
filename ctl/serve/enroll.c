// SPDX-License-Identifier: Apache-2.0
//
// Challenge, enrolment, device tokens.
#include "ctl/serve/enroll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "ctl/kind.h"
#include "ctl/serve/auth.h"
#include "ctl/serve/challenge.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/evidence.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/server.h"
#include "ctl/store/audit.h"
#include "ctl/store/ran.h"
#include "ctl/store/report.h"
#include "ctl/store/undone.h"

static int64_t boot_ms(const struct serve_call *call) {
    return chrono_boot_ms(call->server->clock);
}

int serve_enroll_challenge(struct serve_call *call, struct err *e) {
    char challenge[BUNDLE_CHALLENGE_HEX];
    serve_challenge_make(call->server->challenges, boot_ms(call), challenge);
    if (serve_call_answer(call, 200, json_pack("{s:s}", "challenge", challenge), e) < 0)
        return -1;
    return 1;
}

// Whether the key signed this challenge for this device.
static int check_signature(const char *context, const char *challenge, const char *device,
                           const struct keys_pub *key,
                           const uint8_t signature[static KEYS_ED25519_SIGNATURE_BYTES],
                           struct err *e) {
    OWN(buf) struct buf text;
    buf_init(&text, 512);
    if (bundle_checkin_signed_text(context, challenge, device, &text, e) < 0)
        return -1;
    if (!keys_pub_verify(key, buf_slice(&text), signature))
        return err_set(e, &err_permission, "the signature is not by the key of device %s", device);
    return 0;
}

// ── Enrolment ──

int serve_enroll_prepare(struct serve_call *call, struct err *e) {
    struct bundle_enroll *m = calloc(1, sizeof *m);
    uint64_t protocol = 0;
    if (m == NULL)
        return err_set(e, &err_memory, "enrolling: out of memory");
    call->state = m;
    call->free_state = free;
    if (bundle_checkin_parse_enroll(call->document, m, e) < 0 ||
        bundle_checkin_protocol(m->protocol_min, m->protocol_max, &protocol, e) < 0)
        return -1;
    if (m->device[0] == '\0')
        (void)snprintf(m->device, sizeof m->device, "d-%.16s", m->key.id);
    if (serve_challenge_check(call->server->challenges, m->challenge, boot_ms(call), e) < 0)
        return -1;
    return check_signature(BUNDLE_ENROLL_CONTEXT, m->challenge, m->device, &m->key, m->signature,
                           e);
}

static bool lists(const json_t *serials, const char *device) {
    size_t i = 0;
    json_t *serial = NULL;
    json_array_foreach (serials, i, serial) {
        if (strcmp(json_string_value(serial), device) == 0)
            return true;
    }
    return false;
}

// 0 and the token; kind permission when it does not hold for this device.
static int check_token(struct store_db *db, const struct bundle_enroll *m, int64_t now_s,
                       struct store_token *ret, struct err *e) {
    int found = store_token_find(db, m->enroll_token, ret, e);
    if (found < 0)
        return -1;
    const char *wrong = NULL;
    if (found == STORE_ABSENT || ret->kind != STORE_TOKEN_ENROLL)
        wrong = "is not known";
    else if (ret->revoked_s != 0)
        wrong = "was revoked";
    else if (ret->expires_s != 0 && now_s >= ret->expires_s)
        wrong = "has expired";
    else if (ret->max_uses != 0 && ret->uses >= ret->max_uses)
        wrong = "was used as often as it may be";
    else if (ret->device[0] != '\0' && strcmp(ret->device, m->device) != 0)
        wrong = "is for another device";
    else if (ret->serials != NULL && !lists(ret->serials, m->device))
        wrong = "does not list this device";
    if (wrong == NULL)
        return 0;
    if (found == 0)
        store_token_clear(ret);
    return err_set(e, &err_permission, "enrolling %s: the enrolment token %s", m->device, wrong);
}

static int spend(struct store_db *db, struct store_token *token, struct store_device *device,
                 struct err *e) {
    token->uses++;
    device->state = STORE_DEVICE_ACCEPTED;
    (void)snprintf(device->token, sizeof device->token, "%s", token->id);
    if (device->labels == NULL)
        device->labels = json_object();
    if (token->labels != NULL && json_object_update(device->labels, token->labels) < 0)
        return err_set(e, &err_memory, "enrolling: out of memory");
    return store_token_put(db, token, e);
}

static int answer_enrolled(struct serve_call *call, const struct store_device *device,
                           struct err *e) {
    const char *state = device->state == STORE_DEVICE_ACCEPTED  ? "accepted"
                        : device->state == STORE_DEVICE_PENDING ? "pending"
                                                                : "rejected";
    return serve_call_answer(call, 200,
                             json_pack("{s:s, s:s}", "device", device->id, "state", state), e);
}

static int note(struct store_db *db, struct serve_call *call, const struct store_device *device,
                const char *action, struct err *e) {
    struct serve_engine *engine = call->server->engine;
    struct store_event event = {.kind = "device_enrolled"};
    OWN(json) json_t *data = json_pack("{s:s}", "state", store_device_state_name(device->state));
    (void)snprintf(event.subject, sizeof event.subject, "%s", device->id);
    (void)snprintf(event.text, sizeof event.text, "%s", store_device_state_name(device->state));
    engine->fleet_changes++;
    if (store_audit_add(db, serve_call_now_s(call), "device", action, device->id, data, e) < 0)
        return -1;
    return serve_engine_tell(engine, db, call->now_ms, &event, e);
}

static int enroll_new(struct store_db *db, struct serve_call *call, const struct bundle_enroll *m,
                      struct store_token *token, struct err *e) {
    struct store_device device = {.created_s = serve_call_now_s(call), .direct_attempt = 1};
    uint64_t pending = 0;
    int done = 0;
    (void)snprintf(device.id, sizeof device.id, "%s", m->device);
    memcpy(device.key, m->key.ed25519, sizeof device.key);
    device.facts = m->facts == NULL ? NULL : json_incref((json_t *)(uintptr_t)m->facts);
    if (token != NULL)
        done = spend(db, token, &device, e);
    else
        done = store_device_count(db, STORE_DEVICE_PENDING, &pending, e);
    if (done == 0 && pending >= SERVE_ENROLL_PENDING_MAX)
        done = err_set(e, &err_rate_limited,
                       "enrolling %s: %d devices wait to be accepted; an operator must look first",
                       m->device, SERVE_ENROLL_PENDING_MAX);
    if (done == 0)
        done = store_device_add(db, &device, e);
    if (done == 0)
        done = note(db, call, &device, "device.enroll", e);
    if (done == 0)
        done = answer_enrolled(call, &device, e);
    store_device_clear(&device);
    return done;
}

// New hardware under an old id: its key, its counters, nothing it said.
static int take_over(struct store_db *db, struct serve_call *call, const struct bundle_enroll *m,
                     struct store_device *device, struct err *e) {
    struct serve_fleet fleet = {.engine = call->server->engine, .db = db, .now_ms = call->now_ms};
    if (rollout_task_unresolved(device->task.state) &&
        serve_fleet_move(&fleet, device, ROLLOUT_TASK_CANCELLED, e) < 0)
        return -1;
    if (serve_evidence_leave(&fleet, NULL, device->id, e) < 0)
        return -1;
    memcpy(device->key, m->key.ed25519, sizeof device->key);
    device->task = (struct store_device_task){.state = ROLLOUT_TASK_NONE};
    device->nonce[0] = device->nonce_before[0] = '\0';
    device->clone_s = 0;
    device->report_acked = 0;
    device->facts_digest[0] = '\0';
    json_decref(device->said);
    json_decref(device->facts);
    device->said = NULL;
    device->facts = m->facts == NULL ? NULL : json_incref((json_t *)(uintptr_t)m->facts);
    if (store_undone_forget(db, device->id, e) < 0 || store_ran_forget(db, device->id, e) < 0)
        return -1;
    return store_report_forget(db, device->id, e);
}

static int enroll_known(struct store_db *db, struct serve_call *call, const struct bundle_enroll *m,
                        struct store_token *token, struct store_device *device, struct err *e) {
    bool same = memcmp(device->key, m->key.ed25519, sizeof device->key) == 0;
    bool replaces = device->state == STORE_DEVICE_REPLACING && token != NULL &&
                    strcmp(token->device, device->id) == 0;
    if (!same && !replaces)
        return err_set(e, &err_exists,
                       "enrolling %s: another key has this id; if the hardware was replaced, an "
                       "operator says so with `edgectl device replace %s`",
                       device->id, device->id);
    if (!same && take_over(db, call, m, device, e) < 0)
        return -1;
    bool opens = replaces || (device->state == STORE_DEVICE_PENDING && token != NULL);
    if (!opens)
        return answer_enrolled(call, device, e); // asked again: nothing changes
    if (spend(db, token, device, e) < 0 || store_device_put(db, device, e) < 0 ||
        store_device_put_facts(db, device, e) < 0 ||
        note(db, call, device, replaces ? "device.replaced" : "device.enroll", e) < 0)
        return -1;
    return answer_enrolled(call, device, e);
}

int serve_enroll_run(struct store_db *db, struct serve_call *call, struct err *e) {
    const struct bundle_enroll *m = call->state;
    struct store_device device = {.held = false};
    struct store_token token = {.labels = NULL};
    int found = store_device_get(db, m->device, &device, e);
    if (found < 0)
        return -1;
    // A device that is in already may ask again with a token that is spent.
    bool in = found == 0 && device.state == STORE_DEVICE_ACCEPTED &&
              memcmp(device.key, m->key.ed25519, sizeof device.key) == 0;
    bool has_token = m->enroll_token[0] != '\0' && !in;
    int done = has_token ? check_token(db, m, serve_call_now_s(call), &token, e) : 0;
    if (done == 0 && found == STORE_ABSENT)
        done = enroll_new(db, call, m, has_token ? &token : NULL, e);
    else if (done == 0)
        done = enroll_known(db, call, m, has_token ? &token : NULL, &device, e);
    // Whoever is let in uses it up. Without a token nothing is gained by saying it again.
    if (done == 0 && (in || has_token))
        done = serve_challenge_use(call->server->challenges, m->challenge, boot_ms(call), e);
    store_token_clear(&token);
    store_device_clear(&device);
    return done;
}

// ── Device tokens ──

struct token_request {
    char device[BUNDLE_DEVICE_ID_MAX + 1];
    char challenge[BUNDLE_CHALLENGE_HEX];
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
};

int serve_enroll_prepare_token(struct serve_call *call, struct err *e) {
    struct token_request *m = calloc(1, sizeof *m);
    struct doc_at at;
    const char *device = NULL, *challenge = NULL, *signature = NULL;
    if (m == NULL)
        return err_set(e, &err_memory, "signing in: out of memory");
    call->state = m;
    call->free_state = free;
    if (doc_root(call->document, "body", &at, e) < 0 ||
        doc_string(&at, "device", BUNDLE_DEVICE_ID_MAX, &device, e) < 0 ||
        doc_string(&at, "challenge", BUNDLE_CHALLENGE_HEX - 1, &challenge, e) < 0 ||
        doc_string(&at, "signature", 2 * sizeof m->signature, &signature, e) < 0 ||
        text_unhex(signature, m->signature, sizeof m->signature, "signature", e) < 0)
        return -1;
    (void)snprintf(m->device, sizeof m->device, "%s", device);
    (void)snprintf(m->challenge, sizeof m->challenge, "%s", challenge);
    return serve_challenge_check(call->server->challenges, m->challenge, boot_ms(call), e);
}

static int check_state(const struct store_device *device, struct err *e) {
    if (device->state == STORE_DEVICE_ACCEPTED)
        return 0;
    if (device->state == STORE_DEVICE_PENDING)
        return err_set(e, &err_device_pending, "device %s waits for an operator to accept it",
                       device->id);
    return err_set(e, &err_device_rejected, "device %s is %s", device->id,
                   store_device_state_name(device->state));
}

int serve_enroll_run_token(struct store_db *db, struct serve_call *call, struct err *e) {
    const struct token_request *m = call->state;
    struct store_device device = {.held = false};
    struct keys_pub key;
    char token[BUNDLE_TOKEN_MAX + 1];
    int found = store_device_get(db, m->device, &device, e);
    if (found != 0)
        return found < 0 ? -1 : err_set(e, &err_not_enrolled, "this device is not enrolled here");
    int done = keys_pub_from_bytes(device.key, &key, e);
    if (done == 0)
        done =
            check_signature(BUNDLE_TOKEN_CONTEXT, m->challenge, m->device, &key, m->signature, e);
    if (done == 0)
        done = check_state(&device, e);
    if (done == 0)
        done = serve_challenge_use(call->server->challenges, m->challenge, boot_ms(call), e);
    store_device_clear(&device);
    if (done < 0)
        return -1;
    serve_auth_make_token(call->server, device.id, device.token_epoch,
                          serve_call_now_s(call) + SERVE_AUTH_DEVICE_TOKEN_S, token);
    return serve_call_answer(
        call, 200,
        json_pack("{s:s, s:i}", "token", token, "expires_in_s", SERVE_AUTH_DEVICE_TOKEN_S), e);
}
