// SPDX-License-Identifier: Apache-2.0
//
// Downloads from servers that break, lie, stall and babble.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/net/download.h"
#include "agent/net/handle.h"
#include "bundle/kind.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faultd.h"

#define OK         "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n"
#define FROM_300   "HTTP/1.1 206 Partial Content\r\nContent-Length: 700\r\n"
#define RANGE_300  "Content-Range: bytes 300-999/1000\r\n"
#define WHOLE      FAULTD_WHOLE
#define SILENCE_MS 20000

static uint8_t content[1000];
static const struct faultd_scene whole = {OK, content, sizeof content, .cut = WHOLE};
static const struct faultd_scene broken = {OK, content, sizeof content, .cut = 300};
static struct agent_job_net net = {
    .connect_timeout_s = 5, .rate_min_bytes_s = 1, .stall_s = 1, .retries = 3};
static const struct chrono *test_clock;
static struct net_download *download;
static struct unpack_source source;

static void start(void) {
    struct err e = ERR_NONE;
    test_clock = chrono_system();
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 7 + i / 256);
    cr_assert_eq(net_handle_start(&e), 0);
}

TestSuite(download, .init = start, .timeout = 60);

static struct faultd *serve(const struct faultd_scene *scenes, size_t n, uint64_t total) {
    static char url[128];
    struct err e = ERR_NONE;
    struct faultd *server = faultd_open(scenes, n);
    snprintf(url, sizeof url, "%s/x.edge", faultd_url(server));
    cr_assert_eq(net_download_open(&net, url, total, test_clock, &download, &e), 0, "%s", e.text);
    source = net_download_source(download);
    return server;
}

static void finish(struct faultd *server) {
    net_download_close(download);
    faultd_close(server);
}

// Reads everything and expects failure of this kind and nothing else.
static void expect_failure(const struct faultd_scene *scenes, size_t n, uint64_t total,
                           const struct err_kind *kind) {
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, n, total);
    cr_assert_lt(source.read(source.context, 0, got, sizeof got, &e), 0);
    cr_assert_eq(e.kind, kind, "wanted %s, got %s: %s", kind->name, e.kind->name, e.text);
    finish(server);
}

// One answer with this head and the content.
static void expect_refused(const char *head, const struct err_kind *kind) {
    const struct faultd_scene scene = {head, content, sizeof content, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, kind);
}

// Reads everything, which must arrive whole; how many requests it took.
static size_t expect_success(const struct faultd_scene *scenes, size_t n, uint64_t total) {
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, n, total);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    size_t played = faultd_played(server);
    finish(server);
    return played;
}

Test(download, a_whole_file_in_one_request) {
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(&whole, 1, sizeof content);
    cr_assert_eq(source.read(source.context, 0, got, 400, &e), 0, "%s", e.text);
    cr_assert_eq(source.read(source.context, 400, got + 400, 600, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    cr_assert_eq(faultd_played(server), 1);
    cr_assert_eq(net_download_bytes(download), sizeof content);
    cr_assert(strstr(faultd_request(server, 0), "Authorization") == NULL,
              "I9: the token is for the controller alone");
    cr_assert(strstr(faultd_request(server, 0), "Accept-Encoding") == NULL);
    finish(server);
}

Test(download, a_size_nobody_named_is_taken_from_the_answer) {
    uint8_t got[1];
    struct err e = ERR_NONE;
    struct faultd *server = serve(&whole, 1, 0);
    cr_assert_eq(source.size(source.context), UINT64_MAX);
    cr_assert_eq(source.read(source.context, 0, got, 1, &e), 0, "%s", e.text);
    cr_assert_eq(source.size(source.context), sizeof content);
    finish(server);
}

Test(download, a_broken_connection_goes_on_where_it_broke) {
    const struct faultd_scene scenes[] = {
        broken, {FROM_300 RANGE_300 "\r\n", content + 300, 700, .cut = WHOLE}};
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 2, sizeof content);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    cr_assert(strstr(faultd_request(server, 1), "Range: bytes=300-") != NULL);
    finish(server);
}

Test(download, a_server_without_ranges_costs_the_beginning_again) {
    const struct faultd_scene scenes[] = {broken, whole};
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 2, sizeof content);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    cr_assert_eq(net_download_bytes(download), 1300);
    finish(server);
}

Test(download, a_whole_object_as_a_partial_answer_is_fine) {
    const struct faultd_scene scene = {"HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n"
                                       "Content-Range: bytes 0-999/1000\r\n\r\n",
                                       content, sizeof content, .cut = WHOLE};
    cr_assert_eq(expect_success(&scene, 1, sizeof content), 1);
}

Test(download, a_server_that_gives_less_than_asked_is_asked_again) {
    const struct faultd_scene scenes[] = {broken,
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: 100\r\n"
                                           "Content-Range: bytes 300-399/1000\r\n\r\n",
                                           content + 300, 100, .cut = WHOLE},
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: 600\r\n"
                                           "Content-Range: bytes 400-999/1000\r\n\r\n",
                                           content + 400, 600, .cut = WHOLE}};
    cr_assert_eq(expect_success(scenes, 3, sizeof content), 3);
}

Test(download, a_step_back_is_a_request_of_its_own) {
    const struct faultd_scene scenes[] = {whole,
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: "
                                           "990\r\nContent-Range: bytes 10-999/1000\r\n\r\n",
                                           content + 10, 990, .cut = WHOLE}};
    uint8_t got[20];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 2, sizeof content);
    cr_assert_eq(source.read(source.context, 500, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content + 500, sizeof got);
    cr_assert_eq(source.read(source.context, 10, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content + 10, sizeof got);
    finish(server);
}

Test(download, more_than_the_buffer_arrives_whole) {
    enum { BYTES = 3 * NET_DOWNLOAD_BUFFER_BYTES + 12345 };
    uint8_t *sent = malloc(BYTES), *got = malloc(BYTES);
    cr_assert(sent != NULL && got != NULL);
    for (size_t i = 0; i < BYTES; i++)
        sent[i] = (uint8_t)(i * 31 + i / 251);
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", sent, BYTES,
                                       .cut = WHOLE};
    struct err e = ERR_NONE;
    struct faultd *server = serve(&scene, 1, BYTES);
    static const size_t pieces[] = {1, 4096, 100000, NET_DOWNLOAD_BUFFER_BYTES + 1, 77};
    size_t at = 0;
    for (size_t i = 0; at < BYTES; i++) {
        size_t len = pieces[i % (sizeof pieces / sizeof pieces[0])];
        len = len < BYTES - at ? len : BYTES - at;
        cr_assert_eq(source.read(source.context, at, got + at, len, &e), 0, "%s", e.text);
        at += len;
    }
    cr_assert(memcmp(sent, got, BYTES) == 0);
    cr_assert_eq(faultd_played(server), 1);
    finish(server);
    free(sent);
    free(got);
}

Test(download, a_passing_server_error_is_tried_again) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\n", "bad", 3, .cut = WHOLE}, whole};
    cr_assert_eq(expect_success(scenes, 2, sizeof content), 2);
}

Test(download, a_connection_closed_without_a_word_is_tried_again) {
    const struct faultd_scene scenes[] = {{"", "", 0, .cut = WHOLE}, {"", "x", 1, .cut = 0}, whole};
    cr_assert_eq(expect_success(scenes, 3, sizeof content), 3);
}

Test(download, retry_after_is_left_to_the_agent) {
    const struct faultd_scene scene = {
        "HTTP/1.1 503 Busy\r\nRetry-After: 999999\r\nContent-Length: 0\r\n\r\n", "", 0,
        .cut = WHOLE};
    uint8_t got[10];
    struct err e = ERR_NONE;
    struct faultd *server = serve(&scene, 1, sizeof content);
    cr_assert_lt(source.read(source.context, 0, got, sizeof got, &e), 0);
    cr_assert_eq(e.kind, &err_http, "%s", e.text);
    cr_assert_eq(net_download_retry_after_s(download), 24 * 3600, "capped at a day");
    finish(server);
}

Test(download, a_missing_file_is_final) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n", "no", 2, .cut = WHOLE}, whole};
    expect_failure(scenes, 2, sizeof content, &err_http);
}

Test(download, a_range_that_cannot_be_had_is_final) {
    const struct faultd_scene scenes[] = {
        broken,
        {"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */300\r\n"
         "Content-Length: 0\r\n\r\n",
         "", 0, .cut = WHOLE},
        whole};
    expect_failure(scenes, 3, sizeof content, &err_truncated);
}

Test(download, a_range_that_begins_elsewhere_is_refused) {
    static const char *const ranges[] = {
        "bytes 400-999/1000",  "bytes 299-998/1000",  "bytes 0-699/1000",
        "bytes 300-299/1000",  "bytes 300-1000/1000", "bytes 300-999/*",
        "bytes -300-999/1000", "300-999/1000",        ""};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        char head[200];
        snprintf(head, sizeof head, FROM_300 "Content-Range: %s\r\n\r\n", ranges[i]);
        const struct faultd_scene scenes[] = {broken, {head, content + 300, 700, .cut = WHOLE}};
        expect_failure(scenes, 2, sizeof content, &err_garbage);
    }
}

Test(download, two_content_ranges_are_refused) {
    const struct faultd_scene scenes[] = {
        broken, {FROM_300 RANGE_300 RANGE_300 "\r\n", content + 300, 700, .cut = WHOLE}};
    expect_failure(scenes, 2, sizeof content, &err_garbage);
}

Test(download, a_partial_answer_without_content_range_is_refused) {
    expect_refused("HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n\r\n", &err_garbage);
}

Test(download, several_ranges_in_one_answer_are_refused) {
    expect_refused("HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n"
                   "Content-Type: multipart/byteranges; boundary=x\r\n\r\n",
                   &err_garbage);
}

Test(download, a_total_that_changes_is_refused) {
    const struct faultd_scene scenes[] = {broken,
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: "
                                           "1700\r\nContent-Range: bytes 300-1999/2000\r\n\r\n",
                                           content, 1000, .cut = WHOLE}};
    expect_failure(scenes, 2, sizeof content, &err_too_much);
}

// The nodes of a CDN have their own ETags, weak or strong; the digests decide (download.h).
Test(download, another_etag_does_not_end_a_download) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: W/\"one\"\r\n\r\n", content,
         sizeof content, .cut = 300},
        {FROM_300 RANGE_300 "ETag: \"two\"\r\n\r\n", content + 300, 700, .cut = WHOLE}};
    cr_assert_eq(expect_success(scenes, 2, sizeof content), 2);
}

Test(download, too_long_a_file_is_refused_before_its_bytes) {
    expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", &err_too_much);
}

Test(download, too_short_a_file_is_refused) {
    expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", &err_truncated);
}

Test(download, a_captive_portal_is_refused_by_its_size) {
    static const char page[] = "<html><body>Please log in</body></html>";
    const struct faultd_scene scene = {
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 39\r\n\r\n", page,
        sizeof page - 1, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_truncated);
}

Test(download, an_endless_body_is_cut_off) {
    static uint8_t babble[400000];
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\n\r\n", babble, sizeof babble,
                                       .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_too_much);
}

Test(download, a_content_coding_is_refused) {
    expect_refused("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n",
                   &err_garbage);
}

Test(download, two_lengths_are_refused_even_when_they_agree) {
    expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Length: 1000\r\n\r\n",
                   &err_garbage);
    expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 500\r\nContent-Length: 1000\r\n\r\n",
                   &err_garbage);
}

Test(download, a_length_and_a_transfer_coding_are_refused) {
    static const char chunk[] = "3e8\r\n";
    uint8_t body[sizeof content + sizeof chunk + 8];
    memcpy(body, chunk, sizeof chunk - 1);
    memcpy(body + sizeof chunk - 1, content, sizeof content);
    memcpy(body + sizeof chunk - 1 + sizeof content, "\r\n0\r\n\r\n", 7);
    struct faultd_scene scene = {
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nTransfer-Encoding: chunked\r\n\r\n", body,
        sizeof chunk - 1 + sizeof content + 7, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_garbage);
    scene.head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    cr_assert_eq(expect_success(&scene, 1, sizeof content), 1);
}

Test(download, chunk_sizes_that_are_no_numbers_bring_nothing) {
    static const char *const sizes[] = {"-1\r\n", "fffffffffffffffff\r\n", "xyz\r\n", "\r\n"};
    net.retries = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char body[64];
        snprintf(body, sizeof body, "%saaaa\r\n0\r\n\r\n", sizes[i]);
        const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                           body, strlen(body), .cut = WHOLE};
        expect_failure(&scene, 1, sizeof content, &err_unreachable);
    }
}

Test(download, junk_behind_an_answer_is_not_part_of_the_file) {
    uint8_t body[sizeof content + 100];
    memcpy(body, content, sizeof content);
    memset(body + sizeof content, 'x', 100);
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: keep-alive\r\n\r\n", body,
         sizeof body, .cut = WHOLE},
        {"HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n"
         "Content-Range: bytes 0-999/1000\r\n\r\n",
         content, sizeof content, .cut = WHOLE}};
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 2, sizeof content);
    for (int i = 0; i < 2; i++) { // the junk must not become the next answer either
        memset(got, 0, sizeof got);
        cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
        cr_assert_arr_eq(got, content, sizeof content);
    }
    finish(server);
}

Test(download, the_byte_budget_holds) {
    net.fetch_budget_bytes = sizeof content;
    cr_assert_eq(expect_success(&whole, 1, sizeof content), 1);
    net.fetch_budget_bytes = sizeof content - 1;
    expect_failure(&whole, 1, sizeof content, &err_budget);
}

Test(download, dropped_bytes_count_against_the_budget) {
    const struct faultd_scene scenes[] = {broken, whole};
    net.fetch_budget_bytes = 1299;
    expect_failure(scenes, 2, sizeof content, &err_budget);
}

Test(download, a_redirect_loop_ends) {
    const struct faultd_scene loop = {
        "HTTP/1.1 302 Found\r\nLocation: /x.edge\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "", 0, .cut = WHOLE};
    const struct faultd_scene scenes[] = {loop, loop, loop, loop, loop, loop, loop, loop};
    net.allow_http = true;
    expect_failure(scenes, 8, sizeof content, &err_redirected);
}

static void expect_no_redirect_to(const char *place) {
    char head[200];
    snprintf(head, sizeof head, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n",
             place);
    const struct faultd_scene scenes[] = {{head, "", 0, .cut = WHOLE}, whole};
    expect_failure(scenes, 2, sizeof content, &err_redirected);
}

Test(download, a_redirect_to_another_scheme_is_refused) {
    net.allow_http = true;
    expect_no_redirect_to("file:///etc/passwd");
    expect_no_redirect_to("ftp://127.0.0.1/x");
    expect_no_redirect_to("gopher://127.0.0.1/x");
}

Test(download, a_redirect_to_plain_http_needs_permission) {
    expect_no_redirect_to("http://127.0.0.1:1/x");
}

Test(download, a_redirect_to_another_host_brings_the_file_and_carries_no_credentials) {
    struct faultd *other = faultd_open(&whole, 1);
    char head[200];
    snprintf(head, sizeof head, "HTTP/1.1 302 Found\r\nLocation: %s/y\r\nContent-Length: 0\r\n\r\n",
             faultd_url(other));
    const struct faultd_scene scene = {head, "", 0, .cut = WHOLE};
    net.allow_http = true;
    cr_assert_eq(expect_success(&scene, 1, sizeof content), 1);
    cr_assert(strstr(faultd_request(other, 0), "GET /y ") == faultd_request(other, 0));
    cr_assert(strcasestr(faultd_request(other, 0), "Authorization") == NULL);
    cr_assert(strcasestr(faultd_request(other, 0), "Cookie") == NULL);
    faultd_close(other);
}

Test(download, garbage_instead_of_http_is_refused) {
    static const char *const heads[] = {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "\r\n\r\n",
                                        "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
                                        "<html></html>\r\n\r\n"};
    net.retries = 0;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        expect_refused(heads[i], &err_garbage);
}

Test(download, a_nul_in_a_header_is_refused) {
    static const char head[] = "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 1000\r\n\r\n";
    const struct faultd_scene scene = {head, content, sizeof content, .cut = WHOLE,
                                       .head_len = sizeof head - 1};
    net.retries = 0;
    expect_failure(&scene, 1, sizeof content, &err_garbage);
}

Test(download, endless_headers_end) {
    static char head[200000] = "HTTP/1.1 200 OK\r\n";
    for (size_t at = strlen(head); at + 40 < sizeof head; at += 31)
        memcpy(head + at, "X-Padding: aaaaaaaaaaaaaaaaaa\r\n", 32);
    const struct faultd_scene scene = {head, "", 0, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_limit);
}

Test(download, endless_interim_answers_end) {
    static const char interim[] = "HTTP/1.1 103 Early Hints\r\n\r\n";
    static char head[100000];
    for (size_t at = 0; at + sizeof interim < sizeof head; at += sizeof interim - 1)
        memcpy(head + at, interim, sizeof interim);
    const struct faultd_scene scene = {head, "", 0, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_limit);
}

Test(download, a_server_that_falls_silent_is_left) {
    static const char *const heads[] = {"", "HTTP/1.1 2", OK};
    net.retries = 0;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        const struct faultd_scene scene = {heads[i], content, sizeof content, .cut = WHOLE,
                                           .stall_ms = SILENCE_MS};
        expect_failure(&scene, 1, sizeof content, &err_too_slow);
    }
}

Test(download, a_server_below_the_least_rate_is_left) {
    const struct faultd_scene scene = {OK, content, sizeof content, .cut = WHOLE, .drip_ms = 100};
    net.retries = 0;
    net.rate_min_bytes_s = 500;
    expect_failure(&scene, 1, sizeof content, &err_too_slow);
}

Test(download, the_deadline_ends_a_download_that_is_not_slow) {
    const struct faultd_scene scene = {OK, content, sizeof content, .cut = WHOLE, .drip_ms = 20};
    struct fake_clock clock;
    fake_clock_init(&clock, 0, 0);
    clock.step_ms = 500;
    test_clock = &clock.chrono;
    net.fetch_timeout_s = 10;
    expect_failure(&scene, 1, sizeof content, &err_too_slow);
}

Test(download, the_rate_is_held) {
    enum { BYTES = 600000, RATE = 300000 };
    static uint8_t sent[BYTES], got[BYTES];
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\n\r\n", sent, BYTES, .cut = WHOLE};
    struct err e = ERR_NONE;
    net.rate_max_bytes_s = RATE;
    struct faultd *server = serve(&scene, 1, BYTES);
    int64_t began_ms = chrono_boot_ms(chrono_system());
    cr_assert_eq(source.read(source.context, 0, got, BYTES, &e), 0, "%s", e.text);
    // It cannot be faster than this, whatever else the machine does.
    cr_assert_gt(chrono_boot_ms(chrono_system()) - began_ms, 1000);
    finish(server);
}

Test(download, giving_up_names_the_tries) {
    const struct faultd_scene scene = {OK, content, sizeof content, .cut = 0};
    const struct faultd_scene scenes[] = {scene, scene, scene};
    net.retries = 1;
    uint8_t got[10];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 3, sizeof content);
    cr_assert_lt(source.read(source.context, 0, got, sizeof got, &e), 0);
    cr_assert_eq(faultd_played(server), 2);
    cr_assert(strstr(e.text, "giving up") != NULL, "%s", e.text);
    finish(server);
}

Test(download, an_error_does_not_show_the_query) {
    struct err e = ERR_NONE;
    uint8_t got[1];
    net.retries = 0;
    cr_assert_eq(
        net_download_open(&net, "http://127.0.0.1:1/x?secret=1", 1, chrono_system(), &download, &e),
        0);
    source = net_download_source(download);
    cr_assert_lt(source.read(source.context, 0, got, 1, &e), 0);
    cr_assert_eq(e.kind, &err_unreachable, "%s", e.text);
    cr_assert(strstr(e.text, "http://127.0.0.1:1/x") != NULL, "%s", e.text);
    cr_assert(strstr(e.text, "secret") == NULL, "%s", e.text);
    net_download_close(download);
}

Test(download, plain_http_to_another_machine_needs_permission) {
    static const char *const urls[] = {"http://192.0.2.1/x", "http://127.0.0.1.example.org/x",
                                       "http://127.example.org/x", "http://[2001:db8::1]/x"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct err e = ERR_NONE;
        uint8_t got[1];
        cr_assert_eq(net_download_open(&net, urls[i], 1, chrono_system(), &download, &e), 0);
        source = net_download_source(download);
        cr_assert_lt(source.read(source.context, 0, got, 1, &e), 0);
        cr_assert_eq(e.kind, &err_permission, "%s", e.text);
        net_download_close(download);
    }
}
