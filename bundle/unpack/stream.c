// SPDX-License-Identifier: Apache-2.0
//
// The stream of a verified bundle.
#include "bundle/unpack/stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "bundle/kind.h"
#include "bundle/unpack/frame.h"
#include "bundle/unpack/scratch.h"

#define COPY_BYTES 65536

struct unpack_stream {
    const struct unpack_bundle *bundle;
    const struct unpack_source *source;
    struct bundle_index_reader *index;
    struct bundle_index_header header;
    struct unpack_frame frame;    // for what comes forward
    struct unpack_frame again;    // for what is read again
    struct unpack_scratch firsts; // raw position → stream position, bytes; of chunks seen first
    bool repeats;
    uint64_t chunk;     // number of the next one
    uint64_t stream;    // its position
    uint64_t raw;       // where the next chunk not seen before lies
    uint64_t frame_no;  // the frame that the forward cursor reached (when raw > 0)
    uint64_t frame_end; // raw position where it ends
    uint64_t read_bytes;
};

static int read_source(struct unpack_stream *s, uint64_t offset, void *data, size_t len,
                       struct err *e) {
    if (s->source->read(s->source->context, offset, data, len, e) < 0)
        return -1;
    s->read_bytes += len;
    return 0;
}

// Everything in front of the data but the manifest.
static int take_index(struct unpack_stream *s, int index_fd, struct err *e) {
    const struct bundle_skeleton *k = unpack_bundle_skeleton(s->bundle);
    uint64_t size = k->size[BUNDLE_SKELETON_INDEX], at = k->offset[BUNDLE_SKELETON_INDEX];
    uint8_t block[BUNDLE_SKELETON_BLOCK], expected[BUNDLE_SKELETON_BLOCK];
    uint8_t *copy = malloc(COPY_BYTES);
    if (!copy)
        return err_set(e, &err_memory, "taking the index");
    int r = 0;
    for (uint64_t done = 0; r == 0 && done < size;) {
        size_t n = size - done < COPY_BYTES ? (size_t)(size - done) : COPY_BYTES;
        r = read_source(s, at + done, copy, n, e);
        if (r == 0 && fs_pwrite(index_fd, copy, n, done, e) < 0)
            r = err_prefix(e, "keeping the index");
        done += n;
    }
    free(copy);
    // A whole number of blocks, so the next header follows at once.
    if (r < 0 || read_source(s, at + size, block, sizeof block, e) < 0)
        return -1;
    bundle_skeleton_header(k, BUNDLE_SKELETON_DATA, expected);
    if (memcmp(block, expected, sizeof block) != 0)
        return err_set(e, &err_bad_skeleton,
                       "the header of member data is not the one its size prescribes");
    return 0;
}

static int check_totals(const struct unpack_stream *s, struct err *e) {
    const struct bundle_manifest_view *v = bundle_manifest_view(unpack_bundle_manifest(s->bundle));
    uint64_t total = 0;
    for (size_t i = 0; i < v->n_components; i++)
        total += v->components[i].stream_bytes +
                 (v->components[i].type == BUNDLE_COMPONENT_FILES ? v->components[i].size : 0);
    if (total != s->header.stream_bytes)
        return err_set(e, &err_bad_index,
                       "the index describes %" PRIu64 " bytes of contents, the manifest %" PRIu64,
                       s->header.stream_bytes, total);
    return 0;
}

static int open_stream(struct unpack_stream *s, int index_fd, int firsts_fd, struct err *e) {
    const struct bundle_packing *packing =
        &bundle_manifest_view(unpack_bundle_manifest(s->bundle))->packing;
    if (take_index(s, index_fd, e) < 0 || bundle_index_open(index_fd, 0, packing, &s->index, e) < 0)
        return -1;
    s->header = *bundle_index_head(s->index);
    s->repeats = s->header.raw_bytes != s->header.stream_bytes;
    unpack_scratch_init(&s->firsts, firsts_fd);
    struct unpack_frame frame = {
        .source = s->source,
        .index = s->index,
        .data_offset = unpack_bundle_skeleton(s->bundle)->offset[BUNDLE_SKELETON_DATA],
        .frame_max = (size_t)packing->frame_bytes,
        .loaded = UINT64_MAX,
    };
    s->frame = s->again = frame;
    return check_totals(s, e);
}

int unpack_stream_open(const struct unpack_bundle *bundle, const struct unpack_source *source,
                       int index_fd, int firsts_fd, uint64_t decode_max_bytes,
                       struct unpack_stream **ret, struct err *e) {
    const struct bundle_packing *packing =
        &bundle_manifest_view(unpack_bundle_manifest(bundle))->packing;
    if (packing->frame_bytes > decode_max_bytes)
        return err_set(e, &err_decode_memory,
                       "the bundle's frames are up to %" PRIu64 " bytes, this device decodes at "
                       "most %" PRIu64 ": pack it with smaller frames",
                       packing->frame_bytes, decode_max_bytes);
    struct unpack_stream *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, &err_memory, "opening the contents of a bundle");
    s->bundle = bundle;
    s->source = source;
    if (open_stream(s, index_fd, firsts_fd, e) < 0) {
        unpack_stream_close(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void unpack_stream_close(struct unpack_stream *s) {
    if (!s)
        return;
    unpack_frame_clear(&s->frame);
    unpack_frame_clear(&s->again);
    bundle_index_close(s->index);
    free(s);
}

bool unpack_stream_repeats(const struct unpack_stream *s) {
    return s->repeats;
}

uint64_t unpack_stream_position(const struct unpack_stream *s) {
    return s->stream;
}

uint64_t unpack_stream_read_bytes(const struct unpack_stream *s) {
    return s->read_bytes + s->frame.read_bytes + s->again.read_bytes;
}

// A chunk seen first: it moves the forward cursor and is remembered if any chunk repeats.
static int take_first(struct unpack_stream *s, struct unpack_piece *piece, struct err *e) {
    if (s->raw == s->frame_end) {
        struct bundle_index_frame row;
        uint64_t next = s->raw == 0 ? 0 : s->frame_no + 1;
        if (bundle_index_frame(s->index, next, &row, e) < 0)
            return -1;
        s->frame_no = next;
        s->frame_end += row.raw_bytes;
    }
    piece->repeat = false;
    piece->frame = s->frame_no;
    piece->first = piece->stream;
    s->raw += piece->bytes;
    const struct unpack_scratch_row row = {
        .key = piece->raw, .a = piece->stream, .b = piece->bytes};
    return s->repeats ? unpack_scratch_add(&s->firsts, &row, e) : 0;
}

static int take_repeat(struct unpack_stream *s, struct unpack_piece *piece, struct err *e) {
    struct unpack_scratch_row row = {.b = 0};
    int r = unpack_scratch_find(&s->firsts, piece->raw, &row, e);
    if (r < 0)
        return -1;
    if (r == UNPACK_SCRATCH_NONE || row.key != piece->raw || row.b != piece->bytes)
        return err_set(e, &err_bad_index, "it repeats something that is no chunk");
    piece->repeat = true;
    piece->frame = UINT64_MAX;
    piece->first = row.a;
    return 0;
}

int unpack_stream_next(struct unpack_stream *s, uint64_t left, struct unpack_piece *ret,
                       struct err *e) {
    struct bundle_index_chunk row;
    struct unpack_piece piece = {.stream = s->stream};
    if (s->chunk == s->header.n_chunks)
        return err_set(e, &err_bad_index, "the index has fewer chunks than the contents need");
    if (bundle_index_chunk(s->index, s->chunk, &row, e) < 0)
        return -1;
    piece.raw = row.raw;
    piece.bytes = row.bytes;
    memcpy(piece.digest, row.digest, sizeof piece.digest);
    int r = 0;
    if (row.bytes > left)
        r = err_set(e, &err_bad_index, "it crosses the end of a content");
    else if (row.raw == s->raw)
        r = take_first(s, &piece, e);
    else
        r = take_repeat(s, &piece, e);
    if (r < 0)
        return err_prefix(e, "chunk %" PRIu64, s->chunk);
    s->chunk++;
    s->stream += row.bytes;
    *ret = piece;
    return 0;
}

int unpack_stream_bytes(struct unpack_stream *s, const struct unpack_piece *piece,
                        const uint8_t **ret, struct err *e) {
    if (unpack_frame_load(&s->frame, piece->frame, e) < 0)
        return -1;
    *ret = s->frame.bytes + (piece->raw - s->frame.row.raw);
    return 0;
}

int unpack_stream_again(struct unpack_stream *s, const struct unpack_piece *piece,
                        const uint8_t **ret, struct err *e) {
    uint64_t number = 0;
    if (unpack_frame_find(&s->again, piece->raw, &number, e) < 0 ||
        unpack_frame_load(&s->again, number, e) < 0)
        return -1;
    // It repeats a chunk, and no chunk crosses the end of its frame.
    *ret = s->again.bytes + (piece->raw - s->again.row.raw);
    return 0;
}

int unpack_stream_border(struct unpack_stream *s, struct err *e) {
    if (s->raw != s->frame_end)
        return err_set(e, &err_bad_index, "a frame crosses the end of the trees");
    return 0;
}

int unpack_stream_end(struct unpack_stream *s, struct err *e) {
    const struct bundle_skeleton *k = unpack_bundle_skeleton(s->bundle);
    uint8_t tail[BUNDLE_SKELETON_BLOCK + BUNDLE_SKELETON_TAIL_BYTES];
    uint64_t from = k->offset[BUNDLE_SKELETON_DATA] + k->size[BUNDLE_SKELETON_DATA];
    size_t len = (size_t)(k->total - from);
    if (s->chunk != s->header.n_chunks)
        return err_set(e, &err_bad_index, "the index has more chunks than the contents need");
    if (read_source(s, from, tail, len, e) < 0)
        return -1;
    for (size_t i = 0; i < len; i++)
        if (tail[i] != 0)
            return err_set(e, &err_trailing_data, "the end of the bundle is not zero");
    return 0;
}
