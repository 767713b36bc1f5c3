// SPDX-License-Identifier: Apache-2.0
//
// Frames that copy from the old stream: operations, seeks, differences and literals, each a
// compressed run of its own, decoded side by side. FORMAT.md §8.3.
#pragma once

#include "bundle/unpack/delta/press.h"

struct unpack_delta_copy {
    struct unpack_delta_pressed streams[BUNDLE_DELTA_STREAMS];
};

// Takes the bytes behind the codec's number apart. Borrows from them. Kind bad_delta.
int unpack_delta_copy_parse(struct slice stored, uint64_t out_bytes, struct unpack_delta_copy *ret,
                            struct err *e) __attribute__((nonnull));
// What decoding needs for streams and predictions. Kind bad_delta.
int unpack_delta_copy_bytes(const struct unpack_delta_copy *frame, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
// Kinds: bad_delta, memory, those of base and sink.
int unpack_delta_copy_decode(const struct unpack_delta_copy *frame, uint64_t out_bytes,
                             const struct delta_base *base, const struct delta_sink *sink,
                             struct err *e) __attribute__((nonnull));
