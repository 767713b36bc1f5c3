// SPDX-License-Identifier: Apache-2.0
//
// One of two digests.
#include "bundle/seal/hash.h"

void seal_hash_init(struct seal_hash *h, bool by_blocks) {
    h->by_blocks = by_blocks;
    if (by_blocks)
        keys_blocks_init(&h->state.blocks);
    else
        keys_digest_init(&h->state.whole);
}

void seal_hash_add(struct seal_hash *h, const void *data, size_t len) {
    if (h->by_blocks)
        keys_blocks_add(&h->state.blocks, data, len);
    else
        keys_digest_add(&h->state.whole, data, len);
}

void seal_hash_final(struct seal_hash *h, struct keys_digest *ret) {
    if (h->by_blocks)
        keys_blocks_final(&h->state.blocks, ret);
    else
        keys_digest_final(&h->state.whole, ret);
}
