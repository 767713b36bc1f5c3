// SPDX-License-Identifier: Apache-2.0
//
// The check-in.
#include "ctl/serve/checkin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/random.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "ctl/kind.h"
#include "ctl/serve/auth.h"
#include "ctl/serve/dry.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/mandate.h"
#include "ctl/serve/offer.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/server.h"
#include "ctl/store/ran.h"
#include "keys/sign/signer.h"

struct state {
    struct serve_auth_device token;
    struct bundle_checkin said;
    struct bundle_answer answer;
    bool instructs;
    struct bundle_instruction instruction;
};

static void free_state(void *context) {
    struct state *s = context;
    bundle_checkin_clear(&s->said);
    bundle_checkin_clear_answer(&s->answer);
    free(s);
}

int serve_checkin_prepare(struct serve_call *call, struct err *e) {
    struct state *s = calloc(1, sizeof *s);
    int64_t now_s = chrono_wall_ms(call->server->clock) / 1000;
    if (s == NULL)
        return err_set(e, &err_memory, "checking in: out of memory");
    call->state = s;
    call->free_state = free_state;
    buf_init(&s->answer.instruction, BUNDLE_INSTRUCTION_MAX_BYTES);
    if (serve_auth_read_token(call->server, call->bearer, now_s, &s->token, e) < 0 ||
        bundle_checkin_parse(call->document, &s->said, e) < 0 ||
        bundle_checkin_protocol(s->said.protocol_min, s->said.protocol_max, &s->answer.protocol,
                                e) < 0)
        return -1;
    if (strcmp(s->token.id, s->said.device) != 0)
        return err_set(e, &err_permission, "the token is of another device than %s",
                       s->said.device);
    return 0;
}

// ── Who it is ──

static int check_device(const struct store_device *device, const struct state *s, struct err *e) {
    if (device->token_epoch != s->token.epoch)
        return err_set(e, &err_unauthorized, "the device token was revoked: get a new one");
    if (device->state == STORE_DEVICE_PENDING)
        return err_set(e, &err_device_pending, "device %s waits for an operator to accept it",
                       device->id);
    if (device->state != STORE_DEVICE_ACCEPTED)
        return err_set(e, &err_device_rejected, "device %s is %s", device->id,
                       store_device_state_name(device->state));
    return 0;
}

// Two that share an identity both continue from the same nonce: only one of them can be right.
static int check_nonce(const struct serve_fleet *fleet, struct store_device *device,
                       const struct bundle_checkin *said, struct err *e) {
    struct store_event event = {.kind = "device_clone"};
    uint8_t fresh[(BUNDLE_NONCE_HEX - 1) / 2];
    bool first = device->nonce[0] == '\0';
    bool known =
        strcmp(said->nonce, device->nonce) == 0 || strcmp(said->nonce, device->nonce_before) == 0;
    (void)snprintf(device->nonce_before, sizeof device->nonce_before, "%s",
                   known ? said->nonce : device->nonce);
    random_fill(fresh, sizeof fresh);
    text_hex(fresh, sizeof fresh, device->nonce);
    if (first || known || device->clone_s != 0)
        return 0;
    device->clone_s = fleet->now_ms / 1000;
    (void)snprintf(event.subject, sizeof event.subject, "%s", device->id);
    (void)snprintf(
        event.text, sizeof event.text,
        "it did not continue where it stopped: it was cloned, or restored from a backup");
    return serve_engine_tell(fleet->engine, fleet->db, fleet->now_ms, &event, e);
}

// ── What it says ──

static json_t *components_json(const struct bundle_checkin *said) {
    json_t *all = json_object();
    char hex[KEYS_DIGEST_HEX];
    for (size_t i = 0; i < said->n_components; i++) {
        const struct bundle_checkin_component *c = &said->components[i];
        (void)json_object_set_new(all, c->name,
                                  json_pack("{s:s, s:s, s:s, s:I}", "name", c->bundle_name,
                                            "version", c->version, "manifest",
                                            keys_digest_hex(&c->manifest, hex), "security_version",
                                            (json_int_t)c->security_version));
    }
    return all;
}

static json_t *said_json(const struct bundle_checkin *said) {
    json_t *progress = said->has_progress
                           ? json_pack("{s:I, s:I}", "done", (json_int_t)said->done_bytes, "total",
                                       (json_int_t)said->total_bytes)
                           : json_null();
    char hex[KEYS_DIGEST_HEX];
    json_t *update = said->has_update
                         ? json_pack("{s:s, s:I, s:s, s:b}", "rollout", said->rollout, "attempt",
                                     (json_int_t)said->attempt, "bundle",
                                     keys_digest_hex(&said->bundle, hex), "look", (int)said->look)
                         : json_null();
    json_t *metrics = said->metrics == NULL ? json_object() : json_incref(said->metrics);
    return json_pack("{s:s, s:s, s:I, s:o, s:{s:s, s:s}, s:o, s:o, s:o, s:{s:I, s:I}}", "agent",
                     said->agent, "state", said->state, "generation", (json_int_t)said->generation,
                     "components", components_json(said), "why", "code", said->why_code, "text",
                     said->why_text, "update", update, "progress", progress, "metrics", metrics,
                     "dropped", "heartbeats", (json_int_t)said->dropped_heartbeats, "refused",
                     (json_int_t)said->refused_reports);
}

static int take_reports(const struct serve_fleet *fleet, struct store_device *device,
                        struct state *s, struct err *e) {
    const struct bundle_checkin *said = &s->said;
    uint64_t last = device->report_acked;
    for (size_t i = 0; i < said->n_reports; i++) {
        if (said->reports[i].id <= device->report_acked)
            continue;
        if (serve_fleet_report(fleet, device, &said->reports[i], e) < 0)
            return -1;
        last = said->reports[i].id;
    }
    for (size_t i = 0; i < said->n_malformed; i++) {
        s->answer.refused[s->answer.n_refused++] = said->malformed[i];
        last = said->malformed[i] > last ? said->malformed[i] : last;
    }
    device->report_acked = last;
    s->answer.acked = last;
    return 0;
}

// Facts come only when they changed; 1 when they are to be stored.
static int take_facts(struct store_device *device, struct state *s) {
    char hex[KEYS_DIGEST_HEX];
    (void)keys_digest_hex(&s->said.facts_digest, hex);
    if (s->said.facts != NULL) {
        json_decref(device->facts);
        device->facts = json_incref(s->said.facts);
        (void)snprintf(device->facts_digest, sizeof device->facts_digest, "%s", hex);
        return 1;
    }
    s->answer.facts_wanted = strcmp(hex, device->facts_digest) != 0;
    return 0;
}

// ── What it is told ──

// All but what the action says more about.
static void fill_instruction(const struct serve_call *call, struct state *s,
                             const struct store_device *device, enum bundle_action action,
                             const struct keys_digest *bundle) {
    struct bundle_instruction *in = &s->instruction;
    const struct serve_engine_bundle *b = serve_engine_bundle(call->server->engine, bundle);
    const char *base = call->server->options->public_url;
    char hex[KEYS_DIGEST_HEX];
    *in = (struct bundle_instruction){
        .header = {.version = device->sequence,
                   .issued_s = serve_call_now_s(call),
                   .expires_s = serve_call_now_s(call) + SERVE_CHECKIN_INSTRUCTION_S},
        .action = action,
        .attempt = 1,
        .bundle = *bundle};
    (void)snprintf(in->device, sizeof in->device, "%s", device->id);
    if (b != NULL) {
        (void)snprintf(in->bundle_name, sizeof in->bundle_name, "%s", b->row.name);
        (void)snprintf(in->release, sizeof in->release, "%s", b->row.version);
        in->size = b->row.size;
    } else { // it is at work on what was published elsewhere, or is not in a restored store
        (void)snprintf(in->bundle_name, sizeof in->bundle_name, "unknown");
        (void)snprintf(in->release, sizeof in->release, "unknown");
    }
    (void)snprintf(in->url, sizeof in->url, "%s/bundles/%s.edge", base == NULL ? "" : base,
                   keys_digest_hex(bundle, hex));
}

// Above what the device accepted last, even when our store was restored from a backup.
static int next_sequence(const struct state *s, struct store_device *device, struct err *e) {
    if (device->sequence < s->said.sequence)
        device->sequence = s->said.sequence;
    if (device->sequence >= KEYS_VERSION_MAX)
        return err_set(e, &err_bad_message, "device %s says an impossible sequence", device->id);
    device->sequence++;
    return 0;
}

// For whom nothing was decided: what a plan asks of it.
static int ask_probes(const struct serve_fleet *fleet, const struct serve_call *call,
                      struct state *s, struct store_device *device, struct err *e) {
    struct serve_dry_due due;
    int found = serve_dry_due(fleet, device, &s->said, &due, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (next_sequence(s, device, e) < 0 ||
        store_dry_asked(fleet->db, device->id, due.request, device->sequence,
                        serve_call_now_s(call), e) < 0)
        return -1;
    fill_instruction(call, s, device, BUNDLE_ACTION_PROBE, &due.bundle);
    s->instructs = true;
    return 0;
}

static int instruct(const struct serve_fleet *fleet, struct serve_call *call, struct state *s,
                    struct store_device *device, struct err *e) {
    static const enum bundle_action actions[] = {
        [ROLLOUT_ACTION_INSTALL] = BUNDLE_ACTION_INSTALL,
        [ROLLOUT_ACTION_ACTIVATE] = BUNDLE_ACTION_ACTIVATE,
        [ROLLOUT_ACTION_CANCEL] = BUNDLE_ACTION_CANCEL,
        [ROLLOUT_ACTION_REVERT] = BUNDLE_ACTION_REVERT,
        [ROLLOUT_ACTION_SHAM] = BUNDLE_ACTION_SHAM,
    };
    struct rollout_decision decision;
    if (serve_dry_heard(fleet, device, &s->said.probed, e) < 0 ||
        serve_fleet_decide(fleet, device, &s->said, &decision, e) < 0)
        return -1;
    (void)snprintf(s->answer.why_code, sizeof s->answer.why_code, "%s", device->why_code);
    (void)snprintf(s->answer.why_text, sizeof s->answer.why_text, "%s", device->why_text);
    s->instructs = decision.action != ROLLOUT_ACTION_NONE;
    if (!s->instructs)
        return ask_probes(fleet, call, s, device, e);
    if (next_sequence(s, device, e) < 0)
        return -1;
    fill_instruction(call, s, device, actions[decision.action], &decision.bundle);
    s->instruction.attempt = decision.attempt;
    // What is under way is named by the device; what begins or is long over, by what it was told.
    bool begins = decision.action == ROLLOUT_ACTION_INSTALL || !s->said.has_update;
    (void)snprintf(s->instruction.rollout, sizeof s->instruction.rollout, "%s",
                   decision.action == ROLLOUT_ACTION_SHAM ? decision.rollout
                   : begins                               ? device->task.rollout
                                                          : s->said.rollout);
    if (serve_mandate_fill(fleet->db, call->server, device, &s->instruction, e) < 0)
        return -1;
    return serve_offer_fill(fleet, call->server, json_object_get(device->said, "components"),
                            &s->instruction, e);
}

// ── What it ran ──

static int note_release(const struct serve_fleet *fleet, const char *device, const json_t *c,
                        struct err *e) {
    const char *name = json_string_value(json_object_get(c, "name"));
    const char *version = json_string_value(json_object_get(c, "version"));
    if (name == NULL || version == NULL)
        return 0;
    return store_ran_add(fleet->db, device, name, version, e);
}

// Releases that its components came from, when they changed: the ones before as well, which an
// older controller may not have noted.
static int note_releases(const struct serve_fleet *fleet, const struct store_device *device,
                         const json_t *said, struct err *e) {
    json_t *was = json_object_get(device->said, "components");
    json_t *is = json_object_get(said, "components"), *c = NULL;
    const char *key = NULL;
    json_object_foreach (is, key, c) {
        const json_t *before = json_object_get(was, key);
        if (json_equal(before, c))
            continue;
        if (note_release(fleet, device->id, before, e) < 0 ||
            note_release(fleet, device->id, c, e) < 0)
            return -1;
    }
    return 0;
}

static int check_in(const struct serve_fleet *fleet, struct serve_call *call, struct state *s,
                    struct store_device *device, struct err *e) {
    if (check_device(device, s, e) < 0 || check_nonce(fleet, device, &s->said, e) < 0)
        return -1;
    if (device->seen_s != 0 && serve_call_now_s(call) > device->seen_s)
        rollout_gaps_note(&device->gaps, (uint64_t)(serve_call_now_s(call) - device->seen_s));
    device->seen_s = serve_call_now_s(call);
    OWN(json) json_t *said = said_json(&s->said);
    if (said == NULL)
        return err_set(e, &err_memory, "checking in: out of memory");
    if (note_releases(fleet, device, said, e) < 0)
        return -1;
    json_decref(device->said);
    device->said = own_take(&said);
    int facts = take_facts(device, s);
    if (take_reports(fleet, device, s, e) < 0 || instruct(fleet, call, s, device, e) < 0 ||
        store_device_put(fleet->db, device, e) < 0)
        return -1;
    if (facts == 0)
        return 0;
    fleet->engine->fleet_changes++;
    return store_device_put_facts(fleet->db, device, e);
}

int serve_checkin_run(struct store_db *db, struct serve_call *call, struct err *e) {
    struct state *s = call->state;
    struct serve_fleet fleet = {.engine = call->server->engine, .db = db, .now_ms = call->now_ms};
    struct store_device device = {.held = false};
    s->answer.n_refused = 0;
    if (!serve_pace_allows(&fleet.engine->pace, s->said.device,
                           chrono_boot_ms(call->server->clock)))
        return err_set(e, &err_rate_limited, "device %s checks in too often", s->said.device);
    int found = store_device_get(db, s->said.device, &device, e);
    if (found != 0)
        return found < 0 ? -1 : err_set(e, &err_not_enrolled, "this device is not enrolled here");
    fleet.before_s = device.seen_s;
    int done = check_in(&fleet, call, s, &device, e);
    if (done == 0) {
        (void)snprintf(s->answer.nonce, sizeof s->answer.nonce, "%s", device.nonce);
        s->answer.now_s = serve_call_now_s(call);
        s->answer.poll_s = call->server->options->poll_s;
        serve_repository_hint(call->server, &s->answer);
    }
    store_device_clear(&device);
    return done;
}

int serve_checkin_finish(struct serve_call *call, struct err *e) {
    struct state *s = call->state;
    OWN(buf) struct buf signed_part;
    struct sign_signer *director = call->server->director;
    buf_init(&signed_part, BUNDLE_INSTRUCTION_MAX_BYTES);
    if (s->instructs && (bundle_instruction_format(&s->instruction, &signed_part, e) < 0 ||
                         sign_signer_envelope(buf_slice(&signed_part), &director, 1,
                                              &s->answer.instruction, e) < 0))
        return -1;
    call->status = 200;
    return bundle_checkin_format_answer(&s->answer, &call->text, e);
}
