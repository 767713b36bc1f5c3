// SPDX-License-Identifier: Apache-2.0
//
// What the tests of downloads share: a content of 1000 bytes, a server that plays scenes with it,
// and a download from there.
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/net/download.h"
#include "agent/net/handle.h"
#include "bundle/kind.h"
#include "tests/support/faultd.h"

#define OK         "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n"
#define FROM_300   "HTTP/1.1 206 Partial Content\r\nContent-Length: 700\r\n"
#define RANGE_300  "Content-Range: bytes 300-999/1000\r\n"
#define NO_BODY    "Content-Length: 0\r\n\r\n"
#define WHOLE      FAULTD_WHOLE
#define SILENCE_MS 600000 // ended by the end of the test

static uint8_t content[1000];
static const struct faultd_scene whole = {OK, content, sizeof content, .cut = WHOLE};
static const struct faultd_scene broken = {OK, content, sizeof content, .cut = 300};
// An answer that leads back to this server, on a connection of its own.
#define AWAY(status, place)                                                                        \
    {                                                                                              \
        "HTTP/1.1 " status "\r\nLocation: " place "\r\nConnection: close\r\n" NO_BODY, "", 0,      \
            .cut = WHOLE                                                                           \
    }
static struct agent_job_net net = {
    .connect_timeout_s = 60, .rate_min_bytes_s = 1, .stall_s = 60, .retries = 3};
static const struct chrono *test_clock;
static struct net_download *download;
static struct unpack_source source;

static inline void start(void) {
    struct err e = ERR_NONE;
    test_clock = chrono_system();
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 7 + i / 256);
    cr_assert_eq(net_handle_start(&e), 0);
}

// The head of an answer that leads to this place. Borrowed until the next call.
static inline const char *away_to(const char *host, const char *path) {
    static char head[300];
    snprintf(head, sizeof head, "HTTP/1.1 302 Found\r\nLocation: %s%s\r\n" NO_BODY, host, path);
    return head;
}

static inline struct faultd *serve(const struct faultd_scene *scenes, size_t n, uint64_t total) {
    static char url[128];
    struct err e = ERR_NONE;
    struct faultd *server = faultd_open(scenes, n);
    snprintf(url, sizeof url, "%s/x.edge", faultd_url(server));
    cr_assert_eq(net_download_open(&net, url, total, test_clock, &download, &e), 0, "%s", e.text);
    source = net_download_source(download);
    return server;
}

static inline void finish(struct faultd *server) {
    net_download_close(download);
    faultd_close(server);
}

// Reads everything and expects failure of this kind and nothing else.
static inline void expect_failure(const struct faultd_scene *scenes, size_t n, uint64_t total,
                                  const struct err_kind *kind) {
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, n, total);
    cr_assert_lt(source.read(source.context, 0, got, sizeof got, &e), 0);
    cr_assert_eq(e.kind, kind, "wanted %s, got %s: %s", kind->name, e.kind->name, e.text);
    finish(server);
}

// One answer with this head and the content.
static inline void expect_refused(const char *head, const struct err_kind *kind) {
    const struct faultd_scene scene = {head, content, sizeof content, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, kind);
}

// Reads everything, which must arrive whole; how many requests it took.
static inline size_t expect_success(const struct faultd_scene *scenes, size_t n, uint64_t total) {
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, n, total);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    size_t played = faultd_played(server);
    finish(server);
    return played;
}
