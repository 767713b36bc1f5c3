// SPDX-License-Identifier: Apache-2.0
//
// What the random mixes install: three bundles of many small files (what runs, what comes, and one
// that nobody ordered), a root that trusts them, and the making of a generation.
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "bundle/pack/build.h"
#include "bundle/seal.h"
#include "keys/root.h"
#include "tests/support/forge.h"
#include "tests/support/mishap.h"
#include "tests/support/tmp.h"

#define FILES       40
#define FILE_BYTES  16384
#define CHANGED     8 // of FILES, at either end: what lies between is jumped over
#define FRAME_BYTES 65536
#define ROOT_BYTES  65536

enum { OLD, NEW, OTHER, BUNDLES };

static struct tmp_dir home; // input, the bundles, 1 (a generation)
static struct buf bundles[BUNDLES];
static struct bundle_manifest *manifests[BUNDLES];
static struct bundle_generation running; // the record of 1
static int root_fd;

static void need(bool good, const char *what, const struct err *e) {
    if (good)
        return;
    (void)fprintf(stderr, "mix_network: %s: %s\n", what, e ? e->text : "");
    exit(1);
}

// File n of a bundle: bytes that no compressor shortens, the same in OLD and NEW but at the ends.
static void write_file(int dir, unsigned which, unsigned n) {
    uint8_t content[FILE_BYTES];
    char name[16];
    bool same = which == OLD || (which == NEW && n >= CHANGED && n < FILES - CHANGED);
    uint64_t seed = (same ? OLD : which) * 1000 + n;
    for (size_t i = 0; i < sizeof content; i += sizeof seed) {
        uint64_t value = mishap_random(&seed);
        memcpy(content + i, &value, sizeof value);
    }
    (void)snprintf(name, sizeof name, "f%02u", n);
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    need(fd >= 0 && write(fd, content, sizeof content) == sizeof content && close(fd) == 0, name,
         NULL);
}

static void make_bundle(unsigned which) {
    struct err e = ERR_NONE;
    struct pack_build_result made;
    struct keys_role role;
    char input[TMP_PATH_BYTES + 8], path[TMP_PATH_BYTES + 16];
    struct sign_signer *signer = forge_signer(0);
    (void)snprintf(input, sizeof input, "%s/input", home.path);
    (void)snprintf(path, sizeof path, "%s/%u.edge", home.path, which);
    int dir = open(input, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    need(dir >= 0, input, NULL);
    for (unsigned n = 0; n < FILES; n++)
        write_file(dir, which, n);
    close(dir);
    const struct pack_component component = {
        .name = "app", .type = PACK_INPUT_PATH, .path = input, .security_version = 1};
    const struct pack_build how = {.name = "mix",
                                   .release = which == OLD ? "1.0" : "1.1",
                                   .version = which + 1,
                                   .issued_s = FORGE_ISSUED_S,
                                   .expires_s = FORGE_EXPIRES_S,
                                   .n_components = 1,
                                   .components = &component,
                                   .level = 1,
                                   .frame_bytes = FRAME_BYTES,
                                   .threads = 1,
                                   .n_signers = 1,
                                   .variant = "",
                                   .requires = "",
                                   .signers = &signer};
    need(pack_build(&how, path, &made, &e) == 0, "a bundle", &e);
    sign_signer_free(signer);
    buf_init(&bundles[which], 4 * FILES * FILE_BYTES);
    need(fs_read_file(AT_FDCWD, path, 4 * FILES * FILE_BYTES, &bundles[which], &e) == 0, path, &e);
    forge_role(1, 1, &role);
    need(bundle_manifest_verify(forge_manifest_of(buf_slice(&bundles[which])), &role,
                                &manifests[which], &e) == 0,
         "a manifest", &e);
}

static int make_root(void) {
    struct keys_role roles[KEYS_ROOT_ROLES];
    const struct keys_header header = {
        .version = 1, .issued_s = FORGE_ISSUED_S, .expires_s = FORGE_EXPIRES_S};
    struct buf part, raw;
    struct err e = ERR_NONE;
    buf_init(&part, ROOT_BYTES);
    buf_init(&raw, ROOT_BYTES);
    for (size_t i = 0; i < KEYS_ROOT_ROLES; i++)
        forge_role(1, 1, &roles[i]);
    roles[KEYS_ROOT_ROLE_MANDATE].n_keys = 0;
    need(keys_root_format(roles, &header, &part, &e) == 0, "a root", &e);
    forge_envelope(buf_slice(&part), &raw);
    int fd = memfd_create("root", MFD_CLOEXEC);
    need(fd >= 0 && write(fd, raw.data, raw.len) == (ssize_t)raw.len, "a root", NULL);
    buf_clear(&part);
    buf_clear(&raw);
    return fd;
}

// What lies in a directory.
static uint64_t lies_bytes;
static bool lies_scratch;

static int weigh_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    if (type == FTW_F)
        lies_bytes += (uint64_t)st->st_size;
    if (strncmp(path + at->base, "scratch", 7) == 0 || fs_is_temporary(path + at->base))
        lies_scratch = true;
    return 0;
}

// Makes a staged directory a generation: everything is read back and hashed. generation: what it is
// built on, whose record is `previous`, or NULL.
static bool seal(int partial, int generation, const struct bundle_generation *previous,
                 unsigned which, struct err *e) {
    struct bundle_seal_result result;
    struct bundle_generation record;
    const struct bundle_seal how = {.partial_dir = partial,
                                    .previous_dir = previous ? generation : -1,
                                    .previous = previous,
                                    .manifest = manifests[which],
                                    .number = which + 1};
    return bundle_seal(&how, &result, e) == 0 &&
           bundle_seal_verify(partial, NULL, NULL, &record, e) == 0;
}
