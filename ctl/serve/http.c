// SPDX-License-Identifier: Apache-2.0
//
// The way of a request: headers → (authorise) → body → prepare → store → finish → answer.
#include "ctl/serve/http.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <microhttpd.h>

#include "ctl/kind.h"
#include "ctl/repo/targets.h"
#include "ctl/serve/guard.h"
#include "ctl/serve/http_read.h"
#include "ctl/serve/publish.h"
#include "ctl/serve/route.h"
#include "ctl/serve/work.h"

struct serve_http {
    struct serve_server *server;
    struct MHD_Daemon *daemon;
    struct serve_guard *guard;
    atomic_size_t body_bytes; // held for messages
    atomic_size_t active;     // requests
    MHD_socket listener;      // after quiesce
};

enum phase {
    PHASE_AUTHORISE, // asked the store who this is, before a long body
    PHASE_BODY,
    PHASE_STORE, // suspended until ready
    PHASE_ANSWERED
};

struct request {
    struct serve_http *http;
    struct MHD_Connection *connection;
    struct serve_guard_entry *guard;
    enum phase phase;
    bool failed; // the answer is in the call; what else comes is dropped
    uint64_t declared, received;
    struct serve_call call;
    struct serve_work work;
};

static void set_deadline(struct request *r, int64_t in_s) {
    if (r->guard != NULL)
        serve_guard_set(r->http->guard, r->guard,
                        chrono_boot_ms(r->http->server->clock) + in_s * 1000);
}

static void fail(struct request *r, const struct err *e) {
    serve_call_fail(&r->call, e);
    r->failed = true;
}

// ── Answers ──

static struct MHD_Response *make_response(struct serve_call *call) {
    if (call->file.fd >= 0) {
        struct MHD_Response *made = MHD_create_response_from_fd_at_offset64(
            call->file.len, call->file.fd, call->file.offset);
        if (made != NULL)
            call->file.fd = -1; // closed with the response
        return made;
    }
    if (call->answer != NULL) {
        char *text = json_dumps(call->answer, JSON_COMPACT);
        return text == NULL
                   ? NULL
                   : MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    }
    return MHD_create_response_from_buffer(call->text.len, call->text.data, MHD_RESPMEM_MUST_COPY);
}

static void add_file_headers(const struct serve_call *call, struct MHD_Response *response) {
    char text[96];
    const struct serve_file *file = &call->file;
    if (file->etag[0] == '\0')
        return;
    (void)MHD_add_response_header(response, "ETag", file->etag);
    (void)MHD_add_response_header(response, "Accept-Ranges", "bytes");
    (void)MHD_add_response_header(response, "Cache-Control",
                                  file->changes ? "no-cache"
                                                : "public, max-age=31536000, immutable");
    if (call->status == MHD_HTTP_PARTIAL_CONTENT) {
        (void)snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)file->offset,
                       (unsigned long long)(file->offset + file->len - 1),
                       (unsigned long long)file->total);
        (void)MHD_add_response_header(response, "Content-Range", text);
    } else if (call->status == MHD_HTTP_RANGE_NOT_SATISFIABLE) {
        (void)snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)file->total);
        (void)MHD_add_response_header(response, "Content-Range", text);
    }
}

static void add_headers(const struct request *r, bool is_file, struct MHD_Response *response) {
    const struct serve_call *call = &r->call;
    char text[32];
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(response, "Content-Type",
                                  is_file ? "application/octet-stream" : "application/json");
    if (call->file.etag[0] == '\0')
        (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    add_file_headers(call, response);
    if (call->retry_after_s > 0) {
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)call->retry_after_s);
        (void)MHD_add_response_header(response, "Retry-After", text);
    }
    if (call->status == MHD_HTTP_UNAUTHORIZED)
        (void)MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (call->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, "Allow", "GET, HEAD, POST, PUT, DELETE");
    // After a refusal the rest of the body, if any, is not worth reading.
    if (r->failed && r->received < r->declared)
        (void)MHD_add_response_header(response, "Connection", "close");
}

static enum MHD_Result answer(struct request *r) {
    struct serve_call *call = &r->call;
    uint64_t len = call->file.len;
    bool is_file = call->file.fd >= 0;
    struct MHD_Response *response = make_response(call);
    if (response == NULL)
        return MHD_NO;
    add_headers(r, is_file, response);
    set_deadline(r, SERVE_GUARD_ANSWER_S + (is_file ? (int64_t)(len / SERVE_GUARD_FILE_BPS) : 0));
    enum MHD_Result queued = MHD_queue_response(r->connection, call->status, response);
    MHD_destroy_response(response);
    r->phase = PHASE_ANSWERED;
    return queued;
}

// ── The store's part ──

static void on_ready(void *context) {
    struct request *r = context;
    MHD_resume_connection(r->connection);
}

static void suspend(struct request *r, enum phase phase) {
    r->phase = phase;
    set_deadline(r, SERVE_GUARD_ANSWER_S);
    MHD_suspend_connection(r->connection);
}

static enum MHD_Result ask_store(struct request *r) {
    const struct serve_route *route = r->call.route;
    struct err e = ERR_NONE;
    int done = 0;
    if (route->body == SERVE_BODY_JSON)
        done = serve_call_read_body(&r->call, &e);
    if (done == 0 && route->prepare != NULL)
        done = route->prepare(&r->call, &e);
    if (done < 0)
        fail(r, &e);
    if (done != 0 || (route->run == NULL && route->access != SERVE_ACCESS_OPERATOR))
        return answer(r);
    suspend(r, PHASE_STORE);
    r->work = (struct serve_work){.call = &r->call, .ready = on_ready, .context = r};
    if (route->body == SERVE_BODY_FILE)
        serve_publish_submit(r->http->server->publisher, &r->work);
    else
        serve_work_submit(&r->work);
    return MHD_YES;
}

static enum MHD_Result finish(struct request *r) {
    struct err e = ERR_NONE;
    r->failed = r->work.refused;
    if (!r->failed && r->call.route->finish != NULL && r->call.route->finish(&r->call, &e) < 0)
        fail(r, &e);
    return answer(r);
}

// ── Bodies ──

static enum MHD_Result begin_upload(struct request *r) {
    struct err e = ERR_NONE;
    r->phase = PHASE_BODY;
    r->failed = r->work.refused;
    set_deadline(r, SERVE_GUARD_BODY_S + (int64_t)(r->declared / SERVE_GUARD_UPLOAD_BPS));
    if (r->call.route->body == SERVE_BODY_METADATA)
        buf_init(&r->call.body, REPO_TARGETS_MAX_BYTES);
    else if (!r->failed && serve_publish_begin(&r->call, r->declared, &e) < 0)
        fail(r, &e);
    return r->failed ? answer(r) : MHD_YES;
}

static int take_part(struct request *r, const char *data, size_t len, struct err *e) {
    if (r->call.route->body == SERVE_BODY_FILE)
        return serve_publish_write(&r->call, data, len, e);
    if (r->call.route->body == SERVE_BODY_NONE)
        return err_set(e, &err_bad_request, "this request has no body");
    if (atomic_fetch_add(&r->http->body_bytes, len) + len > SERVE_HTTP_BODIES_BYTES) {
        (void)atomic_fetch_sub(&r->http->body_bytes, len);
        return err_set(e, &err_overloaded, "too many requests at the same time");
    }
    if (buf_add(&r->call.body, data, len, e) < 0) {
        (void)atomic_fetch_sub(&r->http->body_bytes, len);
        r->call.status = err_is(e, &err_limit) ? 413 : 0;
        return -1;
    }
    return 0;
}

static enum MHD_Result on_body(struct request *r, const char *data, size_t *len) {
    struct err e = ERR_NONE;
    if (*len == 0)
        return r->failed ? answer(r) : ask_store(r);
    r->received += *len;
    if (!r->failed && take_part(r, data, *len, &e) < 0)
        fail(r, &e);
    // An answer can only be given at the end of the body: what is dropped until then has a ceiling.
    if (r->failed && r->received > BUNDLE_MESSAGE_MAX_BYTES * 4ULL)
        return MHD_NO;
    *len = 0;
    return MHD_YES;
}

// ── Headers ──

static enum MHD_Result on_headers(struct request *r, const char *method, const char *url) {
    struct err e = ERR_NONE;
    if (serve_http_read_head(r->connection, method, url, &r->call, &r->declared, &e) < 0) {
        fail(r, &e);
        return answer(r);
    }
    r->phase = PHASE_BODY;
    set_deadline(r, SERVE_GUARD_BODY_S);
    if (r->call.route->body != SERVE_BODY_FILE && r->call.route->body != SERVE_BODY_METADATA)
        return MHD_YES;
    suspend(r, PHASE_AUTHORISE);
    r->work = (struct serve_work){
        .call = &r->call, .only_authorise = true, .ready = on_ready, .context = r};
    serve_work_submit(&r->work);
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **state) {
    struct serve_http *http = context;
    struct request *r = *state;
    (void)version;
    if (r == NULL) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        r = calloc(1, sizeof *r);
        if (r == NULL)
            return MHD_NO;
        *state = r;
        r->http = http;
        r->connection = connection;
        r->guard = info == NULL ? NULL : info->socket_context;
        (void)atomic_fetch_add(&http->active, 1);
        serve_call_init(&r->call, http->server);
        return on_headers(r, method, url);
    }
    switch (r->phase) {
    case PHASE_AUTHORISE:
        return begin_upload(r);
    case PHASE_BODY:
        return on_body(r, data, len);
    case PHASE_STORE:
        return finish(r);
    case PHASE_ANSWERED:
        break;
    }
    *len = 0; // the rest of a body that was refused
    return MHD_YES;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code) {
    struct serve_http *http = context;
    struct request *r = *state;
    (void)connection;
    (void)code;
    if (r == NULL)
        return;
    set_deadline(r, SERVE_GUARD_KEEP_S + SERVE_GUARD_HEADERS_S);
    (void)atomic_fetch_sub(&http->body_bytes, r->call.body.len);
    (void)atomic_fetch_sub(&http->active, 1);
    serve_call_clear(&r->call);
    free(r);
    *state = NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code) {
    struct serve_http *http = context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        serve_guard_remove(http->guard, *socket_context);
        *socket_context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != NULL)
        *socket_context =
            serve_guard_add(http->guard, info->connect_fd,
                            chrono_boot_ms(http->server->clock) + SERVE_GUARD_HEADERS_S * 1000);
}

// Escapes are decoded by http_read, strictly: the library would stop at %00 and let bad ones stand.
static size_t leave_escaped(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *context, const char *format,
                                                         va_list args) {
    struct serve_http *http = context;
    char line[256];
    (void)vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\r\n")] = '\0';
    http->server->options->say(http->server->options->context, SERVE_SAY_INFO, line);
}

// ── Life ──

static struct MHD_Daemon *start(struct serve_http *http, const struct MHD_OptionItem *more) {
    const struct serve_options *options = http->server->options;
    uint64_t connections =
        options->connections_max == 0 ? SERVE_CONNECTIONS_DEFAULT : options->connections_max;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = cores >= 4 ? 4 : 2;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (more[0].option != MHD_OPTION_END)
        flags |= MHD_USE_TLS;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, http,
        MHD_OPTION_LISTEN_SOCKET, http->listener, MHD_OPTION_THREAD_POOL_SIZE, threads,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)SERVE_HTTP_CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)SERVE_GUARD_KEEP_S, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)SERVE_HTTP_PER_ADDRESS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, http, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_ARRAY,
        more, MHD_OPTION_END);
}

int serve_http_start(struct serve_server *server, int listener, const char *cert, const char *key,
                     struct serve_http **ret, struct err *e) {
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL}};
    struct serve_http *http = calloc(1, sizeof *http);
    if (http == NULL || serve_guard_open(&http->guard, e) < 0) {
        (void)close(listener);
        free(http);
        return err_set(e, &err_memory, "starting the HTTP server: out of memory");
    }
    http->server = server;
    http->listener = listener;
    http->daemon = start(http, cert == NULL ? &tls[3] : tls);
    if (http->daemon == NULL) {
        (void)close(listener);
        serve_guard_close(http->guard);
        free(http);
        return err_set(
            e, &err_listen_failed,
            "starting the HTTP server: refused by the HTTP library; with TLS, check that "
            "certificate and key are PEM and belong together");
    }
    *ret = http;
    return 0;
}

void serve_http_sweep(struct serve_http *http) {
    (void)serve_guard_sweep(http->guard, chrono_boot_ms(http->server->clock));
}

size_t serve_http_quiesce(struct serve_http *http) {
    if (http->listener != MHD_INVALID_SOCKET) {
        MHD_socket listener = MHD_quiesce_daemon(http->daemon);
        if (listener != MHD_INVALID_SOCKET)
            (void)close(listener);
        http->listener = MHD_INVALID_SOCKET;
    }
    return atomic_load(&http->active);
}

void serve_http_stop(struct serve_http *http) {
    if (http == NULL)
        return;
    (void)serve_http_quiesce(http);
    MHD_stop_daemon(http->daemon);
    serve_guard_close(http->guard);
    free(http);
}
