// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b-256 for a machine that hashes everything three times: pieces of memory that do not depend on each other go through the vector
// unit four or eight at a time (about twice and four times as fast as one after another, with AVX2 and AVX-512), and a single long content through
// plain code that is faster than libsodium's on most processors. The digests are those of keys_digest_of, and what is made with them
// is verified by others with that.
#pragma once

#include <stddef.h>

#include "keys/digest.h"

struct pack_lanes_job {
    const uint8_t *data;
    size_t len;
    struct keys_digest digest; // the result
};

// Jobs are begun in their order: a long one that comes first is not left alone at the end.
void pack_lanes_digest(struct pack_lanes_job *jobs, size_t n) __attribute__((nonnull));

// The same with that many lanes, 1, 4 or 8, and at most as many as this processor has.
void pack_lanes_digest_by(size_t width, struct pack_lanes_job *jobs, size_t n) __attribute__((nonnull));
size_t pack_lanes_widest(void);

// One running digest.
struct pack_lanes_state {
    uint64_t h[8];
    uint64_t bytes; // compressed so far
    size_t pending; // in block
    uint8_t block[128];
};

void pack_lanes_init(struct pack_lanes_state *s) __attribute__((nonnull));
void pack_lanes_add(struct pack_lanes_state *s, const void *data, size_t len) __attribute__((nonnull(1)));
void pack_lanes_final(struct pack_lanes_state *s, struct keys_digest *ret) __attribute__((nonnull));
