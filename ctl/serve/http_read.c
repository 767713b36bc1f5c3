// SPDX-License-Identifier: Apache-2.0
//
// The head of a request.
#include "ctl/serve/http_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <microhttpd.h>

#include "base/num.h"
#include "base/text.h"
#include "ctl/kind.h"
#include "ctl/repo/targets.h"
#include "ctl/serve/route.h"

#define PATH_BYTES 512

static int refuse(struct serve_call *call, unsigned status, struct err *e, const char *text) {
    call->status = status;
    return err_set(e, &err_bad_request, "%s", text);
}

// ── Headers that must not be ambiguous ──

struct heads {
    unsigned lengths, encodings, hosts, authorizations, expects;
    bool odd;
};

// RFC 9110 §5.6.2. A blank before the colon, above all, is dropped by some and read by others.
static bool is_token(const char *name, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (c == '\0' || (!alnum && strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return len > 0;
}

static enum MHD_Result count_head(void *context, enum MHD_ValueKind kind, const char *key,
                                  size_t key_len, const char *value, size_t value_len) {
    struct heads *n = context;
    const struct {
        const char *name;
        unsigned *count;
    } counted[] = {{"Content-Length", &n->lengths},
                   {"Transfer-Encoding", &n->encodings},
                   {"Host", &n->hosts},
                   {"Authorization", &n->authorizations},
                   {"Expect", &n->expects}};
    (void)kind;
    (void)value;
    (void)value_len;
    if (!is_token(key, key_len))
        n->odd = true;
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        if (strcasecmp(key, counted[i].name) == 0)
            (*counted[i].count)++;
    return MHD_YES;
}

static const char *head(struct MHD_Connection *connection, const char *name) {
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

// A request whose length can be read in two ways ends where somebody else thinks another begins.
static int check_heads(struct MHD_Connection *connection, struct serve_call *call,
                       uint64_t *ret_declared, struct err *e) {
    struct heads n = {0};
    struct err detail = ERR_NONE;
    const char *encoding = head(connection, "Transfer-Encoding");
    const char *length = head(connection, "Content-Length");
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, count_head, &n);
    if (n.odd)
        return refuse(call, 400, e, "the name of a header is none");
    if (n.lengths > 1 || n.encodings > 1 || (n.lengths > 0 && n.encodings > 0))
        return refuse(call, 400, e, "the length of the body is declared more than once");
    if (n.hosts > 1 || n.authorizations > 1)
        return refuse(call, 400, e, "the header Host or Authorization is there more than once");
    if (encoding != NULL && strcasecmp(encoding, "chunked") != 0)
        return refuse(call, 400, e, "the only transfer encoding known here is chunked");
    *ret_declared = 0;
    if (length != NULL &&
        num_parse_u64(length, "Content-Length", 0, INT64_MAX, ret_declared, &detail) < 0)
        return refuse(call, 400, e, "the header Content-Length is not a number");
    return 0;
}

// A browser that is led here by somebody else's page says so.
static int check_origin(struct MHD_Connection *connection, const struct serve_call *call,
                        struct err *e) {
    const char *origin = head(connection, "Origin"), *host = head(connection, "Host");
    if (origin == NULL || call->method == SERVE_GET || call->method == SERVE_HEAD)
        return 0;
    const char *name = strstr(origin, "://");
    if (host != NULL && name != NULL && strcasecmp(name + 3, host) == 0)
        return 0;
    return err_set(e, &err_permission, "the request comes from the page of another site");
}

// ── Path and query ──

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Percent escapes to bytes, once: UTF-8, no NUL, no control characters, and in a path no escaped
// '/'.
static bool decode(const char *text, bool is_path, char *ret, size_t ret_bytes) {
    size_t n = 0;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '+' && !is_path)
            c = ' ';
        if (c == '%') {
            int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
            if (low < 0)
                return false;
            c = (unsigned char)(high << 4 | low);
            if (is_path && c == '/')
                return false;
            text += 2;
        }
        if (c < 0x20 || c == 0x7f || n + 1 >= ret_bytes)
            return false;
        ret[n++] = (char)c;
    }
    ret[n] = '\0';
    return text_is_utf8(ret, n);
}

static int find_route(const char *method, const char *url, struct serve_call *call, struct err *e) {
    char path[PATH_BYTES], shown[PATH_BYTES];
    unsigned allowed = 0;
    if (!decode(url, true, path, sizeof path))
        return refuse(call, 400, e, "the path is too long, or not text in UTF-8");
    int found = serve_route_find(call, method, path, &allowed);
    if (found == SERVE_ROUTE_NO_PATH)
        return err_set(e, &err_not_found, "there is nothing at %.200s",
                       text_safe(path, shown, sizeof shown));
    if (found == SERVE_ROUTE_NO_METHOD)
        return refuse(call, 405, e, "this method is not known here");
    return 0;
}

struct query {
    struct serve_call *call;
    struct err *e;
    bool failed;
};

static enum MHD_Result take_query(void *context, enum MHD_ValueKind kind, const char *key,
                                  const char *value) {
    struct query *q = context;
    struct serve_call *call = q->call;
    const char *const *known = call->route->query;
    char text[SERVE_CALL_VALUE_BYTES], name[64];
    (void)kind;
    while (known != NULL && *known != NULL && strcmp(*known, key) != 0)
        known++;
    q->failed = true;
    if (known == NULL || *known == NULL)
        (void)err_set(q->e, &err_bad_request, "the query parameter %s is not known here",
                      text_safe(key, name, sizeof name));
    else if (serve_call_query(call, key) != NULL || call->n_query == SERVE_CALL_QUERY_MAX)
        (void)err_set(q->e, &err_bad_request, "the query parameter %s is there twice", *known);
    else if (!decode(value == NULL ? "" : value, false, text, sizeof text))
        (void)err_set(q->e, &err_bad_request,
                      "the query parameter %s is too long, or not text in UTF-8", *known);
    else {
        char *copy = strdup(text);
        q->failed = copy == NULL;
        if (copy != NULL)
            call->query[call->n_query++] = (struct serve_query){.key = *known, .value = copy};
        else
            (void)err_set(q->e, &err_memory, "reading the query: out of memory");
    }
    return q->failed ? MHD_NO : MHD_YES;
}

// ── The rest ──

static int read_bearer(struct MHD_Connection *connection, struct serve_call *call, struct err *e) {
    const char *value = head(connection, "Authorization");
    if (value == NULL || call->route->access == SERVE_ACCESS_PUBLIC)
        return 0;
    if (strncasecmp(value, "Bearer ", 7) != 0 || strlen(value + 7) >= sizeof call->bearer)
        return err_set(e, &err_unauthorized,
                       "the header Authorization is not of the form \"Bearer TOKEN\"");
    (void)snprintf(call->bearer, sizeof call->bearer, "%s", value + 7);
    return 0;
}

static void copy_head(struct MHD_Connection *connection, const char *name, char *ret,
                      size_t ret_bytes) {
    const char *value = head(connection, name);
    if (value != NULL && strlen(value) < ret_bytes)
        (void)snprintf(ret, ret_bytes, "%s", value);
}

static int check_body(struct MHD_Connection *connection, struct serve_call *call, uint64_t declared,
                      struct err *e) {
    bool chunked = head(connection, "Transfer-Encoding") != NULL;
    enum serve_body body = call->route->body;
    if (body == SERVE_BODY_FILE && (chunked || declared == 0))
        return refuse(call, 411, e, "the length of an upload must be declared (Content-Length)");
    if (body == SERVE_BODY_JSON && declared > BUNDLE_MESSAGE_MAX_BYTES) {
        call->status = 413;
        return err_set(e, &err_limit, "the body has %llu bytes; at most %d are taken here",
                       (unsigned long long)declared, BUNDLE_MESSAGE_MAX_BYTES);
    }
    if (body == SERVE_BODY_METADATA && declared > REPO_TARGETS_MAX_BYTES) {
        call->status = 413;
        return err_set(e, &err_limit, "the body has %llu bytes; at most %d are taken here",
                       (unsigned long long)declared, REPO_TARGETS_MAX_BYTES);
    }
    if (body == SERVE_BODY_FILE && declared > BUNDLE_STREAM_MAX_BYTES) {
        call->status = 413;
        return err_set(e, &err_limit, "the upload has %llu bytes; at most %llu are taken here",
                       (unsigned long long)declared, (unsigned long long)BUNDLE_STREAM_MAX_BYTES);
    }
    if (body == SERVE_BODY_NONE && (chunked || declared > 0))
        return refuse(call, 400, e, "this request has no body");
    return 0;
}

int serve_http_read_head(struct MHD_Connection *connection, const char *method, const char *url,
                         struct serve_call *call, uint64_t *ret_declared, struct err *e) {
    struct query query = {.call = call, .e = e};
    if (check_heads(connection, call, ret_declared, e) < 0 ||
        find_route(method, url, call, e) < 0 || check_origin(connection, call, e) < 0 ||
        read_bearer(connection, call, e) < 0 || check_body(connection, call, *ret_declared, e) < 0)
        return -1;
    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_query, &query);
    if (query.failed)
        return -1;
    copy_head(connection, "Range", call->conditions.range, sizeof call->conditions.range);
    copy_head(connection, "If-Range", call->conditions.if_range, sizeof call->conditions.if_range);
    copy_head(connection, "If-None-Match", call->conditions.if_none_match,
              sizeof call->conditions.if_none_match);
    return 0;
}
