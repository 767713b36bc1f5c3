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

#define COPY_BYTES 65536

struct unpack_stream {
    const struct unpack_bundle *bundle;
    const struct unpack_source *source;
    bool by_choice;
    int index_fd;
    struct bundle_index_reader *index;
    struct bundle_index_header header;
    struct unpack_frame_reader frames;
    struct unpack_frame groups[2];        // of what comes forward: known, fresh
    struct unpack_frame again;            // of what is read again
    struct bundle_index_frame reached[2]; // the row of each group that its cursor is in
    uint64_t reached_no[2];               // its number; UINT64_MAX none
    uint64_t raw[2];                      // where the last chunk taken of each group ends
    uint64_t chunk;                       // number of the next one
    bool placed;                          // whether that is known
    uint64_t stream;                      // its position
    uint64_t read_bytes;
    uint8_t *there; // by choice: a bit for each page of the index that is in the file; owned
};

static int read_source(struct unpack_stream *s, uint64_t offset, void *data, size_t len,
                       struct err *e) {
    if (s->source->read(s->source->context, offset, data, len, e) < 0)
        return -1;
    s->read_bytes += len;
    return 0;
}

// A part of the index from the source into the file.
static int take_index(struct unpack_stream *s, uint64_t from, uint64_t bytes, struct err *e) {
    uint64_t at = unpack_bundle_skeleton(s->bundle)->offset[BUNDLE_SKELETON_INDEX];
    uint8_t *copy = malloc(COPY_BYTES);
    if (!copy)
        return err_set(e, &err_memory, "taking the index");
    int r = 0;
    unpack_source_expect(s->source, at + from, bytes);
    for (uint64_t done = 0; r == 0 && done < bytes;) {
        size_t n = bytes - done < COPY_BYTES ? (size_t)(bytes - done) : COPY_BYTES;
        r = read_source(s, at + from + done, copy, n, e);
        if (r == 0 && fs_pwrite(s->index_fd, copy, n, from + done, e) < 0)
            r = err_prefix(e, "keeping the index");
        done += n;
    }
    free(copy);
    return r;
}

// The index is a whole number of blocks, so the next header follows at once.
static int check_header(struct unpack_stream *s, struct err *e) {
    const struct bundle_skeleton *k = unpack_bundle_skeleton(s->bundle);
    uint8_t block[BUNDLE_SKELETON_BLOCK], expected[BUNDLE_SKELETON_BLOCK];
    if (read_source(s, k->offset[BUNDLE_SKELETON_DATA] - sizeof block, block, sizeof block, e) < 0)
        return -1;
    bundle_skeleton_header(k, BUNDLE_SKELETON_DATA, expected);
    if (memcmp(block, expected, sizeof block) != 0)
        return err_set(e, &err_bad_skeleton,
                       "the header of member data is not the one its size prescribes");
    return 0;
}

static int check_totals(const struct unpack_stream *s, struct err *e) {
    uint64_t total =
        bundle_manifest_stream_bytes(bundle_manifest_view(unpack_bundle_manifest(s->bundle)));
    if (total != s->header.stream_bytes)
        return err_set(e, &err_bad_index,
                       "the index describes %" PRIu64 " bytes of contents, the manifest %" PRIu64,
                       s->header.stream_bytes, total);
    return 0;
}

static int want_page(void *context, uint64_t page, struct err *e) {
    return unpack_stream_fetch(context, page, 1, e);
}

static int open_index(struct unpack_stream *s, struct err *e) {
    const struct bundle_packing *packing =
        &bundle_manifest_view(unpack_bundle_manifest(s->bundle))->packing;
    struct bundle_index_file file = {.fd = s->index_fd};
    uint64_t bytes = packing->index_bytes;
    if (s->by_choice) {
        bytes = packing->index_head_bytes;
        file.want = want_page;
        file.context = s;
        s->there = calloc(1, (packing->index_bytes - bytes) / BUNDLE_INDEX_PAGE_BYTES / 8 + 1);
        if (!s->there)
            return err_set(e, &err_memory, "opening the contents of a bundle");
    }
    if (take_index(s, 0, bytes, e) < 0 || (!s->by_choice && check_header(s, e) < 0))
        return -1;
    return bundle_index_open(&file, packing, &s->index, e);
}

static int open_stream(struct unpack_stream *s, struct err *e) {
    const struct bundle_packing *packing =
        &bundle_manifest_view(unpack_bundle_manifest(s->bundle))->packing;
    size_t max = (size_t)packing->frame_bytes;
    size_t fresh = max < BUNDLE_FRAME_FRESH_BYTES ? max : BUNDLE_FRAME_FRESH_BYTES;
    if (open_index(s, e) < 0)
        return -1;
    s->header = *bundle_index_head(s->index);
    s->frames = (struct unpack_frame_reader){
        .source = s->source,
        .index = s->index,
        .data_offset = unpack_bundle_skeleton(s->bundle)->offset[BUNDLE_SKELETON_DATA],
        .stored_max = max,
    };
    s->groups[BUNDLE_INDEX_KNOWN] = s->again =
        (struct unpack_frame){.max = max, .loaded = UINT64_MAX};
    s->groups[BUNDLE_INDEX_FRESH] = (struct unpack_frame){.max = fresh, .loaded = UINT64_MAX};
    s->reached_no[BUNDLE_INDEX_KNOWN] = s->reached_no[BUNDLE_INDEX_FRESH] = UINT64_MAX;
    s->raw[BUNDLE_INDEX_FRESH] = s->header.fresh_start;
    s->placed = true;
    return check_totals(s, e);
}

int unpack_stream_open(const struct unpack_bundle *bundle, const struct unpack_source *source,
                       enum unpack_stream_way way, int index_fd, uint64_t decode_max_bytes,
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
    s->by_choice = way == UNPACK_STREAM_BY_CHOICE;
    s->index_fd = index_fd;
    if (open_stream(s, e) < 0) {
        unpack_stream_close(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void unpack_stream_close(struct unpack_stream *s) {
    if (!s)
        return;
    unpack_frame_clear(&s->groups[BUNDLE_INDEX_KNOWN]);
    unpack_frame_clear(&s->groups[BUNDLE_INDEX_FRESH]);
    unpack_frame_clear(&s->again);
    unpack_frame_end(&s->frames);
    bundle_index_close(s->index);
    free(s->there);
    free(s);
}

struct bundle_index_reader *unpack_stream_index(struct unpack_stream *s) {
    return s->index;
}

static bool is_there(const struct unpack_stream *s, uint64_t page) {
    return (s->there[page / 8] >> (page % 8) & 1) != 0;
}

int unpack_stream_fetch(struct unpack_stream *s, uint64_t first, uint64_t n, struct err *e) {
    uint64_t head =
        bundle_manifest_view(unpack_bundle_manifest(s->bundle))->packing.index_head_bytes;
    if (!s->by_choice)
        return 0;
    for (uint64_t end = first + n; first < end;) {
        uint64_t run = first;
        while (run < end && !is_there(s, run))
            run++;
        if (run == first) {
            first++;
            continue;
        }
        if (take_index(s, head + first * BUNDLE_INDEX_PAGE_BYTES,
                       (run - first) * BUNDLE_INDEX_PAGE_BYTES, e) < 0)
            return -1;
        for (; first < run; first++)
            s->there[first / 8] |= (uint8_t)(1U << (first % 8));
    }
    return 0;
}

bool unpack_stream_repeats(const struct unpack_stream *s) {
    return s->header.raw_bytes != s->header.stream_bytes;
}

uint64_t unpack_stream_position(const struct unpack_stream *s) {
    return s->stream;
}

uint64_t unpack_stream_read_bytes(const struct unpack_stream *s) {
    return s->read_bytes + s->frames.read_bytes;
}

// A chunk seen first lies in the frame that its group's cursor is in, or in the next one.
static int take_first(struct unpack_stream *s, const struct bundle_index_chunk *row,
                      struct unpack_piece *piece, struct err *e) {
    struct bundle_index_frame *frame = &s->reached[row->what];
    uint64_t *number = &s->reached_no[row->what];
    if (*number == UINT64_MAX || row->raw - frame->raw >= frame->raw_bytes) {
        uint64_t next = 0;
        *number = UINT64_MAX;
        if (bundle_index_find_frame(s->index, row->raw, &next, e) < 0 ||
            bundle_index_frame(s->index, next, frame, e) < 0)
            return -1;
        *number = next;
    }
    if (row->bytes > frame->raw_bytes - (row->raw - frame->raw))
        return err_set(e, &err_bad_index, "it crosses the end of its frame");
    s->raw[row->what] = row->raw + row->bytes;
    piece->raw = row->raw;
    piece->frame = *number;
    return 0;
}

// By the stream's position, when contents were passed over.
static int find_place(struct unpack_stream *s, struct err *e) {
    if (s->placed)
        return 0;
    if (s->stream == s->header.stream_bytes)
        s->chunk = s->header.n_chunks;
    else if (bundle_index_find_chunk(s->index, s->stream, &s->chunk, e) < 0)
        return -1;
    s->placed = true;
    return 0;
}

int unpack_stream_next(struct unpack_stream *s, uint64_t left, struct unpack_piece *ret,
                       struct err *e) {
    struct bundle_index_chunk row;
    if (find_place(s, e) < 0)
        return -1;
    if (s->chunk == s->header.n_chunks)
        return err_set(e, &err_bad_index, "the index has fewer chunks than the contents need");
    if (bundle_index_chunk(s->index, s->chunk, &row, e) < 0)
        return -1;
    struct unpack_piece piece = {.number = s->chunk,
                                 .stream = s->stream,
                                 .raw = UINT64_MAX,
                                 .bytes = row.bytes,
                                 .repeat = row.what >= BUNDLE_INDEX_REPEATS,
                                 .frame = UINT64_MAX};
    memcpy(piece.digest, row.digest, sizeof piece.digest);
    int r = 0;
    if (row.bytes > left)
        r = err_set(e, &err_bad_index, "it crosses the end of a content");
    else if (piece.repeat)
        piece.repeats = row.what - BUNDLE_INDEX_REPEATS;
    else
        r = take_first(s, &row, &piece, e);
    if (r < 0)
        return err_prefix(e, "chunk %" PRIu64, s->chunk);
    s->chunk++;
    s->stream += row.bytes;
    *ret = piece;
    return 0;
}

int unpack_stream_pass(struct unpack_stream *s, uint64_t bytes, struct err *e) {
    if (bytes > s->header.stream_bytes - s->stream)
        return err_set(e, &err_bad_index, "the index has fewer chunks than the contents need");
    s->stream += bytes;
    s->placed = s->placed && bytes == 0;
    return 0;
}

void unpack_stream_return(struct unpack_stream *s, uint64_t position) {
    s->stream = position;
    s->placed = false;
    unpack_frame_clear(&s->groups[BUNDLE_INDEX_KNOWN]);
    unpack_frame_clear(&s->groups[BUNDLE_INDEX_FRESH]);
}

int unpack_stream_bytes(struct unpack_stream *s, const struct unpack_piece *piece,
                        const uint8_t **ret, struct err *e) {
    struct unpack_frame *frame =
        &s->groups[piece->raw < s->header.fresh_start ? BUNDLE_INDEX_KNOWN : BUNDLE_INDEX_FRESH];
    if (unpack_frame_load(&s->frames, frame, piece->frame, e) < 0)
        return -1;
    *ret = frame->bytes + (piece->raw - frame->row.raw);
    return 0;
}

static int find_first(struct unpack_stream *s, const struct unpack_piece *piece,
                      struct bundle_index_chunk *ret, struct err *e) {
    struct bundle_index_chunk row = {.bytes = piece->bytes,
                                     .what = piece->repeats + BUNDLE_INDEX_REPEATS};
    memcpy(row.digest, piece->digest, sizeof row.digest);
    if (bundle_index_repeated(s->index, &row, ret, e) < 0)
        return err_prefix(e, "chunk %" PRIu64, piece->number);
    return 0;
}

int unpack_stream_first(struct unpack_stream *s, const struct unpack_piece *piece, uint64_t *ret,
                        struct err *e) {
    struct bundle_index_chunk first;
    if (find_first(s, piece, &first, e) < 0)
        return -1;
    *ret = first.stream;
    return 0;
}

int unpack_stream_again(struct unpack_stream *s, const struct unpack_piece *piece,
                        const uint8_t **ret, struct err *e) {
    struct bundle_index_chunk first;
    uint64_t number = 0;
    if (find_first(s, piece, &first, e) < 0 ||
        bundle_index_find_frame(s->index, first.raw, &number, e) < 0 ||
        unpack_frame_load(&s->frames, &s->again, number, e) < 0)
        return -1;
    uint64_t at = first.raw - s->again.row.raw;
    if (first.bytes > s->again.row.raw_bytes - at)
        return err_set(e, &err_bad_index, "a chunk crosses the end of its frame");
    *ret = s->again.bytes + at;
    return 0;
}

int unpack_stream_border(struct unpack_stream *s, struct err *e) {
    if (s->raw[BUNDLE_INDEX_KNOWN] != s->header.trees_end ||
        s->raw[BUNDLE_INDEX_FRESH] != s->header.fresh_start)
        return err_set(e, &err_bad_index, "the trees do not end where the index says");
    return 0;
}

int unpack_stream_end(struct unpack_stream *s, struct err *e) {
    const struct bundle_skeleton *k = unpack_bundle_skeleton(s->bundle);
    uint8_t tail[BUNDLE_SKELETON_BLOCK + BUNDLE_SKELETON_TAIL_BYTES];
    uint64_t from = k->offset[BUNDLE_SKELETON_DATA] + k->size[BUNDLE_SKELETON_DATA];
    size_t len = (size_t)(k->total - from);
    if (s->stream != s->header.stream_bytes)
        return err_set(e, &err_bad_index, "the index has more chunks than the contents need");
    if (s->by_choice)
        return 0;
    if (read_source(s, from, tail, len, e) < 0)
        return -1;
    for (size_t i = 0; i < len; i++)
        if (tail[i] != 0)
            return err_set(e, &err_trailing_data, "the end of the bundle is not zero");
    return 0;
}
