// SPDX-License-Identifier: Apache-2.0
//
// Requests to a controller that refuses, babbles and stalls, and probes of loopback URLs.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/net/handle.h"
#include "agent/net/request.h"
#include "tests/support/faultd.h"

#define SILENCE_MS 20000
#define TOKEN      "secret.token"

static struct agent_job_net net = {
    .connect_timeout_s = 60, .rate_min_bytes_s = 1, .stall_s = 60, .request_timeout_s = 120};
static struct net_request_answer answer;
static struct faultd *server;

static void start(void) {
    struct err e = ERR_NONE;
    cr_assert_eq(net_handle_start(&e), 0);
    buf_init(&answer.body, NET_REQUEST_ANSWER_MAX_BYTES);
}

static void finish(void) {
    if (server)
        faultd_close(server);
    buf_clear(&answer.body);
}

TestSuite(request, .init = start, .fini = finish, .timeout = 1200);

static int post_to(const struct faultd_scene *scenes, size_t n, struct err *e) {
    static const char body[] = "{\"a\":1}";
    server = faultd_open(scenes, n);
    snprintf(net.controller, sizeof net.controller, "%s/base/", faultd_url(server));
    const struct net_request request = {.net = &net,
                                        .path = "/api/x",
                                        .token = TOKEN,
                                        .body = {(const uint8_t *)body, sizeof body - 1}};
    return net_request_post(&request, &answer, e);
}

static void expect_failure(const struct faultd_scene *scene, const struct err_kind *kind) {
    struct err e = ERR_NONE;
    int result = post_to(scene, 1, &e);
    cr_assert_lt(result, 0);
    cr_assert_eq(e.kind, kind, "wanted %s, got %s: %s", kind->name, e.kind->name, e.text);
    faultd_close(server);
    server = NULL;
    cr_assert(strstr(e.text, TOKEN) == NULL, "%s", e.text);
    buf_clear(&answer.body);
    buf_init(&answer.body, NET_REQUEST_ANSWER_MAX_BYTES);
}

// With this body, whatever it is.
static void expect_answer(const char *head, const char *body, long status, uint64_t retry_after_s) {
    const struct faultd_scene scene = {head, body, strlen(body), .cut = FAULTD_WHOLE};
    struct err e = ERR_NONE;
    cr_assert_eq(post_to(&scene, 1, &e), 0, "%s", e.text);
    cr_assert_eq(answer.status, status);
    cr_assert_eq(answer.retry_after_s, retry_after_s);
    cr_assert_eq(answer.body.len, strlen(body));
    cr_assert(memcmp(answer.body.data, body, strlen(body)) == 0);
}

Test(request, says_what_it_has_to_say) {
    expect_answer("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "{\"b\":2}", 200, 0);
    const char *asked = faultd_request(server, 0);
    cr_assert(strncmp(asked, "POST /base/api/x HTTP/1.1\r\n", 27) == 0, "%s", asked);
    cr_assert(strstr(asked, "\r\nAuthorization: Bearer " TOKEN "\r\n") != NULL, "%s", asked);
    cr_assert(strstr(asked, "\r\nContent-Type: application/json\r\n") != NULL, "%s", asked);
    cr_assert(strstr(asked, "\r\n\r\n{\"a\":1}") != NULL, "%s", asked);
    cr_assert(strcasestr(asked, "Expect:") == NULL, "%s", asked);
}

Test(request, refusals_are_answers) {
    expect_answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n", "{}", 401, 0);
}

Test(request, forbidden_is_an_answer) {
    expect_answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n", "{}", 403, 0);
}

Test(request, retry_after_is_kept) {
    expect_answer("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17\r\nContent-Length: 2\r\n\r\n",
                  "{}", 429, 17);
}

Test(request, a_date_in_retry_after_counts_as_none) {
    expect_answer("HTTP/1.1 503 Busy\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n"
                  "Content-Length: 2\r\n\r\n",
                  "{}", 503, 0);
}

Test(request, a_server_error_is_an_answer) {
    expect_answer("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\n", "oops", 500, 0);
}

Test(request, an_answer_before_the_question_is_an_answer) {
    const struct faultd_scene scene = {"HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\n", "{}",
                                       2, .cut = FAULTD_WHOLE, .at_once = true};
    struct err e = ERR_NONE;
    cr_assert_eq(post_to(&scene, 1, &e), 0, "%s", e.text);
    cr_assert_eq(answer.status, 413);
}

Test(request, an_answer_at_its_ceiling_is_taken_and_one_above_is_not) {
    static char body[NET_REQUEST_ANSWER_MAX_BYTES + 1];
    memset(body, ' ', sizeof body);
    struct faultd_scene scene = {"HTTP/1.1 200 OK\r\n\r\n", body, sizeof body, .cut = FAULTD_WHOLE};
    expect_failure(&scene, &err_limit);
    scene.body_len--;
    struct err e = ERR_NONE;
    cr_assert_eq(post_to(&scene, 1, &e), 0, "%s", e.text);
    cr_assert_eq(answer.body.len, NET_REQUEST_ANSWER_MAX_BYTES);
}

Test(request, a_redirect_is_refused_and_the_token_goes_nowhere) {
    const struct faultd_scene welcome = {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 0,
                                         .cut = FAULTD_WHOLE};
    struct faultd *other = faultd_open(&welcome, 1);
    static const char *const statuses[] = {"301", "302", "303", "307", "308"};
    net.allow_http = true;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        char head[200];
        snprintf(head, sizeof head,
                 "HTTP/1.1 %s Elsewhere\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n", statuses[i],
                 faultd_url(other));
        const struct faultd_scene scene = {head, "", 0, .cut = FAULTD_WHOLE};
        expect_failure(&scene, &err_redirected);
    }
    cr_assert_eq(faultd_played(other), 0, "I9: nobody else hears from us");
    faultd_close(other);
}

Test(request, silence_is_not_waited_for) {
    static const char *const heads[] = {"", "HTTP/1.1 2",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"};
    net.stall_s = 1;
    net.rate_min_bytes_s = 100000; // what went before does not make up for it
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        const struct faultd_scene scene = {heads[i], "{}", 2, .cut = FAULTD_WHOLE,
                                           .stall_ms = SILENCE_MS};
        expect_failure(&scene, &err_too_slow);
    }
}

Test(request, the_whole_request_has_a_deadline) {
    static const char body[1000];
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", body,
                                       sizeof body, .cut = FAULTD_WHOLE, .drip_ms = 50};
    net.request_timeout_s = 1;
    expect_failure(&scene, &err_too_slow);
}

Test(request, broken_connections_are_unreachable) {
    static const struct faultd_scene scenes[] = {
        {"", "", 0, .cut = FAULTD_WHOLE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "123456789", 9, .cut = 3},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "123", 3, .cut = FAULTD_WHOLE},
        {"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", "", 0, .cut = FAULTD_WHOLE},
    };
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        expect_failure(&scenes[i], &err_unreachable);
}

Test(request, what_is_not_http_is_garbage) {
    static const struct faultd_scene scenes[] = {
        {"220 mail.example.org ESMTP\r\n", "", 0, .cut = FAULTD_WHOLE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", "{}", 2,
         .cut = FAULTD_WHOLE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
         "2\r\n{}\r\n0\r\n\r\n", 12, .cut = FAULTD_WHOLE},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n", "{}", 2,
         .cut = FAULTD_WHOLE},
    };
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        expect_failure(&scenes[i], &err_garbage);
}

Test(request, endless_headers_end) {
    static char head[200000] = "HTTP/1.1 200 OK\r\n";
    for (size_t at = strlen(head); at + 40 < sizeof head; at += 31)
        memcpy(head + at, "X-Padding: aaaaaaaaaaaaaaaaaa\r\n", 32);
    const struct faultd_scene scene = {head, "", 0, .cut = FAULTD_WHOLE};
    expect_failure(&scene, &err_limit);
}

Test(request, nobody_there_is_unreachable) {
    struct err e = ERR_NONE;
    const struct net_request request = {.net = &net, .path = "/x", .token = ""};
    snprintf(net.controller, sizeof net.controller, "http://127.0.0.1:1");
    cr_assert_lt(net_request_post(&request, &answer, &e), 0);
    cr_assert_eq(e.kind, &err_unreachable, "%s", e.text);
}

Test(request, a_proxy_is_asked_for_everybody_but_this_machine) {
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "{}", 2,
                                       .cut = FAULTD_WHOLE};
    struct faultd *proxy = faultd_open(&scene, 1);
    struct err e = ERR_NONE;
    snprintf(net.proxy, sizeof net.proxy, "%s", faultd_url(proxy));
    snprintf(net.controller, sizeof net.controller, "http://controller.example.org");
    net.allow_http = true;
    const struct net_request request = {.net = &net, .path = "/x", .token = ""};
    cr_assert_eq(net_request_post(&request, &answer, &e), 0, "%s", e.text);
    const char *asked = faultd_request(proxy, 0);
    cr_assert(strncmp(asked, "POST http://controller.example.org/x ", 37) == 0, "%s", asked);
    faultd_close(proxy);
    buf_clear(&answer.body);
    buf_init(&answer.body, NET_REQUEST_ANSWER_MAX_BYTES);
    cr_assert_eq(post_to(&scene, 1, &e), 0, "not through the proxy, which is gone: %s", e.text);
}

Test(request, the_environment_names_no_proxy) {
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "{}", 2,
                                       .cut = FAULTD_WHOLE};
    struct faultd *proxy = faultd_open(&scene, 1);
    struct err e = ERR_NONE;
    setenv("http_proxy", faultd_url(proxy), 1);
    setenv("ALL_PROXY", faultd_url(proxy), 1);
    snprintf(net.controller, sizeof net.controller, "http://[::ffff:127.0.0.1]:1");
    net.allow_http = true;
    const struct net_request request = {.net = &net, .path = "/x", .token = ""};
    cr_assert_lt(net_request_post(&request, &answer, &e), 0);
    cr_assert_eq(faultd_played(proxy), 0);
    faultd_close(proxy);
}

// Probes

static int get_local(const char *head, const char *body, struct buf *ret, long *ret_status,
                     struct err *e) {
    const struct faultd_scene scene = {head, body, strlen(body), .cut = FAULTD_WHOLE};
    server = faultd_open(&scene, 1);
    return net_request_get_local(faultd_url(server), 1, ret, ret_status, e);
}

Test(request, a_local_url_is_read) {
    struct err e = ERR_NONE;
    long status = 0;
    cr_assert_eq(get_local("HTTP/1.1 503 Down\r\nContent-Length: 3\r\n\r\n", "bad", &answer.body,
                           &status, &e),
                 0, "%s", e.text);
    cr_assert_eq(status, 503);
    cr_assert_eq(answer.body.len, 3);
    cr_assert(strncmp(faultd_request(server, 0), "GET / ", 6) == 0);
}

Test(request, a_local_url_that_leads_away_is_refused) {
    struct err e = ERR_NONE;
    long status = 0;
    cr_assert_lt(get_local("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n"
                           "Content-Length: 0\r\n\r\n",
                           "", &answer.body, &status, &e),
                 0);
    cr_assert_eq(e.kind, &err_redirected, "%s", e.text);
}

Test(request, only_this_machine_is_probed) {
    static const struct {
        const char *url;
        const struct err_kind *kind;
    } cases[] = {{"http://192.0.2.1/", &err_permission},
                 {"http://127.0.0.1.example.org/", &err_permission},
                 {"http://127.0.0.1@192.0.2.1/", &err_permission},
                 {"https://127.0.0.1/", &err_config},
                 {"ftp://127.0.0.1/", &err_config},
                 {"http://", &err_config}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = ERR_NONE;
        long status = 0;
        cr_assert_lt(net_request_get_local(cases[i].url, 1, &answer.body, &status, &e), 0);
        cr_assert_eq(e.kind, cases[i].kind, "%s: %s", cases[i].url, e.text);
    }
}
