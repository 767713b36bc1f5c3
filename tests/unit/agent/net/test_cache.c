// SPDX-License-Identifier: Apache-2.0
//
// The site cache: where it is asked, and that whatever it does wrong costs no more than asking the
// origin.
#include "agent/net/cache.h"
#include "agent/net/request.h"
#include "tests/unit/agent/net/served.h"

static struct faultd *cache;

static void begin(void) {
    start();
    net.site_cache[0] = '\0';
    net.retries = 0;
    cache = NULL;
}

static void end(void) {
    if (cache)
        faultd_close(cache);
}

TestSuite(cache, .init = begin, .fini = end, .timeout = 1200);

static void cache_plays(const struct faultd_scene *scenes, size_t n) {
    cache = faultd_open(scenes, n);
    snprintf(net.site_cache, sizeof net.site_cache, "%s", faultd_url(cache));
}

// The whole content must arrive, and the origin be asked once, from here on.
static const struct net_cache_tally *
expect_rest_from(size_t from, const struct faultd_scene *origin, struct faultd **ret) {
    uint8_t got[sizeof content];
    char range[32];
    struct err e = ERR_NONE;
    *ret = serve(origin, 1, sizeof content);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    cr_assert_eq(faultd_played(*ret), 1);
    snprintf(range, sizeof range, "Range: bytes=%zu-", from);
    cr_assert_eq(strstr(faultd_request(*ret, 0), range) != NULL, from > 0);
    return net_download_tally(download);
}

// After this one answer of the cache everything comes from the origin.
static void expect_passed_over(const struct faultd_scene *answer, const struct err_kind *kind) {
    struct faultd *origin;
    cache_plays(answer, 1);
    const struct net_cache_tally *tally = expect_rest_from(0, &whole, &origin);
    cr_assert_eq(tally->fallbacks, 1);
    cr_assert_eq(tally->trouble.kind, kind, "wanted %s: %s", kind->name, tally->trouble.text);
    cr_assert_eq(tally->origin_bytes, sizeof content);
    finish(origin);
}

Test(cache, it_has_a_url_of_its_own_for_each_origin) {
    static const struct {
        const char *base, *url, *wanted;
    } cases[] = {
        {"http://c:8080", "https://o.example/b/x.edge", "http://c:8080/https/o.example/b/x.edge"},
        {"https://c/edge/", "http://o:81/x", "https://c/edge/http/o:81/x"},
        {"http://c//", "https://[::1]:8/x", "http://c/https/[::1]:8/x"},
        {"", "https://o/x", NULL},
        {"http://c", "ftp://o/x", NULL},
        {"http://c", "/x", NULL},
        {"http://c", "https://o", NULL},
        {"http://c", "https:///x", NULL},
        {"http://c", "https://o/x?signature=1", NULL},
        {"http://c", "https://o/x#part", NULL},
        {"http://c", "https://me:secret@o/x", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char url[NET_CACHE_URL_BYTES] = "untouched";
        snprintf(net.site_cache, sizeof net.site_cache, "%s", cases[i].base);
        cr_assert_eq(net_cache_url(&net, cases[i].url, url), cases[i].wanted != NULL, "%s",
                     cases[i].url);
        if (cases[i].wanted)
            cr_assert_str_eq(url, cases[i].wanted);
    }
}

Test(cache, the_longest_url_fits) {
    static char url[BUNDLE_URL_MAX + 1], ret[NET_CACHE_URL_BYTES];
    memset(net.site_cache, 'c', AGENT_JOB_SITE_CACHE_MAX);
    net.site_cache[AGENT_JOB_SITE_CACHE_MAX] = '\0';
    memset(url, 'x', BUNDLE_URL_MAX);
    memcpy(url, "https://o/", 10);
    cr_assert(net_cache_url(&net, url, ret));
    cr_assert_eq(strlen(ret), AGENT_JOB_SITE_CACHE_MAX + BUNDLE_URL_MAX - 1);
}

Test(cache, it_is_spoken_to_plainly_and_without_a_proxy) {
    static struct agent_job_net there;
    snprintf(net.proxy, sizeof net.proxy, "http://proxy.example:3128");
    net_cache_settings(&net, &there);
    cr_assert(there.allow_http && there.proxy[0] == '\0');
    cr_assert(!net.allow_http && net.proxy[0], "the others' settings stay");
    net.proxy[0] = '\0';
}

Test(cache, what_it_has_is_not_asked_of_the_origin) {
    uint8_t got[sizeof content];
    char wanted[160];
    struct err e = ERR_NONE;
    cache_plays(&whole, 1);
    struct faultd *origin = serve(&whole, 1, sizeof content);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    cr_assert_eq(faultd_played(origin), 0);
    snprintf(wanted, sizeof wanted, "GET /http/%s/x.edge ", faultd_url(origin) + 7);
    cr_assert(strstr(faultd_request(cache, 0), wanted), "%s", faultd_request(cache, 0));
    cr_assert(strstr(faultd_request(cache, 0), "Authorization") == NULL, "I9");
    cr_assert_eq(net_download_tally(download)->cached_bytes, sizeof content);
    cr_assert_eq(net_download_tally(download)->fallbacks, 0);
    finish(origin);
}

Test(cache, one_that_breaks_is_left_where_it_broke) {
    const struct faultd_scene rest = {FROM_300 RANGE_300 "\r\n", content + 300, 700, .cut = WHOLE};
    struct faultd *origin;
    cache_plays(&broken, 1);
    const struct net_cache_tally *tally = expect_rest_from(300, &rest, &origin);
    cr_assert_eq(tally->cached_bytes, 300);
    cr_assert_eq(tally->origin_bytes, 700);
    cr_assert_eq(net_download_bytes(download), sizeof content);
    finish(origin);
}

Test(cache, one_without_the_file_is_passed_over) {
    const struct faultd_scene missing = {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                                         NULL, 0, .cut = WHOLE};
    expect_passed_over(&missing, &err_http);
}

Test(cache, one_that_wants_to_be_asked_later_is_not_waited_for) {
    const struct faultd_scene busy = {
        "HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n", NULL, 0,
        .cut = WHOLE};
    expect_passed_over(&busy, &err_http);
}

Test(cache, one_that_redirects_is_not_followed) {
    const struct faultd_scene portal = AWAY("302 Found", "http://127.0.0.1:1/login");
    expect_passed_over(&portal, &err_http);
}

Test(cache, one_with_a_file_of_another_size_is_passed_over) {
    const struct faultd_scene longer = {"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", content,
                                        sizeof content, .cut = WHOLE};
    expect_passed_over(&longer, &err_too_much);
}

Test(cache, one_whose_size_nobody_can_check_says_nothing_about_the_origins) {
    const struct faultd_scene longer = {"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", content,
                                        300, .cut = 300};
    const struct faultd_scene rest = {FROM_300 RANGE_300 "\r\n", content + 300, 700, .cut = WHOLE};
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    cache_plays(&longer, 1);
    struct faultd *origin = serve(&rest, 1, 0);
    cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
    cr_assert_arr_eq(got, content, sizeof content);
    cr_assert_eq(source.size(source.context), sizeof content);
    finish(origin);
}

Test(cache, nobody_there_is_no_harm) {
    struct faultd *origin;
    struct faultd *gone = faultd_open(&whole, 1);
    snprintf(net.site_cache, sizeof net.site_cache, "%s", faultd_url(gone));
    faultd_close(gone);
    const struct net_cache_tally *tally = expect_rest_from(0, &whole, &origin);
    cr_assert_eq(tally->fallbacks, 1);
    cr_assert_eq(tally->trouble.kind, &err_unreachable, "%s", tally->trouble.text);
    finish(origin);
}

Test(cache, a_setting_that_is_no_url_is_no_harm) {
    struct faultd *origin;
    snprintf(net.site_cache, sizeof net.site_cache, "gopher://cache");
    const struct net_cache_tally *tally = expect_rest_from(0, &whole, &origin);
    cr_assert_eq(tally->trouble.kind, &err_config, "%s", tally->trouble.text);
    finish(origin);
}

Test(cache, the_budget_counts_its_bytes_too) {
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    cache_plays(&whole, 1);
    net.fetch_budget_bytes = 500;
    struct faultd *origin = serve(&whole, 1, sizeof content);
    cr_assert_lt(source.read(source.context, 0, got, sizeof got, &e), 0);
    cr_assert_eq(e.kind, &err_budget, "%s", e.text);
    cr_assert_eq(faultd_played(origin), 0, "and nobody is asked for more");
    net.fetch_budget_bytes = 0;
    finish(origin);
}

Test(cache, when_the_origin_fails_too_its_error_counts) {
    const struct faultd_scene missing = {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                                         NULL, 0, .cut = WHOLE};
    const struct faultd_scene out_of_order = {
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", NULL, 0, .cut = WHOLE};
    uint8_t got[1];
    struct err e = ERR_NONE;
    cache_plays(&out_of_order, 1);
    struct faultd *origin = serve(&missing, 1, sizeof content);
    cr_assert_lt(source.read(source.context, 0, got, 1, &e), 0);
    cr_assert_eq(e.kind, &err_http, "%s", e.text);
    cr_assert(strstr(e.text, "the server answered with status 404"), "%s", e.text);
    finish(origin);
}

Test(cache, a_small_file_is_read_there_and_nowhere_else) {
    const struct faultd_scene portal = AWAY("302 Found", "http://127.0.0.1:1/login");
    struct net_request_answer answer = {0};
    struct err e = ERR_NONE;
    cache_plays(&portal, 1);
    buf_init(&answer.body, 4096);
    cr_assert_lt(net_request_get_here(&net, net.site_cache, 60000, &answer, &e), 0);
    cr_assert_eq(e.kind, &err_redirected, "%s", e.text);
    buf_clear(&answer.body);
}
