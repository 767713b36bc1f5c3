// SPDX-License-Identifier: Apache-2.0
//
// How every request is made; see handle.h.
#include "agent/net/handle.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/kind.h"
#include "base/chrono.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"

#define RETRY_AFTER_MAX_S (24 * 3600)
#define SHOWN_URL_BYTES   160

// What requests and redirects may speak. The options that take names came with libcurl 7.85, which
// calls those before outdated.
#if LIBCURL_VERSION_NUM >= 0x075500
#define SCHEMES          CURLOPT_PROTOCOLS_STR
#define REDIRECT_SCHEMES CURLOPT_REDIR_PROTOCOLS_STR
#define PLAIN_TOO        "http,https"
#define SECURE_ONLY      "https"
#else
#define SCHEMES          CURLOPT_PROTOCOLS
#define REDIRECT_SCHEMES CURLOPT_REDIR_PROTOCOLS
#define PLAIN_TOO        ((long)(CURLPROTO_HTTP | CURLPROTO_HTTPS))
#define SECURE_ONLY      ((long)CURLPROTO_HTTPS)
#endif

// What libcurl writes while a handle works; belongs to the handle (CURLOPT_PRIVATE).
struct notes {
    char error[CURL_ERROR_SIZE];
};

int net_handle_start(struct err *e) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, &err_internal, "libcurl does not start");
    return 0;
}

static struct notes *notes_of(CURL *handle) {
    char *notes = NULL; // the type that libcurl wants
    curl_easy_getinfo(handle, CURLINFO_PRIVATE, &notes);
    return (struct notes *)(void *)notes;
}

void net_handle_close(CURL *handle) {
    if (!handle)
        return;
    struct notes *notes = notes_of(handle);
    curl_easy_cleanup(handle);
    free(notes);
}

// As it may be shown: a query or what stands before the host may be somebody's password, and goes
// into no log.
static const char *show_url(const char *url, char ret[static SHOWN_URL_BYTES]) {
    char plain[SHOWN_URL_BYTES];
    const char *after = strstr(url, "://");
    const char *host = after ? after + 3 : url;
    for (const char *at = host; *at && !strchr("/?#\\", *at); at++)
        if (*at == '@')
            host = at + 1;
    snprintf(plain, sizeof plain, "%.*s%.*s", after ? (int)(after + 3 - url) : 0, url,
             (int)strcspn(host, "?#"), host);
    return text_safe(plain, ret, SHOWN_URL_BYTES);
}

static void own_drop_url(CURLU **url) {
    curl_url_cleanup(*url);
}

// "localhost" is never asked of a name server by libcurl. The others must be addresses as a whole:
// 127.0.0.1.example.org is a name that anybody can own.
static bool is_loopback(const char *host) {
    struct in_addr address;
    if (inet_pton(AF_INET, host, &address) == 1)
        return ntohl(address.s_addr) >> 24 == 127;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

// The scheme must be one we speak, and plain http stays on this machine unless the configuration
// says otherwise.
static int check_url(const struct agent_job_net *net, const char *text, struct err *e) {
    OWN(url) CURLU *url = curl_url();
    if (!url)
        return err_set(e, &err_memory, "reading a URL: no memory");
    char shown[SHOWN_URL_BYTES];
    char *scheme = NULL;
    char *host = NULL;
    int result = 0;
    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        result = err_set(e, &err_config, "'%s' is not a URL of the form https://host/path",
                         show_url(text, shown));
    else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
        result = err_set(e, &err_config, "'%s' is neither https nor http", show_url(text, shown));
    else if (strcmp(scheme, "http") == 0 && !is_loopback(host) && !net->allow_http)
        result = err_set(e, &err_permission,
                         "'%s' is plain http to another machine; use https, or set \"allow_http\" "
                         "in the configuration",
                         show_url(text, shown));
    curl_free(scheme);
    curl_free(host);
    return result;
}

// Certificates are judged at the latest of the trusted time and a plausible wall clock.
static CURLcode set_tls_time(CURL *handle, void *tls_context, void *user) {
    (void)handle;
    const int64_t *floor_s = user;
    int64_t wall_s = chrono_wall_ms(chrono_system()) / 1000;
    if (wall_s < *floor_s) {
        X509_VERIFY_PARAM *rules = SSL_CTX_get0_param(tls_context);
        X509_VERIFY_PARAM_set_time(rules, (time_t)*floor_s);
    }
    return CURLE_OK;
}

static void set_limits(CURL *handle, const struct agent_job_net *net) {
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, (long)net->connect_timeout_s);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, (long)net->rate_min_bytes_s);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, (long)net->stall_s);
    if (net->rate_max_bytes_s > 0)
        curl_easy_setopt(handle, CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)net->rate_max_bytes_s);
}

int net_handle_open(const struct agent_job_net *net, const char *url, CURL **ret, struct err *e) {
    if (check_url(net, url, e) < 0)
        return -1;
    OWN(handle) CURL *handle = curl_easy_init();
    if (!handle)
        return err_set(e, &err_memory, "preparing a request: no memory");
    struct notes *notes = calloc(1, sizeof *notes);
    if (!notes || curl_easy_setopt(handle, CURLOPT_PRIVATE, notes) != CURLE_OK ||
        curl_easy_setopt(handle, CURLOPT_URL, url) != CURLE_OK) {
        free(notes);
        return err_set(e, &err_memory, "preparing a request: no memory");
    }
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, notes->error);
    curl_easy_setopt(handle, SCHEMES, PLAIN_TOO);
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(handle, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "edge-agent/" EDGE_VERSION);
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, 65536L);
    // An empty string, not NULL: NULL would let the environment choose.
    curl_easy_setopt(handle, CURLOPT_PROXY, net->proxy);
    curl_easy_setopt(handle, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    if (net->ca_file[0])
        curl_easy_setopt(handle, CURLOPT_CAINFO, net->ca_file);
    curl_easy_setopt(handle, CURLOPT_SSL_CTX_FUNCTION, set_tls_time);
    curl_easy_setopt(handle, CURLOPT_SSL_CTX_DATA, &net->time_floor_s);
    set_limits(handle, net);
    *ret = own_take(&handle);
    return 0;
}

void net_handle_follow(CURL *handle, const struct agent_job_net *net, const char *url) {
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(handle, CURLOPT_MAXREDIRS, (long)NET_HANDLE_REDIRECTS_MAX);
    bool plain = net->allow_http && strncasecmp(url, "http:", 5) == 0;
    curl_easy_setopt(handle, REDIRECT_SCHEMES, plain ? PLAIN_TOO : SECURE_ONLY);
}

static bool has_name(const char *line, size_t len, const char *name) {
    size_t name_len = strlen(name);
    return len > name_len && strncasecmp(line, name, name_len) == 0 && line[name_len] == ':';
}

// The value of a header line `name: value` in a NUL-terminated copy; false when the line is another
// header's or too long to matter.
static bool value_of(const char *line, size_t len, const char *name, char *ret, size_t ret_bytes) {
    if (!has_name(line, len, name))
        return false;
    const char *at = line + strlen(name) + 1;
    const char *end = line + len;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if ((size_t)(end - at) >= ret_bytes)
        return false;
    memcpy(ret, at, (size_t)(end - at));
    ret[end - at] = '\0';
    return true;
}

// "bytes 100-199/200"
static bool read_range(char *value, struct net_handle_headers *h) {
    struct err ignored = ERR_NONE;
    if (strncasecmp(value, "bytes ", 6) != 0)
        return false;
    char *first = value + 6;
    char *dash = strchr(first, '-');
    char *slash = dash ? strchr(dash, '/') : NULL;
    if (!slash)
        return false;
    *dash = '\0';
    *slash = '\0';
    return num_parse_u64(first, "range", 0, INT64_MAX, &h->range_first, &ignored) == 0 &&
           num_parse_u64(dash + 1, "range", 0, INT64_MAX, &h->range_last, &ignored) == 0 &&
           num_parse_u64(slash + 1, "range", 0, INT64_MAX, &h->range_total, &ignored) == 0 &&
           h->range_last >= h->range_first && h->range_total > h->range_last;
}

static void read_header(struct net_handle_headers *h, const char *line, size_t len) {
    char value[256];
    struct err ignored = ERR_NONE;
    if (value_of(line, len, "Retry-After", value, sizeof value)) {
        uint64_t seconds = 0;
        // The form with a date needs a clock that devices do not have; it counts as absent.
        if (num_parse_u64(value, "Retry-After", 0, UINT32_MAX, &seconds, &ignored) == 0)
            h->retry_after_s = seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S;
    } else if (value_of(line, len, "Content-Encoding", value, sizeof value)) {
        h->encoded = strcasecmp(value, "identity") != 0;
    } else if (value_of(line, len, "Content-Range", value, sizeof value)) {
        h->bad_range = h->has_range || !read_range(value, h);
        h->has_range = true;
    } else if (has_name(line, len, "Content-Length")) {
        h->lengths++;
    } else if (has_name(line, len, "Transfer-Encoding")) {
        h->chunked = true;
    }
}

bool net_handle_is_ambiguous(const struct net_handle_headers *h) {
    return h->lengths > 1 || (h->lengths > 0 && h->chunked);
}

static size_t on_header(char *data, size_t size, size_t count, void *user) {
    struct net_handle_headers *h = user;
    size_t len = size * count;
    h->bytes += len;
    if (h->bytes > NET_HANDLE_HEADERS_MAX_BYTES) {
        h->too_many = true;
        return 0;
    }
    if (len > 5 && strncmp(data, "HTTP/", 5) == 0) {
        // A new response: a redirect's or an interim one's is over.
        uint64_t bytes = h->bytes;
        *h = (struct net_handle_headers){.bytes = bytes};
    } else {
        read_header(h, data, len);
    }
    return len;
}

void net_handle_watch_headers(CURL *handle, struct net_handle_headers *headers) {
    *headers = (struct net_handle_headers){0};
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, headers);
}

static const struct err_kind *kind_of(CURL *handle, CURLcode code) {
    long status = 0;
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return &err_too_slow;
    case CURLE_TOO_MANY_REDIRECTS:
        return &err_redirected;
    case CURLE_UNSUPPORTED_PROTOCOL: // of a redirect, or an answer that is not HTTP/1.x at all
        curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
        return status / 100 == 3 ? &err_redirected : &err_garbage;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
        return &err_tls;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
        return &err_garbage;
    case CURLE_OUT_OF_MEMORY:
        return &err_memory;
    default:
        return &err_unreachable;
    }
}

int net_handle_fail(CURL *handle, CURLcode code, struct err *e) {
    char shown[SHOWN_URL_BYTES];
    char plain[SHOWN_URL_BYTES];
    char *url = NULL;
    const struct notes *notes = notes_of(handle);
    curl_easy_getinfo(handle, CURLINFO_EFFECTIVE_URL, &url);
    show_url(url ? url : "", shown);
    const struct err_kind *kind = kind_of(handle, code);
    // What libcurl says of it is that it was told not to speak this protocol.
    if (kind == &err_redirected && code == CURLE_UNSUPPORTED_PROTOCOL)
        return err_set(e, kind,
                       "the server redirects to %s, and only https is followed: name an https "
                       "address in the configuration, or let the server redirect to one",
                       shown);
    text_safe(notes->error[0] ? notes->error : curl_easy_strerror(code), plain, sizeof plain);
    return err_set(e, kind, "%s: %s", shown, plain);
}
