// SPDX-License-Identifier: Apache-2.0
//
// Downloads by position: streaming, mending, budgets, deadlines, redirects.
#include "tests/support/fake_clock.h"
#include "tests/unit/agent/net/served.h"

TestSuite(download, .init = start, .timeout = 1200);

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
    net.retries = 1; // progress begins the count anew
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

// The nodes of a CDN have their own ETags, weak or strong; the digests decide (download.h).

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
    const struct faultd_scene loop = AWAY("302 Found", "/x.edge");
    const struct faultd_scene scenes[] = {loop, loop, loop, loop, loop, loop, loop, loop};
    net.allow_http = true;
    expect_failure(scenes, 8, sizeof content, &err_redirected);
}

static void expect_no_redirect_to(const char *place) {
    const struct faultd_scene scenes[] = {{away_to(place, ""), "", 0, .cut = WHOLE}, whole};
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
    const struct faultd_scene scene = {away_to(faultd_url(other), "/y"), "", 0, .cut = WHOLE};
    net.allow_http = true;
    cr_assert_eq(expect_success(&scene, 1, sizeof content), 1);
    cr_assert(strstr(faultd_request(other, 0), "GET /y ") == faultd_request(other, 0));
    cr_assert(strcasestr(faultd_request(other, 0), "Authorization") == NULL);
    cr_assert(strcasestr(faultd_request(other, 0), "Cookie") == NULL);
    faultd_close(other);
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
