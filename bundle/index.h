// SPDX-License-Identifier: Apache-2.0
//
// The index: what the data member holds, in pages of 4096 bytes of fixed-size little-endian rows, one page in memory at a time.
//
//   head  = one header page, then the directory: one 32-byte digest for each page that follows, zero-padded to a page
//   pages = frame pages (73 rows of 56 bytes, rest zero), then chunk pages (128 rows of 32 bytes; unused rows zero)
//
// The manifest names the digest and length of the head; the head names the digest of every page; a page names the digest of every frame. So
// each part can be fetched and verified by itself.
//
// The *stream* is all contents one after another: the trees of the `files` components in manifest order, then for each component in manifest order its
// regular files in tree order, or its image. A content is cut into chunks (content-defined; none crosses the border of a content).
// Chunk rows are in stream order. A chunk seen before points back to the earlier bytes. *Raw* positions count the bytes of chunks seen
// for the first time: the frames, decoded, end to end, are exactly these. No frame crosses the end of the last tree.
//
//   header: "EDGEIDX1", u32 format 1, u32 page bytes, u64 frames, u64 chunks, u64 raw bytes, u64 stream bytes, u64 data bytes, zeros
//   frame row: digest[32] of the stored bytes, u64 offset in data, u64 raw position, u32 stored bytes, u32 raw bytes.
//              stored == raw: as is; stored < raw: one zstd frame; never stored > raw
//   chunk row: digest[20] (BLAKE2b-256 of the chunk, cut), u64 raw position, u32 bytes
#pragma once

#include <stdint.h>

#include "bundle/limits.h"
#include "keys/digest.h"

#define BUNDLE_INDEX_FRAME_ROW_BYTES 56
#define BUNDLE_INDEX_CHUNK_ROW_BYTES 32
#define BUNDLE_INDEX_FRAMES_PER_PAGE 73
#define BUNDLE_INDEX_CHUNKS_PER_PAGE 128
#define BUNDLE_INDEX_CHUNK_DIGEST_BYTES 20

struct bundle_index_header {
    uint64_t n_frames;
    uint64_t n_chunks;
    uint64_t raw_bytes;
    uint64_t stream_bytes;
    uint64_t data_bytes;
};

struct bundle_index_frame {
    struct keys_digest digest;
    uint64_t offset;
    uint64_t raw;
    uint32_t stored_bytes;
    uint32_t raw_bytes;
};

struct bundle_index_chunk {
    uint8_t digest[BUNDLE_INDEX_CHUNK_DIGEST_BYTES];
    uint64_t raw;
    uint32_t bytes;
};

// Bytes of head and of the whole index for these counts. Kind limit.
int bundle_index_size(uint64_t n_frames, uint64_t n_chunks, uint64_t *ret_head_bytes, uint64_t *ret_bytes,
                      struct err *e) __attribute__((nonnull));

void bundle_index_format_header(const struct bundle_index_header *h, uint8_t ret[static BUNDLE_INDEX_PAGE_BYTES])
    __attribute__((nonnull));
// Kind bad_index: magic, format, counts against limits, padding.
int bundle_index_parse_header(const uint8_t page[static BUNDLE_INDEX_PAGE_BYTES], struct bundle_index_header *ret,
                              struct err *e) __attribute__((nonnull));
void bundle_index_format_frame(const struct bundle_index_frame *row, uint8_t ret[static BUNDLE_INDEX_FRAME_ROW_BYTES])
    __attribute__((nonnull));
void bundle_index_parse_frame(const uint8_t row[static BUNDLE_INDEX_FRAME_ROW_BYTES], struct bundle_index_frame *ret)
    __attribute__((nonnull));
void bundle_index_format_chunk(const struct bundle_index_chunk *row, uint8_t ret[static BUNDLE_INDEX_CHUNK_ROW_BYTES])
    __attribute__((nonnull));
void bundle_index_parse_chunk(const uint8_t row[static BUNDLE_INDEX_CHUNK_ROW_BYTES], struct bundle_index_chunk *ret)
    __attribute__((nonnull));

// A reader over an index that lies in a seekable file (a bundle, or a device's scratch copy). Verifies the head against the manifest on open and
// each page against the head when it is loaded; keeps one frame page and one chunk page. Checks what rows must agree on: offsets and raw
// positions are running sums, sizes within limits, back references only backwards, totals equal to the header's, padding zero.
struct bundle_index_reader;
struct bundle_packing;
int bundle_index_open(int fd, uint64_t offset, const struct bundle_packing *packing, struct bundle_index_reader **ret,
                      struct err *e) __attribute__((nonnull));
void bundle_index_close(struct bundle_index_reader *reader);
const struct bundle_index_header *bundle_index_head(const struct bundle_index_reader *reader) __attribute__((nonnull));
// Row by number, [0, n). Random access; sequential access is cheap.
int bundle_index_frame(struct bundle_index_reader *reader, uint64_t number, struct bundle_index_frame *ret,
                       struct err *e) __attribute__((nonnull));
int bundle_index_chunk(struct bundle_index_reader *reader, uint64_t number, struct bundle_index_chunk *ret,
                       struct err *e) __attribute__((nonnull));
