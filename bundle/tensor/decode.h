// SPDX-License-Identifier: Apache-2.0
//
// Arrays of weights from the difference to older ones: the inverse of bundle/tensor/encode.h, which
// runs on devices. Integer arithmetic only, so that every machine makes the same bytes; memory is
// TENSOR_DECODE_BYTES whatever the array; output goes out block by block, and the old stream is
// read in blocks, in order. FORMAT.md has the bytes.
#pragma once

#include "bundle/delta.h"

#define TENSOR_DECODE_BYTES (2 * 1024 * 1024) // ceiling of what decoding allocates

// Decodes the sections of a tensor frame (its stored bytes after the codec's number). They make
// exactly out_bytes bytes and are used up exactly, and reads of the old stream lie inside it, else
// bad_delta; what reached the sink before a failure is to be thrown away. Kinds: bad_delta, memory,
// those of base and sink.
int tensor_decode(struct slice coded, uint64_t out_bytes, const struct delta_base *base,
                  const struct delta_sink *sink, struct err *e)
    __attribute__((nonnull, warn_unused_result));
