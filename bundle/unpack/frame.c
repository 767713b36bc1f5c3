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
static int decode(struct unpack_frame *f, const struct bundle_index_frame *row, struct err *e) {
    if (ZSTD_getFrameContentSize(f->stored, row->stored_bytes) != row->raw_bytes ||
        ZSTD_findFrameCompressedSize(f->stored, row->stored_bytes) != row->stored_bytes)
        return err_set(e, &err_bad_frame, "its zstd header does not say what the index says of it");
    if (need(&f->decoded, f->frame_max, e) < 0)
        return -1;
    if (!f->decoder && !(f->decoder = ZSTD_createDCtx()))
        return err_set(e, &err_memory, "a zstd decoder");
    size_t n =
        ZSTD_decompressDCtx(f->decoder, f->decoded, row->raw_bytes, f->stored, row->stored_bytes);
    if (n != row->raw_bytes)
        return err_set(e, &err_bad_frame, "it does not decode: %s",
                       ZSTD_isError(n) ? ZSTD_getErrorName(n) : "too short");
    f->bytes = f->decoded;
    return 0;
}

static int load(struct unpack_frame *f, const struct bundle_index_frame *row, struct err *e) {
    struct keys_digest found;
    if (need(&f->stored, f->frame_max, e) < 0 ||
        f->source->read(f->source->context, f->data_offset + row->offset, f->stored,
                        row->stored_bytes, e) < 0)
        return -1;
    f->read_bytes += row->stored_bytes;
    keys_digest_of(f->stored, row->stored_bytes, &found);
    if (!keys_digest_equal(&found, &row->digest))
        return err_set(e, &err_bad_frame,
                       "its stored bytes are not those that the index names: damaged on the way "
                       "or on the medium, get the bundle again");
    if (row->stored_bytes < row->raw_bytes)
        return decode(f, row, e);
    f->bytes = f->stored;
    return 0;
}

int unpack_frame_load(struct unpack_frame *f, uint64_t number, struct err *e) {
    struct bundle_index_frame row;
    if (f->loaded == number)
        return 0;
    f->loaded = UINT64_MAX;
    if (bundle_index_frame(f->index, number, &row, e) < 0)
        return -1;
    if (load(f, &row, e) < 0)
        return err_prefix(e, "frame %" PRIu64, number);
    f->row = row;
    f->loaded = number;
    return 0;
}

int unpack_frame_find(struct unpack_frame *f, uint64_t raw, uint64_t *ret, struct err *e) {
    uint64_t low = 0, high = bundle_index_head(f->index)->n_frames;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct bundle_index_frame row;
        if (bundle_index_frame(f->index, middle, &row, e) < 0)
            return -1;
        if (raw < row.raw)
            high = middle;
        else if (raw - row.raw >= row.raw_bytes)
            low = middle + 1;
        else {
            *ret = middle;
            return 0;
        }
    }
    return err_set(e, &err_bad_index, "no frame holds raw position %" PRIu64, raw);
}

void unpack_frame_clear(struct unpack_frame *f) {
    free(f->stored);
    free(f->decoded);
    (void)ZSTD_freeDCtx(f->decoder);
    f->stored = f->decoded = NULL;
    f->decoder = NULL;
}
