// SPDX-License-Identifier: Apache-2.0
//
// One request on its way through the controller, without the HTTP library: what was asked, by whom,
// and the answer. A call is touched by one thread at a time: the HTTP thread reads it and prepares,
// the store's thread runs it, the HTTP thread finishes and answers.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/doc.h"
#include "bundle/checkin.h"
#include "ctl/store/token.h"
#include "ctl/store/writer.h"

#define SERVE_CALL_ARGS_MAX     4
#define SERVE_CALL_ARG_BYTES    192
#define SERVE_CALL_QUERY_MAX    6
#define SERVE_CALL_VALUE_BYTES  (BUNDLE_PREDICATE_MAX + 1)
#define SERVE_CALL_BEARER_BYTES (BUNDLE_TOKEN_MAX + 1)
#define SERVE_CALL_ANSWER_MAX   (64 * 1024 * 1024)

struct serve_server;
struct serve_route;
struct bundle_predicate;

enum serve_method { SERVE_GET, SERVE_HEAD, SERVE_POST, SERVE_PUT, SERVE_DELETE, SERVE_METHODS };

// Who asks, for the admin API.
struct serve_identity {
    char name[BUNDLE_NAME_MAX + 1]; // for the audit log
    enum store_role role;
    char selector[BUNDLE_PREDICATE_MAX + 1];
    struct bundle_predicate *predicate; // owned; NULL: the whole fleet
    int64_t expires_s;
};

struct serve_query {
    const char *key; // borrowed from the route
    char *value;     // owned
};

// Bytes of a file as an answer, in place of a document.
struct serve_file {
    int fd; // owned; -1: none
    uint64_t offset, len, total;
    char etag[BUNDLE_NAME_MAX + 4]; // with its quotes
    bool changes;                   // is to be asked for anew each time
};

// What a request for a file says about it; "" when it does not, or in a form that is not
// understood.
struct serve_conditions {
    char range[64];
    char if_range[BUNDLE_NAME_MAX + 8];
    char if_none_match[256];
};

struct serve_call {
    struct serve_server *server;
    const struct serve_route *route;
    enum serve_method method;
    char args[SERVE_CALL_ARGS_MAX][SERVE_CALL_ARG_BYTES];
    size_t n_query;
    struct serve_query query[SERVE_CALL_QUERY_MAX];
    char bearer[SERVE_CALL_BEARER_BYTES]; // wiped when the call ends
    struct buf body;
    json_t *document; // the body, parsed; owned
    int64_t now_ms;   // when it was run
    struct serve_identity who;
    // The answer: a document, or text that is JSON already.
    unsigned status;
    json_t *answer; // owned
    struct buf text;
    struct serve_file file;
    struct serve_conditions conditions;
    uint64_t retry_after_s; // 0: no header
    // Waiting for news: until when, on the boot clock.
    int64_t wait_until_ms;
    bool waited;
    // The route's own, freed with the call.
    void *state;
    void (*free_state)(void *state);
};

void serve_call_init(struct serve_call *call, struct serve_server *server)
    __attribute__((nonnull(1)));
void serve_call_clear(struct serve_call *call) __attribute__((nonnull));

int64_t serve_call_now_s(const struct serve_call *call) __attribute__((nonnull));

// Parses the body as one JSON object into call->document ({} for an empty one). Kinds: syntax,
// limit, bad_request (no object).
int serve_call_read_body(struct serve_call *call, struct err *e) __attribute__((nonnull));
// Cursor at the body; refuses members that are not in the null-terminated list.
int serve_call_members(struct serve_call *call, const char *const *known, struct doc_at *ret,
                       struct err *e) __attribute__((nonnull));

// NULL when it was not given.
const char *serve_call_query(const struct serve_call *call, const char *key)
    __attribute__((nonnull));
int serve_call_query_u64(const struct serve_call *call, const char *key, uint64_t min, uint64_t max,
                         uint64_t *io, struct err *e) __attribute__((nonnull));

// Takes the answer (which may be NULL: memory is out).
int serve_call_answer(struct serve_call *call, unsigned status, json_t *answer, struct err *e)
    __attribute__((nonnull(1, 4)));
// Turns an error into status and {code, text}.
void serve_call_fail(struct serve_call *call, const struct err *e) __attribute__((nonnull));
