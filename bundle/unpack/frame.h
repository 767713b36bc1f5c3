// SPDX-License-Identifier: Apache-2.0
//
// Frames of a bundle, one in memory for each group: read from the source, verified as stored, then decoded. The order is the point: the decoder
// never sees a byte whose digest did not hold.
#pragma once

#include <stdbool.h>

#include "bundle/index.h"
#include "bundle/unpack/source.h"

// What several frames share: only one is read at a time.
struct unpack_frame_reader {
    const struct unpack_source *source;
    struct bundle_index_reader *index;
    uint64_t data_offset; // of the data member in the source
    size_t stored_max;    // bytes of `stored`
    uint64_t read_bytes;  // taken from the source in all
    uint8_t *stored;      // owned; allocated when first needed
    void *decoder;        // likewise
};

// A frame in memory.
struct unpack_frame {
    size_t max;      // bytes of the buffer
    uint64_t loaded; // number; UINT64_MAX none
    struct bundle_index_frame row;
    uint8_t *bytes; // decoded; owned, allocated when first needed
};

// Makes frame `number` the loaded one. Kinds: bad_frame, bad_index, truncated, memory, those of the source.
int unpack_frame_load(struct unpack_frame_reader *reader, struct unpack_frame *f, uint64_t number,
                      struct err *e) __attribute__((nonnull));
void unpack_frame_clear(struct unpack_frame *f) __attribute__((nonnull));
void unpack_frame_end(struct unpack_frame_reader *reader) __attribute__((nonnull));
