// SPDX-License-Identifier: Apache-2.0
//
// Bundles made from real directories: they verify, unpack to what went in, and are the same bytes
// whoever makes them.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/random.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/tree.h"
#include "bundle/unpack/stage.h"
#include "tests/support/forge.h"
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

static int pack(const char *from, const char *to, unsigned threads, int level,
                struct pack_build_result *ret, struct err *e) {
    struct sign_signer *signer = forge_signer(0);
    const struct pack_component component = {
        .name = "app", .type = PACK_INPUT_PATH, .path = from, .security_version = 3};
    const struct pack_build how = {.name = "demo",
                                   .release = "1.0",
                                   .version = 7,
                                   .issued_s = FORGE_ISSUED_S,
                                   .expires_s = FORGE_EXPIRES_S,
                                   .n_components = 1,
                                   .components = &component,
                                   .level = level,
                                   .threads = threads,
                                   .n_signers = 1,
                                   .signers = &signer};
    int r = pack_build(&how, to, ret, e);
    sign_signer_free(signer);
    return r;
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

static int run(const char *command, const char *a, const char *b) {
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp(command, command, "-r", "--no-dereference", a, b, (char *)NULL);
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
        .target_dir = to, .previous_dir = -1, .decode_max_bytes = DECODE_MAX};
    struct unpack_stage_result result;
    cr_assert_eq(unpack_stage(bundle, &source, &how, &result, &e), 0, "%s", e.text);
    cr_expect_eq(result.files_written, 8);
    cr_expect_eq(run("diff", in, staged), 0);
    unpack_bundle_free(bundle);
    (void)close(from);
    (void)close(to);
}
