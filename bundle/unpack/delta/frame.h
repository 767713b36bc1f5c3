// SPDX-License-Identifier: Apache-2.0
//
// One frame of a delta: stored bytes, whose digest held before, become bytes of the new stream.
// Output goes to the sink piece by piece, the old stream is read at random, and memory is what the
// head declared. What a frame needs is reckoned before it is decoded, by the same numbers for
// builders and devices: its stored bytes; UNPACK_DELTA_FRAME_BYTES; and
//
//   plain    what its compressor needs (bundle/unpack/delta/press.h)
//   copy     for each of its streams UNPACK_DELTA_FRAME_STREAM_BYTES and what its compressor needs;
//            where it predicts, 88 bytes for each raw byte of its copies, up to 65,536
//   tensor   TENSOR_DECODE_BYTES
//   prefix   its bytes of the old stream and what zstd needs
#pragma once

#include "bundle/delta.h"

#define UNPACK_DELTA_FRAME_BYTES        (128 * 1024)
#define UNPACK_DELTA_FRAME_STREAM_BYTES (4 * 1024)

// What decoding needs, the stored bytes included. Kind bad_delta.
int unpack_delta_frame_bytes(struct slice stored, uint64_t out_bytes, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
// Decodes a frame. It makes exactly out_bytes bytes and uses exactly its stored ones, else
// bad_delta; what reached the sink before a failure is to be thrown away. Kinds: bad_delta,
// decode_memory (it needs more than decode_max_bytes), memory, those of base and sink.
int unpack_delta_frame(struct slice stored, uint64_t out_bytes, uint64_t decode_max_bytes,
                       const struct delta_base *base, const struct delta_sink *sink, struct err *e)
    __attribute__((nonnull));
