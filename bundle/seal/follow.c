// SPDX-License-Identifier: Apache-2.0
//
// Behind the writer.
#include "bundle/seal/follow.h"

#include <stdlib.h>

#include "base/fs.h"
#include "bundle/kind.h"

// A place that no page of any kernel crosses.
#define ALIGN_BYTES (64ULL * 1024)
#define SLICE_BYTES (128UL * 1024)

int seal_follow_init(struct seal_follow *f, int fd, uint64_t bytes, bool by_blocks,
                     struct medium_spare *spare, struct err *e) {
    *f = (struct seal_follow){.fd = fd, .bytes = bytes};
    seal_hash_init(&f->hash, by_blocks);
    int r = medium_open(&f->medium, fd, spare, e);
    if (r != MEDIUM_NONE)
        return r;
    f->buffer = malloc(SLICE_BYTES);
    return f->buffer ? 0 : err_set(e, &err_memory, "reading back: out of memory");
}

void seal_follow_clear(struct seal_follow *f) {
    medium_close(&f->medium);
    free(f->buffer);
    f->buffer = NULL;
}

void seal_follow_void(struct seal_follow *f) {
    f->is_void = true;
}

void seal_follow_settle(struct seal_follow *f, uint64_t settled) {
    if (settled < f->settled || settled > f->bytes || f->over)
        f->is_void = true;
    else
        f->settled = settled;
}

void seal_follow_over(struct seal_follow *f) {
    f->over = true;
}

bool seal_follow_has_all(const struct seal_follow *f) {
    return f->over && !f->is_void && f->bytes > 0 && f->hashed == f->bytes;
}

// How much of what was synced is read from the medium by reading it through the cache.
static uint64_t drop(struct seal_follow *f, uint64_t to) {
    bool all = to == f->bytes;
    // To its end, whatever shares a page with the last bytes.
    fs_drop_cache_range(f->fd, f->hashed, all ? 0 : to - f->hashed);
    f->asked = f->hashed;
    if (all && f->over)
        return to;
    uint64_t gone = fs_uncached(f->fd, f->hashed, to - f->hashed);
    return f->hashed + gone - (f->hashed + gone < to ? gone % ALIGN_BYTES : 0);
}

// Makes more of it durable.
static int make_durable(struct seal_follow *f, struct err *e) {
    uint64_t to = f->settled == f->bytes ? f->bytes : f->settled - f->settled % ALIGN_BYTES;
    f->tried = f->settled;
    if (to <= f->hashed)
        return 0;
    if (fs_sync_data(f->fd, e) < 0)
        return -1;
    f->durable = f->buffer ? drop(f, to) : to;
    return 0;
}

static bool is_worth_a_sync(const struct seal_follow *f) {
    if (f->over || f->settled == f->bytes)
        return f->tried < f->settled || (f->over && f->settled == f->bytes);
    return f->settled - f->tried >= SEAL_FOLLOW_STEP_BYTES;
}

static int read_slice(struct seal_follow *f, const uint8_t **ret, size_t *ret_len, struct err *e) {
    if (!f->buffer)
        return medium_next(&f->medium, f->durable, ret, ret_len, e);
    uint64_t left = f->durable - f->hashed;
    size_t want = left < SLICE_BYTES ? (size_t)left : SLICE_BYTES;
    fs_read_ahead(f->fd, f->hashed, f->durable, &f->asked);
    *ret = f->buffer;
    return fs_pread(f->fd, f->buffer, want, f->hashed, ret_len, e);
}

// The last of it is made durable by make_durable.
static void begin_sync(struct seal_follow *f) {
    uint64_t to = f->settled - f->settled % ALIGN_BYTES;
    if (f->syncing > 0 || f->over || f->settled == f->bytes || to <= f->durable ||
        !is_worth_a_sync(f) || !medium_sync_begin(&f->medium))
        return;
    f->tried = f->settled;
    f->syncing = to;
}

static int end_sync(struct seal_follow *f, struct err *e) {
    int r = f->syncing > 0 ? medium_sync_end(&f->medium, f->hashed == f->durable, e) : MEDIUM_BUSY;
    if (r == 0) {
        f->durable = f->syncing;
        f->syncing = 0;
    }
    return r < 0 ? -1 : 0;
}

int seal_follow_step(struct seal_follow *f, struct err *e) {
    const uint8_t *bytes = NULL;
    size_t got = 0;
    if (f->is_void || f->hashed == f->bytes)
        return SEAL_FOLLOW_IDLE;
    begin_sync(f);
    if (end_sync(f, e) < 0)
        return -1;
    if (f->hashed == f->durable && !is_worth_a_sync(f))
        return SEAL_FOLLOW_IDLE;
    if (f->hashed == f->durable && make_durable(f, e) < 0)
        return -1;
    if (f->hashed == f->durable)
        return 0;
    if (read_slice(f, &bytes, &got, e) < 0)
        return -1;
    if (got == 0)
        return err_set(e, &err_bad_content, "a slot got shorter while it was read");
    seal_hash_add(&f->hash, bytes, got);
    f->hashed += got;
    if (f->hashed == f->bytes)
        seal_hash_final(&f->hash, &f->digest);
    return 0;
}
