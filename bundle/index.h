// SPDX-License-Identifier: Apache-2.0
//
// The index: what the data member holds, in pages of 4096 bytes of fixed-size little-endian rows. FORMAT.md §5 specifies it.
//
//   head  = one header page, then the directory: one row of 56 bytes for each page that follows, 73 in a page, zero-padded to a page
//   pages = frame pages (102 rows of 40 bytes, rest zero), then chunk pages (256 rows of 16 bytes; unused rows zero)
//
// The manifest names the digest and length of the head; the head names the digest of every page and where it begins; a page names the digest of
// every frame. So any page can be fetched, verified and used without those before it.
//
// The *stream* is all contents one after another: the trees of the `files` components in manifest order, then for each component in manifest order its
// regular files in tree order, or its image. A content is cut into chunks (content-defined; none crosses the border of a content).
// Chunk rows are in stream order. A chunk seen before says the number of the row that it repeats. *Raw* positions count the bytes of chunks seen
// for the first time: the frames, decoded, end to end, are exactly these, in three parts: [trees][known][fresh], each in stream order. No
// frame crosses a border. *Fresh* is what a holder of the builder's references cannot find in what it has (bundle/pack/reference.h); without a
// reference there is none. A reader walks the stream once, with one cursor in known (trees are at its beginning) and one in fresh.
//
//   header: "EDGEIDX2", u32 format 2, u32 page bytes, u64 frames, u64 chunks, u64 raw bytes, u64 stream bytes, u64 data bytes,
//           u64 raw position where the trees end, u64 raw position where fresh begins, zeros
//   directory row: digest[32] of the page, then of its first row: u64 offset in data, u64 raw position, u64 zero (frame page);
//           u64 stream position, u64 raw position reached in known, u64 raw position reached in fresh (chunk page)
//   frame row: digest[32] of the stored bytes, u32 stored bytes, u32 raw bytes.
//           stored == raw: as is; stored < raw: one zstd frame; never stored > raw
//   chunk row: digest[10] (BLAKE2b-256 of the chunk, cut), u16 bytes - 1, u32 what: 0 seen first, in known; 1 seen first, in fresh; else 2 +
//           number of the row that it repeats, which is one seen first
#pragma once

#include <stdint.h>

#include "bundle/limits.h"
#include "keys/digest.h"

#define BUNDLE_INDEX_DIRECTORY_ROW_BYTES 56
#define BUNDLE_INDEX_FRAME_ROW_BYTES 40
#define BUNDLE_INDEX_CHUNK_ROW_BYTES 16
#define BUNDLE_INDEX_PAGES_PER_PAGE 73 // rows of the directory in one of its pages
#define BUNDLE_INDEX_FRAMES_PER_PAGE 102
#define BUNDLE_INDEX_CHUNKS_PER_PAGE 256
#define BUNDLE_INDEX_CHUNK_DIGEST_BYTES 10
#define BUNDLE_INDEX_CHUNKS_MAX (BUNDLE_INDEX_MAX_BYTES / BUNDLE_INDEX_CHUNK_ROW_BYTES) // no index holds as many

// What a chunk row says: one of these two, or BUNDLE_INDEX_REPEATS + a row's number.
enum { BUNDLE_INDEX_KNOWN, BUNDLE_INDEX_FRESH, BUNDLE_INDEX_REPEATS };

struct bundle_index_header {
    uint64_t n_frames;
    uint64_t n_chunks;
    uint64_t raw_bytes;
    uint64_t stream_bytes;
    uint64_t data_bytes;
    uint64_t trees_end;   // raw positions
    uint64_t fresh_start;
};

// A row of the directory. `at` is where the page's first row lies: of a frame page offset and raw position (and 0), of a chunk page the position in
// the stream, in known and in fresh.
struct bundle_index_page {
    struct keys_digest digest;
    uint64_t at[3];
};
enum { BUNDLE_INDEX_AT_OFFSET = 0, BUNDLE_INDEX_AT_RAW = 1 };
enum { BUNDLE_INDEX_AT_STREAM = 0, BUNDLE_INDEX_AT_KNOWN = 1, BUNDLE_INDEX_AT_FRESH = 2 };

struct bundle_index_frame {
    struct keys_digest digest;
    uint64_t offset; // in data; not in the row, but the sum of those before
    uint64_t raw;    // likewise
    uint32_t stored_bytes;
    uint32_t raw_bytes;
};

struct bundle_index_chunk {
    uint8_t digest[BUNDLE_INDEX_CHUNK_DIGEST_BYTES];
    uint32_t bytes;
    uint32_t what;
    uint64_t stream; // position; not in the row, but the sum of those before
    uint64_t raw;    // likewise; of a chunk that repeats UINT64_MAX
};

// Bytes of head and of the whole index for these counts. Kind limit.
int bundle_index_size(uint64_t n_frames, uint64_t n_chunks, uint64_t *ret_head_bytes, uint64_t *ret_bytes,
                      struct err *e) __attribute__((nonnull));

void bundle_index_format_header(const struct bundle_index_header *h, uint8_t ret[static BUNDLE_INDEX_PAGE_BYTES])
    __attribute__((nonnull));
// Kind bad_index: magic, format, counts against limits, padding.
int bundle_index_parse_header(const uint8_t page[static BUNDLE_INDEX_PAGE_BYTES], struct bundle_index_header *ret,
                              struct err *e) __attribute__((nonnull));
void bundle_index_format_page(const struct bundle_index_page *row, uint8_t ret[static BUNDLE_INDEX_DIRECTORY_ROW_BYTES])
    __attribute__((nonnull));
void bundle_index_parse_page(const uint8_t row[static BUNDLE_INDEX_DIRECTORY_ROW_BYTES], struct bundle_index_page *ret)
    __attribute__((nonnull));
// Rows alone: offset, raw and stream are not in them; parsing sets them to 0.
void bundle_index_format_frame(const struct bundle_index_frame *row, uint8_t ret[static BUNDLE_INDEX_FRAME_ROW_BYTES])
    __attribute__((nonnull));
void bundle_index_parse_frame(const uint8_t row[static BUNDLE_INDEX_FRAME_ROW_BYTES], struct bundle_index_frame *ret)
    __attribute__((nonnull));
void bundle_index_format_chunk(const struct bundle_index_chunk *row, uint8_t ret[static BUNDLE_INDEX_CHUNK_ROW_BYTES])
    __attribute__((nonnull));
void bundle_index_parse_chunk(const uint8_t row[static BUNDLE_INDEX_CHUNK_ROW_BYTES], struct bundle_index_chunk *ret)
    __attribute__((nonnull));

// Where an index lies: in a seekable file (a bundle, or a device's scratch copy). The head must be there when the reader is opened. `want` is called
// before a page behind the head is read from the file, each time it is read (page numbers count from behind the head, frame pages first): one that
// fetches pages as they are needed puts this one at offset + head bytes + page · 4096 before it returns 0, or fails. NULL: all pages are there.
struct bundle_index_file {
    int fd;
    uint64_t offset;
    int (*want)(void *context, uint64_t page, struct err *e);
    void *context;
};

// A reader. Verifies the head against the manifest on open, and that the directory's positions rise to the header's totals. Each page is
// verified against the head when it is loaded, and its rows against each other: sizes within limits, no frame across a border, back references
// only backwards, sums from the page's own row of the directory to the next one's, padding zero. So what it gives holds whichever pages were
// looked at. What it does not check, as that would take other pages: that no chunk crosses the end of its frame, that a repeat is like the
// chunk it repeats (bundle_index_repeated does). Keeps one frame page, and two chunk pages: one for rows taken by number, one for repeats. Each file
// has its own reader; not for two threads.
struct bundle_index_reader;
struct bundle_packing;
int bundle_index_open(const struct bundle_index_file *file, const struct bundle_packing *packing,
                      struct bundle_index_reader **ret, struct err *e) __attribute__((nonnull));
void bundle_index_close(struct bundle_index_reader *reader);
const struct bundle_index_header *bundle_index_head(const struct bundle_index_reader *reader) __attribute__((nonnull));
// Row by number, [0, n). Random access; sequential access is cheap. Kinds: bad_index, truncated, io, those of `want`.
int bundle_index_frame(struct bundle_index_reader *reader, uint64_t number, struct bundle_index_frame *ret,
                       struct err *e) __attribute__((nonnull));
int bundle_index_chunk(struct bundle_index_reader *reader, uint64_t number, struct bundle_index_chunk *ret,
                       struct err *e) __attribute__((nonnull));
// The row that `row` (what >= BUNDLE_INDEX_REPEATS) repeats; loads its page. Kind bad_index when that one was not seen first or is not like it.
int bundle_index_repeated(struct bundle_index_reader *reader, const struct bundle_index_chunk *row,
                          struct bundle_index_chunk *ret, struct err *e) __attribute__((nonnull));
// The number of the frame that holds a raw position below raw_bytes; of the chunk that begins at a stream position below stream_bytes (bad_index when
// none begins there). Each looks through the directory, then at one page.
int bundle_index_find_frame(struct bundle_index_reader *reader, uint64_t raw, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
int bundle_index_find_chunk(struct bundle_index_reader *reader, uint64_t stream, uint64_t *ret, struct err *e)
    __attribute__((nonnull));

// Pages by number, for one that chooses which to fetch: how many there are, frame pages first.
uint64_t bundle_index_pages(const struct bundle_index_reader *reader) __attribute__((nonnull));
// The page with the row of the frame at a raw position below raw_bytes; of the chunk at a stream position below stream_bytes; of the row of this number.
// Reads the directory only.
int bundle_index_page_of_raw(struct bundle_index_reader *reader, uint64_t raw, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
int bundle_index_page_of_stream(struct bundle_index_reader *reader, uint64_t stream, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
uint64_t bundle_index_page_of_chunk(const struct bundle_index_reader *reader, uint64_t number)
    __attribute__((nonnull));
// What the directory says of a page. Where it ends: ret_end[i] is where the next of its kind begins, of the last one the header's totals.
int bundle_index_page(struct bundle_index_reader *reader, uint64_t page, struct bundle_index_page *ret,
                      uint64_t ret_end[static 3], struct err *e) __attribute__((nonnull(1, 3, 5)));
