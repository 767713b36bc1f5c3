// SPDX-License-Identifier: Apache-2.0
//
// The digest by which an image read back is compared: that of its blocks (keys/blocks.h), where its manifest has it, else that of the whole. The
// first is a fraction of the work.
#pragma once

#include "bundle/manifest.h"
#include "keys/blocks.h"

struct seal_hash {
    bool by_blocks;
    union {
        struct keys_blocks blocks;
        struct keys_digest_state whole;
    } state;
};

void seal_hash_init(struct seal_hash *h, bool by_blocks) __attribute__((nonnull));
void seal_hash_add(struct seal_hash *h, const void *data, size_t len) __attribute__((nonnull));
void seal_hash_final(struct seal_hash *h, struct keys_digest *ret) __attribute__((nonnull));
