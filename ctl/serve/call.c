// SPDX-License-Identifier: Apache-2.0
//
// A request and its answer.
#include "ctl/serve/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/predicate.h"
#include "ctl/kind.h"
#include "keys/kind.h"

static const struct doc_limits body_limits = {
    .bytes = BUNDLE_MESSAGE_MAX_BYTES, .depth = 16, .values = 16384, .floats = true};

void serve_call_init(struct serve_call *call, struct serve_server *server) {
    *call = (struct serve_call){.server = server, .file = {.fd = -1}};
    buf_init(&call->body, BUNDLE_MESSAGE_MAX_BYTES);
    buf_init(&call->text, SERVE_CALL_ANSWER_MAX);
}

void serve_call_clear(struct serve_call *call) {
    if (call->free_state != NULL)
        call->free_state(call->state);
    for (size_t i = 0; i < call->n_query; i++)
        free(call->query[i].value);
    bundle_predicate_free(call->who.predicate);
    json_decref(call->document);
    json_decref(call->answer);
    buf_clear(&call->body);
    buf_clear(&call->text);
    own_drop_fd(&call->file.fd);
    explicit_bzero(call->bearer, sizeof call->bearer);
}

int64_t serve_call_now_s(const struct serve_call *call) {
    return call->now_ms / 1000;
}

int serve_call_read_body(struct serve_call *call, struct err *e) {
    if (call->body.len == 0) {
        call->document = json_object();
        return call->document == NULL ? err_set(e, &err_memory, "reading the body: out of memory")
                                      : 0;
    }
    if (doc_parse(buf_slice(&call->body), "body", &body_limits, &call->document, e) < 0)
        return -1;
    if (!json_is_object(call->document))
        return err_set(e, &err_bad_request, "body: expected a JSON object");
    return 0;
}

int serve_call_members(struct serve_call *call, const char *const *known, struct doc_at *ret,
                       struct err *e) {
    if (doc_root(call->document, "body", ret, e) < 0)
        return -1;
    return doc_no_unknown(ret, known, e);
}

const char *serve_call_query(const struct serve_call *call, const char *key) {
    for (size_t i = 0; i < call->n_query; i++)
        if (strcmp(call->query[i].key, key) == 0)
            return call->query[i].value;
    return NULL;
}

int serve_call_query_u64(const struct serve_call *call, const char *key, uint64_t min, uint64_t max,
                         uint64_t *io, struct err *e) {
    const char *text = serve_call_query(call, key);
    return text == NULL ? 0 : num_parse_u64(text, key, min, max, io, e);
}

int serve_call_answer(struct serve_call *call, unsigned status, json_t *answer, struct err *e) {
    if (answer == NULL)
        return err_set(e, &err_memory, "answering: out of memory");
    json_decref(call->answer);
    call->answer = answer;
    call->status = status;
    return 0;
}

struct kind_status {
    const struct err_kind *kind;
    unsigned status;
};

static unsigned status_of(const struct err_kind *kind) {
    const struct kind_status table[] = {
        {&err_unauthorized, 401},
        {&err_not_enrolled, 401},
        {&err_permission, 403},
        {&err_device_pending, 403},
        {&err_device_rejected, 403},
        {&err_not_found, 404},
        {&err_exists, 409},
        {&err_rollout_state, 409},
        {&err_not_published, 409},
        {&err_rollback, 409},
        {&err_conflict, 409},
        {&err_fleet_drifted, 409},
        {&err_device_state, 409},
        {&err_rate_limited, 429},
        {&err_busy, 503},
        {&err_overloaded, 503},
        {&err_timeout, 503},
        {&err_no_space, 507},
        {&err_internal, 500},
        {&err_memory, 503},
        {&err_io, 503}, // of a disk: what is refused now may be taken when somebody mended it
        {&err_read_only, 503},
        {&err_bad_store, 500},
        {&err_audit_broken, 500},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].kind == kind)
            return table[i].status;
    return 400; // everything else is about what was sent
}

void serve_call_fail(struct serve_call *call, const struct err *e) {
    char text[ERR_TEXT_BYTES + 8]; // may hold what was sent: made safe
    unsigned status = status_of(e->kind);
    json_decref(call->answer);
    call->answer = json_pack("{s:s, s:s}", "code", e->kind->name, "text",
                             text_safe(e->text, text, sizeof text));
    buf_clear(&call->text);
    if (call->status < 400) // a handler may know better
        call->status = status;
    if ((call->status == 503 || call->status == 429) && call->retry_after_s == 0)
        call->retry_after_s = call->status == 429 ? 10 : 30;
}
