// SPDX-License-Identifier: Apache-2.0
//
// From a candidate to a bundle: signatures, then sizes.
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/candidate.h"

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

// Exactly one of role and root is given.
static int verify_by(struct unpack_candidate **candidate, const struct keys_role *role,
                     const struct keys_root *root, struct unpack_bundle **ret, struct err *e) {
    struct unpack_candidate *c = own_take(candidate);
    struct slice raw = buf_slice(&c->manifest);
    struct unpack_bundle *b = calloc(1, sizeof *b);
    int r = -1;
    if (!b)
        (void)err_set(e, &err_memory, "verifying a bundle");
    else if (role)
        r = bundle_manifest_verify(raw, role, &b->manifest, e);
    else
        r = bundle_manifest_verify_root(raw, root, &b->manifest, e);
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

int unpack_verify(struct unpack_candidate **candidate, const struct keys_role *role,
                  struct unpack_bundle **ret, struct err *e) {
    return verify_by(candidate, role, NULL, ret, e);
}

int unpack_verify_root(struct unpack_candidate **candidate, const struct keys_root *root,
                       struct unpack_bundle **ret, struct err *e) {
    return verify_by(candidate, NULL, root, ret, e);
}
