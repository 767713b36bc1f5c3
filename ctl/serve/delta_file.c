// SPDX-License-Identifier: Apache-2.0
//
// Files around the making of deltas.
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "bundle/unpack/delta.h"
#include "ctl/repo/target.h"
#include "ctl/serve/delta_child.h"
#include "ctl/serve/delta_parts.h"
#include "keys/kind.h"

// ── Room ─────────────────────────────────────────────────────────────────────────────────────────

// Adds the contents of a published bundle, and its file.
static int add_bundle(const struct serve_server *server, const char *id, uint64_t *io_contents,
                      uint64_t *ret_file, struct err *e) {
    char name[KEYS_DIGEST_HEX + sizeof ".edge"];
    struct unpack_source_file file;
    struct unpack_source source;
    struct unpack_candidate *candidate = NULL;
    struct bundle_manifest_unverified *manifest = NULL;
    OWN(fd) int fd = -1;
    (void)snprintf(name, sizeof name, "%s.edge", id);
    if (fs_open_read(server->bundles, name, &fd, e) < 0 ||
        unpack_source_from_file(fd, &file, &source, e) < 0 ||
        unpack_open(&source, &candidate, e) < 0)
        return -1;
    int done = bundle_manifest_peek(unpack_candidate_manifest(candidate), &manifest, e);
    if (done == 0) {
        *io_contents += bundle_manifest_stream_bytes(bundle_manifest_peek_view(manifest));
        *ret_file = file.size;
        bundle_manifest_peek_free(manifest);
    }
    unpack_candidate_free(candidate);
    return done;
}

int serve_delta_file_need(const struct serve_server *server, const struct serve_delta_pair *pair,
                          uint64_t *ret_bytes, struct err *e) {
    uint64_t contents = 0, file = 0;
    if (add_bundle(server, pair->base, &contents, &file, e) < 0 ||
        add_bundle(server, pair->bundle, &contents, &file, e) < 0)
        return -1;
    *ret_bytes = contents + file; // a delta is smaller than its bundle, or is not kept
    return 0;
}

int serve_delta_file_check(const struct serve_server *server, uint64_t bytes, struct err *e) {
    char needs[NUM_SIZE_TEXT], other[NUM_SIZE_TEXT];
    uint64_t free_bytes = 0, inodes = 0, allowed = server->options->delta_disk_bytes;
    if (allowed == 0)
        allowed = SERVE_DELTA_DISK_DEFAULT_BYTES;
    (void)num_format_size(bytes, needs);
    if (bytes > allowed)
        return err_set(e, &err_limit,
                       "making it takes %s of the disk for a while, and --delta-disk allows %s",
                       needs, num_format_size(allowed, other));
    if (fs_free(server->workspace, &free_bytes, &inodes, e) < 0)
        return -1;
    if (free_bytes < bytes || free_bytes - bytes < SERVE_DELTA_RESERVE_BYTES)
        return err_set(e, &err_no_space,
                       "making it takes %s of the disk for a while, and of %s that are free some "
                       "are to be left to others",
                       needs, num_format_size(free_bytes, other));
    return 0;
}

// ── What was made ────────────────────────────────────────────────────────────────────────────────

static int read_target(const struct unpack_delta_candidate *candidate, struct repo_target *ret,
                       struct err *e) {
    struct slice part;
    return repo_target_peek_delta(unpack_delta_open_manifest(candidate),
                                  unpack_delta_open_head(candidate), ret, &part, e);
}

static int verify(const struct serve_server *server, const struct unpack_source *source,
                  const struct serve_delta_pair *pair, struct repo_target *ret, struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    OWN(delta) struct unpack_delta *delta = NULL;
    struct keys_digest head;
    int opened = unpack_delta_open(source, &candidate, e);
    if (opened == UNPACK_DELTA_OPEN_NONE)
        return err_set(e, &err_internal, "what was made is no delta");
    if (opened < 0 || read_target(candidate, ret, e) < 0)
        return -1;
    if (strcmp(ret->bundle.id, pair->bundle) != 0 || strcmp(ret->bundle.base, pair->base) != 0)
        return err_set(e, &err_internal, "what was made is the delta of another pair of bundles");
    if (keys_digest_parse(ret->digest, "head", &head, e) < 0)
        return -1;
    return unpack_delta_verify_digest(&candidate, server->root, &head, ret->length, &delta, e);
}

// Its directory is another one than that of the bundles, below the same workspace.
static int place(const struct serve_server *server, int fd, const char *head, struct err *e) {
    char to[sizeof "bundles/" + STORE_DELTA_FILE_BYTES], name[STORE_DELTA_FILE_BYTES];
    (void)snprintf(to, sizeof to, "bundles/%s", store_delta_file(head, name));
    if (fs_chmod(fd, 0640, e) < 0 || fs_sync(fd, e) < 0 ||
        fs_rename(server->workspace, SERVE_DELTA_CHILD_MADE, to, e) < 0)
        return -1;
    return fs_sync(server->bundles, e);
}

int serve_delta_file_take(const struct serve_server *server, const struct serve_delta_pair *pair,
                          struct store_delta *ret, struct err *e) {
    struct unpack_source_file file;
    struct unpack_source source;
    struct repo_target target;
    OWN(fd) int fd = -1;
    if (fs_open_read(server->workspace, SERVE_DELTA_CHILD_MADE, &fd, e) < 0 ||
        unpack_source_from_file(fd, &file, &source, e) < 0 ||
        verify(server, &source, pair, &target, e) < 0 || place(server, fd, target.digest, e) < 0)
        return err_prefix(e, "taking in what was made");
    *ret = (struct store_delta){
        .head_bytes = target.length, .size = file.size, .actor = STORE_DELTA_MADE};
    (void)snprintf(ret->head, sizeof ret->head, "%s", target.digest);
    (void)snprintf(ret->bundle, sizeof ret->bundle, "%s", pair->bundle);
    (void)snprintf(ret->base, sizeof ret->base, "%s", pair->base);
    return 0;
}
