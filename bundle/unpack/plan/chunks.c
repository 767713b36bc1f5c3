// SPDX-License-Identifier: Apache-2.0
//
// Chunks of a plan: kept, copied, or left to their frames.
#include "bundle/unpack/plan/chunks.h"

#include <string.h>

#include "base/fs.h"
#include "bundle/unpack/plan/pages.h"

static int close_run(struct unpack_plan *p, size_t group, struct err *e) {
    struct unpack_plan_run *run = &p->open[group];
    const struct unpack_scratch_row row = {.key = run->first, .a = run->offset_end, .b = run->end};
    if (run->first == run->end)
        return 0;
    *run = (struct unpack_plan_run){.first = 0};
    return unpack_scratch_add(&p->runs[group], &row, e);
}

// The frame of a chunk is needed. Chunks of a group come in the order of its frames.
static int mark_frame(struct unpack_plan *p, const struct unpack_piece *piece, struct err *e) {
    size_t group = unpack_plan_group(p, piece);
    struct unpack_plan_run *run = &p->open[group];
    struct bundle_index_frame row;
    if (run->end > piece->frame)
        return 0;
    if (bundle_index_frame(unpack_stream_index(p->stream), piece->frame, &row, e) < 0)
        return -1;
    if (run->end == run->first || row.offset - run->offset_end > UNPACK_PLAN_GAP_BYTES) {
        if (close_run(p, group, e) < 0)
            return -1;
        run->first = piece->frame;
        run->offset_end = row.offset;
    }
    p->fetch_bytes += row.offset + row.stored_bytes - run->offset_end;
    run->end = piece->frame + 1;
    run->offset_end = row.offset + row.stored_bytes;
    return 0;
}

static int add_row(struct unpack_plan *p, const struct unpack_piece *piece,
                   const struct unpack_held_place *place, struct err *e) {
    struct unpack_scratch_row row = {.key = piece->stream, .b = UNPACK_PLAN_KEPT};
    if (place) {
        row.a = place->tree_offset;
        row.b = (uint64_t)place->component << UNPACK_PLAN_POSITION_BITS | place->position;
        p->reused_bytes += piece->bytes;
    } else {
        p->kept_bytes += piece->bytes;
    }
    return unpack_scratch_add(&p->chunks, &row, e);
}

// Whether the file has this chunk in its place. What cannot be read is not there.
static bool is_kept(struct unpack_plan *p, const struct unpack_piece *piece, int fd,
                    uint64_t offset) {
    struct keys_digest found;
    struct err none = ERR_NONE;
    size_t got = 0;
    if (fd < 0 || fs_pread(fd, p->chunk, piece->bytes, offset, &got, &none) < 0 ||
        got < piece->bytes)
        return false;
    keys_digest_of(p->chunk, got, &found);
    return memcmp(found.bytes, piece->digest, sizeof piece->digest) == 0;
}

// Whether to look for it there. A repeat costs no download, so it is not worth a sample.
static bool is_likely(const struct unpack_plan *p, const struct unpack_piece *piece) {
    return !p->samples || p->missed < UNPACK_PLAN_MISSES ||
           (!piece->repeat && piece->number % UNPACK_PLAN_SAMPLE == 0);
}

static int plan_chunk(struct unpack_plan *p, const struct unpack_piece *piece, int fd,
                      uint64_t offset, struct err *e) {
    struct unpack_held_place place;
    if (is_likely(p, piece)) {
        bool kept = is_kept(p, piece, fd, offset);
        p->missed = kept ? 0 : p->missed + 1;
        if (kept)
            return add_row(p, piece, NULL, e);
    }
    int r = unpack_held_find(&p->held, piece->digest, piece->bytes, &place, e);
    if (r < 0)
        return -1;
    if (r == 0)
        return add_row(p, piece, &place, e);
    if (!piece->repeat)
        return mark_frame(p, piece, e);
    // Where its bytes are is said by the row that it repeats.
    plan_pages_mark(p, bundle_index_page_of_chunk(unpack_stream_index(p->stream), piece->repeats));
    return 0;
}

int plan_chunks_take(struct unpack_plan *p, uint64_t size, int fd, struct err *e) {
    for (uint64_t done = 0; done < size;) {
        struct unpack_piece piece;
        if (unpack_stream_next(p->stream, size - done, &piece, e) < 0 ||
            plan_chunk(p, &piece, fd, done, e) < 0)
            return -1;
        done += piece.bytes;
    }
    return 0;
}

int plan_chunks_end(struct unpack_plan *p, struct err *e) {
    if (close_run(p, BUNDLE_INDEX_KNOWN, e) < 0)
        return -1;
    return close_run(p, BUNDLE_INDEX_FRESH, e);
}
