// SPDX-License-Identifier: Apache-2.0
//
// Chunks of a plan: kept, copied, or left to their frames.
#include "bundle/unpack/plan/chunks.h"

#include <string.h>

#include "base/fs.h"
#include "bundle/unpack/plan/pages.h"

// A content that is planned.
struct content {
    int fd;              // what an earlier try left of it, or -1
    uint64_t start, end; // in the stream
    uint64_t asked;      // samples below this number were asked for
};

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
static bool is_kept(struct unpack_plan *p, const struct unpack_piece *piece,
                    const struct content *c) {
    struct keys_digest found;
    struct err none = ERR_NONE;
    size_t got = 0;
    if (c->fd < 0 ||
        fs_pread(c->fd, p->chunk, piece->bytes, piece->stream - c->start, &got, &none) < 0 ||
        got < piece->bytes)
        return false;
    keys_digest_of(p->chunk, got, &found);
    return memcmp(found.bytes, piece->digest, sizeof piece->digest) == 0;
}

static bool is_sampled(const struct unpack_plan *p) {
    return p->samples && p->missed >= UNPACK_PLAN_MISSES;
}

// Whether to look for it there. A repeat costs no download, so it is not worth a sample.
static bool is_likely(const struct unpack_plan *p, const struct unpack_piece *piece) {
    return !is_sampled(p) || (!piece->repeat && piece->number % UNPACK_PLAN_SAMPLE == 0);
}

// Asks for the samples up to this number. Rows are taken of the content's own pages only, which a plan needs in any case; the directory says which is the last.
static int ask_samples(struct unpack_plan *p, struct content *c, uint64_t end, struct err *e) {
    struct bundle_index_reader *index = unpack_stream_index(p->stream);
    uint64_t last = 0, n_chunks = bundle_index_head(index)->n_chunks;
    if (bundle_index_page_of_stream(index, c->end - 1, &last, e) < 0)
        return -1;
    for (; c->asked < end; c->asked += UNPACK_PLAN_SAMPLE) {
        struct bundle_index_chunk row = {.stream = UINT64_MAX};
        if (c->asked < n_chunks && bundle_index_page_of_chunk(index, c->asked) <= last &&
            bundle_index_chunk(index, c->asked, &row, e) < 0)
            return -1;
        if (row.stream >= c->end) {
            c->asked = UINT64_MAX; // the content has no more
            break;
        }
        if (row.what < BUNDLE_INDEX_REPEATS)
            fs_begin_read(c->fd, row.stream - c->start, row.bytes);
    }
    return 0;
}

// Samples lie far apart: one after another each would be waited for alone. They are asked for in halves of what may be under way, because a row
// ahead puts the page with the chunk at hand out of memory.
static int look_ahead(struct unpack_plan *p, const struct unpack_piece *piece, struct content *c,
                      struct err *e) {
    const uint64_t ahead = (uint64_t)UNPACK_PLAN_AHEAD * UNPACK_PLAN_SAMPLE;
    uint64_t next = piece->number + UNPACK_PLAN_SAMPLE - 1;
    next -= next % UNPACK_PLAN_SAMPLE;
    if (c->fd < 0 || !is_sampled(p) || (c->asked > next && c->asked - next > ahead / 2))
        return 0;
    if (c->asked < next)
        c->asked = next;
    return ask_samples(p, c, next + ahead, e);
}

static int plan_chunk(struct unpack_plan *p, const struct unpack_piece *piece,
                      const struct content *c, struct err *e) {
    struct unpack_held_place place;
    if (is_likely(p, piece)) {
        bool kept = is_kept(p, piece, c);
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
    struct content c = {.fd = fd, .start = unpack_stream_position(p->stream)};
    c.end = c.start + size;
    for (uint64_t at = c.start; at < c.end;) {
        struct unpack_piece piece;
        if (unpack_stream_next(p->stream, c.end - at, &piece, e) < 0 ||
            look_ahead(p, &piece, &c, e) < 0 || plan_chunk(p, &piece, &c, e) < 0)
            return -1;
        at += piece.bytes;
    }
    return 0;
}

int plan_chunks_end(struct unpack_plan *p, struct err *e) {
    if (close_run(p, BUNDLE_INDEX_KNOWN, e) < 0)
        return -1;
    return close_run(p, BUNDLE_INDEX_FRESH, e);
}
