// SPDX-License-Identifier: Apache-2.0
//
// Faults on the way of a download, beside those of test_answers.c: answers that do not keep to
// their own range, framing, silence at every byte, portals, redirects and credentials.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/fake_clock.h"
#include "tests/unit/agent/net/served.h"

#define CHUNKED  "Transfer-Encoding: chunked\r\n"
#define NO_MORE  "0\r\n\r\n"
#define PAGE     "<html><body>Please log in</body></html>"
#define PAGE_LEN (sizeof PAGE - 1)

TestSuite(faults, .init = start, .timeout = 1200);

// Ranges

// data as one chunk, and the last one. Borrowed until the next call.
static const char *in_a_chunk(const void *data, size_t len, size_t *ret_len) {
    static char text[4096];
    int begun = snprintf(text, sizeof text, "%zx\r\n", len);
    memcpy(text + begun, data, len);
    memcpy(text + begun + len, "\r\n" NO_MORE, 7);
    *ret_len = (size_t)begun + len + 7;
    return text;
}

Test(faults, a_body_longer_than_its_range_is_refused) {
    struct faultd_scene scenes[] = {
        broken,
        {FROM_300 "Content-Range: bytes 300-399/1000\r\n\r\n", content + 300, 700, .cut = WHOLE}};
    expect_failure(scenes, 2, sizeof content, &err_garbage);
    scenes[1].head =
        "HTTP/1.1 206 Partial Content\r\n" CHUNKED "Content-Range: bytes 300-399/1000\r\n\r\n";
    scenes[1].body = in_a_chunk(content + 300, 700, &scenes[1].body_len);
    expect_failure(scenes, 2, sizeof content, &err_garbage);
}

Test(faults, a_body_with_less_than_its_range_is_refused_by_its_length_or_asked_for_the_rest) {
    struct faultd_scene scenes[] = {broken,
                                    {"HTTP/1.1 206 Partial Content\r\nContent-Length: 100\r\n"
                                     "Content-Range: bytes 300-999/1000\r\n\r\n",
                                     content + 300, 100, .cut = WHOLE},
                                    {"HTTP/1.1 206 Partial Content\r\nContent-Length: 600\r\n"
                                     "Content-Range: bytes 400-999/1000\r\n\r\n",
                                     content + 400, 600, .cut = WHOLE}};
    expect_failure(scenes, 3, sizeof content, &err_garbage);
    scenes[1].head =
        "HTTP/1.1 206 Partial Content\r\n" CHUNKED "Content-Range: bytes 300-999/1000\r\n\r\n";
    scenes[1].body = in_a_chunk(content + 300, 100, &scenes[1].body_len);
    cr_assert_eq(expect_success(scenes, 3, sizeof content), 3);
}

Test(faults, a_total_that_shrinks_is_refused_though_nobody_named_it) {
    const struct faultd_scene scenes[] = {broken,
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: 600\r\n"
                                           "Content-Range: bytes 300-899/900\r\n\r\n",
                                           content + 300, 600, .cut = WHOLE}};
    expect_failure(scenes, 2, 0, &err_truncated);
}

Test(faults, nothing_is_asked_for_behind_the_last_byte) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\n" CHUNKED "\r\n", "3e8\r\n", 5, .cut = WHOLE}, // filled in below
        {"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */1000\r\n\r\n", "", 0,
         .cut = WHOLE}};
    struct faultd_scene first = scenes[0];
    first.body = in_a_chunk(content, sizeof content, &first.body_len);
    first.cut = first.body_len - 3; // the end of the chunks is missing, and not needed
    const struct faultd_scene both[] = {first, scenes[1]};
    cr_assert_eq(expect_success(both, 2, sizeof content), 1);
}

Test(faults, a_range_in_a_content_coding_is_refused) {
    const struct faultd_scene scenes[] = {
        broken,
        {FROM_300 RANGE_300 "Content-Encoding: gzip\r\n\r\n", content + 300, 700, .cut = WHOLE}};
    expect_failure(scenes, 2, sizeof content, &err_garbage);
}

// Framing

Test(faults, lines_that_end_with_a_line_feed_alone_say_what_they_say) {
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\nContent-Length: 1000\n\n", content,
                                       sizeof content, .cut = WHOLE};
    cr_assert_eq(expect_success(&scene, 1, sizeof content), 1);
    expect_refused("HTTP/1.1 200 OK\nContent-Length: 1000\nContent-Length: 10\n\n", &err_garbage);
    expect_refused("HTTP/1.1 200 OK\r\nX: y\nContent-Length: 10\r\nContent-Length: 1000\r\n\r\n",
                   &err_garbage);
    expect_refused("HTTP/1.1 200 OK\nContent-Encoding: gzip\n\n", &err_garbage);
}

Test(faults, an_answer_before_the_question_is_an_answer) {
    struct faultd_scene early = whole;
    early.at_once = true;
    cr_assert_eq(expect_success(&early, 1, sizeof content), 1);
}

Test(faults, a_few_interim_answers_are_passed_over) {
    static const char head[] = "HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n"
                               "HTTP/1.1 100 Continue\r\n\r\n" OK;
    const struct faultd_scene scene = {head, content, sizeof content, .cut = WHOLE};
    cr_assert_eq(expect_success(&scene, 1, sizeof content), 1);
}

Test(faults, a_connection_that_ends_after_an_interim_answer_is_tried_again) {
    const struct faultd_scene interim = {"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", "", 0,
                                         .cut = WHOLE};
    const struct faultd_scene scenes[] = {interim, whole};
    cr_assert_eq(expect_success(scenes, 2, sizeof content), 2);
    net.retries = 0;
    expect_failure(scenes, 1, sizeof content, &err_unreachable);
}

Test(faults, endless_trailers_end) {
    static char body[200000] = "1\r\na\r\n0\r\n";
    for (size_t at = strlen(body); at + 40 < sizeof body; at += 31)
        memcpy(body + at, "X-Padding: aaaaaaaaaaaaaaaaaa\r\n", 32);
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\n" CHUNKED "\r\n", body, sizeof body,
                                       .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_limit);
}

// What has no end and is not the file: the clock here runs with every look at it.
static void expect_left(const char *head, const void *body, size_t len) {
    const struct faultd_scene scene = {head, body, len, .cut = WHOLE};
    const struct faultd_scene scenes[] = {scene, scene, scene, scene};
    struct fake_clock clock;
    fake_clock_init(&clock, 0, 0);
    clock.step_ms = 100000;
    test_clock = &clock.chrono;
    net.allow_http = true;
    net.retries = 1;
    expect_failure(scenes, 4, sizeof content, &err_too_slow);
}

#define ENDLESS (256UL << 20)

Test(faults, a_redirect_whose_body_has_no_end_is_left) {
    char *body = calloc(1, ENDLESS); // costs memory only where it is read
    cr_assert(body != NULL);
    expect_left("HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 1000000000000\r\n\r\n", body,
                ENDLESS);
    free(body);
}

Test(faults, a_chunk_whose_extension_has_no_end_is_left) {
    char *body = calloc(1, ENDLESS);
    cr_assert(body != NULL);
    memcpy(body, "3e8;", 4);
    memset(body + 4, 'a', ENDLESS - 4);
    expect_left("HTTP/1.1 200 OK\r\n" CHUNKED "\r\n", body, ENDLESS);
    free(body);
}

// Timing

struct silence {
    pthread_t thread;
    struct faultd_scene scene;
    char head[sizeof OK];
    const struct err_kind *kind;
    uint64_t received;
};

// A download from a server that says nothing more after `scene`.
static void *wait_for_more(void *context) {
    struct silence *s = context;
    struct agent_job_net own = net;
    struct net_download *d = NULL;
    struct err e = ERR_NONE;
    uint8_t got[sizeof content];
    char url[128];
    struct faultd *server = faultd_open(&s->scene, 1);
    snprintf(url, sizeof url, "%s/x.edge", faultd_url(server));
    own.retries = 0;
    own.stall_s = 1;
    own.rate_min_bytes_s = 100000; // what went before does not make up for it
    if (net_download_open(&own, url, sizeof content, chrono_system(), &d, &e) == 0) {
        struct unpack_source from = net_download_source(d);
        (void)from.read(from.context, 0, got, sizeof got, &e);
        s->received = net_download_bytes(d);
    }
    s->kind = e.kind;
    net_download_close(d);
    faultd_close(server);
    return NULL;
}

Test(faults, silence_at_every_byte_of_the_head_and_of_the_body_is_left) {
    enum { HEAD = sizeof OK - 1, BODY = 3 };
    static struct silence all[HEAD + BODY];
    for (size_t i = 0; i < HEAD + BODY; i++) {
        size_t head = i < HEAD ? i : HEAD;
        memcpy(all[i].head, OK, head);
        all[i].scene = (struct faultd_scene){
            all[i].head,         content, sizeof content, .cut = WHOLE, .stall_ms = SILENCE_MS,
            .stall_at = i - head};
        cr_assert_eq(pthread_create(&all[i].thread, NULL, wait_for_more, &all[i]), 0);
    }
    for (size_t i = 0; i < HEAD + BODY; i++) {
        pthread_join(all[i].thread, NULL);
        cr_assert_eq(all[i].kind, &err_too_slow, "after %zu bytes: %s", i,
                     all[i].kind ? all[i].kind->name : "success");
        cr_assert_eq(all[i].received, i > HEAD ? i - HEAD : 0);
    }
}

// Gives the one byte that is asked for, whatever more was wanted, and breaks.
static void give_one_byte(void *context, size_t n, const char *request, struct faultd_scene *ret) {
    static char head[200];
    const char *range = strstr(request, "Range: bytes=");
    size_t from = range ? strtoul(range + 13, NULL, 10) : 0;
    (void)context;
    (void)n;
    if (from == 0)
        snprintf(head, sizeof head, "%s", OK);
    else
        snprintf(head, sizeof head,
                 "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-999/1000\r\n\r\n", from);
    *ret = (struct faultd_scene){head, content + from, sizeof content - from, .cut = 1};
}

Test(faults, a_byte_from_each_connection_is_no_progress) {
    struct err e = ERR_NONE;
    uint8_t got[sizeof content];
    char url[128];
    struct faultd *server = faultd_open_with(give_one_byte, NULL);
    snprintf(url, sizeof url, "%s/x.edge", faultd_url(server));
    net.retries = 2;
    cr_assert_eq(net_download_open(&net, url, sizeof content, chrono_system(), &download, &e), 0);
    source = net_download_source(download);
    // A reader of little pieces is no way around it.
    int result = 0;
    for (size_t at = 0; at < sizeof got && result == 0; at++)
        result = source.read(source.context, at, got + at, 1, &e);
    cr_assert_lt(result, 0);
    cr_assert(strstr(e.text, "giving up after 3 tries") != NULL, "%s", e.text);
    cr_assert_eq(faultd_played(server), 3);
    finish(server);
}

Test(faults, an_address_that_swallows_connections_is_left) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int waiting[4];
    struct err e = ERR_NONE;
    uint8_t got[1];
    char url[64];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(listener >= 0 && bind(listener, (struct sockaddr *)&at, len) == 0 &&
              listen(listener, 0) == 0 && getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    // Nobody accepts, the queue is full: the next handshake gets no answer.
    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(waiting[i], (struct sockaddr *)&at, len);
    }
    snprintf(url, sizeof url, "http://127.0.0.1:%u/x", (unsigned)ntohs(at.sin_port));
    net.connect_timeout_s = 1;
    net.retries = 0;
    cr_assert_eq(net_download_open(&net, url, 1, chrono_system(), &download, &e), 0);
    source = net_download_source(download);
    cr_assert_lt(source.read(source.context, 0, got, 1, &e), 0);
    cr_assert_eq(e.kind, &err_too_slow, "%s", e.text);
    net_download_close(download);
    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++)
        close(waiting[i]);
    close(listener);
}

// Portals

Test(faults, a_portal_that_leads_to_its_page_is_refused_by_size) {
    const struct faultd_scene page = {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
                                      "Content-Length: 39\r\n\r\n",
                                      PAGE, PAGE_LEN, .cut = WHOLE};
    struct faultd *portal = faultd_open(&page, 1);
    const struct faultd_scene scene = {away_to(faultd_url(portal), "/login"), "", 0, .cut = WHOLE};
    net.allow_http = true;
    expect_failure(&scene, 1, sizeof content, &err_truncated);
    cr_assert_eq(faultd_played(portal), 1);
    faultd_close(portal);
}

Test(faults, a_portal_whose_page_has_no_length_is_given_up) {
    const struct faultd_scene page = {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", PAGE,
                                      PAGE_LEN, .cut = WHOLE};
    const struct faultd_scene scenes[] = {page, page, page, page, page, page};
    net.retries = 2;
    expect_failure(scenes, 6, sizeof content, &err_truncated);
}

// Redirects and credentials

Test(faults, as_many_redirects_as_allowed_are_followed_and_no_more) {
    const struct faultd_scene on = AWAY("307 Elsewhere", "/y");
    const struct faultd_scene scenes[] = {on, on, on, on, on, whole};
    const struct faultd_scene more[] = {on, on, on, on, on, on, whole};
    net.allow_http = true;
    cr_assert_eq(expect_success(scenes, NET_HANDLE_REDIRECTS_MAX + 1, sizeof content),
                 NET_HANDLE_REDIRECTS_MAX + 1);
    expect_failure(more, NET_HANDLE_REDIRECTS_MAX + 2, sizeof content, &err_redirected);
}

// Downloads from "http://user:secret@host/x" of `server`.
static int fetch_with_password(struct faultd *server, struct err *e) {
    static char url[160];
    uint8_t got[sizeof content];
    snprintf(url, sizeof url, "http://user:secret@%s/x.edge", faultd_url(server) + 7);
    cr_assert_eq(net_download_open(&net, url, sizeof content, chrono_system(), &download, e), 0);
    source = net_download_source(download);
    int result = source.read(source.context, 0, got, sizeof got, e);
    net_download_close(download);
    return result;
}

Test(faults, a_password_and_cookies_stay_with_the_host_that_they_are_for) {
    struct err e = ERR_NONE;
    struct faultd *other = faultd_open(&whole, 1);
    const char *head = away_to(faultd_url(other), "/y\r\nSet-Cookie: a=b; Path=/");
    const struct faultd_scene scene = {head, "", 0, .cut = WHOLE};
    struct faultd *server = faultd_open(&scene, 1);
    net.allow_http = true;
    cr_assert_eq(fetch_with_password(server, &e), 0, "%s", e.text);
    cr_assert(strstr(faultd_request(server, 0), "Authorization: Basic ") != NULL);
    static const char *const secrets[] = {"Authorization", "Cookie", "Referer", "secret"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        cr_assert(strcasestr(faultd_request(other, 0), secrets[i]) == NULL, "%s",
                  faultd_request(other, 0));
    faultd_close(server);
    faultd_close(other);
}

Test(faults, an_error_does_not_show_a_password) {
    const struct faultd_scene scene = {"", "", 0, .cut = WHOLE};
    struct err e = ERR_NONE;
    struct faultd *server = faultd_open(&scene, 1);
    net.retries = 0;
    cr_assert_lt(fetch_with_password(server, &e), 0);
    cr_assert_eq(e.kind, &err_unreachable, "%s", e.text);
    cr_assert(strstr(e.text, "/x.edge") != NULL, "%s", e.text);
    cr_assert(strstr(e.text, "secret") == NULL, "%s", e.text);
    faultd_close(server);
}

Test(faults, what_is_no_url_for_us_is_refused_without_its_password_or_query) {
    static const char *const urls[] = {
        "http://u:secret@192.0.2.1/x", "ftp://u:secret@192.0.2.1/x",    "http://192.0.2.1/x?secret",
        "http://u:secret@/x",          "http://u:a@secret@192.0.2.1/x", "u:secret@192.0.2.1:x"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct err e = ERR_NONE;
        uint8_t got[1];
        cr_assert_eq(net_download_open(&net, urls[i], 1, chrono_system(), &download, &e), 0);
        source = net_download_source(download);
        cr_assert_lt(source.read(source.context, 0, got, 1, &e), 0);
        cr_assert(strstr(e.text, "secret") == NULL, "%s: %s", urls[i], e.text);
        net_download_close(download);
    }
}
