// SPDX-License-Identifier: Apache-2.0
//
// The jobs "refresh" and "judge" with the worker program, against servers that answer every request
// in the same wrong way, and over directories with what must not be accepted. What honest
// repositories do is in tests/e2e/trust_device.py.
#include "agent/trust/verdict.h"
#include "base/fs.h"
#include "base/own.h"
#include "keys/kind.h"
#include "keys/root.h"
#include "keys/tuf/metadata.h"
#include "tests/support/faultd.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"
#include "tests/unit/agent/worker/hired.h"

#define ANSWERS 16
#define HEAD    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
#define ABSENT  "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n"

static struct agent_job job;
static struct tmp_dir incoming, trusted;
static struct faultd *server;
static int fds[4];

static void put(int dir, const char *name, const void *data, size_t len) {
    struct err e = ERR_NONE;
    cr_assert_eq(fs_replace(dir, name, data, len, 0644, &e), 0, "%s", e.text);
}

static void put_root(void) {
    struct keys_role roles[KEYS_ROOT_ROLES];
    struct keys_header header = {1, FORGE_ISSUED_S, FORGE_EXPIRES_S};
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        forge_role(1, 1, &roles[i]);
    cr_assert_eq(keys_root_format(roles, &header, &part, &e), 0, "%s", e.text);
    forge_envelope(buf_slice(&part), &raw);
    put(trusted.fd, "root.json", raw.data, raw.len);
}

static void start(void) {
    struct err e = ERR_NONE;
    cr_assert_eq(keys_secret_init(&e), 0);
    incoming = tmp_dir_make();
    trusted = tmp_dir_make();
    put_root();
    job = (struct agent_job){.kind = AGENT_JOB_REFRESH,
                             .timeout_s = 20,
                             .net = {.connect_timeout_s = 5, .rate_min_bytes_s = 1, .stall_s = 5}};
    fds[0] = incoming.fd;
    fds[1] = trusted.fd;
    fds[2] = fds[3] = -1;
}

static void finish(void) {
    if (server)
        faultd_close(server);
    own_drop_fd(&fds[2]);
    tmp_dir_remove(&incoming);
    tmp_dir_remove(&trusted);
}

TestSuite(refresh, .init = start, .fini = finish, .timeout = 60);
TestSuite(judge, .init = start, .fini = finish, .timeout = 60);

// The first request of a refresh is for the next root.
static void serve_behind(const struct faultd_scene *root, const struct faultd_scene *scene) {
    static struct faultd_scene all[ANSWERS];
    all[0] = *root;
    for (size_t i = 1; i < ANSWERS; i++)
        all[i] = *scene;
    server = faultd_open(all, ANSWERS);
    (void)snprintf(job.repository, sizeof job.repository, "%s/there", faultd_url(server));
}

static void serve(const struct faultd_scene *scene) {
    serve_behind(scene, scene);
}

static int count(void *context, const char *name, mode_t type, struct err *e) {
    (void)name;
    (void)type;
    (void)e;
    (*(size_t *)context)++;
    return 0;
}

static size_t files_in(int dir) {
    size_t n = 0;
    struct err e = ERR_NONE;
    cr_assert_eq(fs_list(dir, ".", count, &n, &e), 0);
    return n;
}

// Returns how many bytes were taken.
static uint64_t refused(const struct err_kind *kind) {
    struct hired h = hire(&job, fds);
    uint64_t taken = hired_result(&h, kind)->source_bytes;
    cr_expect_eq(files_in(incoming.fd), 0, "nothing that did not hold is left, even here");
    cr_expect_eq(files_in(trusted.fd), 1);
    return taken;
}

Test(refresh, a_file_without_an_end_is_cut_at_its_ceiling) {
    static uint8_t blanks[1 << 20];
    memset(blanks, ' ', sizeof blanks);
    const struct faultd_scene scene = {
        .head = HEAD, .body = blanks, .body_len = sizeof blanks, .cut = FAULTD_WHOLE};
    serve(&scene);
    cr_expect_leq(refused(&err_limit), TUF_ROOT_MAX_BYTES);
}

Test(refresh, garbage_is_no_metadata) {
    const struct faultd_scene scene = {
        .head = HEAD, .body = "<html>\0\xff", .body_len = 8, .cut = FAULTD_WHOLE};
    serve(&scene);
    (void)refused(&err_syntax);
}

Test(refresh, signatures_by_nobody_count_nothing) {
    static const char text[] =
        "{\"signatures\":[],\"signed\":{\"_type\":\"timestamp\",\"expires\":\"2090-01-01T00:00:"
        "00Z\","
        "\"meta\":{\"snapshot.json\":{\"version\":1}},\"spec_version\":\"1.0\",\"version\":1}}";
    const struct faultd_scene no_root = {.head = ABSENT, .cut = FAULTD_WHOLE};
    const struct faultd_scene scene = {
        .head = HEAD, .body = text, .body_len = sizeof text - 1, .cut = FAULTD_WHOLE};
    serve_behind(&no_root, &scene);
    refused(&err_below_threshold);
}

Test(refresh, a_repository_with_nothing_in_it_is_not_found) {
    static char page[100000];
    memset(page, 'x', sizeof page);
    const struct faultd_scene scene = {
        .head = ABSENT, .body = page, .body_len = sizeof page, .cut = FAULTD_WHOLE};
    serve(&scene);
    (void)refused(&err_not_found);
    cr_expect(strncmp(faultd_request(server, 0), "GET /there/metadata/2.root.json HTTP/1.1", 40) ==
                  0,
              "%s", faultd_request(server, 0));
    cr_expect(strstr(faultd_request(server, 0), "Authorization") == NULL, "I9");
}

Test(refresh, a_server_that_is_busy_says_when_to_come_back) {
    const struct faultd_scene scene = {
        .head = "HTTP/1.1 503 Busy\r\nRetry-After: 77\r\nConnection: close\r\n\r\n",
        .cut = FAULTD_WHOLE};
    serve(&scene);
    struct hired h = hire(&job, fds);
    cr_expect_eq(hired_result(&h, &err_http)->retry_after_s, 77);
}

Test(refresh, a_drip_ends_with_the_deadline_of_the_whole) {
    static const char body[4096] = " ";
    const struct faultd_scene scene = {
        .head = HEAD, .body = body, .body_len = sizeof body, .cut = FAULTD_WHOLE, .drip_ms = 50};
    job.timeout_s = 1;
    job.net.rate_min_bytes_s = 0;
    serve(&scene);
    (void)refused(&err_too_slow);
}

// Each of them in time: what would be the next request's time is what the first one left of it.
Test(refresh, answers_that_are_slow_one_by_one_share_one_deadline) {
    const struct faultd_scene scene = {.head =
                                           "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n",
                                       .body = "none",
                                       .body_len = 4,
                                       .cut = FAULTD_WHOLE,
                                       .stall_ms = 700};
    job.timeout_s = 1;
    job.net.rate_min_bytes_s = 0;
    serve(&scene);
    (void)refused(&err_too_slow);
}

Test(refresh, silence_ends_with_the_least_rate) {
    static const char body[] = "{}";
    const struct faultd_scene scene = {
        .head = HEAD, .body = body, .body_len = 2, .cut = FAULTD_WHOLE, .stall_ms = 20000};
    job.timeout_s = 3600; // which is not what ends it
    job.net.stall_s = 1;
    job.net.rate_min_bytes_s = 100;
    serve(&scene);
    (void)refused(&err_too_slow);
}

Test(refresh, without_a_trusted_root_nobody_is_asked) {
    const struct faultd_scene scene = {.head = HEAD, .cut = FAULTD_WHOLE};
    struct err e = ERR_NONE;
    serve(&scene);
    cr_assert_eq(fs_remove(trusted.fd, "root.json", &e), 0);
    struct hired h = hire(&job, fds);
    (void)hired_result(&h, &err_not_found);
    cr_expect_eq(faultd_played(server), 0);
}

static void judged(const struct err_kind *kind, struct trust_verdict *ret) {
    OWN(buf) struct buf text;
    uint64_t size;
    uint8_t *room;
    size_t got;
    struct err e = ERR_NONE;
    buf_init(&text, TRUST_VERDICT_MAX_BYTES);
    job.kind = AGENT_JOB_JUDGE;
    (void)snprintf(job.target, sizeof job.target, "a/1/b.json");
    fds[2] = hired_text("");
    struct hired h = hire(&job, fds);
    (void)hired_result(&h, kind);
    cr_assert_eq(fs_size(fds[2], &size, &e), 0);
    cr_assert_eq(buf_reserve(&text, (size_t)size, &room, &e), 0);
    cr_assert_eq(fs_pread(fds[2], room, (size_t)size, 0, &got, &e), 0);
    buf_commit(&text, got);
    cr_assert_eq(trust_verdict_parse(buf_slice(&text), ret, &e), 0, "%s: %s", e.text,
                 buf_text(&text));
    cr_expect_not(ret->found);
    cr_expect_null(ret->floors);
}

Test(judge, of_nothing_accepts_nothing) {
    struct trust_verdict v;
    judged(&err_not_found, &v);
    cr_expect_eq(v.n_steps, 0);
    trust_verdict_clear(&v);
}

Test(judge, accepts_nothing_of_what_a_worker_made_up) {
    static const char *const names[] = {"2.root.json", "timestamp.json", "3.snapshot.json",
                                        "4.targets.json"};
    static const char made_up[] = "{\"signatures\":[],\"signed\":{}}";
    struct trust_verdict v;
    for (size_t i = 0; i < 4; i++)
        put(incoming.fd, names[i], made_up, strlen(made_up));
    judged(&err_root_chain, &v);
    cr_expect_eq(v.n_steps, 0);
    trust_verdict_clear(&v);
}
