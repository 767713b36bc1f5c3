// SPDX-License-Identifier: Apache-2.0
//
// A compressed run of bytes of known length, decoded piece by piece in bounded memory: zstd, LZMA2,
// bzip2, or none. Nothing else of a delta's decoding sees these libraries.
//
// What a decoder needs is reckoned from the first stored bytes, before anything is allocated, by
// the same numbers for builders and devices:
//
//   none    0
//   zstd    its window or the raw bytes, whichever is less, and 512 KiB
//   LZMA2   its dictionary or the raw bytes, whichever is less, and 64 KiB
//   bzip2   400,000 bytes for each hundred thousand of its block size, and 128 KiB
#pragma once

#include "bundle/delta.h"

#define UNPACK_DELTA_PRESS_ZSTD_BYTES  (512 * 1024)
#define UNPACK_DELTA_PRESS_LZMA2_BYTES (64 * 1024)
#define UNPACK_DELTA_PRESS_BZIP2_BYTES (128 * 1024)

struct unpack_delta_press; // one run being decoded

// A run as it is stored.
struct unpack_delta_pressed {
    uint8_t compressor; // of enum bundle_delta_compressor, if it is one
    struct slice stored;
    uint64_t raw_bytes;
    struct slice prefix; // zstd: what stands before the raw bytes; empty: nothing
};

// What decoding needs. Kind bad_delta: an unknown compressor, or a beginning that is none of its
// own.
int unpack_delta_press_bytes(const struct unpack_delta_pressed *run, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
// Stored bytes and prefix stay the caller's and must outlive *ret; the prefix is not counted in the
// need. Kinds: bad_delta, memory.
int unpack_delta_press_open(const struct unpack_delta_pressed *run, struct unpack_delta_press **ret,
                            struct err *e) __attribute__((nonnull));
void unpack_delta_press_close(struct unpack_delta_press *press);
// The next len bytes, all of them. Kind bad_delta: there are not so many, or they do not decode.
int unpack_delta_press_read(struct unpack_delta_press *press, void *data, size_t len, struct err *e)
    __attribute__((nonnull));
// How many raw bytes are still to come.
uint64_t unpack_delta_press_left(const struct unpack_delta_press *press) __attribute__((nonnull));
// Whether raw and stored bytes end together, here. Kind bad_delta.
int unpack_delta_press_end(struct unpack_delta_press *press, struct err *e)
    __attribute__((nonnull));
