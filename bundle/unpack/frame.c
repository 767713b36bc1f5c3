// SPDX-License-Identifier: Apache-2.0
//
// Frames: read, verified, decoded.
#include "bundle/unpack/frame.h"

#include <inttypes.h>
#include <stdlib.h>

#include <zstd.h>

#include "bundle/kind.h"

static int need(uint8_t **buffer, size_t bytes, struct err *e) {
    if (!*buffer)
        *buffer = malloc(bytes);
    return *buffer ? 0 : err_set(e, &err_memory, "a frame buffer of %zu bytes", bytes);
}

// One zstd frame, all of the stored bytes, that says how long it is: nothing is left to the decoder
// to find out.
static int decode(struct unpack_frame_reader *r, uint8_t *to, const struct bundle_index_frame *row,
                  struct err *e) {
    if (ZSTD_getFrameContentSize(r->stored, row->stored_bytes) != row->raw_bytes ||
        ZSTD_findFrameCompressedSize(r->stored, row->stored_bytes) != row->stored_bytes)
        return err_set(e, &err_bad_frame, "its zstd header does not say what the index says of it");
    if (!r->decoder && !(r->decoder = ZSTD_createDCtx()))
        return err_set(e, &err_memory, "a zstd decoder");
    size_t n = ZSTD_decompressDCtx(r->decoder, to, row->raw_bytes, r->stored, row->stored_bytes);
    if (n != row->raw_bytes)
        return err_set(e, &err_bad_frame, "it does not decode: %s",
                       ZSTD_isError(n) ? ZSTD_getErrorName(n) : "too short");
    return 0;
}

// A frame that is stored as it is goes to its place at once.
static int load(struct unpack_frame_reader *r, struct unpack_frame *f,
                const struct bundle_index_frame *row, struct err *e) {
    bool packed = row->stored_bytes < row->raw_bytes;
    struct keys_digest found;
    if (need(&f->bytes, f->max, e) < 0 || (packed && need(&r->stored, r->stored_max, e) < 0))
        return -1;
    uint8_t *stored = packed ? r->stored : f->bytes;
    if (r->source->read(r->source->context, r->data_offset + row->offset, stored, row->stored_bytes,
                        e) < 0)
        return -1;
    r->read_bytes += row->stored_bytes;
    keys_digest_of(stored, row->stored_bytes, &found);
    if (!keys_digest_equal(&found, &row->digest))
        return err_set(e, &err_bad_frame,
                       "its stored bytes are not those that the index names: damaged on the way "
                       "or on the medium, get the bundle again");
    return packed ? decode(r, f->bytes, row, e) : 0;
}

int unpack_frame_load(struct unpack_frame_reader *reader, struct unpack_frame *f, uint64_t number,
                      struct err *e) {
    struct bundle_index_frame row;
    if (f->loaded == number)
        return 0;
    f->loaded = UINT64_MAX;
    if (bundle_index_frame(reader->index, number, &row, e) < 0)
        return -1;
    if (load(reader, f, &row, e) < 0)
        return err_prefix(e, "frame %" PRIu64, number);
    f->row = row;
    f->loaded = number;
    return 0;
}

void unpack_frame_clear(struct unpack_frame *f) {
    free(f->bytes);
    f->bytes = NULL;
    f->loaded = UINT64_MAX;
}

void unpack_frame_end(struct unpack_frame_reader *reader) {
    free(reader->stored);
    (void)ZSTD_freeDCtx(reader->decoder);
    reader->stored = NULL;
    reader->decoder = NULL;
}
