// SPDX-License-Identifier: Apache-2.0
//
// The chunks of a whole stream in order, 40 bytes each, and which of them were seen before; and the frames that hold those that were
// not, in two groups (bundle/index.h): fresh chunks apart from all others. Memory on the building machine: 48 bytes for each chunk.
#pragma once

#include "bundle/pack/content.h"

// Frames of trees: a device that has the tree before fetches those alone in which a line changed.
#define PACK_TABLE_TREE_FRAME_BYTES (128 * 1024)

struct pack_reference;

struct pack_table_chunk {
    uint64_t
        raw; // seen first: in its group, and in all when the table is finished; else UINT64_MAX
    uint32_t bytes;
    uint32_t what; // as in the index
    uint8_t digest[PACK_PIECE_DIGEST_BYTES];
};

// A frame, and where its first chunk comes from.
struct pack_table_frame {
    struct bundle_index_frame row; // digest, offset and stored_bytes when it was packed
    uint64_t chunk;
    size_t content;
    uint64_t offset; // of the chunk in the content
};

// The frames of known chunks, or of fresh ones.
struct pack_table_group {
    uint64_t frame_max;
    size_t n_frames, max_frames;
    struct pack_table_frame *frames;
    uint64_t raw_bytes;
    bool border; // the next new chunk begins a frame
};

struct pack_table {
    const struct pack_reference *reference; // what is fresh; NULL: nothing
    size_t n_contents, max_contents;
    struct pack_content **contents; // in stream order; what they point to is the caller's
    size_t n_chunks, max_chunks;
    struct pack_table_chunk *chunks;
    size_t n_slots;                    // a power of two
    uint32_t *slots;                   // number of a chunk and one, or 0
    struct pack_table_group groups[2]; // by `what`
    uint64_t frame_max; // of what is no tree
    uint64_t trees_end, stream_bytes;
    uint64_t content_start; // stream position of the content that is being added
    // When it is finished:
    size_t n_frames;
    struct pack_table_frame *frames; // of both groups, in the order of the data
    uint64_t raw_bytes, fresh_start;
};

// reference: borrowed, or NULL.
void pack_table_init(struct pack_table *t, uint64_t frame_max,
                     const struct pack_reference *reference) __attribute__((nonnull(1)));
void pack_table_clear(struct pack_table *t) __attribute__((nonnull));
// Adds a measured content to the end of the stream and frees its list of pieces.
int pack_table_add(struct pack_table *t, struct pack_content *content, struct err *e)
    __attribute__((nonnull));
// The trees end here: no frame crosses this place. Until here nothing is fresh.
void pack_table_border(struct pack_table *t) __attribute__((nonnull));
// All is in: puts both groups one behind the other.
int pack_table_finish(struct pack_table *t, struct err *e) __attribute__((nonnull));
