// SPDX-License-Identifier: Apache-2.0
//
// The frames of a verified delta. The frame table is read and checked first; a frame is read, its
// stored bytes are verified, then it is decoded into a sink: the decoder never sees a byte whose
// digest did not hold. The source is read forward only.
#pragma once

#include "bundle/unpack/delta.h"

struct delta_stream {
    const struct unpack_delta *delta;
    const struct unpack_source *source;
    struct bundle_delta_frame *frames; // packing.n_frames and one with the sums
    uint64_t n_trees, n_map, n;        // frames of trees, of the map, in all
    uint64_t read_bytes;               // taken from the source
    uint8_t *stored;
    struct delta_base base;
};

// Kinds: decode_memory, bad_skeleton, bad_delta, memory, the source's. Close is due in every case.
int delta_stream_open(struct delta_stream *s, const struct unpack_delta *delta,
                      const struct unpack_source *source, const struct delta_base *base,
                      uint64_t decode_max_bytes, struct err *e) __attribute__((nonnull));
void delta_stream_close(struct delta_stream *s) __attribute__((nonnull));
// Frame `number`. Kinds: bad_delta, memory, those of source, base and sink.
int delta_stream_run(struct delta_stream *s, uint64_t number, const struct delta_sink *sink,
                     struct err *e) __attribute__((nonnull));
// Reads frame `number` and compares its stored bytes with their digest; nothing is decoded. Kinds:
// bad_delta, the source's.
int delta_stream_look(struct delta_stream *s, uint64_t number, struct err *e)
    __attribute__((nonnull));
// Checks the bytes behind the data. Kinds: trailing_data, truncated, the source's.
int delta_stream_end(struct delta_stream *s, struct err *e) __attribute__((nonnull));
