// SPDX-License-Identifier: Apache-2.0
//
// Downloads from servers that break, lie, stall and babble.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/net/download.h"
#include "agent/net/handle.h"
#include "bundle/kind.h"
#include "tests/support/faultd.h"

#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n"
#define WHOLE SIZE_MAX

static uint8_t content[1000];
static struct agent_job_net net = {
    .connect_timeout_s = 5, .rate_min_bytes_s = 1, .stall_s = 1, .retries = 3};
static struct net_download *download;
static struct unpack_source source;

static void start(void) {
    struct err e = ERR_NONE;
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
    cr_assert_eq(net_download_open(&net, url, total, chrono_system(), &download, &e), 0, "%s",
                 e.text);
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

Test(download, a_whole_file_in_one_request) {
    const struct faultd_scene scenes[] = {{OK, content, sizeof content, WHOLE, 0}};
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 1, sizeof content);
    cr_assert_eq(source.read(source.context, 0, got, 400, &e), 0, "%s", e.text);
    cr_assert_eq(source.read(source.context, 400, got + 400, 600, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    cr_assert_eq(faultd_played(server), 1);
    cr_assert_eq(net_download_bytes(download), sizeof content);
    cr_assert_null(strstr(faultd_request(server, 0), "Authorization"),
                   "I9: the token is for the controller alone");
    cr_assert_null(strstr(faultd_request(server, 0), "Accept-Encoding"));
    finish(server);
}

Test(download, a_broken_connection_goes_on_where_it_broke) {
    const struct faultd_scene scenes[] = {{OK, content, sizeof content, 300, 0},
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: "
                                           "700\r\nContent-Range: bytes 300-999/1000\r\n\r\n",
                                           content + 300, 700, WHOLE, 0}};
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 2, sizeof content);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    cr_assert_not_null(strstr(faultd_request(server, 1), "Range: bytes=300-"));
    finish(server);
}

Test(download, a_server_without_ranges_costs_the_beginning_again) {
    const struct faultd_scene scenes[] = {{OK, content, sizeof content, 300, 0},
                                          {OK, content, sizeof content, WHOLE, 0}};
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 2, sizeof content);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    cr_assert_eq(net_download_bytes(download), 1300);
    finish(server);
}

Test(download, a_step_back_is_a_request_of_its_own) {
    const struct faultd_scene scenes[] = {{OK, content, sizeof content, WHOLE, 0},
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: "
                                           "990\r\nContent-Range: bytes 10-999/1000\r\n\r\n",
                                           content + 10, 990, WHOLE, 0}};
    uint8_t got[20];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 2, sizeof content);
    cr_assert_eq(source.read(source.context, 500, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content + 500, sizeof got);
    cr_assert_eq(source.read(source.context, 10, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content + 10, sizeof got);
    finish(server);
}

Test(download, a_passing_server_error_is_tried_again) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\n", "bad", 3, WHOLE, 0},
        {OK, content, sizeof content, WHOLE, 0}};
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 2, sizeof content);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    finish(server);
}

Test(download, retry_after_is_left_to_the_agent) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 503 Busy\r\nRetry-After: 999999\r\nContent-Length: 0\r\n\r\n", "", 0, WHOLE, 0}};
    uint8_t got[10];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 1, sizeof content);
    cr_assert_lt(source.read(source.context, 0, got, sizeof got, &e), 0);
    cr_assert_eq(e.kind, &err_http, "%s", e.text);
    cr_assert_eq(net_download_retry_after_s(download), 24 * 3600, "capped at a day");
    finish(server);
}

Test(download, a_missing_file_is_final) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n", "no", 2, WHOLE, 0},
        {OK, content, sizeof content, WHOLE, 0}};
    expect_failure(scenes, 2, sizeof content, &err_http);
}

Test(download, a_range_that_begins_elsewhere_is_refused) {
    const struct faultd_scene scenes[] = {{OK, content, sizeof content, 300, 0},
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: "
                                           "600\r\nContent-Range: bytes 400-999/1000\r\n\r\n",
                                           content + 400, 600, WHOLE, 0}};
    expect_failure(scenes, 2, sizeof content, &err_garbage);
}

Test(download, a_partial_answer_without_content_range_is_refused) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n\r\n", content, sizeof content,
         WHOLE, 0}};
    expect_failure(scenes, 1, sizeof content, &err_garbage);
}

Test(download, a_total_that_changes_is_refused) {
    const struct faultd_scene scenes[] = {{OK, content, sizeof content, 300, 0},
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: "
                                           "1700\r\nContent-Range: bytes 300-1999/2000\r\n\r\n",
                                           content, 1000, WHOLE, 0}};
    expect_failure(scenes, 2, sizeof content, &err_too_much);
}

Test(download, too_long_a_file_is_refused_before_its_bytes) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", content, sizeof content, WHOLE, 0}};
    expect_failure(scenes, 1, sizeof content, &err_too_much);
}

Test(download, too_short_a_file_is_refused) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", content, 500, WHOLE, 0}};
    expect_failure(scenes, 1, sizeof content, &err_truncated);
}

Test(download, an_endless_body_is_cut_off) {
    static uint8_t babble[400000];
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", babble, sizeof babble, WHOLE, 0}};
    expect_failure(scenes, 1, sizeof content, &err_too_much);
}

Test(download, a_content_coding_is_refused) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n", content,
         sizeof content, WHOLE, 0}};
    expect_failure(scenes, 1, sizeof content, &err_garbage);
}

Test(download, the_byte_budget_holds) {
    const struct faultd_scene scenes[] = {{OK, content, sizeof content, WHOLE, 0}};
    net.fetch_budget_bytes = 500;
    expect_failure(scenes, 1, sizeof content, &err_budget);
    net.fetch_budget_bytes = 0;
}

Test(download, a_redirect_loop_ends) {
    const struct faultd_scene loop = {
        "HTTP/1.1 302 Found\r\nLocation: /x.edge\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "", 0, WHOLE, 0};
    const struct faultd_scene scenes[] = {loop, loop, loop, loop, loop, loop, loop, loop};
    expect_failure(scenes, 8, sizeof content, &err_redirected);
}

Test(download, a_redirect_to_another_scheme_is_refused) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", "", 0,
         WHOLE, 0}};
    expect_failure(scenes, 1, sizeof content, &err_redirected);
}

Test(download, garbage_instead_of_http_is_refused) {
    const struct faultd_scene scene = {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "", 0, WHOLE, 0};
    const struct faultd_scene scenes[] = {scene, scene, scene, scene, scene};
    net.retries = 0;
    uint8_t got[10];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 5, sizeof content);
    cr_assert_lt(source.read(source.context, 0, got, sizeof got, &e), 0);
    cr_assert(e.kind == &err_unreachable || e.kind == &err_garbage, "%s: %s", e.kind->name, e.text);
    finish(server);
}

Test(download, endless_headers_end) {
    static char head[200000] = "HTTP/1.1 200 OK\r\n";
    for (size_t at = strlen(head); at + 40 < sizeof head; at += 31)
        memcpy(head + at, "X-Padding: aaaaaaaaaaaaaaaaaa\r\n", 32);
    const struct faultd_scene scenes[] = {{head, "", 0, WHOLE, 0}};
    net.retries = 0;
    uint8_t got[10];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 1, sizeof content);
    cr_assert_lt(source.read(source.context, 0, got, sizeof got, &e), 0);
    cr_assert_eq(e.kind, &err_limit, "%s: %s", e.kind->name, e.text);
    finish(server);
}

Test(download, a_stalling_server_is_left) {
    const struct faultd_scene scenes[] = {{OK, content, sizeof content, WHOLE, 20000}};
    net.retries = 0;
    expect_failure(scenes, 1, sizeof content, &err_too_slow);
}

Test(download, giving_up_names_the_tries) {
    const struct faultd_scene scene = {OK, content, sizeof content, 0, 0};
    const struct faultd_scene scenes[] = {scene, scene, scene};
    net.retries = 1;
    uint8_t got[10];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 3, sizeof content);
    cr_assert_lt(source.read(source.context, 0, got, sizeof got, &e), 0);
    cr_assert_eq(faultd_played(server), 2);
    cr_assert_not_null(strstr(e.text, "giving up"), "%s", e.text);
    finish(server);
}

Test(download, plain_http_to_another_machine_needs_permission) {
    struct err e = ERR_NONE;
    uint8_t got[1];
    cr_assert_eq(net_download_open(&net, "http://192.0.2.1/x", 1, chrono_system(), &download, &e),
                 0);
    source = net_download_source(download);
    cr_assert_lt(source.read(source.context, 0, got, 1, &e), 0);
    cr_assert_eq(e.kind, &err_permission, "%s", e.text);
    net_download_close(download);
}
