// SPDX-License-Identifier: Apache-2.0
//
// JSON requests to the controller and probes of loopback URLs; see request.h.
#include "agent/net/request.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/net/handle.h"
#include "base/own.h"

struct sink {
    struct buf *to;
    bool too_large;
};

static size_t on_body(char *data, size_t size, size_t count, void *user) {
    struct sink *sink = user;
    struct err e = ERR_NONE;
    size_t len = size * count;
    if (buf_add(sink->to, data, len, &e) < 0) {
        sink->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

static void own_drop_list(struct curl_slist **list) {
    curl_slist_free_all(*list);
}

static int add_line(struct curl_slist **list, const char *line, struct err *e) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (!longer)
        return err_set(e, &err_memory, "preparing a request: no memory");
    *list = longer;
    return 0;
}

static int set_headers(CURL *handle, const char *token, struct curl_slist **list, struct err *e) {
    char line[BUNDLE_TOKEN_MAX + 32];
    if (add_line(list, "Content-Type: application/json", e) < 0 ||
        add_line(list, "Accept: application/json", e) < 0 ||
        add_line(list, "Expect:", e) < 0) // no round trip for permission to send a few KiB
        return -1;
    if (token[0]) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", token);
        if (add_line(list, line, e) < 0)
            return -1;
    }
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, *list);
    return 0;
}

static int perform(CURL *handle, struct sink *sink, struct net_handle_headers *headers,
                   long *ret_status, struct err *e) {
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, sink);
    net_handle_watch_headers(handle, headers);
    CURLcode code = curl_easy_perform(handle);
    if (sink->too_large)
        return err_set(e, &err_limit, "the answer is longer than %zu bytes", sink->to->ceiling);
    if (headers->too_many)
        return err_set(e, &err_limit, "the answer's headers are longer than %d bytes",
                       NET_HANDLE_HEADERS_MAX_BYTES);
    if (code != CURLE_OK)
        return net_handle_fail(handle, code, e);
    if (headers->encoded)
        return err_set(e, &err_garbage, "the answer has a content coding that was not asked for");
    if (net_handle_is_ambiguous(headers))
        return err_set(e, &err_garbage, "the answer says in two ways where it ends");
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, ret_status);
    if (*ret_status < 200) // an interim answer was the last; libcurl is content with it
        return err_set(e, &err_unreachable, "the connection ended before the answer");
    if (*ret_status >= 300 && *ret_status < 400)
        return err_set(
            e, &err_redirected,
            "the server wants to redirect us (status %ld); name the address it means in the "
            "configuration",
            *ret_status);
    return 0;
}

int net_request_post(const struct net_request *request, struct net_request_answer *ret,
                     struct err *e) {
    // "https://host" and "path" without a '/' between them would be another host.
    assert(request->path[0] == '/' && "I9: the token goes to the configured controller alone");
    char url[BUNDLE_URL_MAX + 128];
    size_t base_len = strlen(request->net->controller);
    while (base_len > 0 && request->net->controller[base_len - 1] == '/')
        base_len--;
    snprintf(url, sizeof url, "%.*s%s", (int)base_len, request->net->controller, request->path);

    OWN(handle) CURL *handle = NULL;
    OWN(list) struct curl_slist *list = NULL;
    if (net_handle_open(request->net, url, &handle, e) < 0 ||
        set_headers(handle, request->token, &list, e) < 0)
        return -1;
    curl_easy_setopt(handle, CURLOPT_TIMEOUT, (long)request->net->request_timeout_s);
    curl_easy_setopt(handle, CURLOPT_POST, 1L);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS,
                     request->body.data ? (const char *)request->body.data : "");

    struct sink sink = {.to = &ret->body};
    struct net_handle_headers headers;
    long status = 0;
    if (perform(handle, &sink, &headers, &status, e) < 0)
        return -1;
    ret->status = status;
    ret->retry_after_s = headers.retry_after_s;
    return 0;
}

static int get(CURL *handle, uint64_t timeout_ms, struct net_request_answer *ret, struct err *e) {
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    struct sink sink = {.to = &ret->body};
    struct net_handle_headers headers;
    long status = 0;
    if (perform(handle, &sink, &headers, &status, e) < 0) {
        // The page that says "not found" may be longer than the file would be allowed to be.
        curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
        if (!sink.too_large || status < 400)
            return -1;
        err_clear(e);
    }
    ret->status = status;
    ret->retry_after_s = headers.retry_after_s;
    return 0;
}

int net_request_get(const struct agent_job_net *net, const char *url, uint64_t timeout_ms,
                    struct net_request_answer *ret, struct err *e) {
    OWN(handle) CURL *handle = NULL;
    if (net_handle_open(net, url, &handle, e) < 0)
        return -1;
    net_handle_follow(handle, net, url);
    return get(handle, timeout_ms, ret, e);
}

int net_request_get_here(const struct agent_job_net *net, const char *url, uint64_t timeout_ms,
                         struct net_request_answer *ret, struct err *e) {
    OWN(handle) CURL *handle = NULL;
    if (net_handle_open(net, url, &handle, e) < 0)
        return -1;
    return get(handle, timeout_ms, ret, e);
}

int net_request_get_local(const char *url, uint64_t timeout_s, struct buf *ret, long *ret_status,
                          struct err *e) {
    // allow_http stays false, so that net_handle_open lets only loopback pass.
    struct agent_job_net local = {.connect_timeout_s = timeout_s, .stall_s = timeout_s};
    if (strncmp(url, "http://", 7) != 0)
        return err_set(e, &err_config, "probing '%s': only http:// on loopback can be probed", url);
    OWN(handle) CURL *handle = NULL;
    if (net_handle_open(&local, url, &handle, e) < 0)
        return -1;
    curl_easy_setopt(handle, CURLOPT_TIMEOUT, (long)timeout_s);
    struct sink sink = {.to = ret};
    struct net_handle_headers headers;
    if (perform(handle, &sink, &headers, ret_status, e) < 0)
        return err_prefix(e, "probing '%s'", url);
    return 0;
}
