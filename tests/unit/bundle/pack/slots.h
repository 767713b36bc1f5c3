// SPDX-License-Identifier: Apache-2.0
//
// What the tests of images share: three releases of a bundle, the deltas between them, and a device
// with two slots.
#pragma once

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/pack/delta.h"
#include "bundle/seal.h"
#include "bundle/unpack/delta.h"
#include "bundle/unpack/stage.h"
#include "tests/support/delta_scene.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"

#define DECODE_MAX  (4ULL << 20)
#define IMAGE_BYTES 700001 // no multiple of anything
#define SLOT_BYTES  (1 << 20)
#define RELEASES    3

// Three releases of a bundle with an image and two components of files, one of which repeats a part
// of the image, and deltas from each to the next; a device with two slots; its generations.
struct scene {
    struct tmp_dir tmp;
    uint8_t *images[RELEASES];
    int slots[2];
    char slot_paths[2][512];
    struct bundle_generation records[RELEASES + 1]; // [0] is empty
};

static uint8_t *noise(size_t len, uint64_t seed) {
    uint8_t *data = malloc(len);
    cr_assert(data);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        data[i] = (uint8_t)(seed >> 56);
    }
    return data;
}

static void put(const struct scene *s, const char *path, const void *data, size_t len) {
    OWN(fd) int fd = openat(s->tmp.fd, path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    cr_assert(fd >= 0 && write(fd, data, len) == (ssize_t)len, "%s", path);
}

static const char *path_of(const struct scene *s, const char *name, char ret[static 512]) {
    (void)snprintf(ret, 512, "%s/%s", s->tmp.path, name);
    return ret;
}

static const char *number_of(const char *before, unsigned number, const char *behind,
                             char ret[static 64]) {
    (void)snprintf(ret, 64, "%s%u%s", before, number, behind);
    return ret;
}

// Release `n` (1…): the image, and what is beside it.
static void pack(const struct scene *s, unsigned n) {
    struct err e = ERR_NONE;
    struct pack_build_result made;
    char name[64], image[512], app[512], zapp[512], out[512], release[64];
    (void)path_of(s, number_of("image", n, "", name), image);
    put(s, name, s->images[n - 1], IMAGE_BYTES);
    (void)path_of(s, number_of("app", n, "", name), app);
    cr_assert_eq(mkdirat(s->tmp.fd, name, 0755), 0);
    put(s, number_of("app", n, "/version", name), release, (size_t)snprintf(release, 64, "%u", n));
    put(s, number_of("app", n, "/same", name), "the same in all", 15);
    (void)path_of(s, number_of("zapp", n, "", name), zapp);
    cr_assert_eq(mkdirat(s->tmp.fd, name, 0755), 0);
    put(s, number_of("zapp", n, "/part", name), s->images[n - 1] + 300000, 400001);
    (void)path_of(s, number_of("", n, ".edge", name), out);
    struct sign_signer *signer = forge_signer(0);
    const struct pack_component components[] = {
        {.name = "app", .type = PACK_INPUT_PATH, .path = app, .security_version = 1},
        {.name = "rootfs", .type = PACK_INPUT_IMAGE, .path = image, .security_version = 1},
        {.name = "zapp", .type = PACK_INPUT_PATH, .path = zapp, .security_version = 1}};
    const struct pack_build how = {.name = "demo",
                                   .release = number_of("", n, "", release),
                                   .version = n,
                                   .issued_s = FORGE_ISSUED_S,
                                   .expires_s = FORGE_EXPIRES_S,
                                   .n_components = 3,
                                   .components = components,
                                   .level = 1,
                                   .frame_bytes = 131072,
                                   .n_signers = 1,
                                   .signers = &signer};
    cr_assert_eq(pack_build(&how, out, &made, &e), 0, "%s", e.text);
    sign_signer_free(signer);
}

// An open bundle or delta.
struct input {
    int fd;
    struct unpack_source_file file;
    struct unpack_source source, from; // `from` counts and breaks off
    uint64_t left;
    bool untouched;
    uint64_t kept_bytes; // as planned
    struct unpack_bundle *bundle;
    struct unpack_delta *delta;
};

static void own_drop_input(struct input *i) {
    unpack_bundle_free(i->bundle);
    unpack_delta_free(i->delta);
    own_drop_fd(&i->fd);
}

static int read_some(void *context, uint64_t offset, void *data, size_t len, struct err *e) {
    struct input *i = context;
    if (len > i->left)
        return err_set(e, &err_io, "it breaks off here");
    i->left -= len;
    return i->source.read(i->source.context, offset, data, len, e);
}

static int note_cost(void *context, const struct unpack_plan_cost *cost, struct err *e) {
    struct input *i = context;
    (void)e;
    i->kept_bytes = cost->kept_bytes;
    return 0;
}

static uint64_t size_of(void *context) {
    struct input *i = context;
    return i->file.size;
}

static void open_input(const struct scene *s, const char *name, struct input *i) {
    struct err e = ERR_NONE;
    *i = (struct input){.left = UINT64_MAX};
    i->fd = openat(s->tmp.fd, name, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(unpack_source_from_file(i->fd, &i->file, &i->source, &e), 0, "%s", e.text);
    i->from = (struct unpack_source){.read = read_some, .size = size_of, .context = i};
}

static void open_bundle(const struct scene *s, unsigned n, struct input *i) {
    struct err e = ERR_NONE;
    char name[64];
    struct unpack_candidate *candidate = NULL;
    OWN(root) struct keys_root *root = delta_scene_root();
    open_input(s, number_of("", n, ".edge", name), i);
    cr_assert_eq(unpack_open(&i->source, &candidate, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_verify_root(&candidate, root, &i->bundle, &e), 0, "%s", e.text);
}

static void open_delta(const struct scene *s, unsigned n, struct input *i) {
    struct err e = ERR_NONE;
    char name[64];
    open_input(s, number_of("", n, ".delta", name), i);
    cr_assert_eq(delta_scene_open(&i->source, &i->delta, &e), 0, "%s", e.text);
}

// The delta from release n - 1 to n.
static void pack_delta(const struct scene *s, unsigned n) {
    struct err e = ERR_NONE;
    char name[64], out[512];
    struct pack_delta_result made;
    OWN(input) struct input old, new;
    OWN(root) struct keys_root *root = delta_scene_root();
    struct sign_signer *signer = forge_signer(0);
    open_bundle(s, n - 1, &old);
    open_bundle(s, n, &new);
    const struct pack_delta_build how = {.old_bundle = {old.bundle, &old.source},
                                         .new_bundle = {new.bundle, &new.source},
                                         .root = root,
                                         .dir = s->tmp.path,
                                         .frame_bytes = PACK_DELTA_FRAME_MIN_BYTES,
                                         .n_signers = 1,
                                         .signers = &signer};
    int r = pack_delta_build(&how, path_of(s, number_of("", n, ".delta", name), out), &made, &e);
    cr_assert_eq(r, 0, "%s", e.text);
    sign_signer_free(signer);
}

static void own_drop_scene(struct scene *s) {
    for (size_t i = 0; i < RELEASES; i++)
        free(s->images[i]);
    own_drop_fd(&s->slots[0]);
    own_drop_fd(&s->slots[1]);
    tmp_dir_remove(&s->tmp);
}

// 2 differs from 1 in much, 3 has the image of 2; but for what `edit` makes of them.
static void set_up_with(struct scene *s, void (*edit)(struct scene *s)) {
    *s = (struct scene){.tmp = tmp_dir_make()};
    for (size_t i = 0; i < RELEASES; i++)
        s->images[i] = noise(IMAGE_BYTES, 1);
    for (size_t i = 1; i < RELEASES; i++) {
        uint8_t *other = noise(250000, 2);
        memcpy(s->images[i] + 100000, other, 250000);
        free(other);
    }
    if (edit)
        edit(s);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *rubbish = noise(SLOT_BYTES, 77 + i);
        put(s, i ? "b" : "a", rubbish, SLOT_BYTES);
        free(rubbish);
        (void)path_of(s, i ? "b" : "a", s->slot_paths[i]);
        s->slots[i] = openat(s->tmp.fd, i ? "b" : "a", O_RDWR | O_CLOEXEC);
        cr_assert_geq(s->slots[i], 0);
    }
    for (unsigned n = 1; n <= RELEASES; n++)
        pack(s, n);
    for (unsigned n = 2; n <= RELEASES; n++)
        pack_delta(s, n);
}

static void set_up(struct scene *s) {
    set_up_with(s, NULL);
}

static int open_dir(const struct scene *s, unsigned generation, const char *suffix) {
    char name[64];
    (void)number_of("g", generation, suffix, name);
    cr_assert(mkdirat(s->tmp.fd, name, 0755) == 0 || suffix[0]);
    int fd = openat(s->tmp.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

static int open_generation(const struct scene *s, unsigned generation) {
    char name[64];
    return openat(s->tmp.fd, number_of("g", generation, "", name),
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// The slots of a generation's images: of those that are to be written over `before` alone, if that is
// given.
static void places(const struct scene *s, const struct bundle_generation *g,
                   const struct bundle_generation *before, struct bundle_image_places *ret) {
    ret->n = 0;
    for (size_t i = 0; i < g->n_components; i++) {
        const struct bundle_generation_component *c = &g->components[i];
        if (c->type == BUNDLE_COMPONENT_IMAGE && (!before || bundle_generation_moves(before, c)))
            bundle_image_add(ret, c->name, s->slots[c->slot], s->slot_paths[c->slot]);
    }
}

static const struct bundle_manifest *manifest_of(const struct input *i) {
    return i->bundle ? unpack_bundle_manifest(i->bundle) : unpack_delta_manifest(i->delta);
}

// Stages release `n` over generation `base` into `dir`.
static int stage(struct scene *s, struct input *i, unsigned base, int dir,
                 struct unpack_stage_result *ret, struct err *e) {
    struct bundle_image_places to, old;
    struct bundle_generation after;
    OWN(fd) int previous = base ? open_generation(s, base) : -1;
    cr_assert_eq(bundle_generation_after(&s->records[base], manifest_of(i), base + 1, &after, e),
                 0);
    places(s, &after, &s->records[base], &to);
    places(s, &s->records[base], NULL, &old);
    if (i->delta) {
        const struct unpack_delta_stage how = {.target_dir = dir,
                                               .base_dir = previous,
                                               .previous_dir = previous,
                                               .images = &to,
                                               .base_images = &old,
                                               .resume = true,
                                               .decode_max_bytes = 2 * DECODE_MAX};
        return unpack_delta_stage(i->delta, &i->from, &how, ret, e);
    }
    const struct unpack_stage how = {.target_dir = dir,
                                     .previous_dir = previous,
                                     .images = &to,
                                     .old_images = &old,
                                     .resume = true,
                                     .untouched = i->untouched,
                                     .decode_max_bytes = DECODE_MAX,
                                     .planned = note_cost,
                                     .context = i};
    return unpack_stage(i->bundle, &i->from, &how, ret, e);
}

static int seal(struct scene *s, struct input *i, unsigned base, int dir, bool leave_slots,
                struct err *e) {
    struct bundle_image_places all;
    struct bundle_generation after;
    struct bundle_seal_result result;
    OWN(fd) int previous = base ? open_generation(s, base) : -1;
    cr_assert_eq(bundle_generation_after(&s->records[base], manifest_of(i), base + 1, &after, e),
                 0);
    if (leave_slots)
        bundle_generation_leave_slots(&after, &s->records[base], manifest_of(i));
    places(s, &after, NULL, &all);
    const struct bundle_seal how = {.partial_dir = dir,
                                    .previous_dir = previous,
                                    .previous = base ? &s->records[base] : NULL,
                                    .manifest = manifest_of(i),
                                    .images = &all,
                                    .leave_slots = leave_slots,
                                    .number = base + 1};
    if (bundle_seal(&how, &result, e) < 0)
        return -1;
    s->records[base + 1] = result.record;
    return 0;
}

static int verify(const struct scene *s, unsigned generation, struct err *e) {
    struct bundle_generation record;
    struct bundle_image_places all;
    OWN(fd) int dir = open_generation(s, generation);
    places(s, &s->records[generation], NULL, &all);
    return bundle_seal_verify_images(dir, &all, NULL, NULL, &record, e);
}

// Generation n from release n, by bundle or delta.
static void install(struct scene *s, unsigned n, bool by_delta) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    OWN(input) struct input i;
    OWN(fd) int dir = open_dir(s, n, "");
    by_delta ? open_delta(s, n, &i) : open_bundle(s, n, &i);
    cr_assert_eq(stage(s, &i, n - 1, dir, &result, &e), 0, "%s", e.text);
    cr_assert_eq(seal(s, &i, n - 1, dir, false, &e), 0, "%s", e.text);
    cr_assert_eq(verify(s, n, &e), 0, "%s", e.text);
}

static void expect_image(const struct scene *s, unsigned slot, unsigned release) {
    uint8_t *found = malloc(SLOT_BYTES), *rubbish = noise(SLOT_BYTES, 77 + slot);
    struct stat status;
    cr_assert(found && pread(s->slots[slot], found, SLOT_BYTES, 0) == SLOT_BYTES);
    cr_expect_eq(memcmp(found, s->images[release - 1], IMAGE_BYTES), 0);
    cr_expect_eq(memcmp(found + IMAGE_BYTES, rubbish + IMAGE_BYTES, SLOT_BYTES - IMAGE_BYTES), 0,
                 "what lies behind an image is left alone");
    cr_expect(fstat(s->slots[slot], &status) == 0 && status.st_size == SLOT_BYTES,
              "a slot is not cut");
    free(found);
    free(rubbish);
}

static const struct bundle_generation_component *image_of(const struct scene *s, unsigned n) {
    const struct bundle_generation_component *c =
        bundle_generation_component(&s->records[n], "rootfs");
    cr_assert_not_null(c);
    return c;
}
