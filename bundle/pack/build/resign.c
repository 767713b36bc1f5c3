// SPDX-License-Identifier: Apache-2.0
//
// Adding a signature to a finished bundle. Nothing behind the manifest depends on it, so the rest
// of the file is taken over as it is.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/pack/document.h"
#include "bundle/pack/partial.h"
#include "bundle/skeleton.h"
#include "bundle/unpack/open.h"

#define COPY_BYTES (1024UL * 1024)

// The envelope with one more signature, padded to where it lay if it fits there.
static int sign_again(struct slice raw, const struct sign_signer *signer, struct buf *ret,
                      struct err *e) {
    struct bundle_manifest_unverified *peeked = NULL;
    uint64_t member = raw.len;
    while (raw.len > 0 && raw.data[raw.len - 1] == ' ')
        raw.len--;
    if (bundle_manifest_peek(raw, &peeked, e) < 0)
        return -1;
    bundle_manifest_peek_free(peeked);
    if (sign_signer_add(raw, signer, ret, e) < 0)
        return -1;
    return pack_document_pad(ret, ret->len <= member ? member : 0, e);
}

static int copy_rest(int to, uint64_t to_at, int from, uint64_t from_at, uint64_t end,
                     struct err *e) {
    uint8_t *buffer = malloc(COPY_BYTES);
    if (!buffer)
        return err_set(e, &err_memory, "copying a bundle");
    int r = 0;
    while (r == 0 && from_at < end) {
        size_t n = end - from_at < COPY_BYTES ? (size_t)(end - from_at) : COPY_BYTES, got = 0;
        r = fs_pread(from, buffer, n, from_at, &got, e);
        if (r == 0 && got < n)
            r = err_set(e, &err_busy, "the bundle got shorter while it was being signed");
        if (r == 0)
            r = fs_pwrite(to, buffer, n, to_at, e);
        from_at += n;
        to_at += n;
    }
    free(buffer);
    return r;
}

static int write_signed(int from, const struct unpack_candidate *candidate,
                        const struct buf *manifest, int to, struct err *e) {
    const struct bundle_skeleton *old = unpack_candidate_skeleton(candidate);
    uint64_t member = old->size[BUNDLE_SKELETON_MANIFEST], end = 0;
    struct bundle_skeleton head = {.size = {[BUNDLE_SKELETON_MANIFEST] = manifest->len}};
    uint8_t block[BUNDLE_SKELETON_BLOCK];
    if (fs_size(from, &end, e) < 0)
        return -1;
    bundle_skeleton_header(&head, BUNDLE_SKELETON_MANIFEST, block);
    int shared = manifest->len == member ? fs_clone(to, from, e) : FS_NO_CLONE;
    if (shared < 0 || (shared == FS_NO_CLONE && copy_rest(to, sizeof block + manifest->len, from,
                                                          sizeof block + member, end, e) < 0))
        return -1;
    if (fs_pwrite(to, block, sizeof block, 0, e) < 0 ||
        fs_pwrite(to, manifest->data, manifest->len, sizeof block, e) < 0)
        return -1;
    // It replaces a file that others have signed: it must be there after a power cut.
    return fs_sync_data(to, e);
}

static int replace(const char *path, int from, const struct unpack_candidate *candidate,
                   const struct buf *manifest, struct err *e) {
    struct pack_partial to;
    if (pack_partial_begin(path, &to, e) < 0)
        return -1;
    return pack_partial_end(&to, path, write_signed(from, candidate, manifest, to.fd, e), e);
}

int pack_build_add_signature(const char *path, const struct sign_signer *signer, struct err *e) {
    struct unpack_candidate *candidate = NULL;
    struct unpack_source_file file;
    struct unpack_source source;
    struct buf manifest;
    OWN(fd) int fd = -1;
    if (fs_open_read(AT_FDCWD, path, &fd, e) < 0 ||
        unpack_source_from_file(fd, &file, &source, e) < 0 ||
        unpack_open(&source, &candidate, e) < 0)
        return -1;
    buf_init(&manifest, BUNDLE_MANIFEST_MAX_BYTES);
    int r = sign_again(unpack_candidate_manifest(candidate), signer, &manifest, e);
    if (r == 0)
        r = replace(path, fd, candidate, &manifest, e);
    buf_clear(&manifest);
    unpack_candidate_free(candidate);
    return r < 0 ? err_prefix(e, "signing %s", path) : 0;
}
