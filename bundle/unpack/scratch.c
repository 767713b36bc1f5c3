// SPDX-License-Identifier: Apache-2.0
//
// A sorted table on disk. Its rows are this machine's own and never leave it, so they are stored as
// they lie in memory.
#include "bundle/unpack/scratch.h"

#include <assert.h>

#include "base/fs.h"

void unpack_scratch_init(struct unpack_scratch *s, int fd) {
    s->fd = fd;
    s->n = s->flushed = 0;
}

int unpack_scratch_add(struct unpack_scratch *s, const struct unpack_scratch_row *row,
                       struct err *e) {
    size_t pending = (size_t)(s->n - s->flushed);
    assert(pending == 0 || s->block[pending - 1].key <= row->key);
    if (pending == UNPACK_SCRATCH_BLOCK_ROWS) {
        if (fs_pwrite(s->fd, s->block, sizeof s->block, s->flushed * sizeof *row, e) < 0)
            return err_prefix(e, "writing a scratch file");
        s->flushed = s->n;
        pending = 0;
    }
    s->block[pending] = *row;
    s->n++;
    return 0;
}

int unpack_scratch_get(struct unpack_scratch *s, uint64_t number, struct unpack_scratch_row *ret,
                       struct err *e) {
    assert(number < s->n);
    if (number >= s->flushed) {
        *ret = s->block[number - s->flushed];
        return 0;
    }
    size_t got = 0;
    if (fs_pread(s->fd, ret, sizeof *ret, number * sizeof *ret, &got, e) < 0)
        return err_prefix(e, "reading a scratch file");
    return got == sizeof *ret ? 0 : err_set(e, &err_io, "a scratch file was cut short");
}

int unpack_scratch_find(struct unpack_scratch *s, uint64_t key, struct unpack_scratch_row *ret,
                        struct err *e) {
    struct unpack_scratch_row row, best = {.key = 0};
    uint64_t low = 0, high = s->n; // the first row above key is in [low, high]
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (unpack_scratch_get(s, middle, &row, e) < 0)
            return -1;
        if (row.key <= key) {
            best = row;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0)
        return UNPACK_SCRATCH_NONE;
    *ret = best;
    return 0;
}
