// SPDX-License-Identifier: Apache-2.0
//
// The first pass over the contents: each is read, cut into chunks and hashed, on several cores. Small contents are taken by the buffer; of a
// large one the digest of the whole and the chunks are two tasks, so that a single file keeps two cores busy.
#pragma once

#include "bundle/pack/content.h"

struct pack_measure {
    unsigned threads;
    uint64_t total_bytes; // for progress
    void (*progress)(void *context, const char *step, uint64_t done_bytes, uint64_t total_bytes); // may be NULL
    void *context;
};

// Fills size, stamp, digest and pieces of each. Kinds: those of pack_content_open, memory.
int pack_measure_all(const struct pack_measure *how, struct pack_content *const *contents, size_t n, struct err *e)
    __attribute__((nonnull(1, 4)));
