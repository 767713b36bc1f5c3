// SPDX-License-Identifier: Apache-2.0
//
// Token, enrolment, check-in; see talk.h and bundle/checkin.h for the messages.
#include "agent/worker/talk.h"

#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/net/request.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"

static const struct doc_limits answer_limits = {
    .bytes = NET_REQUEST_ANSWER_MAX_BYTES, .depth = 8, .values = 4096};

enum { UNAUTHORIZED = 1 }; // outcome: the token is not, or no longer, good

// What the server says is wrong, made safe to show; "" when it says nothing readable.
static void read_complaint(const struct buf *body, char *ret, size_t ret_bytes) {
    struct err ignored = ERR_NONE;
    OWN(json) json_t *document = NULL;
    struct doc_at at;
    const char *text = "";
    ret[0] = '\0';
    if (doc_parse(buf_slice(body), "answer", &answer_limits, &document, &ignored) == 0 &&
        doc_root(document, "answer", &at, &ignored) == 0 &&
        doc_string(&at, "text", BUNDLE_REPORT_TEXT_MAX, &text, &ignored) == 0)
        text_safe(text, ret, ret_bytes);
}

static int judge_status(struct worker_voice *v, const struct net_request_answer *answer,
                        struct err *e) {
    char complaint[200];
    v->retry_after_s = answer->retry_after_s;
    if (answer->status == 200)
        return 0;
    if (answer->status == 401)
        return UNAUTHORIZED;
    read_complaint(&answer->body, complaint, sizeof complaint);
    if (answer->status == 403)
        return err_set(e, &err_not_accepted, "the controller refuses this device%s%s",
                       complaint[0] ? ": " : "", complaint);
    return err_set(e, &err_http, "the controller answered with status %ld%s%s", answer->status,
                   complaint[0] ? ": " : "", complaint);
}

// Whatever was wrong with what the controller said, it is garbage from here on.
static int garbage(struct err *e, const char *what) {
    struct err cause = *e;
    err_clear(e);
    return err_set(e, &err_garbage, "%s: %s", what, cause.text);
}

// Posts and parses; *ret is the caller's. UNAUTHORIZED without a document. Errors begin with
// `what`.
static int ask(struct worker_voice *v, const char *path, const char *token, struct slice body,
               const char *what, json_t **ret, struct err *e) {
    struct net_request request = {.net = &v->job->net, .path = path, .token = token, .body = body};
    struct net_request_answer answer = {0};
    buf_init(&answer.body, NET_REQUEST_ANSWER_MAX_BYTES);
    int result = net_request_post(&request, &answer, e);
    if (result == 0)
        result = judge_status(v, &answer, e);
    if (result < 0)
        (void)err_prefix(e, "%s", what);
    if (result == 0 && doc_parse(buf_slice(&answer.body), "the answer", &answer_limits, ret, e) < 0)
        result = garbage(e, what);
    buf_clear(&answer.body);
    return result;
}

static int ask_text(struct worker_voice *v, const char *path, const struct buf *body,
                    const char *what, json_t **ret, struct err *e) {
    int result = ask(v, path, "", buf_slice(body), what, ret, e);
    if (result == UNAUTHORIZED)
        return err_set(e, &err_not_accepted,
                       "%s: the controller does not know this device, or its key is another", what);
    return result;
}

static int get_challenge(struct worker_voice *v, char ret[static BUNDLE_CHALLENGE_HEX],
                         struct err *e) {
    OWN(json) json_t *document = NULL;
    OWN(buf) struct buf body;
    struct doc_at at;
    const char *challenge = NULL;
    uint8_t bytes[(BUNDLE_CHALLENGE_HEX - 1) / 2];
    buf_init(&body, 16);
    if (buf_add_text(&body, "{}", e) < 0 ||
        ask_text(v, "/api/device/v1/challenge", &body, "asking for a challenge", &document, e) < 0)
        return -1;
    if (doc_root(document, "challenge", &at, e) < 0 ||
        doc_string(&at, "challenge", BUNDLE_CHALLENGE_HEX - 1, &challenge, e) < 0 ||
        text_unhex(challenge, bytes, sizeof bytes, "challenge", e) < 0)
        return garbage(e, "asking for a challenge");
    memcpy(ret, challenge, BUNDLE_CHALLENGE_HEX);
    return 0;
}

static int read_token(json_t *document, struct agent_job_token *ret, struct err *e) {
    struct doc_at at;
    const char *token = NULL;
    struct agent_job_token got = {0};
    if (doc_root(document, "token", &at, e) < 0 ||
        doc_string(&at, "token", BUNDLE_TOKEN_MAX, &token, e) < 0 ||
        doc_u64(&at, "expires_in_s", 1, 24 * 3600, &got.expires_in_s, e) < 0)
        return garbage(e, "getting a token");
    for (const char *c = token; *c; c++) { // it goes into a header line
        if (*c <= ' ' || *c > '~')
            return err_set(e, &err_garbage,
                           "getting a token: it has a character that no token has");
    }
    memcpy(got.token, token, strlen(token) + 1);
    *ret = got;
    return 0;
}

// A new token, told to the agent for the next job.
static int get_token(struct worker_voice *v, struct agent_job_token *ret, struct err *e) {
    char challenge[BUNDLE_CHALLENGE_HEX];
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    char hex[2 * KEYS_ED25519_SIGNATURE_BYTES + 1];
    OWN(json) json_t *document = NULL;
    OWN(buf) struct buf body;
    buf_init(&body, 1024);
    if (get_challenge(v, challenge, e) < 0 ||
        worker_voice_sign(v, false, challenge, signature, e) < 0)
        return -1;
    text_hex(signature, sizeof signature, hex);
    // Hex and a name: nothing in them needs escaping.
    if (buf_add_format(&body, e, "{\"challenge\":\"%s\",\"device\":\"%s\",\"signature\":\"%s\"}",
                       challenge, v->job->device, hex) < 0 ||
        ask_text(v, "/api/device/v1/token", &body, "getting a token", &document, e) < 0 ||
        read_token(document, ret, e) < 0)
        return -1;
    struct agent_job_message m = {.type = AGENT_JOB_TOKEN, .u.token = *ret};
    return worker_voice_send(v, &m, e);
}

static int pass_answer(struct worker_voice *v, json_t *document, struct err *e) {
    struct bundle_answer answer;
    struct agent_job_message m = {.type = AGENT_JOB_ANSWER};
    struct agent_job_answer *to = &m.u.answer;
    if (bundle_checkin_parse_answer(document, &answer, e) < 0)
        return garbage(e, "checking in");
    memcpy(to->nonce, answer.nonce, sizeof to->nonce);
    memcpy(to->why_code, answer.why_code, sizeof to->why_code);
    memcpy(to->why_text, answer.why_text, sizeof to->why_text);
    memcpy(to->refused, answer.refused, sizeof to->refused);
    to->now_s = answer.now_s;
    to->poll_s = answer.poll_s;
    to->retry_after_s = v->retry_after_s;
    to->acked = answer.acked;
    to->facts_wanted = answer.facts_wanted;
    to->n_refused = answer.n_refused;
    to->repository_root = answer.repository_root;
    to->repository_snapshot = answer.repository_snapshot;
    to->instruction_bytes = answer.instruction.len;
    if (answer.instruction.len > 0)
        memcpy(to->instruction, answer.instruction.data, answer.instruction.len);
    bundle_checkin_clear_answer(&answer);
    return worker_voice_send(v, &m, e);
}

int worker_talk_checkin(struct worker_voice *v, struct err *e) {
    static const char path[] = "/api/device/v1/checkin";
    OWN(json) json_t *document = NULL;
    OWN(buf) struct buf body;
    struct agent_job_token token = {0};
    buf_init(&body, AGENT_JOB_BODY_MAX_BYTES);
    if (worker_voice_read_fd(AGENT_JOB_FIRST_FD, AGENT_JOB_BODY_MAX_BYTES, &body, e) < 0)
        return -1;
    memcpy(token.token, v->job->token, sizeof token.token);
    if (!token.token[0] && get_token(v, &token, e) < 0)
        return -1;
    int result = ask(v, path, token.token, buf_slice(&body), "checking in", &document, e);
    // It ran out, or the controller was restarted: once more with a new one.
    if (result == UNAUTHORIZED) {
        if (get_token(v, &token, e) < 0)
            return -1;
        result = ask(v, path, token.token, buf_slice(&body), "checking in", &document, e);
    }
    if (result == UNAUTHORIZED)
        return err_set(e, &err_not_accepted,
                       "checking in: the controller refuses the token it has just given");
    return result < 0 ? -1 : pass_answer(v, document, e);
}

static int read_facts(json_t **ret, struct err *e) {
    static const struct doc_limits limits = {
        .bytes = AGENT_JOB_BODY_MAX_BYTES, .depth = 4, .values = 4096};
    OWN(buf) struct buf text;
    buf_init(&text, AGENT_JOB_BODY_MAX_BYTES);
    if (worker_voice_read_fd(AGENT_JOB_FIRST_FD, AGENT_JOB_BODY_MAX_BYTES, &text, e) < 0)
        return -1;
    return doc_parse(buf_slice(&text), "facts", &limits, ret, e);
}

static int make_enroll(struct worker_voice *v, const json_t *facts, struct buf *ret,
                       struct err *e) {
    struct bundle_enroll m = {
        .protocol_min = BUNDLE_PROTOCOL_MIN, .protocol_max = BUNDLE_PROTOCOL_MAX, .facts = facts};
    uint8_t public_key[KEYS_ED25519_PUBLIC_BYTES];
    memcpy(m.device, v->job->device, sizeof m.device);
    memcpy(m.enroll_token, v->job->enroll_token, sizeof m.enroll_token);
    if (text_unhex(v->job->public_key, public_key, sizeof public_key, "public key", e) < 0 ||
        keys_pub_from_bytes(public_key, &m.key, e) < 0 || get_challenge(v, m.challenge, e) < 0 ||
        worker_voice_sign(v, true, m.challenge, m.signature, e) < 0)
        return -1;
    return bundle_checkin_format_enroll(&m, ret, e);
}

static int read_enrolled(json_t *document, struct agent_job_enrolled *ret, struct err *e) {
    struct doc_at at;
    const char *device = NULL;
    const char *state = NULL;
    if (doc_root(document, "enrolment", &at, e) < 0 ||
        doc_string(&at, "device", BUNDLE_DEVICE_ID_MAX, &device, e) < 0 ||
        doc_string(&at, "state", sizeof ret->state - 1, &state, e) < 0)
        return garbage(e, "enrolling");
    if (!text_is_name(device, BUNDLE_DEVICE_ID_MAX))
        return err_set(e, &err_garbage, "enrolling: the controller gave an id that is not a name");
    if (strcmp(state, "accepted") != 0 && strcmp(state, "pending") != 0 &&
        strcmp(state, "rejected") != 0)
        return err_set(e, &err_garbage, "enrolling: the controller gave a state that is none");
    snprintf(ret->device, sizeof ret->device, "%s", device);
    snprintf(ret->state, sizeof ret->state, "%s", state);
    return 0;
}

int worker_talk_enroll(struct worker_voice *v, struct err *e) {
    OWN(json) json_t *facts = NULL;
    OWN(json) json_t *document = NULL;
    OWN(buf) struct buf body;
    struct agent_job_message m = {.type = AGENT_JOB_ENROLLED};
    buf_init(&body, BUNDLE_MESSAGE_MAX_BYTES);
    if (read_facts(&facts, e) < 0 || make_enroll(v, facts, &body, e) < 0 ||
        ask_text(v, "/api/device/v1/enroll", &body, "enrolling", &document, e) < 0 ||
        read_enrolled(document, &m.u.enrolled, e) < 0)
        return -1;
    return worker_voice_send(v, &m, e);
}
