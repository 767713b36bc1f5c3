// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b (RFC 7693), unkeyed, 32 bytes of output; in plain words, in vectors of four (AVX2) and of
// eight (AVX-512).
#include "keys/lanes.h"

#include <stdbool.h>
#include <string.h>

#include "keys/blake.h"
#include "keys/blake_round.h"

#define BLOCK_BYTES KEYS_BLAKE_BLOCK_BYTES
#define LANES_MAX   8

static void digest_one(struct keys_lanes_job *job) {
    keys_digest_of(job->data, job->len, &job->digest);
}

#if defined(__x86_64__)

static void give(const uint64_t h[static 8], struct keys_digest *ret) {
    for (size_t i = 0; i < KEYS_DIGEST_BYTES; i++)
        ret->bytes[i] = (uint8_t)(h[i / 8] >> (8 * (i % 8)));
}

// Several messages side by side. Each lane works on a message of its own; when one ends, the next
// job takes its place.

struct lane {
    struct keys_lanes_job *job; // NULL: idle
    const uint8_t *at;
    size_t left;
    uint64_t bytes;
    uint8_t last[BLOCK_BYTES]; // the last block, padded
};

struct lanes {
    uint64_t h[8][LANES_MAX];
    uint64_t bytes[LANES_MAX], last[LANES_MAX]; // of the block that comes next
    const uint8_t *block[LANES_MAX];
    struct lane lane[LANES_MAX];
};

// Unrolled where an array is to live in registers: without it the compiler keeps it in memory,
// which takes twice the time. The rounds are not: that would be 14 KiB of code for a tenth less time.
typedef uint64_t words4 __attribute__((vector_size(32)));
typedef uint8_t octets __attribute__((vector_size(32)));

#define SHUFFLE(x, ...) ((words4)__builtin_shufflevector((octets)(x), (octets)(x), __VA_ARGS__))
// clang-format off
#define ROTATE_32(x) SHUFFLE(x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11, \
                             20, 21, 22, 23, 16, 17, 18, 19, 28, 29, 30, 31, 24, 25, 26, 27)
#define ROTATE_24(x) SHUFFLE(x, 3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10, \
                             19, 20, 21, 22, 23, 16, 17, 18, 27, 28, 29, 30, 31, 24, 25, 26)
#define ROTATE_16(x) SHUFFLE(x, 2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9, \
                             18, 19, 20, 21, 22, 23, 16, 17, 26, 27, 28, 29, 30, 31, 24, 25)
// clang-format on
#define ROTATE_63(x) ((x) >> 63 | ((x) + (x)))

__attribute__((target("avx2"))) static void compress_4(struct lanes *l) {
    words4 m[16], v[16], h[8], bytes, last;
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        m[i] = (words4){load(l->block[0] + 8 * i), load(l->block[1] + 8 * i),
                        load(l->block[2] + 8 * i), load(l->block[3] + 8 * i)};
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        memcpy(&h[i], l->h[i], sizeof h[i]);
        v[i] = h[i];
        v[i + 8] = (words4){iv[i], iv[i], iv[i], iv[i]};
    }
    memcpy(&bytes, l->bytes, sizeof bytes);
    memcpy(&last, l->last, sizeof last);
    v[12] ^= bytes;
    v[14] ^= last;
    for (int r = 0; r < ROUNDS; r++)
        MIX_ALL(v, m, r);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        h[i] ^= v[i] ^ v[i + 8];
        memcpy(l->h[i], &h[i], sizeof h[i]);
    }
}

#undef ROTATE_32
#undef ROTATE_24
#undef ROTATE_16
#undef ROTATE_63
// Here there is an instruction for it, which compilers know.
#define ROTATE_32(x) ROTATE(x, 32)
#define ROTATE_24(x) ROTATE(x, 24)
#define ROTATE_16(x) ROTATE(x, 16)
#define ROTATE_63(x) ROTATE(x, 63)

typedef uint64_t words8 __attribute__((vector_size(64)));

#define PICK(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)

// Eight words of each of eight blocks, word by word: m[i] has word i of all.
__attribute__((target("avx512f"), always_inline)) static inline void
transpose(const struct lanes *l, size_t from, words8 m[static 8]) {
    words8 a[8], b[8];
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; k++)
        memcpy(&a[k], l->block[k] + from, sizeof a[k]);
#pragma GCC unroll 4
    for (size_t k = 0; k < 8; k += 2) {
        b[k] = PICK(a[k], a[k + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        b[k + 1] = PICK(a[k], a[k + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
#pragma GCC unroll 4
    for (size_t k = 0; k < 4; k++) {
        size_t i = k + (k & 2); // 0, 1, 4, 5
        a[i] = PICK(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 2] = PICK(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (size_t k = 0; k < 4; k++) {
        m[k] = PICK(a[k], a[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        m[k + 4] = PICK(a[k], a[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

__attribute__((target("avx512f"))) static void compress_8(struct lanes *l) {
    words8 m[16], v[16], h[8], bytes, last;
    transpose(l, 0, m);
    transpose(l, BLOCK_BYTES / 2, m + 8);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        memcpy(&h[i], l->h[i], sizeof h[i]);
        v[i] = h[i];
        v[i + 8] = (words8){0} + iv[i];
    }
    memcpy(&bytes, l->bytes, sizeof bytes);
    memcpy(&last, l->last, sizeof last);
    v[12] ^= bytes;
    v[14] ^= last;
    for (int r = 0; r < ROUNDS; r++)
        MIX_ALL(v, m, r);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        h[i] ^= v[i] ^ v[i + 8];
        memcpy(l->h[i], &h[i], sizeof h[i]);
    }
}

// Points a lane to its next block.
static void advance(struct lanes *l, size_t k) {
    struct lane *lane = &l->lane[k];
    size_t n = lane->left < BLOCK_BYTES ? lane->left : BLOCK_BYTES;
    bool last = lane->left <= BLOCK_BYTES;
    l->block[k] = lane->at;
    if (last) {
        memset(lane->last, 0, sizeof lane->last);
        if (n > 0)
            memcpy(lane->last, lane->at, n);
        l->block[k] = lane->last;
    }
    lane->at += n;
    lane->left -= n;
    lane->bytes += n;
    l->bytes[k] = lane->bytes;
    l->last[k] = last ? UINT64_MAX : 0;
}

// Without a job the lane stays idle: it is compressed with the others, and nobody looks at it.
static void begin(struct lanes *l, size_t k, struct keys_lanes_job *job) {
    l->lane[k].job = job;
    l->lane[k].at = job ? job->data : NULL;
    l->lane[k].left = job ? job->len : 0;
    l->lane[k].bytes = 0;
    for (size_t i = 0; i < 8; i++)
        l->h[i][k] = iv[i] ^ (i == 0 ? PARAMETERS : 0);
    advance(l, k);
}

// The lane's present digest; more plain blocks first, unless the last was compressed.
static void finish(struct lanes *l, size_t k, bool plain) {
    uint64_t h[8];
    for (size_t i = 0; i < 8; i++)
        h[i] = l->h[i][k];
    while (plain) {
        keys_blake_compress(h, l->block[k], l->bytes[k], l->last[k]);
        plain = l->last[k] == 0;
        if (plain)
            advance(l, k);
    }
    give(h, &l->lane[k].job->digest);
}

// One message that is left alone goes on in plain words, which are faster then.
static void digest_lanes(struct keys_lanes_job *jobs, size_t n, size_t width) {
    struct lanes l;
    size_t next = 0, busy = n < width ? n : width;
    for (size_t k = 0; k < width; k++)
        begin(&l, k, next < n ? &jobs[next++] : NULL);
    while (busy > 1) {
        if (width == 8)
            compress_8(&l);
        else
            compress_4(&l);
        for (size_t k = 0; k < width; k++) {
            if (!l.lane[k].job)
                continue;
            if (l.last[k] == 0) {
                advance(&l, k);
                continue;
            }
            finish(&l, k, false);
            busy -= next == n;
            begin(&l, k, next < n ? &jobs[next++] : NULL);
        }
    }
    for (size_t k = 0; k < width; k++)
        if (l.lane[k].job)
            finish(&l, k, true);
}

size_t keys_lanes_widest(void) {
    return __builtin_cpu_supports("avx512f") ? 8 : __builtin_cpu_supports("avx2") ? 4 : 1;
}
#else
size_t keys_lanes_widest(void) {
    return 1;
}
static void digest_lanes(struct keys_lanes_job *jobs, size_t n, size_t width) {
    (void)width;
    for (size_t i = 0; i < n; i++)
        digest_one(&jobs[i]);
}
#endif

void keys_lanes_digest_by(size_t width, struct keys_lanes_job *jobs, size_t n) {
    if (width > 1 && n > 1)
        digest_lanes(jobs, n, width);
    else
        for (size_t i = 0; i < n; i++)
            digest_one(&jobs[i]);
}

void keys_lanes_digest(struct keys_lanes_job *jobs, size_t n) {
    keys_lanes_digest_by(keys_lanes_widest(), jobs, n);
}
