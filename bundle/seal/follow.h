// SPDX-License-Identifier: Apache-2.0
//
// Reading an image back while it is still being written, behind the writer: what costs most after the last byte came is done by then. It counts for as
// much as reading it back afterwards (bundle/seal.h), because the same holds of each byte when it is hashed: it was synced, dropped from the cache, seen
// not to be there, and is not written again.
//
//   settled    the writer says that nothing below this place will be written again. It is no promise that is trusted: whoever writes, and must be
//              trusted with the descriptor, takes it back when it is broken (seal_follow_void), and all that was hashed counts for nothing
//   durable    up to there what is settled was synced. It is read past the cache where that can be done (base/medium.h). Else it is dropped from the cache
//              before; a folio that reaches further on is kept there by the kernel, so what is seen to be in memory still is left for later, and only
//              at the end, as in bundle/seal.h, the kernel's word is taken
//   hashed     up to there it was read
//
// A step reads one slice. While what is durable is read what was settled since is synced, so that neither waits for the other; where the kernel cannot
// do that, and for the last of it, a step syncs when all that is durable was read. One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/medium.h"
#include "bundle/seal/hash.h"

#define SEAL_FOLLOW_STEP_BYTES (8ULL * 1024 * 1024) // less is not worth a sync, before the end

struct seal_follow {
    int fd;         // the caller's
    uint64_t bytes; // of the image
    uint64_t settled, tried, durable, hashed, asked;
    uint64_t syncing; // what becomes durable with the sync under way; 0: there is none
    bool over;        // nobody writes any more
    bool is_void;     // all of it is to be read again, by somebody else
    struct medium medium;
    uint8_t *buffer; // owned; NULL: it is read past the cache
    struct seal_hash hash;
    struct keys_digest digest; // when `hashed` is `bytes`
};

// spare: as of medium_open. by_blocks: which digest (bundle/seal/hash.h). fd: to read, of an open file that nobody else reads by. Clear is due after success.
int seal_follow_init(struct seal_follow *f, int fd, uint64_t bytes, bool by_blocks, struct medium_spare *spare,
                     struct err *e) __attribute__((nonnull(1, 6)));
void seal_follow_clear(struct seal_follow *f) __attribute__((nonnull));
// What is less than was said before is a lie, and makes it void.
void seal_follow_settle(struct seal_follow *f, uint64_t settled) __attribute__((nonnull));
void seal_follow_void(struct seal_follow *f) __attribute__((nonnull));
// The writer has ended.
void seal_follow_over(struct seal_follow *f) __attribute__((nonnull));
// 0: one step was done. SEAL_FOLLOW_IDLE: there is nothing to do, until more is settled or the writer has ended. Kinds: io, bad_content.
enum { SEAL_FOLLOW_IDLE = 1 };
int seal_follow_step(struct seal_follow *f, struct err *e) __attribute__((nonnull));
// Whether all of it was read, and `digest` holds.
bool seal_follow_has_all(const struct seal_follow *f) __attribute__((nonnull));
