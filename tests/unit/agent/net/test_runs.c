// SPDX-License-Identifier: Apache-2.0
//
// Runs: what the reader said that it will read is asked for exactly, on one connection, whatever
// happens in the middle. The server gives the ranges that it is asked for, or what a test makes of
// them.
#include "tests/support/fake_clock.h"
#include "tests/unit/agent/net/served.h"

#define BYTES 200000

// What the server does otherwise than it should, from this request on (from 0); WHOLE never.
struct behaviour {
    size_t cuts, slow, lies, longer, shrinks, fails;
    bool no_ranges, chunked;
};
#define HONEST                                                                                     \
    { WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, false, false }

static uint8_t sent[BYTES];
static struct behaviour behaviour;
static struct faultd *server;
static uint64_t run_bytes; // of bodies that were asked for

static void start_runs(void) {
    start();
    for (size_t i = 0; i < BYTES; i++)
        sent[i] = (uint8_t)(i * 13 + i / 249);
    behaviour = (struct behaviour)HONEST;
}

TestSuite(runs, .init = start_runs, .timeout = 1200);

static void answer_whole(struct faultd_scene *ret) {
    static char head[200];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BYTES);
    *ret = (struct faultd_scene){head, sent, BYTES, .cut = WHOLE, .keep = true};
}

static void answer(void *context, size_t n, const char *request, struct faultd_scene *ret) {
    static char head[300], chunk[BYTES + 32];
    const char *range = strstr(request, "\r\nRange: bytes=");
    unsigned long first = 0, last = BYTES - 1, total = BYTES;
    (void)context;
    if (!range || behaviour.no_ranges) {
        answer_whole(ret);
        return;
    }
    sscanf(range, "\r\nRange: bytes=%lu-%lu", &first, &last);
    if (n >= behaviour.lies)
        first += 1;
    if (n >= behaviour.longer)
        last = BYTES - 1;
    if (n >= behaviour.shrinks)
        total = last + 1;
    size_t len = last - first + 1;
    run_bytes += len;
    snprintf(head, sizeof head,
             "HTTP/1.1 206 Partial Content\r\n%s%lu\r\nContent-Range: bytes %lu-%lu/%lu\r\n\r\n",
             behaviour.chunked ? "Transfer-Encoding: chunked\r\nX: " : "Content-Length: ", len,
             first, last, total);
    *ret = (struct faultd_scene){head, sent + first, len, .cut = WHOLE, .keep = true};
    if (behaviour.chunked) {
        int begun = snprintf(chunk, sizeof chunk, "%lx\r\n", len);
        memcpy(chunk + begun, sent + first, len);
        memcpy(chunk + begun + len, "\r\n0\r\n\r\n", 7);
        ret->body = chunk;
        ret->body_len = (size_t)begun + len + 7;
    }
    if (n == behaviour.cuts)
        ret->cut = len / 2;
    if (n == behaviour.fails)
        *ret = (struct faultd_scene){"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "", 0,
                                     .cut = WHOLE, .keep = true};
}

static void open_download(void) {
    static char url[128];
    struct err e = ERR_NONE;
    server = faultd_open_with(answer, NULL);
    snprintf(url, sizeof url, "%s/x.edge", faultd_url(server));
    cr_assert_eq(net_download_open(&net, url, BYTES, test_clock, &download, &e), 0, "%s", e.text);
    source = net_download_source(download);
}

static void read_right(uint64_t offset, size_t len) {
    static uint8_t got[BYTES];
    struct err e = ERR_NONE;
    cr_assert_eq(source.read(source.context, offset, got, len, &e), 0, "%s", e.text);
    cr_assert(memcmp(got, sent + offset, len) == 0, "at %lu", (unsigned long)offset);
}

static void read_run(uint64_t offset, size_t len) {
    source.expect(source.context, offset, len);
    for (size_t done = 0; done < len; done += 1000)
        read_right(offset + done, len - done < 1000 ? len - done : 1000);
}

static void expect_asked(size_t n, const char *range) {
    char line[80];
    snprintf(line, sizeof line, "\r\nRange: bytes=%s\r\n", range);
    cr_assert(strstr(faultd_request(server, n), line) != NULL, "request %zu is not for %s:\n%s", n,
              range, faultd_request(server, n));
}

static void expect_one_connection(size_t requests) {
    cr_assert_eq(faultd_played(server), requests, "%zu requests", faultd_played(server));
    cr_assert_eq(faultd_connections(server), 1, "%zu connections", faultd_connections(server));
}

Test(runs, each_is_asked_for_exactly_and_all_of_them_on_one_connection) {
    open_download();
    read_run(0, 16384);
    read_run(100000, 4096);
    read_run(30000, 1); // back
    read_run(30001, 50000);
    read_run(150000, BYTES - 150000);
    expect_asked(0, "0-16383");
    expect_asked(1, "100000-104095");
    expect_asked(2, "30000-30000");
    expect_asked(3, "30001-80000");
    expect_asked(4, "150000-199999");
    expect_one_connection(5);
    cr_assert_eq(net_download_bytes(download), 16384 + 4096 + 1 + 50000 + 50000);
    cr_assert_eq(net_download_bytes(download), run_bytes, "no body was broken off");
    finish(server);
}

Test(runs, a_body_in_chunks_keeps_the_connection_too) {
    behaviour.chunked = true;
    open_download();
    for (uint64_t at = 0; at < 100000; at += 20000)
        read_run(at, 10000);
    expect_one_connection(5);
    cr_assert_eq(net_download_bytes(download), 50000);
    finish(server);
}

Test(runs, one_that_overlaps_what_was_brought_asks_for_the_rest) {
    open_download();
    source.expect(source.context, 0, 16384);
    read_right(0, 5000);
    source.expect(source.context, 5000, 30000);
    read_right(5000, 30000);
    expect_asked(1, "16384-34999");
    expect_one_connection(2);
    cr_assert_eq(net_download_bytes(download), 35000);
    finish(server);
}

Test(runs, a_gap_inside_one_is_dropped_and_one_between_two_is_not_asked_for) {
    open_download();
    source.expect(source.context, 1000, 100000);
    read_right(1000, 10);
    read_right(60000, 10);
    read_right(100990, 10);
    read_run(101010, 10); // ten bytes further on: still not asked for
    expect_asked(0, "1000-100999");
    expect_asked(1, "101010-101019");
    expect_one_connection(2);
    cr_assert_eq(net_download_bytes(download), 100010);
    finish(server);
}

Test(runs, the_rest_of_one_that_nobody_reads_is_taken_when_it_is_small) {
    open_download();
    source.expect(source.context, 0, 50000);
    read_right(0, 10);
    read_run(150000, 10);
    expect_one_connection(2);
    cr_assert_eq(net_download_bytes(download), 50010);
    finish(server);
}

Test(runs, one_that_breaks_goes_on_inside_it) {
    behaviour.cuts = 1;
    open_download();
    read_run(0, 1000);
    read_run(50000, 10000);
    read_run(90000, 1000);
    expect_asked(1, "50000-59999");
    expect_asked(2, "55000-59999");
    expect_asked(3, "90000-90999");
    cr_assert_eq(faultd_connections(server), 2);
    cr_assert_eq(net_download_bytes(download), 12000);
    finish(server);
}

Test(runs, one_that_the_server_had_no_time_for_is_asked_again) {
    behaviour.fails = 1;
    open_download();
    read_run(0, 1000);
    read_run(50000, 10000);
    expect_asked(2, "50000-59999");
    cr_assert_eq(faultd_played(server), 3);
    finish(server);
}

Test(runs, a_read_past_the_end_of_one_goes_on_without) {
    open_download();
    source.expect(source.context, 0, 1000);
    read_right(0, 1500);
    expect_asked(0, "0-999");
    expect_asked(1, "1000-");
    cr_assert_eq(faultd_connections(server), 1);
    finish(server);
}

Test(runs, a_read_elsewhere_is_as_without) {
    open_download();
    source.expect(source.context, 100000, 1000);
    read_right(50000, 1000);
    expect_asked(0, "50000-");
    finish(server);
}

Test(runs, one_is_not_longer_than_the_file) {
    open_download();
    source.expect(source.context, BYTES - 10, UINT64_MAX);
    read_right(BYTES - 10, 10);
    expect_asked(0, "199990-199999");
    cr_assert_eq(net_download_bytes(download), 10);
    finish(server);
}

Test(runs, a_server_without_ranges_is_asked_once_and_read_forward) {
    behaviour.no_ranges = true;
    open_download();
    cr_assert_not(source.forward_only(source.context), "nobody knows before the first answer");
    read_run(0, 1000);
    cr_assert(source.forward_only(source.context));
    read_run(90000, 1000); // further than any gap that is dropped otherwise
    read_run(199000, 1000);
    expect_one_connection(1);
    cr_assert_eq(net_download_bytes(download), BYTES, "the whole file, once");
    read_run(1000, 1000); // a step back costs the beginning again
    cr_assert_eq(faultd_played(server), 2);
    finish(server);
}

Test(runs, a_server_that_forgets_about_ranges_in_the_middle_is_taken_as_it_is) {
    open_download();
    read_run(100000, 1000);
    behaviour.no_ranges = true;
    read_run(120000, 1000);
    cr_assert(source.forward_only(source.context));
    behaviour.no_ranges = false;
    read_run(1000, 1000);
    cr_assert_not(source.forward_only(source.context));
    cr_assert_eq(faultd_played(server), 3);
    finish(server);
}

Test(runs, an_answer_that_goes_on_behind_one_does_no_harm) {
    behaviour.longer = 1;
    open_download();
    read_run(0, 1000);
    read_run(2000, 1000);
    read_run(190000, 1000);
    read_run(1500, 1000);
    cr_assert_leq(faultd_played(server), 4); // some of it may have come with the second
    finish(server);
}

static void expect_refused_run(const struct err_kind *kind) {
    uint8_t got[1000];
    struct err e = ERR_NONE;
    open_download();
    read_run(0, 1000);
    source.expect(source.context, 50000, 1000);
    cr_assert_lt(source.read(source.context, 50000, got, sizeof got, &e), 0);
    cr_assert_eq(e.kind, kind, "wanted %s, got %s: %s", kind->name, e.kind->name, e.text);
    finish(server);
}

Test(runs, a_range_that_lies_about_its_beginning_is_refused) {
    behaviour.lies = 1;
    expect_refused_run(&err_garbage);
}

Test(runs, a_file_that_shrinks_in_the_middle_is_refused) {
    behaviour.shrinks = 1;
    expect_refused_run(&err_truncated);
}

Test(runs, the_budget_counts_over_all_of_them) {
    net.fetch_budget_bytes = 1999;
    expect_refused_run(&err_budget);
}

Test(runs, the_deadline_holds_over_all_of_them) {
    struct fake_clock clock;
    fake_clock_init(&clock, 0, 0);
    clock.step_ms = 10;
    test_clock = &clock.chrono;
    net.fetch_timeout_s = 3600;
    open_download();
    read_run(0, 1000);
    clock.step_ms = 4000000;
    uint8_t got[10];
    struct err e = ERR_NONE;
    source.expect(source.context, 50000, 10);
    cr_assert_lt(source.read(source.context, 50000, got, sizeof got, &e), 0);
    cr_assert_eq(e.kind, &err_too_slow, "%s", e.text);
    finish(server);
}

Test(runs, the_rate_is_held_over_all_of_them) {
    net.rate_max_bytes_s = 100000;
    open_download();
    int64_t began_ms = chrono_boot_ms(chrono_system());
    for (uint64_t at = 0; at < 110000; at += 10000)
        read_run(at, 9000); // each small enough to come at once
    // Ten runs had to be over before the last began: it cannot be faster, whatever else happens.
    cr_assert_geq(chrono_boot_ms(chrono_system()) - began_ms, 900);
    finish(server);
}

Test(runs, a_site_cache_that_fails_in_one_leaves_the_rest_of_it_to_the_origin) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n"
         "Content-Range: bytes 50000-50999/200000\r\n\r\n",
         sent + 50000, 1000, .cut = 400}};
    struct faultd *cache = faultd_open(scenes, 1);
    snprintf(net.site_cache, sizeof net.site_cache, "%s", faultd_url(cache));
    net.allow_http = true;
    open_download();
    read_run(50000, 1000);
    cr_assert(strstr(faultd_request(cache, 0), "Range: bytes=50000-50999") != NULL);
    expect_asked(0, "50400-50999");
    finish(server);
    faultd_close(cache);
}
