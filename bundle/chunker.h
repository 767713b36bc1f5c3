// SPDX-License-Identifier: Apache-2.0
//
// Where contents are cut, by builders and by devices that look for what they hold: FastCDC with a gear hash, so that an insertion moves cuts only near it. FORMAT.md §5 has the rule:
//
//   gear[i] = the first 8 bytes, little-endian, of BLAKE2b-256 of "edge gear" and the byte i
//   fp = 0; for each byte b of the chunk from number BUNDLE_CHUNK_MIN_BYTES - 64 on: fp = 2·fp + gear[b] (mod 2^64)
//   cut behind byte number n (n bytes then) when n >= BUNDLE_CHUNK_MIN_BYTES and the top 15 bits of fp are zero, or when
//   n > BUNDLE_CHUNK_AVG_BYTES and the top 11 bits are zero, or when n == BUNDLE_CHUNK_MAX_BYTES, or at the end of the content
//
// Cuts are the builder's choice: a reader of a bundle needs none of this. Two that cut by the same rule find each other's chunks: a builder that
// marks what is fresh, and a device that looks for chunks in what it holds.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct bundle_chunker {
    uint64_t gear[256];
};

void bundle_chunker_init(struct bundle_chunker *chunker) __attribute__((nonnull));
// Length of the chunk at the start of data. data must hold BUNDLE_CHUNK_MAX_BYTES, or end where the content ends. 0 only for len 0.
size_t bundle_chunker_cut(const struct bundle_chunker *chunker, const uint8_t *data, size_t len)
    __attribute__((nonnull(1)));
