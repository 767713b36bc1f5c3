// SPDX-License-Identifier: Apache-2.0
//
// Fetching and staging a bundle; see fetch.h.
#include "agent/worker/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/kind.h"
#include "agent/worker/haul.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/seal.h"
#include "bundle/unpack/delta.h"
#include "bundle/unpack/stage.h"
#include "keys/kind.h"

static int open_root(int fd, struct keys_root **ret, struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    if (worker_voice_read_fd(fd, KEYS_ROOT_MAX_BYTES, &raw, e) < 0 ||
        keys_root_open(buf_slice(&raw), ret, e) < 0)
        return err_prefix(e, "root.json");
    return 0;
}

// A file may be a delta; what an offer names is a bundle.
static int stage_file(struct worker_staging *s, struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    struct unpack_source_file file;
    struct unpack_source source;
    if (unpack_source_from_file(WORKER_FETCH_FILE_FD, &file, &source, e) < 0)
        return -1;
    int r = unpack_delta_open(&source, &candidate, e);
    if (r < 0)
        return -1;
    return r == UNPACK_DELTA_OPEN_NONE ? worker_staging_bundle(s, &source, e)
                                       : worker_staging_delta(s, &source, &candidate, e);
}

int worker_fetch(struct worker_voice *v, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    if (open_root(WORKER_FETCH_ROOT_FD, &root, e) < 0)
        return -1;
    OWN(staging) struct worker_staging staging;
    worker_staging_init(&staging, v, root);
    return v->job->url[0] ? worker_haul(&staging, e) : stage_file(&staging, e);
}

// The slots of a generation's images, where its links lead to: for a person who may read them.
static int open_linked(int generation, struct bundle_image_places *ret, struct err *e) {
    OWN(mem) struct bundle_generation *record = calloc(1, sizeof *record);
    if (!record)
        return err_set(e, &err_memory, "looking at the old contents");
    if (bundle_generation_read(generation, record, e) < 0)
        return -1;
    for (size_t i = 0; i < record->n_components; i++) {
        const char *name = record->components[i].name;
        char link[BUNDLE_NAME_MAX + sizeof "/" BUNDLE_IMAGE_LINK], path[FS_PATH_BYTES];
        OWN(fd) int fd = -1;
        if (record->components[i].type != BUNDLE_COMPONENT_IMAGE)
            continue;
        (void)snprintf(link, sizeof link, "%s/" BUNDLE_IMAGE_LINK, name);
        if (fs_readlink(generation, link, path, sizeof path, e) < 0 ||
            fs_open_read(AT_FDCWD, path, &fd, e) < 0)
            return err_prefix(e, "the old image of %s", name);
        bundle_image_add(ret, name, own_take_fd(&fd), NULL);
    }
    return 0;
}

static int verify_delta(const struct unpack_source *source,
                        struct unpack_delta_candidate **candidate, const struct keys_root *root,
                        const char *base_path, struct err *e) {
    OWN(delta) struct unpack_delta *delta = NULL;
    OWN(delta_base) struct unpack_delta_base *base = NULL;
    OWN(fd) int dir = -1;
    OWN(fd) int table = -1;
    OWN(images) struct bundle_image_places images = {.n = 0};
    if (unpack_delta_verify_root(candidate, root, &delta, e) < 0)
        return -1;
    if (!base_path)
        return err_set(e, &err_usage,
                       "a delta is checked together with what it starts from: name that generation "
                       "with --base");
    table = memfd_create("edge-verify", MFD_CLOEXEC);
    if (table < 0)
        return err_errno(e, errno, "a file in memory");
    if (fs_open_dir(AT_FDCWD, base_path, &dir, e) < 0 || open_linked(dir, &images, e) < 0 ||
        unpack_delta_base_open(delta, dir, &images, table, &base, e) < 0)
        return -1;
    return unpack_delta_check(delta, source, base, BUNDLE_DELTA_DECODE_MAX_BYTES, e);
}

int worker_fetch_verify(const char *root_path, const char *bundle_path, const char *base_path,
                        struct err *e) {
    OWN(fd) int root_fd = -1;
    OWN(fd) int fd = -1;
    OWN(root) struct keys_root *root = NULL;
    OWN(bundle) struct unpack_bundle *bundle = NULL;
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    struct unpack_source_file file;
    struct unpack_source source;
    if (fs_open_read(AT_FDCWD, root_path, &root_fd, e) < 0 || open_root(root_fd, &root, e) < 0 ||
        fs_open_read(AT_FDCWD, bundle_path, &fd, e) < 0 ||
        unpack_source_from_file(fd, &file, &source, e) < 0)
        return -1;
    int r = unpack_delta_open(&source, &candidate, e);
    if (r < 0)
        return -1;
    if (r != UNPACK_DELTA_OPEN_NONE)
        return verify_delta(&source, &candidate, root, base_path, e);
    if (worker_staging_open(&source, root, NULL, &bundle, e) < 0)
        return -1;
    return unpack_check(bundle, &source, BUNDLE_FRAME_MAX_BYTES, e);
}
