// SPDX-License-Identifier: Apache-2.0
//
// A controller under garbage: requests that can be read in two ways, that never end, that lie about
// their length; paths and parameters made to break answers. And downloads in parts.
#include "ctl/serve/challenge.h"
#include "ctl/serve/download.h"
#include "ctl/serve/guard.h"
#include "ctl/serve/pace.h"
#include "tests/unit/ctl/serve/device.h"

static struct controller c;

static void set_up(void) {
    controller_make(&c);
    controller_start(&c);
}

static void tear_down(void) {
    controller_free(&c);
}

TestSuite(serve_http, .init = set_up, .fini = tear_down, .timeout = 1200);

static unsigned raw(const char *request, const char *wanted_code) {
    struct reply r;
    http_raw(&c, request, strlen(request), &r);
    unsigned status = r.status;
    if (wanted_code != NULL) {
        cr_assert_not_null(r.json, "%s", request);
        cr_assert_str_eq(text_at(r.json, "code"), wanted_code, "%s: %s", request, r.body);
    }
    if (r.json != NULL)
        cr_assert_not_null(strcasestr(buf_text(&r.raw), "X-Content-Type-Options: nosniff"));
    http_clear(&r);
    return status;
}

#define HEAD "POST /api/device/v1/challenge HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

// By us, or by a library that is newer than 0.9 and refuses some of it before it asks us.
static void refused(const char *request) {
    struct reply r;
    http_raw(&c, request, strlen(request), &r);
    cr_expect_eq(r.status, 400, "%s: %u", request, r.status);
    if (r.json != NULL)
        cr_expect_str_eq(text_at(r.json, "code"), "bad_request", "%s: %s", request, r.body);
    http_clear(&r);
}

Test(serve_http, a_length_that_can_be_read_in_two_ways_is_refused) {
    static const char *const heads[] = {
        "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Host: y\r\nContent-Length: 2\r\n\r\n{}",
        "Content-Length: 2\r\nTransfer-Encoding : chunked\r\n\r\n{}",
        "Content-Length : 2\r\n\r\n{}",
        "Content-Length: 2\r\nX(y): z\r\n\r\n{}",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char request[400];
        (void)snprintf(request, sizeof request, HEAD "%s", heads[i]);
        refused(request);
    }
    cr_assert_neq(raw(HEAD "Content-Length: -1\r\n\r\n", NULL), 200);
    cr_assert_neq(raw(HEAD "Content-Length: 2x\r\n\r\n{}", NULL), 200);
    cr_assert_eq(raw(HEAD "Content-Length: 2\r\n\r\n{}", NULL), 200);
    cr_assert_eq(raw(HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", NULL), 200);
}

Test(serve_http, bodies_have_a_ceiling_and_are_json) {
    cr_assert_eq(raw(HEAD "Content-Length: 262145\r\n\r\n", "limit"), 413);
    cr_assert_eq(raw(HEAD "Content-Length: 5\r\n\r\n{\"a\":", "syntax"), 400);
    cr_assert_eq(raw("POST /api/v1/releases HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                     "Content-Length: 4611686018427387904\r\n\r\n",
                     NULL),
                 413);
    cr_assert_eq(raw(HEAD "Content-Length: 2\r\n\r\n[]", "bad_request"), 400);
    cr_assert_eq(raw(HEAD "Content-Length: 13\r\n\r\n{\"a\":1,\"a\":2}", "syntax"), 400);
    struct buf deep;
    struct err e = ERR_NONE;
    buf_init(&deep, 4096);
    must(buf_add_text(&deep, HEAD "Content-Length: 1000\r\n\r\n", &e));
    for (int i = 0; i < 1000; i++)
        must(buf_add_text(&deep, "[", &e));
    cr_assert_eq(raw(buf_text(&deep), "limit"), 400);
    buf_clear(&deep);
}

Test(serve_http, paths_are_decoded_once_and_echoed_as_valid_json) {
    const char *const paths[] = {"/%00",       "/%zz",
                                 "/a%2fb",     "/%ff%fe",
                                 "/%C0%AF",    "/\"}<b>",
                                 "/%22%7d%0a", "/%1b[31m",
                                 "/%",         "/../../etc/passwd",
                                 "//",         "/api/v1/devices/%2e%2e/why"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char request[256];
        (void)snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", paths[i]);
        unsigned status = raw(request, NULL);
        cr_assert(status == 404 || status == 400 || status == 401, "%s: %u", paths[i], status);
    }
    cr_assert_eq(
        raw("PUT /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "bad_request"), 405);
    cr_assert_eq(
        raw("GET /healthz?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "bad_request"),
        400);
    cr_assert_eq(raw("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL), 200);
}

Test(serve_http, another_sites_page_cannot_make_a_browser_change_anything) {
    struct reply r;
    struct slice body = {(const uint8_t *)"{\"kind\":\"enroll\"}", 17};
    cr_assert_eq(http_send(&c, "POST", "/api/v1/tokens", c.admin,
                           "Origin: https://elsewhere.example\r\n", body, &r),
                 403);
    http_clear(&r);
    cr_assert_eq(http_send(&c, "POST", "/api/v1/tokens", c.admin, "Origin: http://x\r\n", body, &r),
                 201);
    http_clear(&r);
}

Test(serve_http, an_upload_needs_a_role_a_length_and_a_signature) {
    struct buf bytes;
    struct reply r;
    bundle_make("1.0", "", "", &bytes);
    cr_assert_eq(http_send(&c, "POST", "/api/v1/releases", NULL, "", buf_slice(&bytes), &r), 401);
    http_clear(&r);
    cr_assert_eq(raw("POST /api/v1/releases HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     "bad_request"),
                 411);
    bytes.data[bytes.len / 2] ^= 1;
    cr_assert_eq(bundle_send(&c, buf_slice(&bytes), &r), 400);
    http_clear(&r);
    bytes.data[bytes.len / 2] ^= 1;
    cr_assert_eq(bundle_send(&c, (struct slice){bytes.data, bytes.len - 1}, &r), 400);
    http_clear(&r);
    // What was refused left nothing; what holds is taken, and taken again.
    cr_assert_eq(bundle_send(&c, buf_slice(&bytes), &r), 201);
    http_clear(&r);
    cr_assert_eq(bundle_send(&c, buf_slice(&bytes), &r), 200);
    http_clear(&r);
    buf_clear(&bytes);
    // The same release with other contents is another release.
    bundle_make("1.0", "", "arch == \"x\"", &bytes);
    cr_assert_eq(bundle_send(&c, buf_slice(&bytes), &r), 409);
    http_clear(&r);
    buf_clear(&bytes);
}

static int count_entry(void *context, const char *name, mode_t type, struct err *e) {
    (void)name;
    (void)type;
    (void)e;
    ++*(int *)context;
    return 0;
}

Test(serve_http, an_upload_that_breaks_off_leaves_nothing) {
    static const char head[] =
        "POST /api/v1/releases HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
        "Authorization: Bearer ";
    struct err e = ERR_NONE;
    int dir = -1, n = 1;
    int fd = http_connect(&c);
    cr_assert_gt(send(fd, head, sizeof head - 1, MSG_NOSIGNAL), 0);
    cr_assert_gt(send(fd, c.admin, strlen(c.admin), MSG_NOSIGNAL), 0);
    cr_assert_gt(send(fd, "\r\n\r\nmanifest", 12, MSG_NOSIGNAL), 0);
    must(fs_open_dir(c.dir.fd, "server/bundles", &dir, &e));
    for (int i = 0; i < 10000; i++) { // until the temporary is there
        n = 0;
        must(fs_list(dir, ".", count_entry, &n, &e));
        if (n > 0)
            break;
        (void)usleep(10000);
    }
    cr_assert_eq(n, 1);
    (void)close(fd);
    for (int i = 0; i < 10000 && n > 0; i++) {
        n = 0;
        must(fs_list(dir, ".", count_entry, &n, &e));
        (void)usleep(10000);
    }
    cr_assert_eq(n, 0);
    (void)close(dir);
}

// The ETag of the answer.
static void etag_of(const struct reply *r, char ret[static 96]) {
    const char *line = strcasestr(buf_text(&r->raw), "\r\nETag: ");
    cr_assert_not_null(line, "no ETag");
    cr_assert_eq(sscanf(line + 8, "%90[^\r]", ret), 1);
}

Test(serve_http, downloads_come_whole_in_part_and_not_again) {
    struct buf bytes;
    struct reply r;
    struct slice none = {NULL, 0};
    char path[128], etag[96], extra[256];
    bundle_make("1.0", "", "", &bytes);
    cr_assert_eq(bundle_send(&c, buf_slice(&bytes), &r), 201);
    (void)snprintf(path, sizeof path, "%s", text_at(r.json, "url"));
    http_clear(&r);
    cr_assert_eq(http_send(&c, "GET", path, NULL, "", none, &r), 200);
    etag_of(&r, etag);
    cr_assert_eq(r.body_len, bytes.len);
    cr_assert_eq(memcmp(r.body, bytes.data, bytes.len), 0);
    http_clear(&r);
    cr_assert_eq(http_send(&c, "HEAD", path, NULL, "", none, &r), 200);
    cr_assert_eq(r.body_len, 0);
    cr_assert_not_null(strstr(buf_text(&r.raw), etag));
    http_clear(&r);
    cr_assert_eq(http_send(&c, "GET", path, NULL, "Range: bytes=100-199\r\n", none, &r), 206);
    cr_assert_eq(r.body_len, 100);
    cr_assert_eq(memcmp(r.body, bytes.data + 100, 100), 0);
    http_clear(&r);
    (void)snprintf(extra, sizeof extra, "Range: bytes=100-\r\nIf-Range: %s\r\n", etag);
    cr_assert_eq(http_send(&c, "GET", path, NULL, extra, none, &r), 206);
    cr_assert_eq(r.body_len, bytes.len - 100);
    http_clear(&r);
    cr_assert_eq(
        http_send(&c, "GET", path, NULL, "Range: bytes=5-9\r\nIf-Range: \"x\"\r\n", none, &r), 200);
    http_clear(&r);
    cr_assert_eq(http_send(&c, "GET", path, NULL, "Range: bytes=99999999-\r\n", none, &r), 416);
    http_clear(&r);
    (void)snprintf(extra, sizeof extra, "If-None-Match: %s\r\n", etag);
    cr_assert_eq(http_send(&c, "GET", path, NULL, extra, none, &r), 304);
    http_clear(&r);
    cr_assert_eq(http_send(&c, "GET", "/bundles/../store.db.edge", NULL, "", none, &r), 404);
    http_clear(&r);
    buf_clear(&bytes);
}

// A second signature of key 1, in place of so many of the spaces behind the manifest: the same id and
// size, and other bytes.
static void sign_again(struct buf *bundle) {
    struct err e = ERR_NONE;
    struct keys_envelope_candidate envelope;
    struct buf raw;
    struct sign_signer *signers[2] = {forge_signer(0), forge_signer(1)};
    struct slice manifest = forge_manifest_of(buf_slice(bundle));
    must(keys_envelope_split(manifest, "manifest", &envelope, &e));
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    must(sign_signer_envelope(envelope.signed_part, signers, 2, &raw, &e));
    cr_assert_leq(raw.len, manifest.len);
    memcpy(bundle->data + (manifest.data - bundle->data), raw.data, raw.len);
    buf_clear(&raw);
    sign_signer_free(signers[0]);
    sign_signer_free(signers[1]);
}

Test(serve_http, a_bundle_that_is_sent_again_otherwise_packed_has_another_etag) {
    struct buf bytes;
    struct reply r;
    struct slice none = {NULL, 0};
    char path[128], id[96], before[96], after[96], extra[256];
    bundle_make("1.0", "", "", &bytes);
    cr_assert_eq(bundle_send(&c, buf_slice(&bytes), &r), 201);
    (void)snprintf(path, sizeof path, "%s", text_at(r.json, "url"));
    (void)snprintf(id, sizeof id, "%s", text_at(r.json, "id"));
    http_clear(&r);
    cr_assert_eq(http_send(&c, "HEAD", path, NULL, "", none, &r), 200);
    etag_of(&r, before);
    http_clear(&r);
    sign_again(&bytes);
    cr_assert_eq(bundle_send(&c, buf_slice(&bytes), &r), 200);
    cr_assert_str_eq(text_at(r.json, "id"), id);
    http_clear(&r);
    // Whoever goes on with the one before gets all of the other one, and no mixture.
    (void)snprintf(extra, sizeof extra, "Range: bytes=100-\r\nIf-Range: %s\r\n", before);
    cr_assert_eq(http_send(&c, "GET", path, NULL, extra, none, &r), 200);
    etag_of(&r, after);
    cr_assert_str_neq(after, before);
    cr_assert_eq(r.body_len, bytes.len);
    cr_assert_eq(memcmp(r.body, bytes.data, bytes.len), 0);
    http_clear(&r);
    (void)snprintf(extra, sizeof extra, "If-None-Match: %s\r\n", before);
    cr_assert_eq(http_send(&c, "GET", path, NULL, extra, none, &r), 200);
    http_clear(&r);
    buf_clear(&bytes);
}

Test(serve_download, ranges_are_read_strictly) {
    const struct {
        const char *header;
        int result;
        uint64_t first, len;
    } cases[] = {{"bytes=0-0", 0, 0, 1},
                 {"bytes=0-", 0, 0, 100},
                 {"bytes=-1", 0, 99, 1},
                 {"bytes=-1000", 0, 0, 100},
                 {"bytes=99-1000", 0, 99, 1},
                 {"bytes=100-", SERVE_DOWNLOAD_OUTSIDE, 0, 0},
                 {"bytes=-0", SERVE_DOWNLOAD_OUTSIDE, 0, 0},
                 {"bytes=5-4", SERVE_DOWNLOAD_ALL, 0, 0},
                 {"bytes=1-2,4-5", SERVE_DOWNLOAD_ALL, 0, 0},
                 {"bytes=-", SERVE_DOWNLOAD_ALL, 0, 0},
                 {"bytes=+1-2", SERVE_DOWNLOAD_ALL, 0, 0},
                 {"lines=1-2", SERVE_DOWNLOAD_ALL, 0, 0},
                 {"bytes=18446744073709551616-", SERVE_DOWNLOAD_ALL, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct serve_download_range got = {0};
        cr_assert_eq(serve_download_range(cases[i].header, 100, &got), cases[i].result, "%s",
                     cases[i].header);
        cr_assert_eq(got.first, cases[i].first, "%s", cases[i].header);
        cr_assert_eq(got.len, cases[i].len, "%s", cases[i].header);
    }
}

// What is used up is bounded, so strangers must not be able to use up anything.
Test(serve_challenge, a_signature_that_is_wrong_uses_nothing_up) {
    struct device d;
    char challenge[BUNDLE_CHALLENGE_HEX], hex[2 * KEYS_ED25519_SIGNATURE_BYTES + 1], body[512];
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    set_up();
    device_join(&c, &d, 1);
    device_sign(&c, &d, BUNDLE_TOKEN_CONTEXT, challenge, signature);
    static const unsigned wanted[] = {403, 403, 200, 401}; // wrong twice, right, again
    for (size_t i = 0; i < 4; i++) {
        struct reply r;
        signature[5] ^= i == 0 || i == 2 ? 1 : 0;
        text_hex(signature, sizeof signature, hex);
        (void)snprintf(body, sizeof body,
                       "{\"challenge\":\"%s\",\"device\":\"%s\",\"signature\":\"%s\"}", challenge,
                       d.id, hex);
        cr_assert_eq(http_send(&c, "POST", "/api/device/v1/token", NULL, "",
                               (struct slice){(const uint8_t *)body, strlen(body)}, &r),
                     wanted[i], "%zu: %s", i, r.body);
        http_clear(&r);
    }
    device_free(&d);
    tear_down();
}

Test(serve_challenge, is_good_for_two_minutes_and_once) {
    struct serve_challenges *challenges = NULL, *others = NULL;
    struct err e = ERR_NONE;
    char a[BUNDLE_CHALLENGE_HEX], b[BUNDLE_CHALLENGE_HEX];
    must(serve_challenge_open(&challenges, &e));
    must(serve_challenge_open(&others, &e));
    serve_challenge_make(challenges, 1000, a);
    serve_challenge_make(challenges, 1000, b);
    must(serve_challenge_use(challenges, a, 1000 + SERVE_CHALLENGE_S * 1000LL, &e));
    cr_assert_lt(serve_challenge_use(challenges, a, 2000, &e), 0);
    err_clear(&e);
    cr_assert_lt(serve_challenge_use(challenges, b, 1001 + SERVE_CHALLENGE_S * 1000LL, &e), 0);
    err_clear(&e);
    cr_assert_lt(serve_challenge_use(others, b, 2000, &e), 0);
    err_clear(&e);
    b[3] = b[3] == '0' ? '1' : '0';
    cr_assert_lt(serve_challenge_use(challenges, b, 2000, &e), 0);
    serve_challenge_close(challenges);
    serve_challenge_close(others);
}

Test(serve_guard, a_connection_that_is_late_is_shut_down) {
    struct serve_guard *guard = NULL;
    struct err e = ERR_NONE;
    int pair[2];
    char byte;
    must(serve_guard_open(&guard, &e));
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct serve_guard_entry *entry = serve_guard_add(guard, pair[0], 1000);
    cr_assert_eq(serve_guard_sweep(guard, 999), 0);
    serve_guard_set(guard, entry, 2000);
    cr_assert_eq(serve_guard_sweep(guard, 1999), 0);
    cr_assert_eq(serve_guard_sweep(guard, 2000), 1);
    cr_assert_eq(read(pair[1], &byte, 1), 0);
    cr_assert_eq(serve_guard_sweep(guard, 3000), 0);
    serve_guard_remove(guard, entry);
    serve_guard_close(guard);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

Test(serve_pace, a_device_that_asks_too_often_is_told_so_and_others_are_not) {
    static struct serve_pace pace;
    int64_t now_ms = 1000;
    for (int i = 0; i < SERVE_PACE_BURST; i++)
        cr_assert(serve_pace_allows(&pace, "a", now_ms));
    cr_assert_not(serve_pace_allows(&pace, "a", now_ms));
    cr_assert(serve_pace_allows(&pace, "b", now_ms));
    now_ms += 1000 / SERVE_PACE_PER_S;
    cr_assert(serve_pace_allows(&pace, "a", now_ms));
    cr_assert_not(serve_pace_allows(&pace, "a", now_ms));
    now_ms += 3600 * 1000;
    for (int i = 0; i < SERVE_PACE_BURST; i++)
        cr_assert(serve_pace_allows(&pace, "a", now_ms));
    cr_assert_not(serve_pace_allows(&pace, "a", now_ms));
}
