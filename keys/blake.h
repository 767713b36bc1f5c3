// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b-256 (RFC 7693), unkeyed, in plain words. On processors with AVX2 libsodium takes an
// implementation whose shuffles stand in the way of each other: this one is nearly twice as fast
// there, and hashing is most of what installing costs. Everything keyed stays libsodium's. With BMI2
// it is a third faster again.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KEYS_BLAKE_BLOCK_BYTES 128
#define KEYS_BLAKE_BYTES       32

struct keys_blake {
    uint64_t h[8];
    uint64_t bytes; // compressed so far
    size_t pending; // in block
    uint8_t block[KEYS_BLAKE_BLOCK_BYTES];
};

void keys_blake_init(struct keys_blake *s) __attribute__((nonnull));
void keys_blake_add(struct keys_blake *s, const void *data, size_t len) __attribute__((nonnull(1)));
void keys_blake_final(struct keys_blake *s, uint8_t ret[static KEYS_BLAKE_BYTES])
    __attribute__((nonnull));
// One block; `last` is UINT64_MAX for the last one, else 0.
void keys_blake_compress(uint64_t h[static 8], const uint8_t block[static KEYS_BLAKE_BLOCK_BYTES],
                         uint64_t bytes, uint64_t last);
// The same, as it is where the processor has nothing better.
void keys_blake_compress_plain(uint64_t h[static 8],
                               const uint8_t block[static KEYS_BLAKE_BLOCK_BYTES], uint64_t bytes,
                               uint64_t last);
