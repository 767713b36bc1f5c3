// SPDX-License-Identifier: Apache-2.0
//
// A digest that a processor can compute several blocks of at a time. BLAKE2b itself is a chain; here the data is cut into blocks of 64 KiB (the last
// one may be shorter), and the digest is that of their digests, one after another, all of them BLAKE2b-256:
//
//   split -b 65536 --filter='b2sum -l 256' FILE | cut -c-64 | xxd -r -p | b2sum -l 256
//
// Whoever compares such digests knows how long the data is: a file of digests has none of the same length as what they are of.
#pragma once

#include <stddef.h>

#include "keys/digest.h"

#define KEYS_BLOCKS_BLOCK_BYTES 65536
#define KEYS_BLOCKS_AT_ONCE     8 // data added in pieces of so many whole blocks goes fastest

struct keys_blocks {
    struct keys_digest_state of_blocks, block;
    size_t filled; // of the block under way
};

void keys_blocks_init(struct keys_blocks *s) __attribute__((nonnull));
void keys_blocks_add(struct keys_blocks *s, const void *data, size_t len)
    __attribute__((nonnull(1)));
void keys_blocks_final(struct keys_blocks *s, struct keys_digest *ret) __attribute__((nonnull));
