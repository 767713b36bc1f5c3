// SPDX-License-Identifier: Apache-2.0
//
// Whom TLS lets through: authorities, names, dates, and dates seen from a device that woke in 1970.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/net/download.h"
#include "agent/net/handle.h"
#include "bundle/kind.h"
#include "tests/support/faultd.h"
#include "tests/support/tls_server.h"

#define DAY_S  86400
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

static struct agent_job_net net = {.connect_timeout_s = 60, .rate_min_bytes_s = 1, .stall_s = 60};
static int64_t now_s;

static void start(void) {
    struct err e = ERR_NONE;
    now_s = chrono_wall_ms(chrono_system()) / 1000;
    cr_assert_eq(net_handle_start(&e), 0);
}

TestSuite(tls, .init = start, .timeout = 1200);

// Downloads five bytes.
static int fetch(const char *url, const char *authority, struct err *e) {
    struct net_download *download = NULL;
    char got[5];
    snprintf(net.ca_file, sizeof net.ca_file, "%s", authority);
    cr_assert_eq(net_download_open(&net, url, sizeof got, chrono_system(), &download, e), 0);
    struct unpack_source source = net_download_source(download);
    int result = source.read(source.context, 0, got, sizeof got, e);
    if (result == 0)
        cr_assert(memcmp(got, "hello", sizeof got) == 0);
    net_download_close(download);
    return result;
}

static struct tls_server *serve(const char *name, int64_t from_s, int64_t until_s) {
    const struct tls_server_certificate certificate = {name, from_s, until_s};
    return tls_server_open(&certificate, ANSWER);
}

static void expect_trusted(struct tls_server *server) {
    struct err e = ERR_NONE;
    cr_assert_eq(fetch(tls_server_url(server), tls_server_authority(server), &e), 0, "%s", e.text);
}

static void expect_refused(struct tls_server *server, const char *says) {
    struct err e = ERR_NONE;
    cr_assert_lt(fetch(tls_server_url(server), tls_server_authority(server), &e), 0);
    cr_assert_eq(e.kind, &err_tls, "%s", e.text);
    cr_assert(strstr(e.text, says) != NULL, "%s", e.text);
}

Test(tls, a_good_certificate_of_the_configured_authority_is_trusted) {
    struct tls_server *server = serve("IP:127.0.0.1", now_s - DAY_S, now_s + DAY_S);
    expect_trusted(server);
    tls_server_close(server);
}

Test(tls, an_unknown_authority_is_refused) {
    struct tls_server *server = serve("IP:127.0.0.1", now_s - DAY_S, now_s + DAY_S);
    struct tls_server *other = serve("IP:127.0.0.1", now_s - DAY_S, now_s + DAY_S);
    struct err e = ERR_NONE;
    cr_assert_lt(fetch(tls_server_url(server), tls_server_authority(other), &e), 0);
    cr_assert_eq(e.kind, &err_tls, "%s", e.text);
    err_clear(&e);
    cr_assert_lt(fetch(tls_server_url(server), "", &e), 0, "the system's authorities");
    cr_assert_eq(e.kind, &err_tls, "%s", e.text);
    tls_server_close(other);
    tls_server_close(server);
}

Test(tls, another_name_is_refused) {
    struct tls_server *server = serve("DNS:other.example.org", now_s - DAY_S, now_s + DAY_S);
    expect_refused(server, "127.0.0.1");
    tls_server_close(server);
}

Test(tls, an_expired_certificate_is_refused) {
    struct tls_server *server = serve("IP:127.0.0.1", now_s - 2 * DAY_S, now_s - DAY_S);
    expect_refused(server, "expired");
    tls_server_close(server);
}

Test(tls, a_certificate_of_tomorrow_is_refused_today) {
    struct tls_server *server = serve("IP:127.0.0.1", now_s + DAY_S, now_s + 3 * DAY_S);
    expect_refused(server, "not yet valid");
    tls_server_close(server);
}

// A device that woke in the past, with signed time that says otherwise.
Test(tls, dates_are_judged_at_the_time_that_is_trusted_when_the_clock_is_behind_it) {
    struct tls_server *server = serve("IP:127.0.0.1", now_s + DAY_S, now_s + 3 * DAY_S);
    net.time_floor_s = now_s + 2 * DAY_S;
    expect_trusted(server);
    net.time_floor_s = now_s + 4 * DAY_S;
    expect_refused(server, "expired");
    tls_server_close(server);
}

Test(tls, a_clock_that_is_ahead_of_the_floor_is_believed) {
    struct tls_server *server = serve("IP:127.0.0.1", now_s - 2 * DAY_S, now_s - DAY_S);
    net.time_floor_s = now_s - 2 * DAY_S + 60;
    expect_refused(server, "expired");
    tls_server_close(server);
}

Test(tls, an_authority_file_that_is_not_there_is_refused) {
    struct tls_server *server = serve("IP:127.0.0.1", now_s - DAY_S, now_s + DAY_S);
    struct err e = ERR_NONE;
    cr_assert_lt(fetch(tls_server_url(server), "/nowhere/ca.pem", &e), 0);
    cr_assert_eq(e.kind, &err_tls, "%s", e.text);
    tls_server_close(server);
}

Test(tls, https_never_leads_to_plain_http) {
    const struct tls_server_certificate certificate = {"IP:127.0.0.1", now_s - DAY_S,
                                                       now_s + DAY_S};
    const struct faultd_scene scene = {ANSWER, "", 0, .cut = FAULTD_WHOLE};
    struct faultd *plain = faultd_open(&scene, 1);
    struct err e = ERR_NONE;
    char answer[200];
    snprintf(answer, sizeof answer,
             "HTTP/1.1 302 Found\r\nLocation: %s/x\r\nContent-Length: 0\r\n"
             "Connection: close\r\n\r\n",
             faultd_url(plain));
    struct tls_server *server = tls_server_open(&certificate, answer);
    net.allow_http = true;
    cr_assert_lt(fetch(tls_server_url(server), tls_server_authority(server), &e), 0);
    cr_assert_eq(e.kind, &err_redirected, "%s", e.text);
    cr_assert(strstr(e.text, "redirects to") && strstr(e.text, "only https"), "%s", e.text);
    cr_assert(strstr(e.text, faultd_url(plain)), "where to: %s", e.text);
    cr_assert_eq(faultd_played(plain), 0);
    faultd_close(plain);
    tls_server_close(server);
}

Test(tls, an_answer_that_is_cut_short_is_not_taken_for_whole) {
    const struct tls_server_certificate certificate = {"IP:127.0.0.1", now_s - DAY_S,
                                                       now_s + DAY_S};
    struct tls_server *server = tls_server_open(&certificate, "HTTP/1.1 200 OK\r\n\r\nhel");
    struct err e = ERR_NONE;
    cr_assert_lt(fetch(tls_server_url(server), tls_server_authority(server), &e), 0);
    cr_assert(err_is(&e, &err_truncated) || err_is(&e, &err_unreachable), "%s", e.text);
    tls_server_close(server);
}

// Where TLS was expected

static void expect_no_handshake(const struct faultd_scene *scene, const struct err_kind *kind) {
    struct faultd *server = faultd_open(scene, 1);
    struct err e = ERR_NONE;
    char url[80];
    snprintf(url, sizeof url, "https%s/x", strchr(faultd_url(server), ':'));
    cr_assert_lt(fetch(url, "", &e), 0);
    cr_assert_eq(e.kind, kind, "%s: %s", e.kind->name, e.text);
    faultd_close(server);
}

Test(tls, plain_http_in_place_of_tls_is_refused) {
    const struct faultd_scene scene = {ANSWER, "", 0, .cut = FAULTD_WHOLE, .at_once = true};
    expect_no_handshake(&scene, &err_tls);
}

Test(tls, a_handshake_that_hangs_is_left) {
    const struct faultd_scene scene = {"", "", 0, .cut = FAULTD_WHOLE, .stall_ms = 600000};
    net.connect_timeout_s = 1;
    expect_no_handshake(&scene, &err_too_slow);
}
