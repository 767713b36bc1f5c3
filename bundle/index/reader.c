// SPDX-License-Identifier: Apache-2.0
//
// The reader of an index: a page is checked as a whole when it is loaded, and its rows are kept with
// the sums that they leave out.
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bundle/index.h"
#include "bundle/index/head.h"
#include "bundle/kind.h"
#include "bundle/manifest.h"

struct frame_page {
    uint64_t number; // UINT64_MAX: none loaded
    size_t n;
    struct bundle_index_frame rows[BUNDLE_INDEX_FRAMES_PER_PAGE];
};

struct chunk_page {
    uint64_t number;
    size_t n;
    struct bundle_index_chunk rows[BUNDLE_INDEX_CHUNKS_PER_PAGE];
};

struct bundle_index_reader {
    struct index_head head;
    uint64_t frame_max;
    uint8_t bytes[BUNDLE_INDEX_PAGE_BYTES]; // of the page that is being loaded
    struct frame_page frames;
    struct chunk_page chunks;
    struct chunk_page repeated;
};

static int check_zero(const uint8_t *data, size_t len, struct err *e) {
    for (size_t i = 0; i < len; i++)
        if (data[i] != 0)
            return err_set(e, &err_bad_index, "it is not padded with zeros");
    return 0;
}

static size_t rows_of(uint64_t total, uint64_t page, size_t per_page) {
    uint64_t left = total - page * per_page;
    return left < per_page ? (size_t)left : per_page;
}

static int check_frame(const struct bundle_index_reader *r, const struct bundle_index_frame *f,
                       struct err *e) {
    const struct bundle_index_header *h = &r->head.header;
    uint64_t end = f->raw + f->raw_bytes, max = r->frame_max;
    if (f->raw >= h->fresh_start && max > BUNDLE_FRAME_FRESH_BYTES)
        max = BUNDLE_FRAME_FRESH_BYTES;
    if (f->raw_bytes == 0 || f->raw_bytes > max || f->stored_bytes == 0 ||
        f->stored_bytes > f->raw_bytes)
        return err_set(e, &err_bad_index, "a frame claims %" PRIu32 " bytes stored as %" PRIu32,
                       f->raw_bytes, f->stored_bytes);
    if (f->raw < h->trees_end && end > h->trees_end)
        return err_set(e, &err_bad_index, "a frame crosses the end of the trees");
    if (f->raw < h->fresh_start && end > h->fresh_start)
        return err_set(e, &err_bad_index, "a frame crosses into what is fresh");
    return 0;
}

static int read_frames(struct bundle_index_reader *r, uint64_t number, struct err *e) {
    struct frame_page *p = &r->frames;
    struct bundle_index_page row;
    uint64_t end[3];
    if (index_head_span(&r->head, number, &row, end, e) < 0 ||
        index_head_page(&r->head, number, &row, r->bytes, e) < 0)
        return -1;
    p->n = rows_of(r->head.header.n_frames, number, BUNDLE_INDEX_FRAMES_PER_PAGE);
    uint64_t offset = row.at[BUNDLE_INDEX_AT_OFFSET], raw = row.at[BUNDLE_INDEX_AT_RAW];
    for (size_t i = 0; i < p->n; i++) {
        struct bundle_index_frame *f = &p->rows[i];
        bundle_index_parse_frame(r->bytes + i * BUNDLE_INDEX_FRAME_ROW_BYTES, f);
        f->offset = offset;
        f->raw = raw;
        if (check_frame(r, f, e) < 0)
            return -1;
        offset += f->stored_bytes;
        raw += f->raw_bytes;
    }
    if (offset != end[BUNDLE_INDEX_AT_OFFSET] || raw != end[BUNDLE_INDEX_AT_RAW])
        return err_set(e, &err_bad_index, "its frames do not add up to where the next page begins");
    size_t used = p->n * BUNDLE_INDEX_FRAME_ROW_BYTES;
    return check_zero(r->bytes + used, sizeof r->bytes - used, e);
}

static int load_frames(struct bundle_index_reader *r, uint64_t number, struct err *e) {
    if (r->frames.number == number)
        return 0;
    r->frames.number = UINT64_MAX;
    if (read_frames(r, number, e) < 0)
        return err_prefix(e, "page %" PRIu64 " of the index", number);
    r->frames.number = number;
    return 0;
}

// Gives a row its place and moves the sums.
static int place_chunk(struct bundle_index_chunk *c, uint64_t number, uint64_t at[static 3],
                       struct err *e) {
    if (c->bytes > BUNDLE_CHUNK_MAX_BYTES)
        return err_set(e, &err_bad_index, "chunk %" PRIu64 " claims %" PRIu32 " bytes", number,
                       c->bytes);
    c->stream = at[BUNDLE_INDEX_AT_STREAM];
    at[BUNDLE_INDEX_AT_STREAM] += c->bytes;
    if (c->what >= BUNDLE_INDEX_REPEATS) {
        c->raw = UINT64_MAX;
        if (c->what - BUNDLE_INDEX_REPEATS >= number)
            return err_set(e, &err_bad_index, "chunk %" PRIu64 " repeats none before it", number);
        return 0;
    }
    uint64_t *group =
        &at[c->what == BUNDLE_INDEX_FRESH ? BUNDLE_INDEX_AT_FRESH : BUNDLE_INDEX_AT_KNOWN];
    c->raw = *group;
    *group += c->bytes;
    return 0;
}

static int read_chunks(struct bundle_index_reader *r, struct chunk_page *p, uint64_t number,
                       struct err *e) {
    struct bundle_index_page row;
    uint64_t end[3], page = number - r->head.n_frame_pages;
    if (index_head_span(&r->head, number, &row, end, e) < 0 ||
        index_head_page(&r->head, number, &row, r->bytes, e) < 0)
        return -1;
    p->n = rows_of(r->head.header.n_chunks, page, BUNDLE_INDEX_CHUNKS_PER_PAGE);
    for (size_t i = 0; i < p->n; i++) {
        bundle_index_parse_chunk(r->bytes + i * BUNDLE_INDEX_CHUNK_ROW_BYTES, &p->rows[i]);
        if (place_chunk(&p->rows[i], page * BUNDLE_INDEX_CHUNKS_PER_PAGE + i, row.at, e) < 0)
            return -1;
    }
    if (memcmp(row.at, end, sizeof row.at) != 0)
        return err_set(e, &err_bad_index, "its chunks do not add up to where the next page begins");
    size_t used = p->n * BUNDLE_INDEX_CHUNK_ROW_BYTES;
    return check_zero(r->bytes + used, sizeof r->bytes - used, e);
}

static int load_chunks(struct bundle_index_reader *r, struct chunk_page *p, uint64_t number,
                       struct err *e) {
    if (p->number == number)
        return 0;
    p->number = UINT64_MAX;
    if (read_chunks(r, p, number, e) < 0)
        return err_prefix(e, "page %" PRIu64 " of the index", number);
    p->number = number;
    return 0;
}

int bundle_index_frame(struct bundle_index_reader *reader, uint64_t number,
                       struct bundle_index_frame *ret, struct err *e) {
    assert(number < reader->head.header.n_frames);
    if (load_frames(reader, number / BUNDLE_INDEX_FRAMES_PER_PAGE, e) < 0)
        return -1;
    *ret = reader->frames.rows[number % BUNDLE_INDEX_FRAMES_PER_PAGE];
    return 0;
}

int bundle_index_chunk(struct bundle_index_reader *reader, uint64_t number,
                       struct bundle_index_chunk *ret, struct err *e) {
    if (load_chunks(reader, &reader->chunks, bundle_index_page_of_chunk(reader, number), e) < 0)
        return -1;
    *ret = reader->chunks.rows[number % BUNDLE_INDEX_CHUNKS_PER_PAGE];
    return 0;
}

int bundle_index_repeated(struct bundle_index_reader *reader, const struct bundle_index_chunk *row,
                          struct bundle_index_chunk *ret, struct err *e) {
    assert(row->what >= BUNDLE_INDEX_REPEATS);
    uint64_t number = row->what - BUNDLE_INDEX_REPEATS;
    if (load_chunks(reader, &reader->repeated, bundle_index_page_of_chunk(reader, number), e) < 0)
        return -1;
    const struct bundle_index_chunk *first =
        &reader->repeated.rows[number % BUNDLE_INDEX_CHUNKS_PER_PAGE];
    if (first->what >= BUNDLE_INDEX_REPEATS || first->bytes != row->bytes ||
        memcmp(first->digest, row->digest, sizeof first->digest) != 0)
        return err_set(e, &err_bad_index,
                       "it repeats chunk %" PRIu64 ", which is not seen first and like it", number);
    *ret = *first;
    return 0;
}

// The last page of [low, high) that begins at or below `position`, by member `at` of its row.
static int find_page(struct bundle_index_reader *r, uint64_t low, uint64_t high, size_t at,
                     uint64_t position, uint64_t *ret, struct err *e) {
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        struct bundle_index_page row;
        if (index_head_row(&r->head, middle, &row, e) < 0)
            return -1;
        if (row.at[at] <= position)
            low = middle;
        else
            high = middle;
    }
    *ret = low;
    return 0;
}

int bundle_index_page_of_raw(struct bundle_index_reader *reader, uint64_t raw, uint64_t *ret,
                             struct err *e) {
    assert(raw < reader->head.header.raw_bytes);
    return find_page(reader, 0, reader->head.n_frame_pages, BUNDLE_INDEX_AT_RAW, raw, ret, e);
}

int bundle_index_page_of_stream(struct bundle_index_reader *reader, uint64_t stream, uint64_t *ret,
                                struct err *e) {
    assert(stream < reader->head.header.stream_bytes);
    return find_page(reader, reader->head.n_frame_pages, reader->head.n_pages,
                     BUNDLE_INDEX_AT_STREAM, stream, ret, e);
}

uint64_t bundle_index_page_of_chunk(const struct bundle_index_reader *reader, uint64_t number) {
    assert(number < reader->head.header.n_chunks);
    return reader->head.n_frame_pages + number / BUNDLE_INDEX_CHUNKS_PER_PAGE;
}

int bundle_index_find_frame(struct bundle_index_reader *reader, uint64_t raw, uint64_t *ret,
                            struct err *e) {
    uint64_t page = 0;
    if (bundle_index_page_of_raw(reader, raw, &page, e) < 0 || load_frames(reader, page, e) < 0)
        return -1;
    // The page's rows reach from its own place to that of the next one, so one of them holds it.
    size_t i = 0;
    while (raw - reader->frames.rows[i].raw >= reader->frames.rows[i].raw_bytes)
        i++;
    *ret = page * BUNDLE_INDEX_FRAMES_PER_PAGE + i;
    return 0;
}

int bundle_index_find_chunk(struct bundle_index_reader *reader, uint64_t stream, uint64_t *ret,
                            struct err *e) {
    const struct chunk_page *p = &reader->chunks;
    uint64_t page = 0;
    if (bundle_index_page_of_stream(reader, stream, &page, e) < 0 ||
        load_chunks(reader, &reader->chunks, page, e) < 0)
        return -1;
    size_t low = 0, high = p->n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (p->rows[middle].stream <= stream)
            low = middle;
        else
            high = middle;
    }
    if (p->rows[low].stream != stream)
        return err_set(e, &err_bad_index, "no chunk begins where a content does");
    *ret = (page - reader->head.n_frame_pages) * BUNDLE_INDEX_CHUNKS_PER_PAGE + low;
    return 0;
}

int bundle_index_open(const struct bundle_index_file *file, const struct bundle_packing *packing,
                      struct bundle_index_reader **ret, struct err *e) {
    struct bundle_index_reader *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, &err_memory, "opening an index");
    r->head.file = *file;
    r->frame_max = packing->frame_bytes;
    r->frames.number = r->chunks.number = r->repeated.number = UINT64_MAX;
    if (index_head_open(&r->head, packing, e) < 0) {
        bundle_index_close(r);
        return -1;
    }
    *ret = r;
    return 0;
}

void bundle_index_close(struct bundle_index_reader *reader) {
    if (!reader)
        return;
    index_head_close(&reader->head);
    free(reader);
}

const struct bundle_index_header *bundle_index_head(const struct bundle_index_reader *reader) {
    return &reader->head.header;
}

uint64_t bundle_index_pages(const struct bundle_index_reader *reader) {
    return reader->head.n_pages;
}

int bundle_index_page(struct bundle_index_reader *reader, uint64_t page,
                      struct bundle_index_page *ret, uint64_t ret_end[static 3], struct err *e) {
    return index_head_span(&reader->head, page, ret, ret_end, e);
}
