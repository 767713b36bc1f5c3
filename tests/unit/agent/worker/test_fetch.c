// SPDX-License-Identifier: Apache-2.0
//
// Fetching and staging with the worker program, from a file and from servers, also as another user
// who can reach nothing but what the descriptors give.
#include <sys/stat.h>

#include "bundle/kind.h"
#include "bundle/seal.h"
#include "keys/kind.h"
#include "keys/root.h"
#include "tests/support/faultd.h"
#include "tests/support/forge.h"
#include "tests/support/skip.h"
#include "tests/support/tmp.h"
#include "tests/unit/agent/worker/hired.h"

#define FILE_BYTES   30000 // one chunk
#define FILES        5
#define OTHER_USER   65534
#define BUNDLE_BYTES (FILES * FILE_BYTES + 65536)

static struct agent_job job = {
    .kind = AGENT_JOB_FETCH,
    .decode_max_bytes = 4 << 20,
    .net = {.connect_timeout_s = 60, .rate_min_bytes_s = 1, .stall_s = 60, .retries = 2}};
static uint8_t contents[FILES][FILE_BYTES];
static struct buf bundle;
static struct keys_digest id;
static struct tmp_dir dir;
static int fds[6]; // as the job wants them

static void forge_it(const char *component) {
    struct buf tree;
    struct slice parts[FILES];
    struct err e = ERR_NONE;
    buf_init(&tree, 4096);
    buf_init(&bundle, BUNDLE_BYTES);
    for (size_t i = 0; i < FILES; i++) {
        char name[] = {(char)('a' + i), '\0'};
        for (size_t k = 0; k < FILE_BYTES; k++)
            contents[i][k] = (uint8_t)((k * 2654435761U >> 13) + i);
        parts[i] = (struct slice){contents[i], FILE_BYTES};
        forge_file_line(name, parts[i], i == 0, &tree);
    }
    json_t *change = json_pack("{s:s}", "name", component);
    const struct forge how = {
        .tree = buf_text(&tree), .n_contents = FILES, .contents = parts, .component = change};
    forge_bundle(&how, &bundle);
    json_decref(change);
    buf_clear(&tree);

    struct keys_role role;
    struct bundle_manifest *manifest = NULL;
    forge_role(1, 1, &role);
    cr_assert_eq(
        bundle_manifest_verify(forge_manifest_of(buf_slice(&bundle)), &role, &manifest, &e), 0);
    id = *bundle_manifest_id(manifest);
    bundle_manifest_free(manifest);
}

static int forge_root(void) {
    struct keys_role roles[KEYS_ROOT_ROLES];
    const struct keys_header header = {
        .version = 1, .issued_s = FORGE_ISSUED_S, .expires_s = FORGE_EXPIRES_S};
    struct buf part, raw;
    struct err e = ERR_NONE;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    for (size_t i = 0; i < KEYS_ROOT_ROLES; i++)
        forge_role(1, 1, &roles[i]);
    cr_assert_eq(keys_root_format(roles, &header, &part, &e), 0, "%s", e.text);
    forge_envelope(buf_slice(&part), &raw);
    int fd = hired_memfd(raw.data, raw.len);
    buf_clear(&part);
    buf_clear(&raw);
    return fd;
}

static void start(void) {
    struct err e = ERR_NONE;
    cr_assert_eq(keys_secret_init(&e), 0);
    forge_it("c");
    dir = tmp_dir_make();
    cr_assert_eq(mkdirat(dir.fd, "partial", 0755), 0);
    fds[0] = openat(dir.fd, "partial", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fds[2] = forge_root();
    fds[3] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fds[4] = memfd_create("manifest", MFD_CLOEXEC);
    fds[5] = -1;
    cr_assert(fds[0] >= 0 && fds[1] >= 0 && fds[3] >= 0 && fds[4] >= 0);
}

static void finish(void) {
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    buf_clear(&bundle);
    tmp_dir_remove(&dir);
}

TestSuite(fetch, .init = start, .fini = finish, .timeout = 1200);

static void give_file(const void *data, size_t len) {
    close(fds[3]);
    fds[3] = hired_memfd(data, len);
}

static const struct agent_job_message proceed = {.type = AGENT_JOB_PROCEED};

static void expect_manifest(const struct hired *h) {
    static uint8_t got[BUNDLE_MANIFEST_MAX_BYTES];
    const struct slice manifest = forge_manifest_of(buf_slice(&bundle));
    const struct agent_job_message *m = hired_say(h, AGENT_JOB_MANIFEST);
    cr_assert(keys_digest_equal(&m->u.manifest.id, &id));
    cr_assert_eq(m->u.manifest.total_bytes, bundle.len);
    cr_assert_geq(m->u.manifest.stream_bytes, FILES * FILE_BYTES);
    cr_assert_eq(pread(fds[4], got, sizeof got, 0), (ssize_t)manifest.len);
    cr_assert(memcmp(got, manifest.data, manifest.len) == 0);
}

// PROGRESS and SPENT, as much as there is, and then success.
static const struct agent_job_result *expect_success(struct hired *h) {
    static struct agent_job_result result;
    struct agent_job_message *m = malloc(sizeof *m);
    struct err e = ERR_NONE;
    uint64_t done = 0, total = 0;
    cr_assert(m != NULL);
    do {
        cr_assert_eq(agent_job_receive(h->control, m, &e), 0, "the worker is gone %s", e.text);
        if (m->type == AGENT_JOB_PROGRESS) {
            cr_assert_geq(m->u.progress.done_bytes, done);
            done = m->u.progress.done_bytes;
            total = m->u.progress.total_bytes;
        }
    } while (m->type == AGENT_JOB_PROGRESS || m->type == AGENT_JOB_SPENT);
    cr_assert_eq(m->type, AGENT_JOB_RESULT);
    result = m->u.result;
    free(m);
    cr_assert_str_eq(result.kind, "", "%s", result.text);
    cr_assert_eq(done, total, "the last word is all of it");
    cr_assert_eq(hired_end(h), 0);
    return &result;
}

static void expect_staged(void) {
    static uint8_t got[FILE_BYTES + 1];
    for (size_t i = 0; i < FILES; i++) {
        char path[] = {'c', '/', (char)('a' + i), '\0'};
        int fd = openat(fds[0], path, O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0, "%s", path);
        cr_assert_eq(read(fd, got, sizeof got), FILE_BYTES);
        cr_assert(memcmp(got, contents[i], FILE_BYTES) == 0);
        close(fd);
    }
}

static struct faultd *serve(const struct faultd_scene *scenes, size_t n) {
    struct faultd *server = faultd_open(scenes, n);
    snprintf(job.url, sizeof job.url, "%s/x.edge", faultd_url(server));
    job.bundle_bytes = bundle.len;
    keys_digest_hex(&id, job.bundle);
    return server;
}

Test(fetch, a_bundle_in_a_file_is_staged) {
    give_file(bundle.data, bundle.len);
    struct hired h = hire(&job, fds);
    expect_manifest(&h);
    hired_answer(&h, &proceed);
    const struct agent_job_result *r = expect_success(&h);
    cr_assert_leq(r->source_bytes, bundle.len);
    cr_assert_geq(r->stream_bytes, FILES * FILE_BYTES);
    expect_staged();
}

Test(fetch, a_bundle_on_a_server_is_staged) {
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bundle.data,
                                       bundle.len, .cut = FAULTD_WHOLE};
    strcpy(job.token, "secret.token");
    struct faultd *server = serve(&scene, 1);
    struct hired h = hire(&job, fds);
    expect_manifest(&h);
    hired_answer(&h, &proceed);
    cr_assert_eq(expect_success(&h)->source_bytes, bundle.len);
    expect_staged();
    cr_assert(strstr(faultd_request(server, 0), "secret.token") == NULL, "I9");
    faultd_close(server);
}

Test(fetch, a_broken_connection_is_mended) {
    char head[200];
    const size_t cut = bundle.len * 2 / 3;
    snprintf(head, sizeof head,
             "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-%zu/%zu\r\n\r\n", cut,
             bundle.len - 1, bundle.len);
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", bundle.data, bundle.len, .cut = cut},
        {head, bundle.data + cut, bundle.len - cut, .cut = FAULTD_WHOLE}};
    struct faultd *server = serve(scenes, 2);
    struct hired h = hire(&job, fds);
    expect_manifest(&h);
    hired_answer(&h, &proceed);
    expect_success(&h);
    expect_staged();
    faultd_close(server);
}

// An old range from a proxy, a file that was replaced: the total is the same, the bytes are not.
Test(fetch, another_file_from_the_middle_on_is_refused_and_the_next_attempt_succeeds) {
    char head[200];
    const size_t cut = bundle.len * 2 / 3;
    uint8_t *other = malloc(bundle.len);
    cr_assert(other != NULL);
    for (size_t i = 0; i < bundle.len; i++)
        other[i] = bundle.data[i] ^ 0x55;
    snprintf(head, sizeof head,
             "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-%zu/%zu\r\n\r\n", cut,
             bundle.len - 1, bundle.len);
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\nETag: \"1\"\r\n\r\n", bundle.data, bundle.len, .cut = cut},
        {head, other + cut, bundle.len - cut, .cut = FAULTD_WHOLE}};
    struct faultd *server = serve(scenes, 2);
    struct hired first = hire(&job, fds);
    expect_manifest(&first);
    hired_answer(&first, &proceed);
    hired_result(&first, &err_bad_frame);
    faultd_close(server);
    free(other);

    const struct faultd_scene honest = {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bundle.data,
                                        bundle.len, .cut = FAULTD_WHOLE};
    server = serve(&honest, 1);
    job.resume = true;
    struct hired second = hire(&job, fds);
    expect_manifest(&second);
    hired_answer(&second, &proceed);
    expect_success(&second);
    expect_staged();
    faultd_close(server);
}

// The second try of an agent takes what the first one left.
Test(fetch, what_was_staged_is_kept_when_it_is_right) {
    give_file(bundle.data, bundle.len);
    struct hired first = hire(&job, fds);
    expect_manifest(&first);
    hired_answer(&first, &proceed);
    expect_success(&first);
    int fd = openat(fds[0], "c/b", O_WRONLY | O_CLOEXEC);
    cr_assert(fd >= 0);
    cr_assert_eq(pwrite(fd, "changed", 7, 1000), 7);
    close(fd);
    job.resume = true;
    struct hired second = hire(&job, fds);
    expect_manifest(&second);
    hired_answer(&second, &proceed);
    cr_assert_lt(expect_success(&second)->stream_bytes, 2 * FILE_BYTES);
    expect_staged();
}

Test(fetch, another_bundle_at_the_address_is_refused) {
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\n\r\n", bundle.data, bundle.len,
                                       .cut = FAULTD_WHOLE};
    struct faultd *server = serve(&scene, 1);
    job.bundle[0] = job.bundle[0] == '0' ? '1' : '0';
    struct hired h = hire(&job, fds);
    hired_result(&h, &err_digest_mismatch);
    faultd_close(server);
}

Test(fetch, a_server_that_never_mends_is_given_up) {
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\n\r\n", bundle.data, bundle.len,
                                       .cut = 20000};
    const struct faultd_scene scenes[] = {scene, scene, scene, scene};
    struct faultd *server = serve(scenes, 4);
    struct hired h = hire(&job, fds);
    hired_say(&h, AGENT_JOB_MANIFEST);
    hired_answer(&h, &proceed);
    hired_result(&h, &err_unreachable);
    faultd_close(server);
}

Test(fetch, a_busy_server_says_when_to_come_back) {
    const struct faultd_scene scene = {
        "HTTP/1.1 503 Busy\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n", "", 0,
        .cut = FAULTD_WHOLE};
    struct faultd *server = serve(&scene, 1);
    struct hired h = hire(&job, fds);
    cr_assert_eq(hired_result(&h, &err_http)->retry_after_s, 77);
    faultd_close(server);
}

Test(fetch, changed_contents_are_refused_by_the_kind_of_what_changed) {
    give_file(bundle.data, bundle.len);
    cr_assert_eq(pwrite(fds[3], "\xff\xff", 2, (off_t)(bundle.len / 2)), 2);
    struct hired h = hire(&job, fds);
    expect_manifest(&h);
    hired_answer(&h, &proceed);
    hired_result(&h, &err_bad_frame);
}

Test(fetch, a_bundle_signed_by_strangers_is_refused_before_the_agent_is_asked) {
    static const char start_of_signature[] = "\"sig\":\"";
    uint8_t *at = memmem(bundle.data, bundle.len, start_of_signature, 7);
    cr_assert(at != NULL);
    at[8] = at[8] == '0' ? '1' : '0';
    give_file(bundle.data, bundle.len);
    struct hired h = hire(&job, fds);
    hired_result(&h, &err_bad_signature);
}

Test(fetch, what_is_no_bundle_is_refused) {
    give_file("<html>", 6);
    struct hired h = hire(&job, fds);
    hired_result(&h, &err_truncated);
}

Test(fetch, an_agent_that_hangs_up_gets_nothing_staged) {
    give_file(bundle.data, bundle.len);
    struct hired h = hire(&job, fds);
    expect_manifest(&h);
    shutdown(h.control, SHUT_RDWR);
    cr_assert_eq(hired_end(&h), err_worker_failed.exit_status);
    cr_assert(faccessat(fds[0], "c", F_OK, 0) < 0);
}

// Verification, without any agent

static int verify(const char *bundle_path, const char *root_path, struct buf *noise) {
    const char *const argv[] = {hired_program(), "--verify", root_path, bundle_path, NULL};
    struct proc_spec spec = proc_spec_none;
    struct err e = ERR_NONE;
    int status = -1;
    spec.argv = argv;
    const struct proc_run how = {
        .noise = noise, .timeout_ms = HIRED_PATIENCE_MS, .clock = chrono_system()};
    cr_assert_eq(proc_run(&spec, &how, &status, &e), 0, "%s", e.text);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static const char *put(const char *name, int from) {
    static char paths[4][300];
    static size_t next;
    static uint8_t data[BUNDLE_BYTES];
    char *path = paths[next++ % 4];
    ssize_t len = pread(from, data, sizeof data, 0);
    int fd = openat(dir.fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(len >= 0 && fd >= 0);
    cr_assert_eq(write(fd, data, (size_t)len), len);
    close(fd);
    snprintf(path, sizeof paths[0], "%s/%s", dir.path, name);
    return path;
}

Test(fetch, a_file_is_verified_by_exit_status_and_one_line) {
    struct buf noise;
    buf_init(&noise, 4096);
    give_file(bundle.data, bundle.len);
    const char *root = put("root.json", fds[2]);
    cr_assert_eq(verify(put("good.edge", fds[3]), root, &noise), 0);
    cr_assert_eq(noise.len, 0);
    cr_assert_eq(pwrite(fds[3], "\xff\xff", 2, (off_t)(bundle.len / 2)), 2);
    cr_assert_eq(verify(put("bad.edge", fds[3]), root, &noise), err_bad_frame.exit_status);
    cr_assert_gt(noise.len, 0);
    cr_assert_eq(memchr(noise.data, '\n', noise.len), noise.data + noise.len - 1, "one line");
    buf_clear(&noise);
}

// As another user

// The program where everybody can run it.
static void copy_program(char ret[static 300]) {
    static uint8_t data[65536];
    snprintf(ret, 300, "%s/worker", dir.path);
    int from = open(hired_program(), O_RDONLY | O_CLOEXEC);
    int to = openat(dir.fd, "worker", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    cr_assert(from >= 0 && to >= 0 && fchmod(to, 0755) == 0);
    for (ssize_t len = read(from, data, sizeof data); len > 0; len = read(from, data, sizeof data))
        cr_assert_eq(write(to, data, (size_t)len), len);
    close(from);
    close(to);
}

// What the agent makes of a stage. Returns the generation's descriptor.
static int seal(void) {
    struct keys_role role;
    struct bundle_manifest *manifest = NULL;
    struct bundle_seal_result result;
    struct err e = ERR_NONE;
    forge_role(1, 1, &role);
    cr_assert_eq(
        bundle_manifest_verify(forge_manifest_of(buf_slice(&bundle)), &role, &manifest, &e), 0);
    const struct bundle_seal how = {.partial_dir = fds[0],
                                    .previous_dir = -1,
                                    .manifest = manifest,
                                    .number = 1,
                                    .set_owner = true};
    cr_assert_eq(bundle_seal(&how, &result, &e), 0, "%s", e.text);
    bundle_manifest_free(manifest);
    return fds[0];
}

static void run_to_success(const struct proc_limits *limits) {
    struct hired h = hire_as(&job, fds, limits);
    expect_manifest(&h);
    hired_answer(&h, &proceed);
    expect_success(&h);
}

static const struct proc_limits another_user = {
    .set_user = true, .uid = OTHER_USER, .gid = OTHER_USER, .no_new_privs = true};

// A directory of the other user, and files that only root may open by name, as the agent has them.
static void prepare_for_another_user(void) {
    static char program[300];
    if (geteuid() != 0)
        skip_test("only root can start a worker as another user");
    cr_assert_eq(chmod(dir.path, 0711), 0);
    copy_program(program);
    setenv("EDGE_AGENT_WORKER", program, 1);
    give_file(bundle.data, bundle.len);
    const char *path = put("bundle", fds[3]);
    close(fds[3]);
    fds[3] = open(path, O_RDONLY | O_CLOEXEC);
    path = put("root.json", fds[2]);
    close(fds[2]);
    fds[2] = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(fchown(fds[0], OTHER_USER, OTHER_USER), 0);
}

Test(fetch, another_user_needs_nothing_but_the_descriptors) {
    struct stat st;
    prepare_for_another_user();
    run_to_success(&another_user);
    expect_staged();
    cr_assert_eq(fstatat(fds[0], "c/a", &st, 0), 0);
    cr_assert_eq(st.st_uid, OTHER_USER);
}

Test(fetch, another_user_leaves_out_what_the_previous_generation_has) {
    prepare_for_another_user();
    run_to_success(&another_user);
    close(fds[1]);
    fds[1] = seal();
    cr_assert_eq(mkdirat(dir.fd, "next", 0755), 0);
    fds[0] = openat(dir.fd, "next", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(fds[0] >= 0 && fchown(fds[0], OTHER_USER, OTHER_USER) == 0);
    run_to_success(&another_user);
    cr_assert(faccessat(fds[0], "c", F_OK, 0) == 0);
    cr_assert(faccessat(fds[0], "c/a", F_OK, 0) < 0, "the agent links it");
}
