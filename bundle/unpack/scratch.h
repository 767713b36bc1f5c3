// SPDX-License-Identifier: Apache-2.0
//
// A sorted table on disk, for what must be found again and whose number is not bounded: rows are added with keys that do not fall, and
// found by their number, or by the greatest key that is not above the one looked for: of equal ones the last. One block of rows in memory.
#pragma once

#include <stdint.h>

#include "base/err.h"

#define UNPACK_SCRATCH_BLOCK_ROWS 128

struct unpack_scratch_row {
    uint64_t key;
    uint64_t a;
    uint64_t b;
};

struct unpack_scratch {
    int fd;         // the caller's; an empty file
    uint64_t n;     // rows in all
    uint64_t flushed; // rows that are in the file
    struct unpack_scratch_row block[UNPACK_SCRATCH_BLOCK_ROWS];
};

void unpack_scratch_init(struct unpack_scratch *s, int fd) __attribute__((nonnull));
// The key must not be below any before.
int unpack_scratch_add(struct unpack_scratch *s, const struct unpack_scratch_row *row, struct err *e)
    __attribute__((nonnull));
// 0 and the row; UNPACK_SCRATCH_NONE when every key is above.
enum { UNPACK_SCRATCH_NONE = 1 };
int unpack_scratch_find(struct unpack_scratch *s, uint64_t key, struct unpack_scratch_row *ret, struct err *e)
    __attribute__((nonnull));
// The row of this number, which must be below n.
int unpack_scratch_get(struct unpack_scratch *s, uint64_t number, struct unpack_scratch_row *ret, struct err *e)
    __attribute__((nonnull));
