// SPDX-License-Identifier: Apache-2.0
//
// Requests through libcurl; see client.h.
#include "ctl/net/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/kind.h"
#include "ctl/net/failure.h"

#define CONTENT_TYPE_JSON  "Content-Type: application/json"
#define CONTENT_TYPE_BYTES "Content-Type: application/octet-stream"

static const struct doc_limits answer_limits = {
    .bytes = NET_CLIENT_ANSWER_MAX, .depth = 32, .values = 2000000, .floats = true};

struct net_client {
    CURL *handle;
    char base[NET_CLIENT_URL_MAX]; // without a slash at its end
    char *token, *ca_file;         // copies; ca_file may be NULL
    bool local;                    // the controller is on this machine
    char detail[CURL_ERROR_SIZE];
};

static void own_drop_url(CURLU **url) {
    curl_url_cleanup(*url);
}

static void own_drop_list(struct curl_slist **list) {
    curl_slist_free_all(*list);
}

void net_client_free(struct net_client *client) {
    if (!client)
        return;
    if (client->handle)
        curl_easy_cleanup(client->handle);
    if (client->token)
        explicit_bzero(client->token, strlen(client->token));
    free(client->token);
    free(client->ca_file);
    free(client);
}

// "127.example.org" is a name like any other: only an address counts.
static bool is_loopback(const char *host) {
    struct in_addr address;
    if (inet_pton(AF_INET, host, &address) == 1)
        return ntohl(address.s_addr) >> 24 == 127;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

static int judge_url(struct net_client *client, const char *scheme, const char *host,
                     bool allow_http, const char *shown, struct err *e) {
    client->local = is_loopback(host);
    if (strcmp(scheme, "https") == 0)
        return 0;
    if (strcmp(scheme, "http") != 0)
        return err_set(e, &err_usage, "the controller \"%s\" is neither https nor http", shown);
    if (!client->local && !allow_http)
        return err_set(e, &err_cleartext,
                       "the controller \"%s\" is plain http to another machine, where anybody on "
                       "the way can read the token; use https, or --allow-http",
                       shown);
    return 0;
}

static int check_url(struct net_client *client, const char *text, bool allow_http, struct err *e) {
    OWN(url) CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL, *query = NULL;
    char shown[160];
    // What is before an @ may be a password, and errors end up in logs.
    const char *at = strrchr(text, '@');
    text_safe(at == NULL ? text : at + 1, shown, sizeof shown);
    if (!url)
        return err_set(e, &err_memory, "reading a URL: no memory");
    int r = 0;
    if (strlen(text) >= sizeof client->base ||
        curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK ||
        curl_url_get(url, CURLUPART_QUERY, &query, 0) == CURLUE_OK)
        r = err_set(e, &err_usage,
                    "the controller \"%s\" (--controller, EDGECTL_CONTROLLER) is not a URL of the "
                    "form https://host:port",
                    shown);
    else
        r = judge_url(client, scheme, host, allow_http, shown, e);
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(query);
    if (r < 0)
        return -1;
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '/')
        len--;
    memcpy(client->base, text, len);
    client->base[len] = '\0';
    return 0;
}

// One line of visible ASCII: a token with a line end in it would end the header.
static int check_token(const char *token, struct err *e) {
    size_t len = strlen(token);
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return err_set(e, &err_usage,
                           "the token holds a blank or a character that tokens do "
                           "not have; was it cut or pasted wrongly?");
    if (len > NET_CLIENT_TOKEN_MAX)
        return err_set(e, &err_limit, "the token is longer than %d bytes", NET_CLIENT_TOKEN_MAX);
    return 0;
}

int net_client_open(const struct net_client_options *options, struct net_client **ret,
                    struct err *e) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, &err_internal, "libcurl does not start");
    if (check_token(options->token, e) < 0)
        return -1;
    OWN(net_client) struct net_client *client = calloc(1, sizeof *client);
    if (!client)
        return err_set(e, &err_memory, "preparing a request: no memory");
    client->handle = curl_easy_init();
    client->token = strdup(options->token);
    client->ca_file = options->ca_file ? strdup(options->ca_file) : NULL;
    if (!client->handle || !client->token || (options->ca_file && !client->ca_file))
        return err_set(e, &err_memory, "preparing a request: no memory");
    if (check_url(client, options->url, options->allow_http, e) < 0)
        return -1;
    *ret = own_take(&client);
    return 0;
}

struct sink {
    struct buf body;
    CURL *head; // of which the ceiling's bytes are wanted, and no more; or NULL
    bool whole; // they are there
    bool too_long;
};

// Servers and proxies may ignore Range: a 200 is the file from its first byte on, and is read until
// the head is there.
static bool ends_head(const struct sink *sink, size_t len) {
    long status = 0;
    if (!sink->head || len < sink->body.ceiling - sink->body.len)
        return false;
    curl_easy_getinfo(sink->head, CURLINFO_RESPONSE_CODE, &status);
    return status == 200;
}

static size_t on_body(char *data, size_t size, size_t count, void *user) {
    struct sink *sink = user;
    struct err ignored = ERR_NONE;
    if (ends_head(sink, size * count)) {
        size_t wanted = sink->body.ceiling - sink->body.len;
        sink->whole = buf_add(&sink->body, data, wanted, &ignored) == 0;
        return CURL_WRITEFUNC_ERROR; // with nothing to say about the rest
    }
    if (buf_add(&sink->body, data, size * count, &ignored) < 0) {
        sink->too_long = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return size * count;
}

struct supply {
    const struct net_client_upload *upload;
    uint64_t done;
    struct err e;
};

static size_t on_supply(char *data, size_t size, size_t count, void *user) {
    struct supply *supply = user;
    const struct net_client_upload *up = supply->upload;
    uint64_t left = up->size - supply->done;
    size_t want = size * count < left ? size * count : (size_t)left;
    size_t got = 0;
    if (fs_pread(up->fd, data, want, supply->done, &got, &supply->e) < 0)
        return CURL_READFUNC_ABORT;
    if (got < want) {
        (void)err_set(&supply->e, &err_busy, "the file became shorter while it was sent");
        return CURL_READFUNC_ABORT;
    }
    supply->done += got;
    if (up->progress)
        up->progress(up->context, supply->done, up->size);
    return got;
}

// A connection that was kept and is gone makes curl send the body again, from here.
static int on_seek(void *user, curl_off_t offset, int origin) {
    struct supply *supply = user;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > supply->upload->size)
        return CURL_SEEKFUNC_FAIL;
    supply->done = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

// What every request has. The environment's proxy is used, but never towards this machine.
static void prepare(struct net_client *client, const char *url) {
    CURL *h = client->handle;
    curl_easy_reset(h); // the connection stays
    client->detail[0] = '\0';
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, client->detail);
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "edgectl/" EDGE_VERSION);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)NET_CLIENT_CONNECT_S);
    if (client->local)
        curl_easy_setopt(h, CURLOPT_PROXY, "");
    if (client->ca_file)
        curl_easy_setopt(h, CURLOPT_CAINFO, client->ca_file);
    if (client->token[0]) {
        curl_easy_setopt(h, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(h, CURLOPT_XOAUTH2_BEARER, client->token);
    }
}

static int add_header(struct curl_slist **list, const char *line, struct err *e) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (!longer)
        return err_set(e, &err_memory, "preparing a request: no memory");
    *list = longer;
    return 0;
}

static int read_answer(struct net_client *client, const struct sink *sink, json_t **ret,
                       struct err *e) {
    long status = 0;
    struct err why = ERR_NONE;
    OWN(json) json_t *document = NULL;
    curl_easy_getinfo(client->handle, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status >= 300)
        return net_failure_answer(status, buf_slice(&sink->body), e);
    if (doc_parse(buf_slice(&sink->body), "the controller's answer", &answer_limits, &document,
                  &why) < 0)
        return err_set(e, &err_controller_garbage, "%s; is %s a controller?", why.text,
                       client->base);
    if (!json_is_object(document))
        return err_set(e, &err_controller_garbage, "the controller's answer is no object");
    *ret = own_take(&document);
    return status == 201 ? NET_CLIENT_CREATED : 0;
}

struct request {
    const char *method;        // "GET", "POST", "PUT", "DELETE"
    const json_t *body;        // or NULL
    struct supply *supply;     // or NULL
    const struct slice *bytes; // or NULL
    struct buf *file;          // GET: where the plain answer goes, and no token; or NULL
    const char *range;         // with file: the only bytes wanted; or NULL
};

// A file as it is; 403 and 404 are how web servers say that there is none.
static int read_file(struct net_client *client, const struct request *request,
                     const struct sink *sink, struct err *e) {
    long status = 0;
    curl_easy_getinfo(client->handle, CURLINFO_RESPONSE_CODE, &status);
    if (status == 404 || status == 403)
        return NET_CLIENT_ABSENT;
    if (status != 200 && !(status == 206 && request->range))
        return net_failure_answer(status, buf_slice(&sink->body), e);
    return buf_add(request->file, sink->body.data, sink->body.len, e);
}

static int set_body(struct net_client *client, const struct request *request, char **ret_text,
                    struct curl_slist **headers, struct err *e) {
    CURL *h = client->handle;
    if (strcmp(request->method, "DELETE") == 0 || strcmp(request->method, "PUT") == 0)
        curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, request->method);
    if (!request->body && !request->supply && !request->bytes)
        return 0;
    if (add_header(headers, request->supply ? CONTENT_TYPE_BYTES : CONTENT_TYPE_JSON, e) < 0)
        return -1;
    curl_easy_setopt(h, CURLOPT_POST, 1L);
    if (request->supply) {
        curl_easy_setopt(h, CURLOPT_READFUNCTION, on_supply);
        curl_easy_setopt(h, CURLOPT_READDATA, request->supply);
        curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(h, CURLOPT_SEEKDATA, request->supply);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->supply->upload->size);
        curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
        curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, (long)NET_CLIENT_STALL_S);
        return 0;
    }
    if (request->bytes) { // a signed document goes as it was signed
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, request->bytes->data);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->bytes->len);
        return add_header(headers, "Expect:", e);
    }
    *ret_text = json_dumps(request->body, JSON_COMPACT);
    if (!*ret_text)
        return err_set(e, &err_memory, "preparing a request: no memory");
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, *ret_text);
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(*ret_text));
    // No round trip for the permission to send a few bytes; an upload waits for it, so that a
    // refusal comes before the data.
    return add_header(headers, "Expect:", e);
}

// One try. *ret_refused: nobody listened, so nothing was asked.
static int perform(struct net_client *client, const char *url, const struct request *request,
                   json_t **ret, bool *ret_refused, struct err *e) {
    struct sink sink = {.head = request->range ? client->handle : NULL};
    OWN(list) struct curl_slist *headers = NULL;
    OWN(mem) char *text = NULL;
    *ret_refused = false;
    prepare(client, url);
    if (request->file) // public: whoever serves it need not see a token
        curl_easy_setopt(client->handle, CURLOPT_XOAUTH2_BEARER, NULL);
    if (request->range)
        curl_easy_setopt(client->handle, CURLOPT_RANGE, request->range);
    if (add_header(&headers, "Accept: application/json", e) < 0 ||
        set_body(client, request, &text, &headers, e) < 0)
        return -1;
    curl_easy_setopt(client->handle, CURLOPT_HTTPHEADER, headers);
    if (!request->supply)
        curl_easy_setopt(client->handle, CURLOPT_TIMEOUT, (long)NET_CLIENT_TIMEOUT_S);
    buf_init(&sink.body, request->file ? request->file->ceiling : NET_CLIENT_ANSWER_MAX);
    curl_easy_setopt(client->handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(client->handle, CURLOPT_WRITEDATA, &sink);
    CURLcode code = curl_easy_perform(client->handle);
    int r = 0;
    if (sink.too_long)
        r = err_set(e, &err_limit, "the controller's answer is longer than %zu bytes",
                    sink.body.ceiling);
    else if (request->supply && request->supply->e.kind)
        r = err_set(e, request->supply->e.kind, "%s", request->supply->e.text);
    else if (code != CURLE_OK && !sink.whole)
        r = net_failure_transfer(code, client->detail, client->base, e);
    else
        r = request->file ? read_file(client, request, &sink, e)
                          : read_answer(client, &sink, ret, e);
    *ret_refused = code == CURLE_COULDNT_CONNECT;
    buf_clear(&sink.body);
    curl_easy_setopt(client->handle, CURLOPT_HTTPHEADER, NULL);
    return r;
}

static int ask(struct net_client *client, const char *path, const struct request *request,
               json_t **ret, struct err *e) {
    char url[NET_CLIENT_URL_MAX * 4];
    int n = snprintf(url, sizeof url, "%s%s", client->base, path);
    if (n < 0 || (size_t)n >= sizeof url)
        return err_set(e, &err_limit, "a request's address is longer than %zu bytes", sizeof url);
    int tries = strcmp(request->method, "GET") == 0 ? NET_CLIENT_TRIES : 1;
    for (int i = 1;; i++) {
        bool refused = false;
        struct err why = ERR_NONE;
        int r = perform(client, url, request, ret, &refused, &why);
        if (r >= 0)
            return r;
        if (!refused || i == tries)
            return err_set(e, why.kind, "%s", why.text);
        (void)poll(NULL, 0, NET_CLIENT_FIRST_WAIT_MS << (i - 1));
    }
}

int net_client_get(struct net_client *client, const char *path, json_t **ret, struct err *e) {
    return ask(client, path, &(struct request){.method = "GET"}, ret, e);
}

int net_client_post(struct net_client *client, const char *path, const json_t *body, json_t **ret,
                    struct err *e) {
    return ask(client, path, &(struct request){.method = "POST", .body = body}, ret, e);
}

int net_client_delete(struct net_client *client, const char *path, json_t **ret, struct err *e) {
    return ask(client, path, &(struct request){.method = "DELETE"}, ret, e);
}

int net_client_put(struct net_client *client, const char *path, struct slice body, json_t **ret,
                   struct err *e) {
    return ask(client, path, &(struct request){.method = "PUT", .bytes = &body}, ret, e);
}

int net_client_fetch(struct net_client *client, const char *path, struct buf *ret, struct err *e) {
    json_t *none = NULL;
    return ask(client, path, &(struct request){.method = "GET", .file = ret}, &none, e);
}

int net_client_fetch_head(struct net_client *client, const char *path, struct buf *ret,
                          struct err *e) {
    char range[48];
    json_t *none = NULL;
    (void)snprintf(range, sizeof range, "0-%zu", ret->ceiling - 1);
    return ask(client, path, &(struct request){.method = "GET", .file = ret, .range = range}, &none,
               e);
}

int net_client_upload(struct net_client *client, const char *path,
                      const struct net_client_upload *upload, json_t **ret, struct err *e) {
    struct supply supply = {.upload = upload, .e = ERR_NONE};
    return ask(client, path, &(struct request){.method = "POST", .supply = &supply}, ret, e);
}

static int add_encoded(struct buf *path, const char *text, struct err *e) {
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr("-._~", *at);
        if ((plain ? buf_add(path, at, 1, e) : buf_add_format(path, e, "%%%02X", *at)) < 0)
            return -1;
    }
    return 0;
}

int net_client_add_segment(struct buf *path, const char *text, struct err *e) {
    // "." and ".." would be taken for steps, whatever their encoding.
    if (!*text || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return err_set(e, &err_usage, "\"%s\" is not a name", text);
    if (buf_add_text(path, "/", e) < 0)
        return -1;
    return add_encoded(path, text, e);
}

int net_client_add_query(struct buf *path, const char *key, const char *text, struct err *e) {
    const char *mark = strchr(buf_text(path), '?') ? "&" : "?";
    if (buf_add_format(path, e, "%s%s=", mark, key) < 0)
        return -1;
    return add_encoded(path, text, e);
}
