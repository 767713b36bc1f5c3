// SPDX-License-Identifier: Apache-2.0
//
// The client against a server that says what a test wants it to say, on loopback.
#include "ctl/net/client.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/kind.h"
#include "tests/support/tmp.h"

#define REQUEST_BYTES (64 * 1024)
#define PATIENCE_S    20

// Answers one connection with one canned answer, and keeps what was asked.
struct server {
    int listener;
    char url[64];
    const char *answer;
    size_t want_body; // bytes to read behind the head before answering
    char request[REQUEST_BYTES + 1];
    size_t request_len;
    pthread_t thread;
};

static void read_request(struct server *s, int fd) {
    const char *head_end = NULL;
    while (s->request_len < REQUEST_BYTES) {
        ssize_t got = recv(fd, s->request + s->request_len, REQUEST_BYTES - s->request_len, 0);
        if (got <= 0)
            break;
        s->request_len += (size_t)got;
        s->request[s->request_len] = '\0';
        head_end = strstr(s->request, "\r\n\r\n");
        if (head_end && s->request_len >= (size_t)(head_end + 4 - s->request) + s->want_body)
            break;
    }
}

static void *serve(void *context) {
    struct server *s = context;
    int fd = accept(s->listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    read_request(s, fd);
    (void)!send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    (void)close(fd);
    return NULL;
}

static void start(struct server *s, const char *answer, size_t want_body) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    socklen_t len = sizeof address;
    *s = (struct server){.answer = answer, .want_body = want_body};
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(s->listener, 0);
    cr_assert_eq(setsockopt(s->listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    cr_assert_eq(bind(s->listener, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(s->listener, 4), 0);
    cr_assert_eq(getsockname(s->listener, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    cr_assert_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s) {
    cr_assert_eq(pthread_join(s->thread, NULL), 0);
    (void)close(s->listener);
}

static struct net_client *open_client(const char *url) {
    struct net_client *client = NULL;
    struct err e = ERR_NONE;
    struct net_client_options options = {.url = url, .token = "secret"};
    cr_assert_eq(net_client_open(&options, &client, &e), 0, "%s", e.text);
    return client;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"

static int get(const char *answer, struct server *s, json_t **ret, struct err *e) {
    start(s, answer, 0);
    OWN(net_client) struct net_client *client = open_client(s->url);
    int r = net_client_get(client, "/api/v1/x", ret, e);
    stop(s);
    return r;
}

Test(client, a_get_carries_the_token_and_reads_an_object) {
    static struct server s;
    struct err e = ERR_NONE;
    OWN(json) json_t *answer = NULL;
    cr_assert_eq(get(OK_HEAD "\r\n{\"a\":1}", &s, &answer, &e), 0, "%s", e.text);
    cr_assert_eq(json_integer_value(json_object_get(answer, "a")), 1);
    cr_assert(strstr(s.request, "GET /api/v1/x HTTP/1.1\r\n"), "%s", s.request);
    cr_assert(strstr(s.request, "Authorization: Bearer secret\r\n"), "%s", s.request);
}

static void garbage(const char *answer, const struct err_kind *kind) {
    static struct server s;
    struct err e = ERR_NONE;
    json_t *ret = NULL;
    cr_assert_lt(get(answer, &s, &ret, &e), 0, "taken: %s", answer);
    cr_assert_eq(e.kind, kind, "%s: %s: %s", answer, e.kind->name, e.text);
    cr_assert_null(ret);
}

Test(client, an_answer_that_is_not_the_apis_is_refused) {
    garbage(OK_HEAD "\r\n", &err_controller_garbage);
    garbage(OK_HEAD "\r\n[1]", &err_controller_garbage);
    garbage(OK_HEAD "\r\n{\"a\":1,\"a\":2}", &err_controller_garbage);
    garbage(OK_HEAD "Content-Length: 100\r\n\r\n{}", &err_controller_garbage);
    garbage("SSH-2.0-OpenSSH\r\n", &err_controller_garbage);
    garbage("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n",
            &err_controller_garbage);
}

Test(client, a_refusal_keeps_the_controllers_words) {
    garbage("HTTP/1.1 409 x\r\nConnection: close\r\n\r\n{\"code\":\"exists\",\"text\":\"there\"}",
            &err_exists);
}

Test(client, an_endless_answer_ends_at_the_ceiling) {
    static struct server s;
    struct err e = ERR_NONE;
    json_t *ret = NULL;
    size_t len = NET_CLIENT_ANSWER_MAX + 1024;
    OWN(mem) char *answer = malloc(len + sizeof OK_HEAD + 8);
    int head = snprintf(answer, sizeof OK_HEAD + 8, "%s\r\n", OK_HEAD);
    memset(answer + head, ' ', len);
    answer[(size_t)head + len] = '\0';
    cr_assert_lt(get(answer, &s, &ret, &e), 0);
    cr_assert_eq(e.kind, &err_limit, "%s", e.text);
}

Test(client, created_is_told_from_was_there) {
    static struct server s;
    struct err e = ERR_NONE;
    OWN(json) json_t *answer = NULL;
    OWN(json) json_t *body = json_pack("{s:s}", "name", "r");
    start(&s, "HTTP/1.1 201 x\r\nConnection: close\r\n\r\n{}", strlen("{\"name\":\"r\"}"));
    OWN(net_client) struct net_client *client = open_client(s.url);
    cr_assert_eq(net_client_post(client, "/p", body, &answer, &e), NET_CLIENT_CREATED, "%s",
                 e.text);
    stop(&s);
    cr_assert(strstr(s.request, "Content-Type: application/json\r\n"), "%s", s.request);
    cr_assert(strstr(s.request, "\r\n\r\n{\"name\":\"r\"}"), "%s", s.request);
}

static void count(void *context, uint64_t done, uint64_t total) {
    uint64_t *last = context;
    cr_assert_leq(done, total);
    cr_assert_geq(done, *last);
    *last = done;
}

Test(client, an_upload_declares_its_length_and_sends_the_file) {
    static struct server s;
    static const char bytes[] = "0123456789abcdef";
    struct err e = ERR_NONE;
    OWN(json) json_t *answer = NULL;
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    OWN(fd) int fd = -1;
    uint64_t last = 0;
    cr_assert_eq(fs_replace(dir.fd, "f", bytes, 16, 0600, &e), 0, "%s", e.text);
    cr_assert_eq(fs_open_read(dir.fd, "f", &fd, &e), 0, "%s", e.text);
    struct net_client_upload upload = {.fd = fd, .size = 16, .progress = count, .context = &last};
    start(&s, OK_HEAD "\r\n{}", 16);
    OWN(net_client) struct net_client *client = open_client(s.url);
    cr_assert_eq(net_client_upload(client, "/p", &upload, &answer, &e), 0, "%s", e.text);
    stop(&s);
    cr_assert(strstr(s.request, "Content-Length: 16\r\n"), "%s", s.request);
    cr_assert(strstr(s.request, "\r\n\r\n0123456789abcdef"), "%s", s.request);
    cr_assert_eq(last, 16);
}

Test(client, a_file_that_shrinks_while_it_is_sent_is_no_upload) {
    static struct server s;
    struct err e = ERR_NONE;
    json_t *answer = NULL;
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    OWN(fd) int fd = -1;
    cr_assert_eq(fs_replace(dir.fd, "f", "short", 5, 0600, &e), 0, "%s", e.text);
    cr_assert_eq(fs_open_read(dir.fd, "f", &fd, &e), 0, "%s", e.text);
    struct net_client_upload upload = {.fd = fd, .size = 16};
    start(&s, OK_HEAD "\r\n{}", 16);
    OWN(net_client) struct net_client *client = open_client(s.url);
    cr_assert_lt(net_client_upload(client, "/p", &upload, &answer, &e), 0);
    stop(&s);
    cr_assert_eq(e.kind, &err_busy, "%s", e.text);
}

static void refused(const char *url, const char *token, const struct err_kind *kind) {
    struct net_client *client = NULL;
    struct err e = ERR_NONE;
    struct net_client_options options = {.url = url, .token = token};
    cr_assert_lt(net_client_open(&options, &client, &e), 0, "taken: %s", url);
    cr_assert_eq(e.kind, kind, "%s: %s", url, e.text);
    cr_assert_null(client);
}

Test(client, addresses_and_tokens_are_checked_before_anything_is_sent) {
    refused("http://example.org", "t", &err_cleartext);
    refused("http://127.example.org.", "t", &err_cleartext);
    refused("ftp://127.0.0.1", "t", &err_usage);
    refused("file:///etc/passwd", "t", &err_usage);
    refused("", "t", &err_usage);
    refused("https://user:pass@example.org", "t", &err_usage);
    refused("https://example.org/?a=b", "t", &err_usage);
    refused("https://example.org", "a\r\nX: y", &err_usage);
    refused("https://example.org", "a b", &err_usage);
}

Test(client, plain_http_to_others_can_be_allowed) {
    OWN(net_client) struct net_client *client = NULL;
    struct err e = ERR_NONE;
    struct net_client_options options = {
        .url = "http://example.org", .token = "t", .allow_http = true};
    cr_assert_eq(net_client_open(&options, &client, &e), 0, "%s", e.text);
}

Test(client, what_does_not_belong_into_a_url_is_encoded) {
    OWN(buf) struct buf path;
    struct err e = ERR_NONE;
    buf_init(&path, 1024);
    cr_assert_eq(net_client_add_segment(&path, "a/b?c#d%e ä", &e), 0);
    cr_assert_eq(net_client_add_query(&path, "k", "x&y=z+1", &e), 0);
    cr_assert_eq(net_client_add_query(&path, "l", "", &e), 0);
    cr_assert_str_eq(buf_text(&path), "/a%2Fb%3Fc%23d%25e%20%C3%A4?k=x%26y%3Dz%2B1&l=");
    cr_assert_lt(net_client_add_segment(&path, "..", &e), 0);
    cr_assert_eq(e.kind, &err_usage);
}

// ── Files and documents ──────────────────────────────────────────────────────────────────────────

static int fetch(const char *answer, struct server *s, struct buf *ret, struct err *e) {
    start(s, answer, 0);
    OWN(net_client) struct net_client *client = open_client(s->url);
    int r = net_client_fetch(client, "/repository/metadata/1.root.json", ret, e);
    stop(s);
    return r;
}

Test(client, a_public_file_comes_as_it_is_and_is_asked_for_without_the_token) {
    static struct server s;
    struct err e = ERR_NONE;
    OWN(buf) struct buf file;
    buf_init(&file, 16);
    cr_assert_eq(fetch(OK_HEAD "\r\n{ not json", &s, &file, &e), 0, "%s", e.text);
    cr_expect_str_eq(buf_text(&file), "{ not json");
    cr_expect_null(strstr(s.request, "secret"), "%s", s.request);
    cr_expect_null(strstr(s.request, "Authorization"), "%s", s.request);
}

Test(client, a_file_that_is_not_there_is_an_outcome) {
    static const char *const answers[] = {
        "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        static struct server s;
        struct err e = ERR_NONE;
        OWN(buf) struct buf file;
        buf_init(&file, 16);
        cr_expect_eq(fetch(answers[i], &s, &file, &e), NET_CLIENT_ABSENT, "%s", e.text);
        cr_expect_eq(file.len, 0);
    }
}

Test(client, a_file_of_exactly_the_ceiling_is_taken_and_one_byte_more_is_not) {
    static struct server s;
    struct err e = ERR_NONE;
    OWN(buf) struct buf file;
    buf_init(&file, 4);
    cr_expect_eq(fetch(OK_HEAD "\r\n1234", &s, &file, &e), 0, "%s", e.text);
    buf_clear(&file);
    cr_expect_eq(fetch(OK_HEAD "\r\n12345", &s, &file, &e), -1);
    cr_expect(err_is(&e, &err_limit), "%s", e.text);
    cr_expect_eq(file.len, 0);
}

Test(client, of_a_long_file_the_head_is_asked_for) {
    static const struct {
        const char *answer, *head;
        int result;
    } cases[] = {
        {"HTTP/1.1 206 x\r\nContent-Range: bytes 0-3/9\r\nConnection: close\r\n\r\n1234", "1234",
         0},
        {OK_HEAD "\r\n12", "12", 0}, // it is that short
        // The whole file all the same. What is behind the head is not waited for: it never comes.
        {OK_HEAD "\r\n123456789", "1234", 0},
        {OK_HEAD "Content-Length: 900000\r\n\r\n12345", "1234", 0},
        {OK_HEAD "Content-Length: 900000\r\n\r\n1234", "1234", 0},
        {OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n3\r\n456\r\n", "1234", 0},
        {OK_HEAD "Content-Length: 900000\r\n\r\n123", "", -1},
        {"HTTP/1.1 206 x\r\nConnection: close\r\n\r\n12345", "", -1},
        {"HTTP/1.1 500 x\r\nConnection: close\r\n\r\n12345", "", -1},
        {"HTTP/1.1 404 x\r\nConnection: close\r\n\r\n", "", NET_CLIENT_ABSENT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct server s;
        struct err e = ERR_NONE;
        OWN(buf) struct buf file;
        buf_init(&file, 4);
        start(&s, cases[i].answer, 0);
        OWN(net_client) struct net_client *client = open_client(s.url);
        cr_expect_eq(net_client_fetch_head(client, "/bundles/x.edge", &file, &e), cases[i].result,
                     "%zu: %s", i, e.text);
        stop(&s);
        cr_expect_str_eq(buf_text(&file), cases[i].head, "%zu: %s", i, buf_text(&file));
        cr_expect(strstr(s.request, "Range: bytes=0-3\r\n"), "%s", s.request);
        cr_expect_null(strstr(s.request, "secret"), "%s", s.request);
    }
}

Test(client, a_part_that_nobody_asked_for_is_refused) {
    static struct server s;
    struct err e = ERR_NONE;
    OWN(buf) struct buf file;
    buf_init(&file, 16);
    cr_expect_eq(fetch("HTTP/1.1 206 x\r\nConnection: close\r\n\r\n1234", &s, &file, &e), -1);
    cr_expect_eq(file.len, 0);
}

Test(client, a_document_is_put_byte_for_byte) {
    static const char document[] = "{\"signatures\":[],\"signed\":{}}  ";
    static struct server s;
    struct err e = ERR_NONE;
    OWN(json) json_t *answer = NULL;
    const struct slice body = {(const uint8_t *)document, sizeof document - 1};
    start(&s, "HTTP/1.1 201 Created\r\nConnection: close\r\n\r\n{}", body.len);
    OWN(net_client) struct net_client *client = open_client(s.url);
    int r = net_client_put(client, "/api/v1/repository/metadata/root", body, &answer, &e);
    stop(&s);
    cr_assert_eq(r, NET_CLIENT_CREATED, "%s", e.text);
    cr_expect(strstr(s.request, "PUT /api/v1/repository/metadata/root HTTP/1.1\r\n"), "%s",
              s.request);
    cr_expect(strstr(s.request, "Authorization: Bearer secret\r\n"), "%s", s.request);
    const char *head_end = strstr(s.request, "\r\n\r\n");
    cr_assert(head_end);
    cr_expect_str_eq(head_end + 4, document);
}
