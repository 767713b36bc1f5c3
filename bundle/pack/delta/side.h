// SPDX-License-Identifier: Apache-2.0
//
// One side of a delta on the building machine: all contents of a verified bundle in one temporary
// file without a name, mapped into memory, in the order of bundle/delta.h's old stream. So for the
// old side a place in `bytes` is an old address. Every content was compared with its signed digest.
#pragma once

#include "bundle/manifest.h"
#include "bundle/unpack/open.h"

struct pack_delta_content {
    uint64_t address; // in bytes
    uint64_t size;
    struct keys_digest digest;
    uint32_t component; // number in the manifest
    const char *path;   // owned by the side; "" for an image
};

struct pack_delta_side {
    const struct bundle_manifest_view *view; // the bundle's
    const struct keys_digest *id;
    int fd; // of the temporary file
    uint64_t len;
    const uint8_t *bytes;                  // mapped
    uint64_t trees[BUNDLE_COMPONENTS_MAX]; // address of each component's tree (files)
    size_t n, max;
    struct pack_delta_content *contents; // regular files and images, in order
};

// dir: where the temporary file is made; needs as much room as the contents. The bundle must
// outlive *ret. On failure *ret is cleared. Kinds: bad_content, bad_tree, no_space, memory, those
// of unpack_stream.
int pack_delta_side_open(const struct unpack_bundle *bundle, const struct unpack_source *source,
                         const char *dir, struct pack_delta_side *ret, struct err *e)
    __attribute__((nonnull));
// The regular file of a component by its path; NULL when it has none.
const struct pack_delta_content *pack_delta_side_find(const struct pack_delta_side *side,
                                                      uint32_t component, const char *path)
    __attribute__((nonnull));
// A temporary file without a name in a folder, open for reading and writing; *ret is the caller's.
int pack_delta_side_temporary(const char *dir, int *ret, struct err *e) __attribute__((nonnull));
void pack_delta_side_close(struct pack_delta_side *side) __attribute__((nonnull));
