// SPDX-License-Identifier: Apache-2.0
//
// From stored bytes to frames.
#include "bundle/unpack/delta/stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/frame.h"

static int read_source(struct delta_stream *s, uint64_t offset, void *data, size_t len,
                       struct err *e) {
    if (len > 0 && s->source->read(s->source->context, offset, data, len, e) < 0)
        return -1;
    s->read_bytes += len;
    return 0;
}

static bool is_zero(const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

// The frame table, its padding and the header behind it, in one read.
static int read_index(struct delta_stream *s, struct err *e) {
    const struct bundle_skeleton_delta *k = unpack_delta_skeleton(s->delta);
    const struct bundle_delta_packing *packing = &unpack_delta_head(s->delta)->packing;
    uint8_t expected[BUNDLE_SKELETON_BLOCK];
    size_t size = (size_t)k->size[BUNDLE_SKELETON_DELTA_INDEX]; // at most 384 KiB
    size_t padding = (size_t)bundle_skeleton_padding(size);
    OWN(mem) uint8_t *bytes = malloc(size + padding + sizeof expected);
    if (!bytes)
        return err_set(e, &err_memory, "reading the frame table");
    if (read_source(s, k->offset[BUNDLE_SKELETON_DELTA_INDEX], bytes,
                    size + padding + sizeof expected, e) < 0)
        return -1;
    bundle_skeleton_delta_header(k, BUNDLE_SKELETON_DELTA_DATA, expected);
    if (!is_zero(bytes + size, padding) ||
        memcmp(bytes + size + padding, expected, sizeof expected) != 0)
        return err_set(e, &err_bad_skeleton,
                       "what follows the frame table is not what its size and that of the data "
                       "prescribe");
    return bundle_delta_parse_index((struct slice){bytes, size}, packing, &s->frames, e);
}

static int check_borders(const struct delta_stream *s, struct err *e) {
    const struct bundle_manifest_view *v = bundle_manifest_view(unpack_delta_manifest(s->delta));
    uint64_t trees = 0;
    for (size_t i = 0; i < v->n_components; i++)
        if (v->components[i].type == BUNDLE_COMPONENT_FILES)
            trees += v->components[i].size;
    if (s->frames[s->n_trees].position != trees)
        return err_set(e, &err_bad_delta,
                       "the frames of its trees make %" PRIu64 " bytes, the trees have %" PRIu64,
                       s->frames[s->n_trees].position, trees);
    return 0;
}

int delta_stream_open(struct delta_stream *s, const struct unpack_delta *delta,
                      const struct unpack_source *source, const struct delta_base *base,
                      uint64_t decode_max_bytes, struct err *e) {
    const struct bundle_delta_packing *packing = &unpack_delta_head(delta)->packing;
    *s = (struct delta_stream){
        .delta = delta,
        .source = source,
        .n_trees = packing->n_tree_frames,
        .n_map = packing->n_map_frames,
        .n = packing->n_frames,
        .base = *base,
        .read_bytes = unpack_delta_skeleton(delta)->offset[BUNDLE_SKELETON_DELTA_INDEX],
    };
    if (packing->decode_bytes > decode_max_bytes)
        return err_set(e, &err_decode_memory,
                       "decoding the delta needs %" PRIu64 " bytes of memory, this device allows "
                       "%" PRIu64 ": install the bundle itself",
                       packing->decode_bytes, decode_max_bytes);
    if (read_index(s, e) < 0)
        return -1;
    s->stored = malloc((size_t)packing->frame_bytes + 1);
    if (!s->stored)
        return err_set(e, &err_memory, "a frame of %" PRIu64 " bytes", packing->frame_bytes);
    return check_borders(s, e);
}

void delta_stream_close(struct delta_stream *s) {
    free(s->frames);
    free(s->stored);
    s->frames = NULL;
    s->stored = NULL;
}

// The stored bytes of a frame, which are those that the frame table names.
static int read_frame(struct delta_stream *s, const struct bundle_delta_frame *frame,
                      struct err *e) {
    const uint64_t at = unpack_delta_skeleton(s->delta)->offset[BUNDLE_SKELETON_DELTA_DATA];
    struct keys_digest found;
    if (read_source(s, at + frame->offset, s->stored, frame->stored_bytes, e) < 0)
        return -1;
    keys_digest_of(s->stored, frame->stored_bytes, &found);
    if (!keys_digest_equal(&found, &frame->digest))
        return err_set(e, &err_bad_delta,
                       "its stored bytes are not those that the frame table names: damaged on the "
                       "way or on the medium, get the delta again");
    return 0;
}

static int run_frame(struct delta_stream *s, const struct bundle_delta_frame *frame,
                     const struct delta_sink *sink, struct err *e) {
    if (read_frame(s, frame, e) < 0)
        return -1;
    return unpack_delta_frame((struct slice){s->stored, frame->stored_bytes}, frame->out_bytes,
                              unpack_delta_head(s->delta)->packing.decode_bytes, &s->base, sink, e);
}

int delta_stream_run(struct delta_stream *s, uint64_t number, const struct delta_sink *sink,
                     struct err *e) {
    if (run_frame(s, &s->frames[number], sink, e) < 0)
        return err_prefix(e, "frame %" PRIu64, number);
    return 0;
}

int delta_stream_look(struct delta_stream *s, uint64_t number, struct err *e) {
    if (read_frame(s, &s->frames[number], e) < 0)
        return err_prefix(e, "frame %" PRIu64, number);
    return 0;
}

int delta_stream_end(struct delta_stream *s, struct err *e) {
    const struct bundle_skeleton_delta *k = unpack_delta_skeleton(s->delta);
    uint8_t tail[BUNDLE_SKELETON_BLOCK + BUNDLE_SKELETON_TAIL_BYTES];
    uint64_t from = k->offset[BUNDLE_SKELETON_DELTA_DATA] + k->size[BUNDLE_SKELETON_DELTA_DATA];
    size_t len = (size_t)(k->total - from);
    if (read_source(s, from, tail, len, e) < 0)
        return -1;
    return is_zero(tail, len) ? 0
                              : err_set(e, &err_trailing_data, "the end of the delta is not zero");
}
