// SPDX-License-Identifier: Apache-2.0
//
// One frame of a delta: stored bytes, whose digest held before, become bytes of the new stream.
// Memory is bounded by what the head declared: the stored frame, one decoder for each stream and
// small buffers; output goes to the sink piece by piece, the old stream is read at random.
//
// What decoding needs beside the stored bytes, by which builders and devices reckon alike
// (FORMAT.md §8a): UNPACK_DELTA_FRAME_BYTES for the frame, and for each stream
// UNPACK_DELTA_STREAM_BYTES and its compressor's share (unpack_delta_press_bytes).
#pragma once

#include "bundle/delta.h"

// Decodes a frame. It makes exactly out_bytes bytes and uses exactly its stored ones, else
// bad_delta; what reached the sink before a failure is to be thrown away. Kinds: bad_delta,
// decode_memory (it needs more than decode_max_bytes, the stored bytes included), memory, those of
// base and sink.
int unpack_delta_frame(struct slice stored, uint64_t out_bytes, uint64_t decode_max_bytes,
                       const struct delta_base *base, const struct delta_sink *sink, struct err *e)
    __attribute__((nonnull));
