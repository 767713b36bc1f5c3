// SPDX-License-Identifier: Apache-2.0
//
// The first bytes of a bundle: two headers and the manifest between them, in one forward read.
#include "bundle/unpack/open.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"

struct unpack_candidate {
    struct bundle_skeleton skeleton;
    uint64_t source_size; // UINT64_MAX: unknown
    struct buf manifest;
};

struct unpack_bundle {
    struct bundle_skeleton skeleton;
    struct bundle_manifest *manifest;
};

static int read_candidate(const struct unpack_source *source, struct unpack_candidate *c,
                          struct err *e) {
    uint8_t block[BUNDLE_SKELETON_BLOCK];
    uint8_t *manifest = NULL;
    uint64_t size[BUNDLE_SKELETON_MEMBERS] = {0};
    if (source->read(source->context, 0, block, sizeof block, e) < 0 ||
        bundle_skeleton_check(block, BUNDLE_SKELETON_MANIFEST, &size[BUNDLE_SKELETON_MANIFEST], e) <
            0)
        return -1;
    // A multiple of 4096 of at most 64 KiB, so no padding follows it.
    size_t len = (size_t)size[BUNDLE_SKELETON_MANIFEST];
    if (buf_reserve(&c->manifest, len, &manifest, e) < 0 ||
        source->read(source->context, sizeof block, manifest, len, e) < 0)
        return -1;
    buf_commit(&c->manifest, len);
    if (source->read(source->context, sizeof block + len, block, sizeof block, e) < 0 ||
        bundle_skeleton_check(block, BUNDLE_SKELETON_INDEX, &size[BUNDLE_SKELETON_INDEX], e) < 0)
        return -1;
    if (bundle_skeleton_layout(size, &c->skeleton, e) < 0)
        return -1;
    c->skeleton.total = 0; // not known yet: the size of the data is the manifest's to say
    c->source_size = source->size(source->context);
    return 0;
}

int unpack_open(const struct unpack_source *source, struct unpack_candidate **ret, struct err *e) {
    struct unpack_candidate *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, &err_memory, "opening a bundle");
    buf_init(&c->manifest, BUNDLE_MANIFEST_MAX_BYTES);
    if (read_candidate(source, c, e) < 0) {
        unpack_candidate_free(c);
        return -1;
    }
    *ret = c;
    return 0;
}

void unpack_candidate_free(struct unpack_candidate *candidate) {
    if (!candidate)
        return;
    buf_clear(&candidate->manifest);
    free(candidate);
}

struct slice unpack_candidate_manifest(const struct unpack_candidate *candidate) {
    return buf_slice(&candidate->manifest);
}

const struct bundle_skeleton *unpack_candidate_skeleton(const struct unpack_candidate *candidate) {
    return &candidate->skeleton;
}

// The sizes of the container are those that were signed, and the file ends where they say.
static int check_sizes(const struct unpack_candidate *c, const struct bundle_manifest *manifest,
                       struct bundle_skeleton *ret, struct err *e) {
    const struct bundle_packing *packing = &bundle_manifest_view(manifest)->packing;
    uint64_t size[BUNDLE_SKELETON_MEMBERS];
    memcpy(size, c->skeleton.size, sizeof size);
    size[BUNDLE_SKELETON_DATA] = packing->data_bytes;
    if (size[BUNDLE_SKELETON_INDEX] != packing->index_bytes)
        return err_set(e, &err_bad_skeleton, "the index has %llu bytes, the manifest says %llu",
                       (unsigned long long)size[BUNDLE_SKELETON_INDEX],
                       (unsigned long long)packing->index_bytes);
    if (bundle_skeleton_layout(size, ret, e) < 0)
        return -1;
    if (c->source_size == UINT64_MAX || c->source_size == ret->total)
        return 0;
    return err_set(e, c->source_size < ret->total ? &err_truncated : &err_trailing_data,
                   "the bundle has %llu bytes, its manifest prescribes %llu",
                   (unsigned long long)c->source_size, (unsigned long long)ret->total);
}

int unpack_verify(struct unpack_candidate **candidate, const struct keys_role *role,
                  struct unpack_bundle **ret, struct err *e) {
    struct unpack_candidate *c = own_take(candidate);
    struct unpack_bundle *b = calloc(1, sizeof *b);
    int r = b ? bundle_manifest_verify(buf_slice(&c->manifest), role, &b->manifest, e)
              : err_set(e, &err_memory, "verifying a bundle");
    if (r == 0)
        r = check_sizes(c, b->manifest, &b->skeleton, e);
    unpack_candidate_free(c);
    if (r < 0) {
        unpack_bundle_free(b);
        return -1;
    }
    *ret = b;
    return 0;
}

void unpack_bundle_free(struct unpack_bundle *bundle) {
    if (!bundle)
        return;
    bundle_manifest_free(bundle->manifest);
    free(bundle);
}

const struct bundle_manifest *unpack_bundle_manifest(const struct unpack_bundle *bundle) {
    return bundle->manifest;
}

const struct bundle_skeleton *unpack_bundle_skeleton(const struct unpack_bundle *bundle) {
    return &bundle->skeleton;
}
