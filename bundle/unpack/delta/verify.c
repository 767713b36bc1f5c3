// SPDX-License-Identifier: Apache-2.0
//
// From a candidate to a delta: signatures or a digest, then sizes.
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/candidate.h"
#include "keys/envelope.h"
#include "keys/kind.h"

// What a head may be believed for. Exactly one of both.
struct trust {
    const struct keys_root *root;
    const struct keys_digest *digest; // NULL: by the root
    uint64_t bytes;
};

static int check_sizes(const struct unpack_delta_candidate *c, struct unpack_delta *d,
                       struct err *e) {
    const struct bundle_delta_packing *packing = &d->head.packing;
    uint64_t size[BUNDLE_SKELETON_DELTA_MEMBERS];
    memcpy(size, c->skeleton.size, sizeof size);
    size[BUNDLE_SKELETON_DELTA_DATA] = packing->data_bytes;
    if (size[BUNDLE_SKELETON_DELTA_INDEX] != packing->n_frames * BUNDLE_DELTA_ROW_BYTES)
        return err_set(e, &err_bad_skeleton, "the frame table has %llu bytes, the head says %llu",
                       (unsigned long long)size[BUNDLE_SKELETON_DELTA_INDEX],
                       (unsigned long long)(packing->n_frames * BUNDLE_DELTA_ROW_BYTES));
    if (bundle_skeleton_delta_layout(size, &d->skeleton, e) < 0)
        return -1;
    if (c->source_size == UINT64_MAX || c->source_size == d->skeleton.total)
        return 0;
    return err_set(e, c->source_size < d->skeleton.total ? &err_truncated : &err_trailing_data,
                   "the delta has %llu bytes, its head prescribes %llu",
                   (unsigned long long)c->source_size, (unsigned long long)d->skeleton.total);
}

static int check_digest(struct slice signed_part, const struct trust *trust, struct err *e) {
    struct keys_digest found;
    keys_digest_of(signed_part.data, signed_part.len, &found);
    if (signed_part.len == trust->bytes && keys_digest_equal(&found, trust->digest))
        return 0;
    return err_set(e, &err_digest_mismatch,
                   "the delta's head is not the one that the repository's targets name");
}

static int read_head(const struct unpack_delta_candidate *c, const struct trust *trust,
                     struct unpack_delta *d, struct err *e) {
    struct keys_envelope_candidate envelope;
    if (keys_envelope_split(buf_slice(&c->head), "delta.json", &envelope, e) < 0)
        return -1;
    int r = trust->digest ? check_digest(envelope.signed_part, trust, e)
                          : bundle_manifest_verify_beside(d->manifest, &envelope, "delta.json",
                                                          trust->root, e);
    if (r < 0 || bundle_delta_parse(envelope.signed_part, &d->head, e) < 0)
        return -1;
    if (!keys_digest_equal(&d->head.bundle, bundle_manifest_id(d->manifest)))
        return err_set(e, &err_bad_delta, "its head is for another bundle than its manifest");
    return 0;
}

static int verify(struct unpack_delta_candidate **candidate, const struct trust *trust,
                  struct unpack_delta **ret, struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *c = own_take(candidate);
    OWN(delta) struct unpack_delta *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, &err_memory, "verifying a delta");
    if (bundle_manifest_verify_root(buf_slice(&c->manifest), trust->root, &d->manifest, e) < 0 ||
        read_head(c, trust, d, e) < 0 || check_sizes(c, d, e) < 0)
        return -1;
    *ret = own_take(&d);
    return 0;
}

int unpack_delta_verify_root(struct unpack_delta_candidate **candidate,
                             const struct keys_root *root, struct unpack_delta **ret,
                             struct err *e) {
    const struct trust trust = {.root = root};
    return verify(candidate, &trust, ret, e);
}

int unpack_delta_verify_digest(struct unpack_delta_candidate **candidate,
                               const struct keys_root *root, const struct keys_digest *head,
                               uint64_t head_bytes, struct unpack_delta **ret, struct err *e) {
    const struct trust trust = {.root = root, .digest = head, .bytes = head_bytes};
    return verify(candidate, &trust, ret, e);
}

void unpack_delta_free(struct unpack_delta *delta) {
    if (!delta)
        return;
    bundle_manifest_free(delta->manifest);
    free(delta);
}

const struct bundle_manifest *unpack_delta_manifest(const struct unpack_delta *delta) {
    return delta->manifest;
}

const struct bundle_delta_head *unpack_delta_head(const struct unpack_delta *delta) {
    return &delta->head;
}

const struct bundle_skeleton_delta *unpack_delta_skeleton(const struct unpack_delta *delta) {
    return &delta->skeleton;
}
