// SPDX-License-Identifier: Apache-2.0
//
// The rows of the index as bytes. The reader that checks them against each other is in
// bundle/index/reader.c.
#include "bundle/index.h"

#include <assert.h>
#include <string.h>

#include "base/num.h"
#include "bundle/kind.h"

#define FORMAT 2
static const char magic[8] = {'E', 'D', 'G', 'E', 'I', 'D', 'X', '2'};

static void put16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put64(uint8_t *at, uint64_t value) {
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get16(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t get32(const uint8_t *at) {
    uint32_t value = 0;
    for (int i = 3; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static uint64_t get64(const uint8_t *at) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static uint64_t divide_up(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}

int bundle_index_size(uint64_t n_frames, uint64_t n_chunks, uint64_t *ret_head_bytes,
                      uint64_t *ret_bytes, struct err *e) {
    uint64_t pages = divide_up(n_frames, BUNDLE_INDEX_FRAMES_PER_PAGE) +
                     divide_up(n_chunks, BUNDLE_INDEX_CHUNKS_PER_PAGE);
    uint64_t directory = divide_up(pages, BUNDLE_INDEX_PAGES_PER_PAGE);
    static_assert(BUNDLE_INDEX_CHUNKS_MAX <= UINT32_MAX - BUNDLE_INDEX_REPEATS,
                  "a row names any other one in 32 bits");
    if (pages > BUNDLE_INDEX_MAX_BYTES / BUNDLE_INDEX_PAGE_BYTES ||
        1 + directory + pages > BUNDLE_INDEX_MAX_BYTES / BUNDLE_INDEX_PAGE_BYTES)
        return err_set(e, &err_limit, "an index of %llu frames and %llu chunks is above %lld bytes",
                       (unsigned long long)n_frames, (unsigned long long)n_chunks,
                       BUNDLE_INDEX_MAX_BYTES);
    *ret_head_bytes = (1 + directory) * BUNDLE_INDEX_PAGE_BYTES;
    *ret_bytes = (1 + directory + pages) * BUNDLE_INDEX_PAGE_BYTES;
    return 0;
}

void bundle_index_format_header(const struct bundle_index_header *h,
                                uint8_t ret[static BUNDLE_INDEX_PAGE_BYTES]) {
    memset(ret, 0, BUNDLE_INDEX_PAGE_BYTES);
    memcpy(ret, magic, sizeof magic);
    put32(ret + 8, FORMAT);
    put32(ret + 12, BUNDLE_INDEX_PAGE_BYTES);
    put64(ret + 16, h->n_frames);
    put64(ret + 24, h->n_chunks);
    put64(ret + 32, h->raw_bytes);
    put64(ret + 40, h->stream_bytes);
    put64(ret + 48, h->data_bytes);
    put64(ret + 56, h->trees_end);
    put64(ret + 64, h->fresh_start);
}

int bundle_index_parse_header(const uint8_t page[static BUNDLE_INDEX_PAGE_BYTES],
                              struct bundle_index_header *ret, struct err *e) {
    struct bundle_index_header h = {
        .n_frames = get64(page + 16),
        .n_chunks = get64(page + 24),
        .raw_bytes = get64(page + 32),
        .stream_bytes = get64(page + 40),
        .data_bytes = get64(page + 48),
        .trees_end = get64(page + 56),
        .fresh_start = get64(page + 64),
    };
    uint8_t expected[BUNDLE_INDEX_PAGE_BYTES];
    bundle_index_format_header(&h, expected);
    if (memcmp(page, expected, sizeof magic) != 0)
        return err_set(e, &err_bad_index, "the index does not begin with EDGEIDX2");
    if (memcmp(page, expected, sizeof expected) != 0)
        return err_set(e, &err_bad_index,
                       "the index's header has another format, page size or padding");
    if (h.stream_bytes > BUNDLE_STREAM_MAX_BYTES || h.raw_bytes > h.stream_bytes ||
        h.data_bytes > h.raw_bytes || h.n_frames > h.raw_bytes || h.n_chunks > h.stream_bytes ||
        h.trees_end > h.fresh_start || h.fresh_start > h.raw_bytes)
        return err_set(e, &err_bad_index, "the index's totals contradict each other");
    *ret = h;
    return 0;
}

void bundle_index_format_page(const struct bundle_index_page *row,
                              uint8_t ret[static BUNDLE_INDEX_DIRECTORY_ROW_BYTES]) {
    memcpy(ret, row->digest.bytes, KEYS_DIGEST_BYTES);
    for (size_t i = 0; i < 3; i++)
        put64(ret + KEYS_DIGEST_BYTES + 8 * i, row->at[i]);
}

void bundle_index_parse_page(const uint8_t row[static BUNDLE_INDEX_DIRECTORY_ROW_BYTES],
                             struct bundle_index_page *ret) {
    memcpy(ret->digest.bytes, row, KEYS_DIGEST_BYTES);
    for (size_t i = 0; i < 3; i++)
        ret->at[i] = get64(row + KEYS_DIGEST_BYTES + 8 * i);
}

void bundle_index_format_frame(const struct bundle_index_frame *row,
                               uint8_t ret[static BUNDLE_INDEX_FRAME_ROW_BYTES]) {
    memcpy(ret, row->digest.bytes, KEYS_DIGEST_BYTES);
    put32(ret + 32, row->stored_bytes);
    put32(ret + 36, row->raw_bytes);
}

void bundle_index_parse_frame(const uint8_t row[static BUNDLE_INDEX_FRAME_ROW_BYTES],
                              struct bundle_index_frame *ret) {
    memset(ret, 0, sizeof *ret);
    memcpy(ret->digest.bytes, row, KEYS_DIGEST_BYTES);
    ret->stored_bytes = get32(row + 32);
    ret->raw_bytes = get32(row + 36);
}

void bundle_index_format_chunk(const struct bundle_index_chunk *row,
                               uint8_t ret[static BUNDLE_INDEX_CHUNK_ROW_BYTES]) {
    memcpy(ret, row->digest, BUNDLE_INDEX_CHUNK_DIGEST_BYTES);
    put16(ret + 10, row->bytes - 1);
    put32(ret + 12, row->what);
}

void bundle_index_parse_chunk(const uint8_t row[static BUNDLE_INDEX_CHUNK_ROW_BYTES],
                              struct bundle_index_chunk *ret) {
    memset(ret, 0, sizeof *ret);
    memcpy(ret->digest, row, BUNDLE_INDEX_CHUNK_DIGEST_BYTES);
    ret->bytes = get16(row + 10) + 1;
    ret->what = get32(row + 12);
}
