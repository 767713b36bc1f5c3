// SPDX-License-Identifier: Apache-2.0
//
// Each ceiling of a controller: at it, below it, above it.
#include <poll.h>

#include "ctl/rollout/strata.h"
#include "ctl/serve/enroll.h"
#include "ctl/serve/publish.h"
#include "ctl/serve/work.h"

#include "tests/unit/ctl/serve/device.h"

static struct controller c;

static void set_up(void) {
    controller_make(&c);
    controller_start(&c);
}

static void tear_down(void) {
    controller_free(&c);
}

TestSuite(serve_limits, .init = set_up, .fini = tear_down, .timeout = 1200);

static unsigned enroll(unsigned number, const char *token, const json_t *facts, json_t **ret) {
    struct device d;
    device_make(&d, number);
    d.facts = facts;
    unsigned status = device_enroll(&c, &d, token, ret);
    device_free(&d);
    return status;
}

Test(serve_limits, devices_that_wait_to_be_accepted) {
    OWN(json) json_t *refused = NULL;
    for (unsigned i = 0; i < SERVE_ENROLL_PENDING_MAX; i++)
        cr_assert_eq(enroll(i, "", NULL, NULL), 200, "device %u", i);
    cr_expect_eq(enroll(SERVE_ENROLL_PENDING_MAX, "", NULL, &refused), 429);
    cr_expect_str_eq(text_at(refused, "code"), "rate_limited");
    cr_expect_eq(enroll(0, "", NULL, NULL), 200, "who waits already may ask again");
    // A token does not wait; and who was looked at leaves room.
    OWN(json)
    json_t *token = admin(&c, 201, "POST", "/api/v1/tokens", "{\"kind\":\"enroll\"}");
    cr_expect_eq(enroll(SERVE_ENROLL_PENDING_MAX + 1, text_at(token, "secret"), NULL, NULL), 200);
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-0/accept", "{}"));
    cr_expect_eq(enroll(SERVE_ENROLL_PENDING_MAX, "", NULL, NULL), 200);
}

static int count_entry(void *context, const char *name, mode_t type, struct err *e) {
    (void)name;
    (void)type;
    (void)e;
    ++*(unsigned *)context;
    return 0;
}

static unsigned count_uploads(void) {
    struct err e = ERR_NONE;
    int dir = -1;
    unsigned n = 0;
    must(fs_open_dir(c.dir.fd, "server/bundles", &dir, &e));
    must(fs_list(dir, ".", count_entry, &n, &e));
    (void)close(dir);
    return n;
}

// Until so many files of uploads are there.
static void wait_uploads(unsigned wanted) {
    for (int i = 0; i < 10000 && count_uploads() != wanted; i++)
        (void)usleep(10000);
    cr_assert_eq(count_uploads(), wanted);
}

// An upload that has begun and does not go on.
static int begin_upload(void) {
    char head[512];
    int fd = http_connect(&c);
    int len = snprintf(head, sizeof head,
                       "POST /api/v1/releases HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                       "Authorization: Bearer %s\r\n\r\nmanifest",
                       c.admin);
    cr_assert_eq(send(fd, head, (size_t)len, MSG_NOSIGNAL), len);
    return fd;
}

// The same where one has ended: its place is free a moment after its answer. Until then an answer
// comes at once, a refusal.
static int begin_upload_again(unsigned files) {
    for (;;) {
        int fd = begin_upload();
        struct pollfd answer = {.fd = fd, .events = POLLIN};
        while (poll(&answer, 1, 10) == 0) {
            if (count_uploads() == files)
                return fd;
        }
        (void)close(fd);
    }
}

static unsigned upload(const char *release, char *ret_code, size_t code_bytes) {
    struct buf bytes;
    struct reply r;
    bundle_make(release, "", "", &bytes);
    unsigned status = bundle_send(&c, buf_slice(&bytes), &r);
    (void)snprintf(ret_code, code_bytes, "%s", text_at(r.json, "code"));
    http_clear(&r);
    buf_clear(&bytes);
    return status;
}

Test(serve_limits, uploads_at_the_same_time) {
    int fds[SERVE_PUBLISH_UPLOADS_MAX];
    char code[32];
    for (unsigned i = 0; i < SERVE_PUBLISH_UPLOADS_MAX - 1; i++) {
        fds[i] = begin_upload();
        wait_uploads(i + 1);
    }
    cr_assert_eq(upload("1.0", code, sizeof code), 201, "the last place: %s", code);
    // What was published is a file of that folder, too.
    fds[SERVE_PUBLISH_UPLOADS_MAX - 1] = begin_upload_again(SERVE_PUBLISH_UPLOADS_MAX + 1);
    cr_expect_eq(upload("1.1", code, sizeof code), 503);
    cr_expect_str_eq(code, "overloaded");
    (void)close(fds[0]);
    wait_uploads(SERVE_PUBLISH_UPLOADS_MAX);
    unsigned status;
    while ((status = upload("1.1", code, sizeof code)) ==
           503) // until its file's place is free, too
        (void)usleep(10000);
    cr_expect_eq(status, 201, "a place is free again: %s", code);
    for (unsigned i = 1; i < SERVE_PUBLISH_UPLOADS_MAX; i++)
        (void)close(fds[i]);
}

// Asks for news behind event `after`, and for how long to wait.
static int ask_news(json_int_t after, unsigned wait_s) {
    char head[512];
    int fd = http_connect(&c);
    int len = snprintf(head, sizeof head,
                       "GET /api/v1/events?after=%lld&wait_s=%u HTTP/1.1\r\nHost: x\r\n"
                       "Connection: close\r\nAuthorization: Bearer %s\r\n\r\n",
                       (long long)after, wait_s, c.admin);
    cr_assert_geq(fd, 0);
    cr_assert_eq(send(fd, head, (size_t)len, MSG_NOSIGNAL), len);
    return fd;
}

static unsigned hear_news(int fd, char *ret_code, size_t code_bytes) {
    struct reply r;
    http_read(fd, &r);
    (void)snprintf(ret_code, code_bytes, "%s", text_at(r.json, "code"));
    unsigned status = r.status;
    http_clear(&r);
    return status;
}

static unsigned ask_and_hear(json_int_t after, unsigned wait_s, char *ret_code, size_t code_bytes) {
    return hear_news(ask_news(after, wait_s), ret_code, code_bytes);
}

static json_int_t last_news(void) {
    OWN(json) json_t *news = admin(&c, 200, "GET", "/api/v1/events?after=0", "");
    return json_integer_value(json_object_get(news, "next"));
}

Test(serve_limits, calls_that_wait_for_news) {
    static int fds[SERVE_WORK_WAITING_MAX];
    enum { WAIT_S = 30 };
    char code[32];
    unsigned status = 0;
    struct keys_digest id;
    bundle_publish(&c, "1.0", &id);
    json_int_t last = last_news();
    for (size_t i = 0; i < SERVE_WORK_WAITING_MAX - 1; i++)
        fds[i] = ask_news(last, WAIT_S);
    cr_expect_eq(ask_and_hear(last, 1, code, sizeof code), 200, "the last place: %s", code);
    fds[SERVE_WORK_WAITING_MAX - 1] = ask_news(last, WAIT_S);
    // They are read and parked in any order: the one too many is refused when all of them are. None
    // waits longer than WAIT_S; where all of them together take longer, they begin again.
    for (int attempt = 0; attempt < 10 && status != 503; attempt++) {
        for (size_t i = 0; attempt > 0 && i < SERVE_WORK_WAITING_MAX; i++) {
            unsigned heard = hear_news(fds[i], code, sizeof code);
            // Refused where the place of the call before was free only a moment after its answer.
            cr_expect(heard == 200 || (heard == 503 && i == SERVE_WORK_WAITING_MAX - 1), "%zu: %s",
                      i, code);
            fds[i] = ask_news(last, WAIT_S);
        }
        for (int i = 0; i < WAIT_S && status != 503; i++)
            status = ask_and_hear(last, 1, code, sizeof code);
    }
    cr_expect_eq(status, 503, "%u %s", status, code);
    cr_expect_str_eq(code, "overloaded");
    cr_expect_eq(ask_and_hear(0, 0, code, sizeof code), 200, "who does not wait is answered");
    // News wake all; then there is room again.
    json_decref(
        admin(&c, 201, "POST", "/api/v1/rollouts", "{\"name\":\"news\",\"release\":\"app 1.0\"}"));
    for (size_t i = 0; i < SERVE_WORK_WAITING_MAX; i++)
        cr_expect_eq(hear_news(fds[i], code, sizeof code), 200, "%zu: %s", i, code);
    cr_expect_eq(ask_and_hear(last_news(), 1, code, sizeof code), 200, "%s", code);
}

Test(serve_limits, combinations_of_the_facts_that_a_rollout_stratifies_by) {
    OWN(json)
    json_t *token = admin(&c, 201, "POST", "/api/v1/tokens", "{\"kind\":\"enroll\"}");
    struct keys_digest id;
    bundle_publish(&c, "1.0", &id);
    for (unsigned i = 0; i <= BUNDLE_STRATA_MAX; i++) {
        OWN(json) json_t *facts = json_pack("{s:o}", "hw", json_sprintf("kind-%u", i));
        if (i == BUNDLE_STRATA_MAX)
            json_decref(admin(&c, 201, "POST", "/api/v1/rollouts",
                              "{\"name\":\"at\",\"release\":\"app 1.0\",\"stratify\":[\"hw\"]}"));
        cr_assert_eq(enroll(i, text_at(token, "secret"), facts, NULL), 200, "device %u", i);
    }
    OWN(json)
    json_t *refused = admin(&c, 400, "POST", "/api/v1/rollouts",
                            "{\"name\":\"above\",\"release\":\"app 1.0\",\"stratify\":[\"hw\"]}");
    cr_expect_str_eq(text_at(refused, "code"), "config");
    cr_expect_not_null(strstr(text_at(refused, "text"), "stratify"));
}

Test(serve_limits_start, connections) {
    static const unsigned counts[] = {SERVE_CONNECTIONS_MAX - 1, SERVE_CONNECTIONS_MAX,
                                      SERVE_CONNECTIONS_MAX + 1};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct serve_options options = {.workspace = "/nonexistent",
                                        .listen = "127.0.0.1:0",
                                        .connections_max = counts[i],
                                        .say = controller_say};
        struct err e = ERR_NONE;
        cr_assert_lt(serve_run(&options, &e), 0);
        // What is not too much gets as far as the workspace, which does not exist.
        cr_expect_str_eq(e.kind->name, counts[i] > SERVE_CONNECTIONS_MAX ? "config" : "not_found",
                         "%u: %s", counts[i], e.text);
    }
}
