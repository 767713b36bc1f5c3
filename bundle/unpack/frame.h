// SPDX-License-Identifier: Apache-2.0
//
// Frames of a bundle, one in memory: read from the source, verified as stored, then decoded. The order is the point: the decoder
// never sees a byte whose digest did not hold.
#pragma once

#include <stdbool.h>

#include "bundle/index.h"
#include "bundle/unpack/source.h"

struct unpack_frame {
    const struct unpack_source *source;
    struct bundle_index_reader *index;
    uint64_t data_offset; // of the data member in the source
    size_t frame_max;     // bytes of each buffer
    uint64_t loaded;      // number; UINT64_MAX none
    const uint8_t *bytes; // of the loaded frame, decoded
    struct bundle_index_frame row;
    uint64_t read_bytes;  // taken from the source in all
    uint8_t *stored;      // owned; allocated when first needed
    uint8_t *decoded;
    void *decoder;
};

// Makes frame `number` the loaded one. Kinds: bad_frame, bad_index, truncated, memory, those of the source.
int unpack_frame_load(struct unpack_frame *f, uint64_t number, struct err *e) __attribute__((nonnull));
// The number of the frame that holds a raw position below the index's raw_bytes.
int unpack_frame_find(struct unpack_frame *f, uint64_t raw, uint64_t *ret, struct err *e) __attribute__((nonnull));
void unpack_frame_clear(struct unpack_frame *f) __attribute__((nonnull));
