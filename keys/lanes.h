// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b-256 of several pieces of memory: as they do not depend on each other, they go through the
// vector unit four or eight at a time (about twice and four times as fast as one after another, with
// AVX2 and AVX-512). The digests are those of keys_digest_of.
#pragma once

#include <stddef.h>

#include "keys/digest.h"

struct keys_lanes_job {
    const uint8_t *data;
    size_t len;
    struct keys_digest digest; // the result
};

// Jobs are begun in their order: a long one that comes first is not left alone at the end.
void keys_lanes_digest(struct keys_lanes_job *jobs, size_t n) __attribute__((nonnull));

// The same with that many lanes, 1, 4 or 8, and at most as many as this processor has.
void keys_lanes_digest_by(size_t width, struct keys_lanes_job *jobs, size_t n)
    __attribute__((nonnull));
size_t keys_lanes_widest(void);
