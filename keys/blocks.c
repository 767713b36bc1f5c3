// SPDX-License-Identifier: Apache-2.0
//
// Whole blocks side by side, the rest in a row.
#include "keys/blocks.h"

#include "keys/lanes.h"

#define BLOCK_BYTES KEYS_BLOCKS_BLOCK_BYTES

void keys_blocks_init(struct keys_blocks *s) {
    keys_digest_init(&s->of_blocks);
    s->filled = 0;
}

static void end_block(struct keys_blocks *s) {
    struct keys_digest digest;
    keys_digest_final(&s->block, &digest);
    keys_digest_add(&s->of_blocks, digest.bytes, sizeof digest.bytes);
    s->filled = 0;
}

static size_t add_part(struct keys_blocks *s, const uint8_t *at, size_t len) {
    size_t n = BLOCK_BYTES - s->filled < len ? BLOCK_BYTES - s->filled : len;
    if (s->filled == 0)
        keys_digest_init(&s->block);
    keys_digest_add(&s->block, at, n);
    s->filled += n;
    if (s->filled == BLOCK_BYTES)
        end_block(s);
    return n;
}

static size_t add_whole(struct keys_blocks *s, const uint8_t *at, size_t len) {
    struct keys_lanes_job jobs[KEYS_BLOCKS_AT_ONCE];
    size_t n = 0;
    for (; n < KEYS_BLOCKS_AT_ONCE && len - n * BLOCK_BYTES >= BLOCK_BYTES; n++)
        jobs[n] = (struct keys_lanes_job){.data = at + n * BLOCK_BYTES, .len = BLOCK_BYTES};
    keys_lanes_digest(jobs, n);
    for (size_t i = 0; i < n; i++)
        keys_digest_add(&s->of_blocks, jobs[i].digest.bytes, sizeof jobs[i].digest.bytes);
    return n * BLOCK_BYTES;
}

void keys_blocks_add(struct keys_blocks *s, const void *data, size_t len) {
    const uint8_t *at = data;
    while (len > 0) {
        size_t n =
            s->filled == 0 && len >= BLOCK_BYTES ? add_whole(s, at, len) : add_part(s, at, len);
        at += n;
        len -= n;
    }
}

void keys_blocks_final(struct keys_blocks *s, struct keys_digest *ret) {
    if (s->filled > 0)
        end_block(s);
    keys_digest_final(&s->of_blocks, ret);
}
