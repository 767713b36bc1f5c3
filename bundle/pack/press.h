// SPDX-License-Identifier: Apache-2.0
//
// The second pass: frames are gathered from the contents, compressed and hashed on several cores, and written to their places in the
// output. A frame's place follows from the sizes of those before it, so a finished frame may wait, in one of a bounded number of slots,
// until its predecessors are done; the bytes do not depend on which thread was faster.
#pragma once

#include "bundle/pack/table.h"

struct pack_press {
    struct pack_table *table; // gets digest, offset and stored_bytes of each frame
    uint64_t frame_max;       // bytes of the largest frame
    int level;
    unsigned threads;
    int fd;               // output
    uint64_t data_offset; // of the data member in it
    void (*progress)(void *context, const char *step, uint64_t done_bytes,
                     uint64_t total_bytes); // may be NULL
    void *context;
};

// *ret_data_bytes: of the data member. Kinds: busy (the input changed), memory, no_space, io.
int pack_press_all(const struct pack_press *how, uint64_t *ret_data_bytes, struct err *e)
    __attribute__((nonnull));
