// SPDX-License-Identifier: Apache-2.0
//
// The reader of an index. Opening walks all rows once and checks what they must agree on;
// afterwards a row can be taken by number, and its page is verified again when it has to be read
// again.
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "bundle/index.h"
#include "bundle/index/page.h"
#include "bundle/kind.h"
#include "bundle/manifest.h"

struct bundle_index_reader {
    struct bundle_index_header header;
    struct index_page_head head;
    uint64_t n_frame_pages;
    struct index_page frames;
    struct index_page chunks;
};

static int check_zero(const uint8_t *data, size_t len, struct err *e) {
    for (size_t i = 0; i < len; i++)
        if (data[i] != 0)
            return err_set(e, &err_bad_index, "a page of the index is not padded with zeros");
    return 0;
}

// Behind the last row of a page all is zero.
static int check_page(const struct index_page *page, uint64_t rows_left, size_t per_page,
                      size_t row_bytes, struct err *e) {
    size_t rows = rows_left < per_page ? (size_t)rows_left : per_page;
    return check_zero(page->bytes + rows * row_bytes, sizeof page->bytes - rows * row_bytes, e);
}

int bundle_index_frame(struct bundle_index_reader *reader, uint64_t number,
                       struct bundle_index_frame *ret, struct err *e) {
    assert(number < reader->header.n_frames);
    uint64_t page = number / BUNDLE_INDEX_FRAMES_PER_PAGE;
    if (index_page_load(&reader->head, page, &reader->frames, e) < 0)
        return -1;
    bundle_index_parse_frame(reader->frames.bytes + number % BUNDLE_INDEX_FRAMES_PER_PAGE *
                                                        BUNDLE_INDEX_FRAME_ROW_BYTES,
                             ret);
    return 0;
}

int bundle_index_chunk(struct bundle_index_reader *reader, uint64_t number,
                       struct bundle_index_chunk *ret, struct err *e) {
    assert(number < reader->header.n_chunks);
    uint64_t page = reader->n_frame_pages + number / BUNDLE_INDEX_CHUNKS_PER_PAGE;
    if (index_page_load(&reader->head, page, &reader->chunks, e) < 0)
        return -1;
    bundle_index_parse_chunk(reader->chunks.bytes + number % BUNDLE_INDEX_CHUNKS_PER_PAGE *
                                                        BUNDLE_INDEX_CHUNK_ROW_BYTES,
                             ret);
    return 0;
}

static int check_frames(struct bundle_index_reader *r, uint64_t frame_max, struct err *e) {
    uint64_t offset = 0, raw = 0, n = r->header.n_frames;
    for (uint64_t i = 0; i < n; i++) {
        struct bundle_index_frame f;
        if (bundle_index_frame(r, i, &f, e) < 0)
            return -1;
        if (i % BUNDLE_INDEX_FRAMES_PER_PAGE == 0 &&
            check_page(&r->frames, n - i, BUNDLE_INDEX_FRAMES_PER_PAGE,
                       BUNDLE_INDEX_FRAME_ROW_BYTES, e) < 0)
            return -1;
        if (f.offset != offset || f.raw != raw)
            return err_set(e, &err_bad_index, "frame %" PRIu64 " does not follow the one before",
                           i);
        if (f.raw_bytes == 0 || f.raw_bytes > frame_max || f.stored_bytes == 0 ||
            f.stored_bytes > f.raw_bytes)
            return err_set(e, &err_bad_index,
                           "frame %" PRIu64 " claims %" PRIu32 " bytes stored as %" PRIu32, i,
                           f.raw_bytes, f.stored_bytes);
        offset += f.stored_bytes;
        raw += f.raw_bytes;
    }
    if (offset != r->header.data_bytes || raw != r->header.raw_bytes)
        return err_set(e, &err_bad_index, "the frames do not add up to the index's totals");
    return 0;
}

// The frame that the chunks seen for the first time have reached.
struct place {
    uint64_t frame; // number of the next one
    uint64_t raw;   // first position that none of them described
    uint64_t end;   // of the frame reached
};

static int check_chunk(struct bundle_index_reader *r, const struct bundle_index_chunk *c,
                       struct place *p, struct err *e) {
    if (c->bytes == 0 || c->bytes > BUNDLE_CHUNK_MAX_BYTES)
        return err_set(e, &err_bad_index, "it claims %" PRIu32 " bytes", c->bytes);
    if (c->raw < p->raw) {
        if (c->bytes > p->raw - c->raw)
            return err_set(e, &err_bad_index, "it points back past what was there");
        return 0;
    }
    if (c->raw > p->raw)
        return err_set(e, &err_bad_index, "it points forward");
    if (p->raw == p->end) {
        struct bundle_index_frame f;
        if (p->frame == r->header.n_frames)
            return err_set(e, &err_bad_index, "it lies behind the last frame");
        if (bundle_index_frame(r, p->frame++, &f, e) < 0)
            return -1;
        p->end += f.raw_bytes;
    }
    if (c->bytes > p->end - p->raw)
        return err_set(e, &err_bad_index, "it crosses the end of its frame");
    p->raw += c->bytes;
    return 0;
}

static int check_chunks(struct bundle_index_reader *r, struct err *e) {
    struct place place = {.frame = 0};
    uint64_t stream = 0, n = r->header.n_chunks;
    for (uint64_t i = 0; i < n; i++) {
        struct bundle_index_chunk c;
        if (bundle_index_chunk(r, i, &c, e) < 0)
            return -1;
        if (i % BUNDLE_INDEX_CHUNKS_PER_PAGE == 0 &&
            check_page(&r->chunks, n - i, BUNDLE_INDEX_CHUNKS_PER_PAGE,
                       BUNDLE_INDEX_CHUNK_ROW_BYTES, e) < 0)
            return -1;
        if (check_chunk(r, &c, &place, e) < 0)
            return err_prefix(e, "chunk %" PRIu64, i);
        stream += c.bytes;
    }
    if (stream != r->header.stream_bytes || place.raw != r->header.raw_bytes)
        return err_set(e, &err_bad_index, "the chunks do not add up to the index's totals");
    return 0;
}

static int open_reader(struct bundle_index_reader *r, const struct bundle_packing *packing,
                       struct err *e) {
    uint8_t header[BUNDLE_INDEX_PAGE_BYTES];
    uint64_t head_bytes = 0, bytes = 0;
    if (index_page_open(&r->head, &packing->index_digest, header, e) < 0 ||
        bundle_index_parse_header(header, &r->header, e) < 0)
        return -1;
    struct err too_large = ERR_NONE;
    if (bundle_index_size(r->header.n_frames, r->header.n_chunks, &head_bytes, &bytes, &too_large) <
            0 ||
        head_bytes != packing->index_head_bytes || bytes != packing->index_bytes ||
        r->header.data_bytes != packing->data_bytes)
        return err_set(e, &err_bad_index,
                       "the index's counts are not those that the manifest's sizes prescribe");
    r->n_frame_pages =
        (r->header.n_frames + BUNDLE_INDEX_FRAMES_PER_PAGE - 1) / BUNDLE_INDEX_FRAMES_PER_PAGE;
    if (check_frames(r, packing->frame_bytes, e) < 0)
        return -1;
    return check_chunks(r, e);
}

int bundle_index_open(int fd, uint64_t offset, const struct bundle_packing *packing,
                      struct bundle_index_reader **ret, struct err *e) {
    // The manifest's own rules (bundle/manifest) hold here: whole pages, a head of at least one.
    struct bundle_index_reader *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, &err_memory, "opening an index");
    r->head.fd = fd;
    r->head.offset = offset;
    r->head.n_directory = packing->index_head_bytes / BUNDLE_INDEX_PAGE_BYTES - 1;
    r->head.n_pages = (packing->index_bytes - packing->index_head_bytes) / BUNDLE_INDEX_PAGE_BYTES;
    r->frames.number = r->chunks.number = UINT64_MAX;
    if (open_reader(r, packing, e) < 0) {
        bundle_index_close(r);
        return -1;
    }
    *ret = r;
    return 0;
}

void bundle_index_close(struct bundle_index_reader *reader) {
    if (!reader)
        return;
    index_page_close(&reader->head);
    free(reader);
}

const struct bundle_index_header *bundle_index_head(const struct bundle_index_reader *reader) {
    return &reader->header;
}
