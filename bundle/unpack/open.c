// SPDX-License-Identifier: Apache-2.0
//
// The first bytes of a bundle: two headers and the manifest between them, in one forward read.
#include "bundle/unpack/open.h"

#include <stdlib.h>

#include "bundle/unpack/candidate.h"

static int read_candidate(const struct unpack_source *source, struct unpack_candidate *c,
                          struct err *e) {
    uint8_t block[BUNDLE_SKELETON_BLOCK];
    uint8_t *manifest = NULL;
    uint64_t size[BUNDLE_SKELETON_MEMBERS] = {0};
    unpack_source_expect(source, 0, UNPACK_OPEN_FIRST_BYTES);
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
