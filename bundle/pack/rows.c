// SPDX-License-Identifier: Apache-2.0
//
// Rows into pages, pages into the directory, the directory into the head's digest.
#include "bundle/pack/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "bundle/kind.h"

struct rows {
    const struct pack_table *table;
    int fd;
    uint64_t offset;
    uint64_t head_bytes;
    uint8_t *head; // header page and directory
    uint64_t page; // number of the next one
};

static int put_page(struct rows *w, const uint8_t page[static BUNDLE_INDEX_PAGE_BYTES],
                    const uint64_t at[static 3], struct err *e) {
    struct bundle_index_page row;
    memcpy(row.at, at, sizeof row.at);
    keys_digest_of(page, BUNDLE_INDEX_PAGE_BYTES, &row.digest);
    bundle_index_format_page(
        &row, w->head + (1 + w->page / BUNDLE_INDEX_PAGES_PER_PAGE) * BUNDLE_INDEX_PAGE_BYTES +
                  w->page % BUNDLE_INDEX_PAGES_PER_PAGE * BUNDLE_INDEX_DIRECTORY_ROW_BYTES);
    uint64_t to = w->offset + w->head_bytes + w->page++ * BUNDLE_INDEX_PAGE_BYTES;
    return fs_pwrite(w->fd, page, BUNDLE_INDEX_PAGE_BYTES, to, e);
}

static int put_frames(struct rows *w, struct err *e) {
    for (size_t i = 0; i < w->table->n_frames;) {
        const struct bundle_index_frame *first = &w->table->frames[i].row;
        const uint64_t at[3] = {first->offset, first->raw, 0};
        uint8_t page[BUNDLE_INDEX_PAGE_BYTES] = {0};
        for (size_t k = 0; k < BUNDLE_INDEX_FRAMES_PER_PAGE && i < w->table->n_frames; k++)
            bundle_index_format_frame(&w->table->frames[i++].row,
                                      page + k * BUNDLE_INDEX_FRAME_ROW_BYTES);
        if (put_page(w, page, at, e) < 0)
            return -1;
    }
    return 0;
}

static int put_chunks(struct rows *w, struct err *e) {
    uint64_t next[3] = {0, 0, w->table->fresh_start};
    for (size_t i = 0; i < w->table->n_chunks;) {
        uint64_t at[3];
        uint8_t page[BUNDLE_INDEX_PAGE_BYTES] = {0};
        memcpy(at, next, sizeof at);
        for (size_t k = 0; k < BUNDLE_INDEX_CHUNKS_PER_PAGE && i < w->table->n_chunks; k++) {
            const struct pack_table_chunk *c = &w->table->chunks[i++];
            struct bundle_index_chunk row = {.bytes = c->bytes, .what = c->what};
            memcpy(row.digest, c->digest, sizeof row.digest);
            bundle_index_format_chunk(&row, page + k * BUNDLE_INDEX_CHUNK_ROW_BYTES);
            next[BUNDLE_INDEX_AT_STREAM] += c->bytes;
            if (c->what == BUNDLE_INDEX_KNOWN)
                next[BUNDLE_INDEX_AT_KNOWN] += c->bytes;
            else if (c->what == BUNDLE_INDEX_FRESH)
                next[BUNDLE_INDEX_AT_FRESH] += c->bytes;
        }
        if (put_page(w, page, at, e) < 0)
            return -1;
    }
    return 0;
}

int pack_rows_write(const struct pack_table *table, uint64_t data_bytes, int fd, uint64_t offset,
                    struct keys_digest *ret_head, struct err *e) {
    struct rows w = {.table = table, .fd = fd, .offset = offset};
    const struct bundle_index_header header = {.n_frames = table->n_frames,
                                               .n_chunks = table->n_chunks,
                                               .raw_bytes = table->raw_bytes,
                                               .stream_bytes = table->stream_bytes,
                                               .data_bytes = data_bytes,
                                               .trees_end = table->trees_end,
                                               .fresh_start = table->fresh_start};
    uint64_t bytes = 0;
    if (bundle_index_size(table->n_frames, table->n_chunks, &w.head_bytes, &bytes, e) < 0)
        return -1;
    w.head = calloc(1, (size_t)w.head_bytes);
    if (!w.head)
        return err_set(e, &err_memory, "writing the index");
    bundle_index_format_header(&header, w.head);
    int r = put_frames(&w, e);
    if (r == 0)
        r = put_chunks(&w, e);
    if (r == 0)
        r = fs_pwrite(fd, w.head, (size_t)w.head_bytes, offset, e);
    if (r == 0)
        keys_digest_of(w.head, (size_t)w.head_bytes, ret_head);
    free(w.head);
    return r;
}
