// SPDX-License-Identifier: Apache-2.0
//
// The first bytes of a delta: three headers, the manifest and the head between them, in one forward
// read.
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/candidate.h"

// Reads a header, whose member lies behind it, at *at.
static int read_header(const struct unpack_source *source, uint64_t *at,
                       enum bundle_skeleton_delta_member member, uint64_t *ret_size,
                       struct err *e) {
    uint8_t block[BUNDLE_SKELETON_BLOCK];
    if (source->read(source->context, *at, block, sizeof block, e) < 0 ||
        bundle_skeleton_delta_check(block, member, ret_size, e) < 0)
        return -1;
    *at += sizeof block;
    return 0;
}

// Sizes are whole blocks of at most 64 KiB, so no padding follows.
static int read_member(const struct unpack_source *source, uint64_t *at, uint64_t size,
                       struct buf *ret, struct err *e) {
    uint8_t *room = NULL;
    if (buf_reserve(ret, (size_t)size, &room, e) < 0 ||
        source->read(source->context, *at, room, (size_t)size, e) < 0)
        return -1;
    buf_commit(ret, (size_t)size);
    *at += size;
    return 0;
}

static int read_candidate(const struct unpack_source *source, struct unpack_delta_candidate *c,
                          struct err *e) {
    uint64_t size[BUNDLE_SKELETON_DELTA_MEMBERS] = {0}, at = 0;
    struct err other = ERR_NONE;
    if (read_header(source, &at, BUNDLE_SKELETON_DELTA_MANIFEST, &size[0], e) < 0 ||
        read_member(source, &at, size[BUNDLE_SKELETON_DELTA_MANIFEST], &c->manifest, e) < 0)
        return -1;
    if (read_header(source, &at, BUNDLE_SKELETON_DELTA_HEAD, &size[BUNDLE_SKELETON_DELTA_HEAD],
                    &other) < 0) {
        if (err_is(&other, &err_bad_skeleton))
            return UNPACK_DELTA_OPEN_NONE;
        *e = other;
        return -1;
    }
    if (read_member(source, &at, size[BUNDLE_SKELETON_DELTA_HEAD], &c->head, e) < 0 ||
        read_header(source, &at, BUNDLE_SKELETON_DELTA_INDEX, &size[BUNDLE_SKELETON_DELTA_INDEX],
                    e) < 0 ||
        bundle_skeleton_delta_layout(size, &c->skeleton, e) < 0)
        return -1;
    c->skeleton.total = 0; // not known yet: the size of the data is the head's to say
    c->source_size = source->size(source->context);
    return 0;
}

int unpack_delta_open(const struct unpack_source *source, struct unpack_delta_candidate **ret,
                      struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, &err_memory, "opening a delta");
    buf_init(&c->manifest, BUNDLE_MANIFEST_MAX_BYTES);
    buf_init(&c->head, BUNDLE_DELTA_HEAD_MAX_BYTES);
    int r = read_candidate(source, c, e);
    if (r != 0)
        return r;
    *ret = own_take(&c);
    return 0;
}

void unpack_delta_open_free(struct unpack_delta_candidate *candidate) {
    if (!candidate)
        return;
    buf_clear(&candidate->manifest);
    buf_clear(&candidate->head);
    free(candidate);
}

struct slice unpack_delta_open_manifest(const struct unpack_delta_candidate *candidate) {
    return buf_slice(&candidate->manifest);
}

struct slice unpack_delta_open_head(const struct unpack_delta_candidate *candidate) {
    return buf_slice(&candidate->head);
}
