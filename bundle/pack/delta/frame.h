// SPDX-License-Identifier: Apache-2.0
//
// Making one frame of a delta from spans: what was matched becomes operations, addresses are
// predicted, what is left are differences; each stream is compressed by what suits it.
#pragma once

#include "bundle/delta.h"
#include "bundle/pack/delta/program.h"
#include "bundle/tensor/shape.h"

struct model_siblings;

// A content or tree that is made anew, and what is known of the old one that it is made from.
struct pack_delta_item {
    struct slice new_bytes;
    struct slice old; // empty when there is none
    uint64_t old_address;
    const char *path, *old_path; // borrowed; the old one is read only where there is an old one
    // What lies beside each, as model_find wants it; NULL: nothing. Borrowed.
    const struct model_siblings *siblings, *old_siblings;
    enum pack_delta_program_machine machine; // of both; none when they differ
    uint64_t unwind_table;                   // old address; 0 none
};

// `copy` bytes of the old stream from `old`, then `literal` bytes; together they make new_bytes.
struct pack_delta_span {
    const uint8_t *new_bytes;
    uint64_t old, copy, literal;
    const struct pack_delta_item *item;
    bool weights; // an array of numbers, as of struct pack_delta_match_record
    struct tensor_shape shape;
};

struct pack_delta_frame {
    struct slice old; // the whole old stream
    size_t n;
    const struct pack_delta_span *spans;
};

// Appends the stored bytes: copy/add, or plain where nothing is copied. Kinds: memory, limit.
int pack_delta_frame_encode(const struct pack_delta_frame *frame, struct buf *ret, struct err *e)
    __attribute__((nonnull));
// Appends them as a zstd frame with the old content of its one item as prefix. Returns
// PACK_DELTA_FRAME_NONE, and appends nothing, when the spans are of several items, or that content
// is longer than a prefix may be. Kinds as above.
enum { PACK_DELTA_FRAME_NONE = 1 };
int pack_delta_frame_prefix(const struct pack_delta_frame *frame, struct buf *ret, struct err *e)
    __attribute__((nonnull));
// Bytes that the spans make.
uint64_t pack_delta_frame_out(const struct pack_delta_frame *frame) __attribute__((nonnull));
// Appends bytes as a plain frame. Kinds as above.
int pack_delta_frame_plain(struct slice bytes, struct buf *ret, struct err *e)
    __attribute__((nonnull));
