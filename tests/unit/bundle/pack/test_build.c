// SPDX-License-Identifier: Apache-2.0
//
// Bundles made from real directories: they verify, unpack to what went in, and are the same bytes
// whoever makes them.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/tree.h"
#include "bundle/unpack/stage.h"
#include "keys/kind.h"
#include "tests/support/forge.h"
#include "tests/support/fs_fault.h"
#include "tests/support/skip.h"
#include "tests/support/tmp.h"

#define DECODE_MAX (4ULL << 20)

static void put(int dir, const char *path, const void *data, size_t len, mode_t mode) {
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL, mode);
    cr_assert(fd >= 0, "%s", path);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    cr_assert_eq(close(fd), 0);
}

static void put_text(int dir, const char *path, const char *text, mode_t mode) {
    put(dir, path, text, strlen(text), mode);
}

// Bytes that look random and are the same in every run.
static uint8_t *noise(size_t len, uint64_t seed) {
    uint8_t *data = malloc(len);
    cr_assert(data);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        data[i] = (uint8_t)(seed >> 56);
    }
    return data;
}

// A tree with all that a tree may have.
static void make_tree(int dir) {
    uint8_t *big = noise(3000000, 1);
    char *text = malloc(2000000);
    for (size_t i = 0; i < 2000000; i++)
        text[i] = "the quick brown fox jumps over the lazy dog\n"[(i * i / 7) % 44];
    cr_assert_eq(mkdirat(dir, "etc", 0755), 0);
    cr_assert_eq(mkdirat(dir, "etc/empty", 0700), 0);
    cr_assert_eq(mkdirat(dir, "etc-more", 0755), 0);
    put_text(dir, "etc/passwd", "root:x:0:0::/:/bin/sh\n", 0644);
    put_text(dir, "etc-more/a", "alpha", 0600);
    put_text(dir, "etc-more/nothing", "", 0644);
    put(dir, "model.bin", big, 3000000, 0644);
    put(dir, "model-copy.bin", big, 3000000, 0644);
    put(dir, "model-shifted.bin", big + 1000, 2999000, 0644);
    put(dir, "text", text, 2000000, 0644);
    put_text(dir, "run \"it\" \\ now", "#!/bin/sh\n", 0755);
    cr_assert_eq(symlinkat("../../outside", dir, "etc/up"), 0);
    cr_assert_eq(symlinkat("/absolute", dir, "link"), 0);
    free(big);
    free(text);
}

static int pack_component(const struct pack_component *component, const char *to, unsigned threads,
                          int level, struct pack_build_result *ret, struct err *e) {
    struct sign_signer *signer = forge_signer(0);
    const struct pack_build how = {.name = "demo",
                                   .release = "1.0",
                                   .version = 7,
                                   .issued_s = FORGE_ISSUED_S,
                                   .expires_s = FORGE_EXPIRES_S,
                                   .n_components = 1,
                                   .components = component,
                                   .level = level,
                                   .threads = threads,
                                   .n_signers = 1,
                                   .signers = &signer};
    int r = pack_build(&how, to, ret, e);
    sign_signer_free(signer);
    return r;
}

static int pack(const char *from, const char *to, unsigned threads, int level,
                struct pack_build_result *ret, struct err *e) {
    const struct pack_component component = {
        .name = "app", .type = PACK_INPUT_PATH, .path = from, .security_version = 3};
    return pack_component(&component, to, threads, level, ret, e);
}

static struct unpack_bundle *open_bundle(const struct unpack_source *source) {
    struct err e = ERR_NONE;
    struct keys_role role;
    struct unpack_candidate *candidate = NULL;
    struct unpack_bundle *bundle = NULL;
    forge_role(1, 1, &role);
    cr_assert_eq(unpack_open(source, &candidate, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_verify(&candidate, &role, &bundle, &e), 0, "%s", e.text);
    cr_assert_null(candidate);
    return bundle;
}

// 0 when diff finds the two trees, or cmp the two files, equal.
static int run(const char *command, const char *a, const char *b) {
    pid_t pid = fork();
    if (pid == 0) {
        if (strcmp(command, "diff") == 0)
            (void)execlp(command, command, "-r", "--no-dereference", a, b, (char *)NULL);
        else
            (void)execlp(command, command, a, b, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

Test(build, what_is_packed_is_what_is_staged) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_build_result made;
    char in[512], out[512], staged[512];
    (void)snprintf(in, sizeof in, "%s/in", tmp.path);
    (void)snprintf(out, sizeof out, "%s/demo-1.0.edge", tmp.path);
    (void)snprintf(staged, sizeof staged, "%s/stage/app", tmp.path);
    cr_assert_eq(mkdirat(tmp.fd, "in", 0755), 0);
    cr_assert_eq(mkdirat(tmp.fd, "stage", 0755), 0);
    int from = openat(tmp.fd, "in", O_RDONLY | O_DIRECTORY);
    int to = openat(tmp.fd, "stage", O_RDONLY | O_DIRECTORY);
    make_tree(from);
    cr_assert_eq(pack(in, out, 2, 3, &made, &e), 0, "%s", e.text);
    cr_expect_lt(made.raw_bytes, made.stream_bytes - 5900000, "copies cost nothing");

    OWN(fd) int fd = open(out, O_RDONLY);
    struct unpack_source_file file;
    struct unpack_source source;
    cr_assert_eq(unpack_source_from_file(fd, &file, &source, &e), 0);
    cr_expect_eq(file.size, made.file_bytes);
    struct unpack_bundle *bundle = open_bundle(&source);
    cr_expect(keys_digest_equal(bundle_manifest_id(unpack_bundle_manifest(bundle)), &made.id));
    cr_assert_eq(unpack_check(bundle, &source, DECODE_MAX, &e), 0, "%s", e.text);
    const struct unpack_stage how = {
        .target_dir = to, .previous_dir = -1, .older_dir = -1, .decode_max_bytes = DECODE_MAX};
    struct unpack_stage_result result;
    cr_assert_eq(unpack_stage(bundle, &source, &how, &result, &e), 0, "%s", e.text);
    cr_expect_eq(result.files_written, 8);
    cr_expect_eq(run("diff", in, staged), 0);
    unpack_bundle_free(bundle);
    (void)close(from);
    (void)close(to);
}

static void expect_same(const char *a, const char *b) {
    cr_expect_eq(run("cmp", a, b), 0, "%s and %s differ", a, b);
}

Test(build, the_same_input_gives_the_same_bytes_on_any_number_of_threads) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_build_result made;
    char in[512], out[4][512];
    (void)snprintf(in, sizeof in, "%s/in", tmp.path);
    cr_assert_eq(mkdirat(tmp.fd, "in", 0755), 0);
    OWN(fd) int from = openat(tmp.fd, "in", O_RDONLY | O_DIRECTORY);
    make_tree(from);
    uint8_t *large = noise(6000000, 9);
    put(from, "large", large, 6000000, 0644);
    free(large);
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(out[i], sizeof out[i], "%s/%u.edge", tmp.path, i);
        cr_assert_eq(pack(in, out[i], i ? 2 * i - 1 : 2, 1, &made, &e), 0, "%s", e.text);
        // Neither times nor the order of a directory matter.
        cr_assert_eq(renameat(from, "text", from, "x"), 0);
        cr_assert_eq(renameat(from, "x", from, "text"), 0);
        cr_assert_eq(futimens(from, NULL), 0);
        expect_same(out[0], out[i]);
    }
}

// What a directory may not have: made by `make`, refused by name, dropped or left out when
// stripped.
struct member {
    const char *name;
    void (*make)(int dir);
    uint64_t stripped, skipped;
};

static void make_setuid(int dir) {
    put_text(dir, "special", "x", 0755);
    cr_assert_eq(fchmodat(dir, "special", 04755, 0), 0);
}
static void make_setgid(int dir) {
    cr_assert_eq(mkdirat(dir, "special", 0755), 0);
    cr_assert_eq(fchmodat(dir, "special", 02755, 0), 0);
}
static void make_sticky(int dir) {
    cr_assert_eq(mkdirat(dir, "special", 0755), 0);
    cr_assert_eq(fchmodat(dir, "special", 01777, 0), 0);
}
static void make_fifo(int dir) {
    cr_assert_eq(mkfifoat(dir, "special", 0644), 0);
}
static void make_attribute(int dir) {
    put_text(dir, "special", "x", 0644);
    OWN(fd) int fd = openat(dir, "special", O_RDWR);
    if (fsetxattr(fd, "user.edge", "1", 1, 0) < 0)
        skip_test("this file system has no extended attributes");
}

Test(build, what_a_bundle_cannot_carry_is_refused_by_path_or_stripped) {
    static const struct member members[] = {
        {"setuid", make_setuid, 1, 0},       {"setgid", make_setgid, 1, 0},
        {"sticky", make_sticky, 1, 0},       {"fifo", make_fifo, 0, 1},
        {"attribute", make_attribute, 0, 0},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
        struct err e = ERR_NONE;
        struct pack_build_result made;
        char in[512], out[512];
        struct stat status;
        (void)snprintf(in, sizeof in, "%s/in", tmp.path);
        (void)snprintf(out, sizeof out, "%s/out", tmp.path);
        cr_assert_eq(mkdirat(tmp.fd, "in", 0755), 0);
        OWN(fd) int dir = openat(tmp.fd, "in", O_RDONLY | O_DIRECTORY);
        members[i].make(dir);
        struct pack_component component = {.name = "app", .type = PACK_INPUT_PATH, .path = in};
        cr_expect_lt(pack_component(&component, out, 1, 3, &made, &e), 0, "%s", members[i].name);
        cr_expect(err_is(&e, &err_unsupported_member), "%s: %s", members[i].name, e.text);
        cr_expect_not_null(strstr(e.text, "special"), "it names the path: %s", e.text);
        cr_expect_lt(fstatat(tmp.fd, "out", &status, 0), 0, "nothing was left");
        cr_expect_lt(fstatat(tmp.fd, "out.partial", &status, 0), 0, "nothing was left");
        component.strip_special = true;
        err_clear(&e);
        cr_expect_eq(pack_component(&component, out, 1, 3, &made, &e), 0, "%s", e.text);
        cr_expect_eq(made.stripped, members[i].stripped, "%s", members[i].name);
        cr_expect_eq(made.skipped, members[i].skipped, "%s", members[i].name);
    }
}

static void tar(const char *directory, const char *archive) {
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("tar", "tar", "-C", directory, "-caf", archive, ".", (char *)NULL);
        _exit(127);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
}

Test(build, an_archive_gives_the_bundle_of_the_directory_it_was_made_of) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_build_result a, b;
    char in[512], archive[512], one[512], two[512];
    (void)snprintf(in, sizeof in, "%s/in", tmp.path);
    (void)snprintf(archive, sizeof archive, "%s/in.tar.zst", tmp.path);
    (void)snprintf(one, sizeof one, "%s/1.edge", tmp.path);
    (void)snprintf(two, sizeof two, "%s/2.edge", tmp.path);
    cr_assert_eq(mkdirat(tmp.fd, "in", 0755), 0);
    OWN(fd) int dir = openat(tmp.fd, "in", O_RDONLY | O_DIRECTORY);
    make_tree(dir);
    cr_assert_eq(linkat(dir, "text", dir, "etc/hard", 0), 0);
    tar(in, archive);
    cr_assert_eq(pack(in, one, 2, 3, &a, &e), 0, "%s", e.text);
    const struct pack_component component = {
        .name = "app", .type = PACK_INPUT_ARCHIVE, .path = archive, .security_version = 3};
    cr_assert_eq(pack_component(&component, two, 2, 3, &b, &e), 0, "%s", e.text);
    expect_same(one, two);
}

Test(build, an_archive_that_is_none_is_a_syntax_error) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_build_result made;
    char archive[512], out[512];
    (void)snprintf(archive, sizeof archive, "%s/a.tar", tmp.path);
    (void)snprintf(out, sizeof out, "%s/out", tmp.path);
    put_text(tmp.fd, "a.tar", "this is no archive at all, not even a damaged one", 0644);
    const struct pack_component component = {
        .name = "app", .type = PACK_INPUT_ARCHIVE, .path = archive};
    cr_expect_lt(pack_component(&component, out, 1, 3, &made, &e), 0);
    cr_expect(err_is(&e, &err_syntax), "%s", e.text);
}

static size_t signatures(const char *path) {
    struct err e = ERR_NONE;
    struct keys_envelope_candidate split;
    struct unpack_candidate *candidate = NULL;
    struct unpack_source_file file;
    struct unpack_source source;
    OWN(fd) int fd = open(path, O_RDONLY);
    cr_assert_eq(unpack_source_from_file(fd, &file, &source, &e), 0);
    cr_assert_eq(unpack_open(&source, &candidate, &e), 0, "%s", e.text);
    cr_assert_eq(keys_envelope_split(unpack_candidate_manifest(candidate), "manifest", &split, &e),
                 0);
    unpack_candidate_free(candidate);
    return split.n_signatures;
}

static int check_with(const char *path, size_t threshold, size_t keys, struct err *e) {
    struct keys_role role;
    struct unpack_candidate *candidate = NULL;
    struct unpack_bundle *bundle = NULL;
    struct unpack_source_file file;
    struct unpack_source source;
    OWN(fd) int fd = open(path, O_RDONLY);
    forge_role(keys, threshold, &role);
    cr_assert_eq(unpack_source_from_file(fd, &file, &source, e), 0);
    cr_assert_eq(unpack_open(&source, &candidate, e), 0, "%s", e->text);
    if (unpack_verify(&candidate, &role, &bundle, e) < 0)
        return -1;
    int r = unpack_check(bundle, &source, DECODE_MAX, e);
    unpack_bundle_free(bundle);
    return r;
}

Test(build, signatures_are_added_in_place_and_beyond_the_room_that_was_left) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_build_result made;
    struct stat before, after;
    char in[512], out[512];
    (void)snprintf(in, sizeof in, "%s/in", tmp.path);
    (void)snprintf(out, sizeof out, "%s/out", tmp.path);
    put_text(tmp.fd, "in", "a model", 0644);
    cr_assert_eq(pack(in, out, 1, 3, &made, &e), 0, "%s", e.text);
    cr_assert_eq(stat(out, &before), 0);
    cr_expect_lt(check_with(out, 2, 2, &e), 0);
    cr_expect(err_is(&e, &err_below_threshold), "%s", e.text);
    err_clear(&e);
    for (unsigned n = 1; n < KEYS_ENVELOPE_SIGNATURES_MAX; n++) {
        struct sign_signer *signer = forge_signer(n);
        cr_assert_eq(pack_build_add_signature(out, signer, &e), 0, "%s", e.text);
        sign_signer_free(signer);
        cr_assert_eq(signatures(out), n + 1);
        cr_assert_eq(check_with(out, n + 1, n + 1, &e), 0, "%u: %s", n, e.text);
        cr_assert_eq(stat(out, &after), 0);
        if (n == 1)
            cr_expect_eq(after.st_size, before.st_size, "in place of padding");
    }
    cr_expect_gt(after.st_size, before.st_size, "32 signatures do not fit into the first page");
    struct sign_signer *again = forge_signer(3);
    cr_expect_eq(pack_build_add_signature(out, again, &e), 0, "%s", e.text);
    cr_expect_eq(signatures(out), KEYS_ENVELOPE_SIGNATURES_MAX, "replaced, not doubled");
    sign_signer_free(again);
}

Test(build, a_description_says_what_to_build) {
    static const char text[] =
        "{\"name\":\"demo\",\"release\":\"2.0~rc1\",\"requires\":\"arch == \\\"x\\\"\",\"level\":7,"
        "\"issued\":\"2026-11-22T14:00:00Z\",\"components\":[{\"name\":\"app\",\"path\":\"in\","
        "\"security_version\":4,\"strip_special\":true,\"model\":{\"runtime\":\"tflite\"}},"
        "{\"name\":\"fw\",\"archive\":\"/abs.tar\"}],\"floors\":{\"app\":2},"
        "\"reference\":[\"in\",\"/old.edge\"]}";
    const char *const *references = NULL;
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_description *d = NULL;
    char path[512], in[512];
    (void)snprintf(path, sizeof path, "%s/demo.json", tmp.path);
    (void)snprintf(in, sizeof in, "%s/in", tmp.path);
    put_text(tmp.fd, "demo.json", text, 0644);
    cr_assert_eq(pack_build_describe(path, &d, &e), 0, "%s", e.text);
    const struct pack_build *b = pack_build_described(d);
    cr_expect_str_eq(b->name, "demo");
    cr_expect_str_eq(b->release, "2.0~rc1");
    cr_expect_str_eq(b->requires, "arch == \"x\"");
    cr_expect_eq(b->level, 7);
    cr_expect_eq(b->issued_s, 1795356000);
    cr_expect_eq(b->expires_s, 0, "the caller's to fill in");
    cr_assert_eq(b->n_components, 2);
    cr_expect_str_eq(b->components[0].path, in, "relative to the file");
    cr_expect_eq(b->components[0].security_version, 4);
    cr_expect(b->components[0].strip_special);
    cr_expect_not_null(b->components[0].model);
    cr_expect_str_eq(b->components[1].path, "/abs.tar");
    cr_expect_eq(b->components[1].type, PACK_INPUT_ARCHIVE);
    cr_expect_not_null(b->floors);
    cr_assert_eq(pack_build_described_references(d, &references), 2);
    cr_expect_str_eq(references[0], in, "relative to the file");
    cr_expect_str_eq(references[1], "/old.edge");
    pack_build_description_free(d);
}

Test(build, a_wrong_description_names_file_and_place) {
    static const char *const bad[] = {
        "{",
        "[]",
        "{\"name\":\"a\"}",
        "{\"name\":\"a\",\"release\":\"1\",\"components\":[{\"name\":\"c\"}]}",
        "{\"name\":\"a\",\"release\":\"1\",\"components\":[{\"name\":\"c\",\"path\":\"x\","
        "\"image\":\"y\"}]}",
        "{\"name\":\"a\",\"release\":\"1\",\"components\":[{\"name\":\"c\",\"pth\":\"x\"}]}",
        "{\"name\":\"a\",\"release\":\"1\",\"level\":23,\"components\":[]}",
        "{\"name\":\"a\",\"release\":\"1\",\"frame_bytes\":5,\"components\":[]}",
        "{\"name\":7,\"release\":\"1\",\"components\":[]}",
        "{\"name\":\"a\",\"release\":\"1\",\"components\":[],\"reference\":\"x\"}",
        "{\"name\":\"a\",\"release\":\"1\",\"components\":[],\"reference\":[7]}",
        "{\"name\":\"a\",\"release\":\"1\",\"components\":[],\"reference\":[\"\"]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
        struct err e = ERR_NONE;
        struct pack_description *d = NULL;
        char path[512];
        (void)snprintf(path, sizeof path, "%s/x.json", tmp.path);
        put_text(tmp.fd, "x.json", bad[i], 0644);
        cr_expect_lt(pack_build_describe(path, &d, &e), 0, "%s", bad[i]);
        cr_expect(err_is(&e, &err_config), "%s: %s", bad[i], e.text);
        cr_expect_not_null(strstr(e.text, "x.json"), "%s", e.text);
    }
}

Test(build, a_full_disk_leaves_nothing_under_the_name) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    char in[512], out[512];
    (void)snprintf(in, sizeof in, "%s/in", tmp.path);
    (void)snprintf(out, sizeof out, "%s/out", tmp.path);
    put_text(tmp.fd, "in", "a model", 0644);
    for (size_t n = 0;; n++) {
        struct err e = ERR_NONE;
        struct pack_build_result made;
        struct stat status;
        const struct fs_fault fault = {.at = n, .effect = FS_FAULT_ERROR, .error = ENOSPC};
        fs_fault_begin(&fault);
        int r = pack(in, out, 1, 3, &made, &e);
        bool hit = fs_fault_end(NULL);
        cr_expect_eq(r, hit ? -1 : 0, "call %zu: %s", n, e.text);
        cr_expect_eq(stat(out, &status), hit ? -1 : 0, "call %zu", n);
        if (hit)
            cr_expect(err_is(&e, &err_no_space), "call %zu: %s", n, e.text);
        if (!hit)
            break;
        cr_assert_lt(n, 200);
    }
}
