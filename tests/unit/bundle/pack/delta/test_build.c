// SPDX-License-Identifier: Apache-2.0
//
// Deltas made from two bundles: a device gets from one to the other by them, the same bundles give
// the same bytes, and what is not worth a delta is not written.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/pack/delta.h"
#include "bundle/pack/delta/side.h"
#include "bundle/unpack/delta.h"
#include "tests/support/delta_scene.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"

struct packed {
    int fd;
    struct unpack_source_file file;
    struct unpack_source source;
    struct unpack_bundle *bundle;
};

static uint64_t seed;

// The same bytes for the same number.
static void put(int dir, const char *path, uint64_t number, size_t len, mode_t mode) {
    OWN(fd) int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    uint8_t *data = malloc(len + 1);
    cr_assert(fd >= 0 && data, "%s", path);
    seed = number;
    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        data[i] = (uint8_t)(seed >> 56);
    }
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    free(data);
}

static void append(int dir, const char *path, const char *text) {
    OWN(fd) int fd = openat(dir, path, O_WRONLY | O_APPEND);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void make_old(int dir) {
    cr_assert_eq(mkdirat(dir, "lib", 0755), 0);
    put(dir, "lib/libm.so.1.2", 1, 200000, 0755);
    put(dir, "lib/moved", 2, 50000, 0644);
    put(dir, "config", 3, 3000, 0644);
    put(dir, "empty", 0, 0, 0644);
    put(dir, "gone", 4, 1000, 0644);
    put(dir, "byte", 5, 1, 0644);
}

// The library has another name and some more bytes, one file moved, one is twice there, one is new.
static void make_new(int dir) {
    cr_assert_eq(mkdirat(dir, "lib", 0755), 0);
    cr_assert_eq(mkdirat(dir, "there", 0755), 0);
    put(dir, "lib/libm.so.1.10", 1, 200000, 0755);
    append(dir, "lib/libm.so.1.10", "and some more");
    put(dir, "there/moved", 2, 50000, 0755);
    put(dir, "config", 3, 3000, 0644);
    append(dir, "config", "changed = yes\n");
    put(dir, "empty", 0, 0, 0644);
    put(dir, "also-empty", 0, 0, 0644);
    put(dir, "byte", 6, 1, 0644);
    put(dir, "fresh", 7, 2000, 0644);
    put(dir, "fresh-too", 7, 2000, 0644);
}

static struct packed pack(struct tmp_dir *tmp, const char *name, const char *component,
                          void (*make)(int dir)) {
    struct err e = ERR_NONE;
    struct packed p = {.fd = -1};
    struct pack_build_result made;
    char in[512], out[512];
    (void)snprintf(in, sizeof in, "%s/%s.in", tmp->path, name);
    (void)snprintf(out, sizeof out, "%s/%s.edge", tmp->path, name);
    cr_assert_eq(mkdir(in, 0755), 0);
    OWN(fd) int dir = open(in, O_RDONLY | O_DIRECTORY);
    make(dir);
    struct sign_signer *signer = forge_signer(0);
    const struct pack_component c = {
        .name = component, .type = PACK_INPUT_PATH, .path = in, .security_version = 1};
    const struct pack_build how = {.name = "demo",
                                   .release = name,
                                   .version = 1,
                                   .issued_s = FORGE_ISSUED_S,
                                   .expires_s = FORGE_EXPIRES_S,
                                   .n_components = 1,
                                   .components = &c,
                                   .level = 3,
                                   .n_signers = 1,
                                   .signers = &signer};
    cr_assert_eq(pack_build(&how, out, &made, &e), 0, "%s", e.text);
    sign_signer_free(signer);
    struct keys_root *root = delta_scene_root();
    struct unpack_candidate *candidate = NULL;
    p.fd = open(out, O_RDONLY);
    struct unpack_source source; // of p where it stands now; it moves when we return: open_source
    cr_assert_eq(unpack_source_from_file(p.fd, &p.file, &source, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_open(&source, &candidate, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_verify_root(&candidate, root, &p.bundle, &e), 0, "%s", e.text);
    keys_root_free(root);
    return p;
}

static void open_source(struct packed *p) {
    struct err e = ERR_NONE;
    cr_assert_eq(unpack_source_from_file(p->fd, &p->file, &p->source, &e), 0, "%s", e.text);
}

static void unpack(struct packed *p) {
    unpack_bundle_free(p->bundle);
    own_drop_fd(&p->fd);
}

static int build(struct tmp_dir *tmp, struct packed *old, struct packed *new, const char *name,
                 unsigned threads, struct pack_delta_result *ret, struct err *e) {
    char out[512];
    struct keys_root *root = delta_scene_root();
    struct sign_signer *signer = forge_signer(0);
    open_source(old);
    open_source(new);
    const struct pack_delta_build how = {.old_bundle = {old->bundle, &old->source},
                                         .new_bundle = {new->bundle, &new->source},
                                         .root = root,
                                         .dir = tmp->path,
                                         .threads = threads,
                                         .n_signers = 1,
                                         .signers = &signer};
    (void)snprintf(out, sizeof out, "%s/%s", tmp->path, name);
    int r = pack_delta_build(&how, out, ret, e);
    sign_signer_free(signer);
    keys_root_free(root);
    return r;
}

static struct buf read_file(struct tmp_dir *tmp, const char *name) {
    struct err e = ERR_NONE;
    struct buf b;
    buf_init(&b, 1 << 24);
    cr_assert_eq(fs_read_file(tmp->fd, name, 1 << 24, &b, &e), 0, "%s", e.text);
    return b;
}

Test(build, a_delta_makes_the_new_contents_from_the_old_ones) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_delta_result made = {.frames = 0};
    struct packed old = pack(&tmp, "1.0", "app", make_old),
                  new = pack(&tmp, "1.1", "app", make_new);
    cr_assert_eq(build(&tmp, &old, &new, "d", 2, &made, &e), 0, "%s", e.text);
    cr_expect_eq(made.same, 4, "%llu: moved, both empty ones, the repeated one",
                 (unsigned long long)made.same);
    cr_expect_eq(made.coded, 4);
    cr_expect_lt(made.content_bytes, 2600, "%llu: one new file of noise, and little else",
                 (unsigned long long)made.content_bytes);
    cr_expect_leq(made.decode_bytes, PACK_DELTA_DECODE_BYTES);
    struct buf bytes = read_file(&tmp, "d");
    cr_expect_eq(bytes.len, made.file_bytes);
    // Once more, by a reader of its own: what it decodes is compared with the signed digests.
    struct forge_memory memory;
    struct unpack_source source;
    struct unpack_delta *delta = NULL;
    struct unpack_delta_base *base = NULL;
    struct pack_delta_side side;
    OWN(fd) int table = memfd_create("table", MFD_CLOEXEC);
    forge_source(&memory, buf_slice(&bytes), &source);
    cr_assert_eq(delta_scene_open(&source, &delta, &e), 0, "%s", e.text);
    cr_assert_eq(pack_delta_side_open(old.bundle, &old.source, tmp.path, &side, &e), 0, "%s",
                 e.text);
    cr_assert_eq(unpack_delta_base_spool(delta, side.fd, table, &base, &e), 0, "%s", e.text);
    cr_expect_eq(unpack_delta_check(delta, &source, base, made.decode_bytes, &e), 0, "%s", e.text);
    unpack_delta_base_close(base);
    unpack_delta_free(delta);
    pack_delta_side_close(&side);
    buf_clear(&bytes);
    unpack(&old);
    unpack(&new);
}

Test(build, the_same_bundles_give_the_same_bytes_on_any_number_of_threads) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_delta_result made;
    struct packed old = pack(&tmp, "1.0", "app", make_old),
                  new = pack(&tmp, "1.1", "app", make_new);
    cr_assert_eq(build(&tmp, &old, &new, "one", 1, &made, &e), 0, "%s", e.text);
    cr_assert_eq(build(&tmp, &old, &new, "three", 3, &made, &e), 0, "%s", e.text);
    struct buf a = read_file(&tmp, "one"), b = read_file(&tmp, "three");
    cr_assert_eq(a.len, b.len);
    cr_expect_arr_eq(a.data, b.data, a.len);
    buf_clear(&a);
    buf_clear(&b);
    unpack(&old);
    unpack(&new);
}

#define LAYER_ELEMENTS 16384

// A model of two layers in OpenVINO's pair of files. Weights are trained on a little, and the layers
// change places, from one version to the next.
static void make_openvino(int dir, int version) {
    static float layers[2][LAYER_ELEMENTS];
    char path[32], xml[512];
    size_t first = version == 1 ? 0 : sizeof layers[0];
    seed = 11;
    for (size_t i = 0; i < sizeof layers / sizeof(float); i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        layers[i / LAYER_ELEMENTS][i % LAYER_ELEMENTS] =
            (float)(int32_t)(seed >> 32) / 2147483648.0F *
            (version == 1 ? 1.0F : 1.0F + (float)(seed >> 60) / 4096.0F);
    }
    (void)snprintf(path, sizeof path, "model-%d.bin", version);
    put(dir, path, 0, 0, 0644);
    OWN(fd) int bin = openat(dir, path, O_WRONLY);
    cr_assert_eq(write(bin, layers[version - 1], sizeof layers[0]), (ssize_t)sizeof layers[0]);
    cr_assert_eq(write(bin, layers[2 - version], sizeof layers[0]), (ssize_t)sizeof layers[0]);
    (void)snprintf(path, sizeof path, "model-%d.xml", version);
    put(dir, path, 0, 0, 0644);
    (void)snprintf(xml, sizeof xml,
                   "<?xml version=\"1.0\"?><net name=\"m\"><layers>"
                   "<layer name=\"first\"><data element_type=\"f32\" shape=\"64, 256\" "
                   "offset=\"%zu\" size=\"%zu\"/></layer>"
                   "<layer name=\"second\"><data element_type=\"f32\" shape=\"64, 256\" "
                   "offset=\"%zu\" size=\"%zu\"/></layer></layers></net>",
                   first, sizeof layers[0], sizeof layers[0] - first, sizeof layers[0]);
    append(dir, path, xml);
}

static void make_openvino_1(int dir) {
    make_openvino(dir, 1);
}

static void make_openvino_2(int dir) {
    make_openvino(dir, 2);
}

Test(build, the_layers_of_an_openvino_model_are_found_by_the_file_beside_it) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_delta_result result;
    struct packed old = pack(&tmp, "1", "model", make_openvino_1);
    struct packed new = pack(&tmp, "2", "model", make_openvino_2);
    cr_assert_eq(build(&tmp, &old, &new, "a.delta", 2, &result, &e), 0, "%s", e.text);
    cr_assert_lt(result.content_bytes, 2 * LAYER_ELEMENTS * sizeof(float) * 6 / 10, "%llu",
                 (unsigned long long)result.content_bytes);
    unpack(&old);
    unpack(&new);
}

// A bundle has two pages of index, a delta one row for each frame: of frames that are many and
// small enough the delta is larger.
static void make_noise(int dir) {
    put(dir, "noise", 99, 300000, 0644);
}

Test(build, what_is_not_smaller_than_the_bundle_is_not_written) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_delta_result made = {.frames = 0};
    struct packed old = pack(&tmp, "1.0", "app", make_old),
                  new = pack(&tmp, "2.0", "app", make_noise);
    int r = build(&tmp, &old, &new, "d", 1, &made, &e);
    if (r == 0) // the index of a bundle may be what it saves
        cr_expect_lt(made.file_bytes, made.full_bytes);
    else {
        cr_expect_eq(r, PACK_DELTA_NOT_WORTH_IT, "%s", e.text);
        cr_expect_geq(made.file_bytes, made.full_bytes);
        cr_expect_eq(faccessat(tmp.fd, "d", F_OK, 0), -1);
    }
    cr_expect_eq(faccessat(tmp.fd, "d.partial", F_OK, 0), -1);
    unpack(&old);
    unpack(&new);
}

Test(build, bundles_without_a_common_component_and_the_same_bundle_are_refused) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct pack_delta_result made;
    struct packed old = pack(&tmp, "1.0", "app", make_old),
                  other = pack(&tmp, "1.1", "rootfs", make_new);
    cr_expect_lt(build(&tmp, &old, &other, "d", 1, &made, &e), 0);
    cr_expect(err_is(&e, &err_usage) && strstr(e.text, "no component in common"), "%s", e.text);
    err_clear(&e);
    cr_expect_lt(build(&tmp, &old, &old, "d", 1, &made, &e), 0);
    cr_expect(err_is(&e, &err_usage) && strstr(e.text, "the same bundle"), "%s", e.text);
    cr_expect_eq(faccessat(tmp.fd, "d", F_OK, 0), -1);
    unpack(&old);
    unpack(&other);
}
