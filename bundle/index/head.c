// SPDX-License-Identifier: Apache-2.0
//
// The head of an index and its pages: read, verified.
#include "bundle/index/head.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "bundle/kind.h"
#include "bundle/manifest.h"

static int read_page(const struct index_head *head, uint64_t number,
                     uint8_t ret[static BUNDLE_INDEX_PAGE_BYTES], struct err *e) {
    size_t got = 0;
    if (fs_pread(head->file.fd, ret, BUNDLE_INDEX_PAGE_BYTES,
                 head->file.offset + number * BUNDLE_INDEX_PAGE_BYTES, &got, e) < 0)
        return err_prefix(e, "reading the index");
    if (got < BUNDLE_INDEX_PAGE_BYTES)
        return err_set(e, &err_truncated, "the index ends in its page %llu",
                       (unsigned long long)number);
    return 0;
}

// Rows of the directory behind the last page's are padding, and so is what is left of each page.
static int check_padding(const struct index_head *head, uint64_t number, struct err *e) {
    uint64_t rows = head->n_pages - number * BUNDLE_INDEX_PAGES_PER_PAGE;
    if (rows > BUNDLE_INDEX_PAGES_PER_PAGE)
        rows = BUNDLE_INDEX_PAGES_PER_PAGE;
    for (size_t i = rows * BUNDLE_INDEX_DIRECTORY_ROW_BYTES; i < sizeof head->page; i++)
        if (head->page[i] != 0)
            return err_set(e, &err_bad_index, "the index's directory is not padded with zeros");
    return 0;
}

// Header and directory against the manifest's digest; counts against its sizes.
static int read_head(struct index_head *head, const struct bundle_packing *packing, struct err *e) {
    struct keys_digest_state state;
    struct keys_digest found;
    uint8_t header[BUNDLE_INDEX_PAGE_BYTES];
    uint64_t head_bytes = 0, bytes = 0;
    struct err too_large = ERR_NONE;
    if (read_page(head, 0, header, e) < 0)
        return -1;
    keys_digest_init(&state);
    keys_digest_add(&state, header, sizeof header);
    for (uint64_t i = 0; i < head->n_directory; i++) {
        if (read_page(head, 1 + i, head->page, e) < 0)
            return -1;
        keys_digest_add(&state, head->page, sizeof head->page);
        keys_digest_of(head->page, sizeof head->page, &head->directory[i]);
    }
    keys_digest_final(&state, &found);
    if (!keys_digest_equal(&found, &packing->index_digest))
        return err_set(e, &err_bad_index,
                       "the index's head is not the one that the manifest names");
    if (bundle_index_parse_header(header, &head->header, e) < 0)
        return -1;
    const struct bundle_index_header *h = &head->header;
    if (bundle_index_size(h->n_frames, h->n_chunks, &head_bytes, &bytes, &too_large) < 0 ||
        head_bytes != packing->index_head_bytes || bytes != packing->index_bytes ||
        h->data_bytes != packing->data_bytes)
        return err_set(e, &err_bad_index,
                       "the index's counts are not those that the manifest's sizes prescribe");
    head->n_frame_pages = h->n_frames / BUNDLE_INDEX_FRAMES_PER_PAGE +
                          (h->n_frames % BUNDLE_INDEX_FRAMES_PER_PAGE != 0);
    return 0;
}

// Between two rows of frame pages, or from the last one to the totals.
static int check_frames(const uint64_t at[static 3], const uint64_t end[static 3],
                        uint64_t frame_max, struct err *e) {
    uint64_t raw = end[BUNDLE_INDEX_AT_RAW] - at[BUNDLE_INDEX_AT_RAW];
    uint64_t stored = end[BUNDLE_INDEX_AT_OFFSET] - at[BUNDLE_INDEX_AT_OFFSET];
    // Differences that would be negative are huge.
    if (raw == 0 || raw > frame_max * BUNDLE_INDEX_FRAMES_PER_PAGE || stored == 0 || stored > raw ||
        at[2] != 0)
        return err_set(e, &err_bad_index, "the directory's pages of frames do not follow");
    return 0;
}

static int check_chunks(const uint64_t at[static 3], const uint64_t end[static 3], struct err *e) {
    static const uint64_t max = (uint64_t)BUNDLE_CHUNK_MAX_BYTES * BUNDLE_INDEX_CHUNKS_PER_PAGE;
    uint64_t stream = end[BUNDLE_INDEX_AT_STREAM] - at[BUNDLE_INDEX_AT_STREAM];
    uint64_t known = end[BUNDLE_INDEX_AT_KNOWN] - at[BUNDLE_INDEX_AT_KNOWN];
    uint64_t fresh = end[BUNDLE_INDEX_AT_FRESH] - at[BUNDLE_INDEX_AT_FRESH];
    if (stream == 0 || stream > max || known > stream || fresh > stream - known)
        return err_set(e, &err_bad_index, "the directory's pages of chunks do not follow");
    return 0;
}

static int check_directory(struct index_head *head, uint64_t frame_max, struct err *e) {
    const struct bundle_index_header *h = &head->header;
    struct bundle_index_page row;
    uint64_t end[3];
    for (uint64_t i = 0; i < head->n_pages; i++) {
        if (index_head_span(head, i, &row, end, e) < 0 ||
            (i % BUNDLE_INDEX_PAGES_PER_PAGE == 0 &&
             check_padding(head, i / BUNDLE_INDEX_PAGES_PER_PAGE, e) < 0))
            return -1;
        const uint64_t first[3] = {0, 0, i < head->n_frame_pages ? 0 : h->fresh_start};
        if ((i == 0 || i == head->n_frame_pages) && memcmp(row.at, first, sizeof first) != 0)
            return err_set(e, &err_bad_index, "the directory does not begin at the beginning");
        if ((i < head->n_frame_pages ? check_frames(row.at, end, frame_max, e)
                                     : check_chunks(row.at, end, e)) < 0)
            return -1;
    }
    // Where there are no rows there are no bytes.
    if ((h->n_frames == 0) != (h->raw_bytes == 0) || (h->n_chunks == 0) != (h->stream_bytes == 0) ||
        (h->raw_bytes == 0) != (h->data_bytes == 0))
        return err_set(e, &err_bad_index, "the index's totals contradict its counts");
    return 0;
}

int index_head_open(struct index_head *head, const struct bundle_packing *packing, struct err *e) {
    // The manifest's own rules (bundle/manifest) hold here: whole pages, a head of at least one.
    head->n_directory = packing->index_head_bytes / BUNDLE_INDEX_PAGE_BYTES - 1;
    head->n_pages = (packing->index_bytes - packing->index_head_bytes) / BUNDLE_INDEX_PAGE_BYTES;
    head->cached = UINT64_MAX;
    head->directory = calloc(head->n_directory ? head->n_directory : 1, sizeof *head->directory);
    if (!head->directory)
        return err_set(e, &err_memory, "opening an index");
    if (read_head(head, packing, e) < 0)
        return -1;
    return check_directory(head, packing->frame_bytes, e);
}

void index_head_close(struct index_head *head) {
    free(head->directory);
    head->directory = NULL;
}

static int load_directory(struct index_head *head, uint64_t number, struct err *e) {
    struct keys_digest found;
    if (head->cached == number)
        return 0;
    head->cached = UINT64_MAX;
    if (read_page(head, 1 + number, head->page, e) < 0)
        return -1;
    keys_digest_of(head->page, sizeof head->page, &found);
    if (!keys_digest_equal(&found, &head->directory[number]))
        return err_set(e, &err_bad_index, "the index's directory changed while it was in use");
    head->cached = number;
    return 0;
}

int index_head_row(struct index_head *head, uint64_t number, struct bundle_index_page *ret,
                   struct err *e) {
    assert(number < head->n_pages);
    if (load_directory(head, number / BUNDLE_INDEX_PAGES_PER_PAGE, e) < 0)
        return -1;
    bundle_index_parse_page(
        head->page + number % BUNDLE_INDEX_PAGES_PER_PAGE * BUNDLE_INDEX_DIRECTORY_ROW_BYTES, ret);
    return 0;
}

int index_head_span(struct index_head *head, uint64_t number, struct bundle_index_page *ret,
                    uint64_t ret_end[static 3], struct err *e) {
    const struct bundle_index_header *h = &head->header;
    struct bundle_index_page next;
    uint64_t frames_end[3] = {h->data_bytes, h->raw_bytes, 0};
    uint64_t chunks_end[3] = {h->stream_bytes, h->fresh_start, h->raw_bytes};
    const uint64_t *end = number < head->n_frame_pages ? frames_end : chunks_end;
    if (number + 1 != head->n_frame_pages && number + 1 != head->n_pages) {
        if (index_head_row(head, number + 1, &next, e) < 0)
            return -1;
        end = next.at;
    }
    memcpy(ret_end, end, sizeof next.at);
    return index_head_row(head, number, ret, e);
}

int index_head_page(struct index_head *head, uint64_t number, const struct bundle_index_page *row,
                    uint8_t ret[static BUNDLE_INDEX_PAGE_BYTES], struct err *e) {
    struct keys_digest found;
    if (head->file.want && head->file.want(head->file.context, number, e) < 0)
        return -1;
    if (read_page(head, 1 + head->n_directory + number, ret, e) < 0)
        return -1;
    keys_digest_of(ret, BUNDLE_INDEX_PAGE_BYTES, &found);
    if (!keys_digest_equal(&found, &row->digest))
        return err_set(e, &err_bad_index, "page %llu of the index is not the one its head names",
                       (unsigned long long)number);
    return 0;
}
