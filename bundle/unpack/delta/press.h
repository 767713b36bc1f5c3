// SPDX-License-Identifier: Apache-2.0
//
// A compressed run of bytes of known length, decoded piece by piece in bounded memory: zstd, LZMA2,
// bzip2, or none. The only file of the device's side that sees their libraries' streams.
//
// What a decoder needs, reckoned from the first stored bytes before anything is allocated:
//
//   none    0
//   zstd    its window (or the raw bytes, where they are fewer), and 512 KiB
//   LZMA2   its dictionary, and 64 KiB
//   bzip2   400,000 bytes for each hundred thousand of its block size, and 128 KiB
#pragma once

#include <stdbool.h>

#include "bundle/delta.h"

#define UNPACK_DELTA_ZSTD_BYTES  (512 * 1024)
#define UNPACK_DELTA_LZMA2_BYTES (64 * 1024)
#define UNPACK_DELTA_BZIP2_BYTES (128 * 1024)

struct unpack_delta_press; // one run being decoded

// What decoding needs. Kinds: bad_delta (an unknown compressor, or a beginning that is not one of
// its).
int unpack_delta_press_bytes(enum bundle_delta_compressor compressor, struct slice stored,
                             uint64_t raw_bytes, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
// `stored` stays the caller's and must outlive *ret. Kinds: as above, memory.
int unpack_delta_press_open(enum bundle_delta_compressor compressor, struct slice stored,
                            uint64_t raw_bytes, struct unpack_delta_press **ret, struct err *e)
    __attribute__((nonnull));
void unpack_delta_press_close(struct unpack_delta_press *press);
// The next len bytes, all of them. Kind bad_delta when there are not so many, or they do not
// decode.
int unpack_delta_press_read(struct unpack_delta_press *press, void *data, size_t len, struct err *e)
    __attribute__((nonnull));
// How many bytes are still to come.
uint64_t unpack_delta_press_left(const struct unpack_delta_press *press) __attribute__((nonnull));
// All raw bytes were read: whether the stored ones end with them. Kind bad_delta.
int unpack_delta_press_end(struct unpack_delta_press *press, struct err *e)
    __attribute__((nonnull));
