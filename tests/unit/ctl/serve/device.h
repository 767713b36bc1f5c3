// SPDX-License-Identifier: Apache-2.0
//
// A device as the controller sees one: it enrols, checks in, follows instructions at once.
#pragma once

#include "base/text.h"
#include "bundle/checkin.h"
#include "tests/unit/ctl/serve/controller.h"

struct device {
    char id[BUNDLE_DEVICE_ID_MAX + 1];
    struct keys_secret *seed;
    struct keys_pub pub;
    char token[BUNDLE_TOKEN_MAX + 1];
    uint64_t report_id;
    struct bundle_checkin say;  // what it says next
    struct bundle_answer heard; // the last answer
    bool instructed;            // it held a (valid) instruction
    struct bundle_instruction told;
    const json_t *facts;
};

static inline void device_make(struct device *d, unsigned number) {
    memset(d, 0, sizeof *d);
    d->seed = forge_key(100 + number, &d->pub);
    (void)snprintf(d->id, sizeof d->id, "device-%u", number);
    d->say = (struct bundle_checkin){.protocol_min = 1, .protocol_max = 1, .look = true};
    memcpy(d->say.device, d->id, sizeof d->id);
    (void)snprintf(d->say.agent, sizeof d->say.agent, "test-1");
    (void)snprintf(d->say.state, sizeof d->say.state, "idle");
    d->say.reports = calloc(BUNDLE_REPORTS_PER_CHECKIN_MAX, sizeof *d->say.reports);
    buf_init(&d->heard.instruction, BUNDLE_INSTRUCTION_MAX_BYTES);
}

static inline void device_free(struct device *d) {
    keys_secret_free(d->seed);
    bundle_checkin_clear(&d->say);
    bundle_checkin_clear_answer(&d->heard);
}

static inline void device_sign(struct controller *c, struct device *d, const char *context,
                               char *ret_challenge, uint8_t *ret) {
    struct err e = ERR_NONE;
    struct reply r;
    struct buf text;
    cr_assert_eq(http_send(c, "POST", "/api/device/v1/challenge", NULL, "",
                           (struct slice){(const uint8_t *)"{}", 2}, &r),
                 200);
    (void)snprintf(ret_challenge, BUNDLE_CHALLENGE_HEX, "%s", text_at(r.json, "challenge"));
    http_clear(&r);
    buf_init(&text, 1024);
    must(bundle_checkin_signed_text(context, ret_challenge, d->id, &text, &e));
    must(keys_secret_sign(d->seed, buf_slice(&text), ret, &e));
    buf_clear(&text);
}

// The status; *ret_body (may be NULL) is the caller's.
static inline unsigned device_enroll(struct controller *c, struct device *d, const char *token,
                                     json_t **ret_body) {
    struct err e = ERR_NONE;
    struct bundle_enroll m = {
        .protocol_min = 1, .protocol_max = 1, .key = d->pub, .facts = d->facts};
    struct buf body;
    struct reply r;
    OWN(json) json_t *none = json_object();
    if (m.facts == NULL)
        m.facts = none;
    (void)snprintf(m.device, sizeof m.device, "%s", d->id);
    (void)snprintf(m.enroll_token, sizeof m.enroll_token, "%s", token);
    device_sign(c, d, BUNDLE_ENROLL_CONTEXT, m.challenge, m.signature);
    buf_init(&body, BUNDLE_MESSAGE_MAX_BYTES);
    must(bundle_checkin_format_enroll(&m, &body, &e));
    unsigned status = http_send(c, "POST", "/api/device/v1/enroll", NULL, "", buf_slice(&body), &r);
    if (ret_body != NULL)
        *ret_body = json_incref(r.json);
    http_clear(&r);
    buf_clear(&body);
    return status;
}

// Asks for a device token. The status; *ret_body is the caller's.
static inline unsigned device_ask_token(struct controller *c, struct device *d, json_t **ret_body) {
    char challenge[BUNDLE_CHALLENGE_HEX], hex[2 * KEYS_ED25519_SIGNATURE_BYTES + 1], body[512];
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    struct reply r;
    device_sign(c, d, BUNDLE_TOKEN_CONTEXT, challenge, signature);
    text_hex(signature, sizeof signature, hex);
    (void)snprintf(body, sizeof body,
                   "{\"challenge\":\"%s\",\"device\":\"%s\",\"signature\":\"%s\"}", challenge,
                   d->id, hex);
    unsigned status = http_send(c, "POST", "/api/device/v1/token", NULL, "",
                                (struct slice){(const uint8_t *)body, strlen(body)}, &r);
    *ret_body = json_incref(r.json);
    http_clear(&r);
    return status;
}

static inline unsigned device_sign_in(struct controller *c, struct device *d) {
    OWN(json) json_t *body = NULL;
    unsigned status = device_ask_token(c, d, &body);
    if (status == 200)
        (void)snprintf(d->token, sizeof d->token, "%s", text_at(body, "token"));
    return status;
}

static inline void device_report(struct device *d, enum bundle_event event, const char *code) {
    struct bundle_report *r = &d->say.reports[d->say.n_reports++];
    *r = (struct bundle_report){.id = ++d->report_id,
                                .at_s = -1,
                                .event = event,
                                .attempt = d->told.attempt,
                                .has_bundle = true,
                                .bundle = d->told.bundle};
    (void)snprintf(r->rollout, sizeof r->rollout, "%s", d->told.rollout);
    (void)snprintf(r->code, sizeof r->code, "%s", code);
    (void)snprintf(r->text, sizeof r->text, "what happened");
    (void)snprintf(r->detail, sizeof r->detail, "what the probe printed");
}

// What it says next, and what it is answered: the status; *ret_body is the caller's.
static inline unsigned device_call(struct controller *c, struct device *d, json_t **ret_body) {
    struct err e = ERR_NONE;
    struct buf body;
    struct reply r;
    buf_init(&body, BUNDLE_MESSAGE_MAX_BYTES);
    must(bundle_checkin_format(&d->say, &body, &e));
    unsigned status =
        http_send(c, "POST", "/api/device/v1/checkin", d->token, "", buf_slice(&body), &r);
    *ret_body = json_incref(r.json);
    http_clear(&r);
    buf_clear(&body);
    return status;
}

// One check-in. On 200: acknowledged reports are dropped, the nonce is kept, the instruction
// verified.
static inline unsigned device_check_in(struct controller *c, struct device *d) {
    struct err e = ERR_NONE;
    OWN(json) json_t *body = NULL;
    unsigned status = device_call(c, d, &body);
    if (status == 200) {
        bundle_checkin_clear_answer(&d->heard);
        must(bundle_checkin_parse_answer(body, &d->heard, &e));
        (void)snprintf(d->say.nonce, sizeof d->say.nonce, "%s", d->heard.nonce);
        d->say.n_reports = 0;
        d->instructed = d->heard.instruction.len > 0;
        if (d->instructed) {
            must(bundle_instruction_verify(buf_slice(&d->heard.instruction),
                                           keys_root_role(c->root, KEYS_ROOT_ROLE_DIRECTOR), d->id,
                                           d->say.sequence, d->heard.now_s, &d->told, &e));
            d->say.sequence = d->told.header.version;
        }
    }
    return status;
}

static inline void device_state(struct device *d, const char *state, bool updating) {
    (void)snprintf(d->say.state, sizeof d->say.state, "%s", state);
    d->say.has_update = updating;
    (void)snprintf(d->say.rollout, sizeof d->say.rollout, "%s", updating ? d->told.rollout : "");
    d->say.attempt = updating ? d->told.attempt : 0;
    if (updating)
        d->say.bundle = d->told.bundle;
}

static inline void device_runs(struct device *d, const char *release,
                               const struct keys_digest *id) {
    d->say.n_components = 1;
    d->say.components[0] =
        (struct bundle_checkin_component){.manifest = *id, .security_version = 1};
    (void)snprintf(d->say.components[0].name, sizeof d->say.components[0].name, "app");
    (void)snprintf(d->say.components[0].bundle_name, sizeof d->say.components[0].bundle_name,
                   "app");
    (void)snprintf(d->say.components[0].version, sizeof d->say.components[0].version, "%s",
                   release);
}

// Follows an install instruction to its good end.
static inline void device_install(struct controller *c, struct device *d) {
    cr_assert(d->instructed && d->told.action == BUNDLE_ACTION_INSTALL, "%s: %s", d->id,
              d->heard.why_text);
    device_report(d, BUNDLE_EVENT_OFFERED, "");
    device_report(d, BUNDLE_EVENT_STAGED, "");
    device_state(d, "waiting", true);
    cr_assert_eq(device_check_in(c, d), 200);
    cr_assert(d->instructed && d->told.action == BUNDLE_ACTION_ACTIVATE, "%s: %s", d->id,
              d->heard.why_text);
    device_report(d, BUNDLE_EVENT_ACTIVATED, "");
    device_report(d, BUNDLE_EVENT_COMMITTED, "");
    device_state(d, "idle", false);
    device_runs(d, d->told.release, &d->told.bundle);
    cr_assert_eq(device_check_in(c, d), 200);
}

// Enrols with a fresh token of the administrator's and signs in.
static inline void device_join(struct controller *c, struct device *d, unsigned number) {
    OWN(json)
    json_t *token = admin(c, 201, "POST", "/api/v1/tokens",
                          "{\"kind\":\"enroll\",\"labels\":{\"site\":\"a\"}}");
    device_make(d, number);
    cr_assert_eq(device_enroll(c, d, text_at(token, "secret"), NULL), 200);
    cr_assert_eq(device_sign_in(c, d), 200);
}

// Waits (bounded) until a rollout is in this state; the last answer is the caller's.
static inline json_t *rollout_wait(struct controller *c, const char *name, const char *state) {
    char path[128];
    json_t *shown = NULL;
    (void)snprintf(path, sizeof path, "/api/v1/rollouts/%s", name);
    for (int i = 0; i < 2000; i++) {
        json_decref(shown);
        shown = admin(c, 200, "GET", path, "");
        if (strcmp(text_at(shown, "state"), state) == 0)
            return shown;
        (void)usleep(50000);
    }
    cr_assert_fail("rollout %s is %s and not %s: %s", name, text_at(shown, "state"), state,
                   text_at(json_object_get(shown, "why"), "text"));
    return shown;
}
