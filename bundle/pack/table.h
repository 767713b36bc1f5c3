// SPDX-License-Identifier: Apache-2.0
//
// The chunks of a whole stream in order, 32 bytes each, and which of them were seen before; and the frames that hold those that were
// not. Memory on the building machine: 40 bytes for each chunk.
#pragma once

#include "bundle/pack/content.h"

struct pack_table_chunk {
    uint64_t raw;
    uint32_t bytes;
    uint8_t digest[BUNDLE_INDEX_CHUNK_DIGEST_BYTES];
};

// A frame, and where its first chunk comes from.
struct pack_table_frame {
    struct bundle_index_frame row; // digest, offset and stored_bytes when it was packed
    uint64_t chunk;
    size_t content;
    uint64_t offset; // of the chunk in the content
};

struct pack_table {
    uint64_t frame_max;
    size_t n_contents, max_contents;
    struct pack_content **contents; // in stream order; what they point to is the caller's
    size_t n_chunks, max_chunks;
    struct pack_table_chunk *chunks;
    size_t n_slots; // a power of two
    uint32_t *slots; // number of a chunk and one, or 0
    size_t n_frames, max_frames;
    struct pack_table_frame *frames;
    uint64_t raw_bytes, stream_bytes;
    uint64_t content_start; // stream position of the content that is being added
    bool border; // the next new chunk begins a frame
};

void pack_table_init(struct pack_table *t, uint64_t frame_max) __attribute__((nonnull));
void pack_table_clear(struct pack_table *t) __attribute__((nonnull));
// Adds a measured content to the end of the stream and frees its list of pieces.
int pack_table_add(struct pack_table *t, struct pack_content *content, struct err *e) __attribute__((nonnull));
// No frame crosses this place.
void pack_table_border(struct pack_table *t) __attribute__((nonnull));
