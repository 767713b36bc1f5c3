// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b in plain words.
#include "keys/blake.h"

#include <string.h>

#define ROTATE_32(x) ROTATE(x, 32)
#define ROTATE_24(x) ROTATE(x, 24)
#define ROTATE_16(x) ROTATE(x, 16)
#define ROTATE_63(x) ROTATE(x, 63)

#include "keys/blake_round.h"

// Inlined into each of those below, which say for what processor it is compiled.
static inline __attribute__((always_inline)) void
compress(uint64_t h[static 8], const uint8_t block[static KEYS_BLAKE_BLOCK_BYTES], uint64_t bytes,
         uint64_t last) {
    uint64_t m[16], v[16];
    for (size_t i = 0; i < 16; i++)
        m[i] = load(block + 8 * i);
    for (size_t i = 0; i < 8; i++) {
        v[i] = h[i];
        v[i + 8] = iv[i];
    }
    v[12] ^= bytes;
    v[14] ^= last;
#pragma GCC unroll 12
    for (int r = 0; r < ROUNDS; r++)
        MIX_ALL(v, m, r);
    for (size_t i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

// Half of the work is rotating words. On x86 that takes two instructions unless the processor has BMI2.
#ifdef __x86_64__
__attribute__((target("bmi2"))) static void
compress_bmi2(uint64_t h[static 8], const uint8_t block[static KEYS_BLAKE_BLOCK_BYTES],
              uint64_t bytes, uint64_t last) {
    compress(h, block, bytes, last);
}
#endif

void keys_blake_compress_plain(uint64_t h[static 8],
                               const uint8_t block[static KEYS_BLAKE_BLOCK_BYTES], uint64_t bytes,
                               uint64_t last) {
    compress(h, block, bytes, last);
}

void keys_blake_compress(uint64_t h[static 8], const uint8_t block[static KEYS_BLAKE_BLOCK_BYTES],
                         uint64_t bytes, uint64_t last) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("bmi2")) {
        compress_bmi2(h, block, bytes, last);
        return;
    }
#endif
    keys_blake_compress_plain(h, block, bytes, last);
}

void keys_blake_init(struct keys_blake *s) {
    memcpy(s->h, iv, sizeof s->h);
    s->h[0] ^= PARAMETERS;
    s->bytes = 0;
    s->pending = 0;
}

// The last block is compressed only when it is known to be the last, so one stays back.
void keys_blake_add(struct keys_blake *s, const void *data, size_t len) {
    const uint8_t *at = data;
    while (len > 0) {
        if (s->pending == KEYS_BLAKE_BLOCK_BYTES) {
            s->bytes += KEYS_BLAKE_BLOCK_BYTES;
            keys_blake_compress(s->h, s->block, s->bytes, 0);
            s->pending = 0;
        }
        if (s->pending == 0)
            for (; len > KEYS_BLAKE_BLOCK_BYTES;
                 at += KEYS_BLAKE_BLOCK_BYTES, len -= KEYS_BLAKE_BLOCK_BYTES) {
                s->bytes += KEYS_BLAKE_BLOCK_BYTES;
                keys_blake_compress(s->h, at, s->bytes, 0);
            }
        size_t n =
            KEYS_BLAKE_BLOCK_BYTES - s->pending < len ? KEYS_BLAKE_BLOCK_BYTES - s->pending : len;
        memcpy(s->block + s->pending, at, n);
        s->pending += n;
        at += n;
        len -= n;
    }
}

void keys_blake_final(struct keys_blake *s, uint8_t ret[static KEYS_BLAKE_BYTES]) {
    memset(s->block + s->pending, 0, KEYS_BLAKE_BLOCK_BYTES - s->pending);
    keys_blake_compress(s->h, s->block, s->bytes + s->pending, UINT64_MAX);
    for (size_t i = 0; i < KEYS_BLAKE_BYTES; i++)
        ret[i] = (uint8_t)(s->h[i / 8] >> (8 * (i % 8)));
}
