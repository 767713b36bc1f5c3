// SPDX-License-Identifier: Apache-2.0
//
// Reading a file or block device forward from the medium, and not from what the kernel remembers of it: past the page
// cache (O_DIRECT), several reads at a time, so that the medium works while the caller does. It costs a third of the
// processor time that reading through the cache does, and leaves the cache to others.
//
// Where the file system or the kernel cannot do that it says so, and the caller reads as it always could.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MEDIUM_SLICE_BYTES (512UL * 1024)
#define MEDIUM_SLICES      4 // read ahead, or with the caller
#define MEDIUM_BATCH       2 // are asked for together: of small requests the overhead shows

// A queue of the kernel's that nobody uses now. To make one costs nothing, but to be rid of it the kernel waits until every processor has been
// elsewhere, some 30 ms: who opens one medium after another keeps the queue in between. Zeros: none. Clear is due at the end.
struct medium_spare {
    bool is_there;
    unsigned long queue;
};
void medium_spare_clear(struct medium_spare *spare) __attribute__((nonnull));

struct medium {
    int fd; // the caller's
    unsigned long queue;
    struct medium_spare *spare; // the caller's, or NULL
    uint8_t *room;         // owned, for all slices; slice n lies at n % MEDIUM_SLICES
    uint64_t asked, given; // slices, since the beginning
    uint64_t asked_to;     // place behind the last one that was asked for
    size_t want[MEDIUM_SLICES];
    int64_t came[MEDIUM_SLICES]; // bytes, or -errno
    bool is_there[MEDIUM_SLICES];
    bool is_syncing;
    int64_t synced; // 0, or -errno
};

// fd: of an open file that nobody else reads by, as its flags are changed. MEDIUM_NONE: it must be read through the cache.
// spare: where its queue comes from and goes to; must outlive it. May be NULL.
enum { MEDIUM_NONE = 1 };
int medium_open(struct medium *m, int fd, struct medium_spare *spare, struct err *e)
    __attribute__((nonnull(1, 4)));
// The next bytes, at most MEDIUM_SLICE_BYTES and not beyond `end`, borrowed until the next call; 0 of them where the file ends. `end` never
// falls; what lies beyond it is not read before. Each end but the last is a multiple of 4096. Kinds: io.
int medium_next(struct medium *m, uint64_t end, const uint8_t **ret, size_t *ret_len, struct err *e)
    __attribute__((nonnull));
// Begins to make durable what others wrote to the file, while reading goes on; one at a time. false: it cannot be done here
// (Linux before 4.18), or nothing was opened.
bool medium_sync_begin(struct medium *m) __attribute__((nonnull));
// 0: what was begun is done. MEDIUM_BUSY: it is under way, and `wait` was false. Kinds: io.
enum { MEDIUM_BUSY = 2 };
int medium_sync_end(struct medium *m, bool wait, struct err *e) __attribute__((nonnull));
// Waits for what is under way. Safe on one that was not opened, if it is zeros.
void medium_close(struct medium *m) __attribute__((nonnull));
