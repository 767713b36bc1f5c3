// SPDX-License-Identifier: Apache-2.0
//
// A delta, `NAME-RELEASE.BASE16.delta`: a cheaper packing of a bundle NEW for a device that holds
// the contents of a bundle OLD. It carries NEW's manifest unchanged and can only produce contents
// with the digests which that manifest signs, or fail. Here is what both sides must agree on: its
// head, its frame table, numbers of codecs, limits. FORMAT.md §8.1 has the bytes.
//
// A tar of four members whose skeleton is a function of four sizes (bundle/skeleton.h):
//
//   manifest.json   NEW's envelope, as in the bundle
//   delta.json      the head: an envelope in canonical JSON and spaces; signatures may be none
//   index           frame table: rows of 48 bytes
//   data            frames, end to end
//
// Signed part of the head:
//
//   {"_type":"delta","base":{"bundle":ID,"components":[{"digest":…,"name":…,"size":N,"stream_bytes":N,
//    "type":"files"|"image"},…]},"bundle":ID,"packing":{"data_bytes":N,"decode_bytes":N,"frame_bytes":N,
//    "frames":N,"index":{"digest":…,"size":N},"map_frames":N,"stream_bytes":N,"tree_frames":N},
//    "spec_version":"1.0"}
//
// A row: digest[32] of the stored bytes, u64 out bytes, u32 stored bytes, u32 zero; little-endian.
//
// The *old stream*: for each component of the base in order its tree and all its regular files in
// tree order, or its image. An *old address* is a position in it. The *new stream*: the trees of
// NEW's files components in manifest order (tree_frames frames), the map (map_frames frames), the
// contents that the map marks as coded. No frame crosses these borders.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "bundle/manifest.h"

#define BUNDLE_DELTA_HEAD_MAX_BYTES   (64 * 1024) // the member delta.json with its padding
#define BUNDLE_DELTA_HEAD_ALIGN       512         // its size is a multiple of this
#define BUNDLE_DELTA_ROW_BYTES        48
#define BUNDLE_DELTA_FRAMES_MAX       8192
#define BUNDLE_DELTA_FRAME_MAX_BYTES  BUNDLE_FRAME_MAX_BYTES // stored
#define BUNDLE_DELTA_OUT_MAX_BYTES    (1ULL << 32)           // that one frame makes
#define BUNDLE_DELTA_DECODE_MAX_BYTES (64ULL * 1024 * 1024)  // that a head may declare
#define BUNDLE_DELTA_PREFIX_MAX_BYTES (4ULL * 1024 * 1024)   // of the old stream before one frame
#define BUNDLE_DELTA_MAP_MAX_BYTES    (16ULL * BUNDLE_TREE_ENTRIES_MAX * 10)
#define BUNDLE_DELTA_VARINT_BYTES     10

// The first stored byte of a frame.
enum bundle_delta_codec {
    BUNDLE_DELTA_PLAIN,  // a compressor byte, then all of the frame's bytes, compressed
    BUNDLE_DELTA_COPY,   // copies from the old stream, differences, literals
    BUNDLE_DELTA_TENSOR, // arrays of numbers (bundle/tensor/)
    BUNDLE_DELTA_PREFIX, // varint old address, varint bytes from there, then a zstd frame that may
                         // refer to them as if they stood before its contents
    BUNDLE_DELTA_CODECS
};

// Numbers of compressors in frames.
enum bundle_delta_compressor {
    BUNDLE_DELTA_NONE,
    BUNDLE_DELTA_ZSTD,  // one zstd frame with its content size
    BUNDLE_DELTA_LZMA2, // a byte for the dictionary's size as in .xz (0 to 40), then raw LZMA2
    BUNDLE_DELTA_BZIP2, // one bzip2 stream
    BUNDLE_DELTA_COMPRESSORS
};

// Streams of a copy frame, in this order. Each is: compressor byte, varint stored bytes, varint raw
// bytes, the stored bytes. FORMAT.md §8.3 says how they are used.
enum bundle_delta_stream {
    BUNDLE_DELTA_COPIES,          // varints, one for each record: bytes taken from the old stream
    BUNDLE_DELTA_LITERAL_LENGTHS, // varints, one for each record: literal bytes behind them
    BUNDLE_DELTA_SEEKS,   // zigzag varints, one for each record: from where the last copy ended
    BUNDLE_DELTA_REGIONS, // varints: blocks << 3 | predictor, and for some an origin
    BUNDLE_DELTA_GAPS,    // varints: copied bytes that are as predicted
    BUNDLE_DELTA_RUNS,    // varints: copied bytes behind them that are not
    BUNDLE_DELTA_VALUES,  // what is to be added to those, modulo 256
    BUNDLE_DELTA_LITERALS,
    BUNDLE_DELTA_STREAMS
};

// What decoding reads at random, by old address, and what it gives its output to, in order. Both
// return 0, or < 0 with *e set. A read is all of the bytes or a failure (kind bad_delta where they
// do not lie below `bytes`).
struct delta_base {
    int (*read)(void *context, uint64_t address, void *data, size_t len, struct err *e);
    uint64_t bytes;
    void *context;
};
struct delta_sink {
    int (*write)(void *context, const void *data, size_t len, struct err *e);
    void *context;
};

struct bundle_delta_component {
    char name[BUNDLE_NAME_MAX + 1];
    enum bundle_component_type type;
    struct keys_digest digest; // of its tree or image
    uint64_t size;             // of its tree or image
    uint64_t stream_bytes;     // files: sum of its regular files; image: size
};

struct bundle_delta_packing {
    uint64_t data_bytes;
    uint64_t decode_bytes; // memory that decoding any frame needs: stored bytes, decoders, buffers
    uint64_t frame_bytes;  // largest stored frame
    uint64_t stream_bytes; // of the new stream
    uint64_t n_frames, n_tree_frames, n_map_frames;
    struct keys_digest index_digest;
};

// What a head says; no pointers.
struct bundle_delta_head {
    struct keys_digest bundle; // NEW's id
    struct keys_digest base;   // OLD's
    size_t n_components;       // of the base
    struct bundle_delta_component components[BUNDLE_COMPONENTS_MAX];
    struct bundle_delta_packing packing;
};

struct bundle_delta_frame {
    struct keys_digest digest; // of the stored bytes
    uint64_t offset;           // in the data member
    uint64_t position;         // of its first byte in the new stream
    uint64_t out_bytes;
    uint32_t stored_bytes;
};

// Reads and checks the canonical signed part of a head, which the caller verified or only wants to
// show. Kinds: bad_delta, newer_format, wrong_type, limit, keys' for what is not canonical.
int bundle_delta_parse(struct slice signed_part, struct bundle_delta_head *ret, struct err *e)
    __attribute__((nonnull));
// Appends the canonical signed part. Kind bad_delta when reading it back would refuse it.
int bundle_delta_format(const struct bundle_delta_head *head, struct buf *ret, struct err *e)
    __attribute__((nonnull));
// What a component takes of the old stream: the contents of its tree, and behind them those of its files; or its image.
uint64_t bundle_delta_component_bytes(const struct bundle_delta_component *component) __attribute__((nonnull));
// Bytes of the old stream.
uint64_t bundle_delta_base_bytes(const struct bundle_delta_head *head) __attribute__((nonnull));
// Reads the frame table, whose digest must be the head's. *ret is an array of packing.n_frames rows
// and one behind them, which has the sums as its offset and position; the caller's to free. Kinds:
// bad_delta, memory.
int bundle_delta_parse_index(struct slice index, const struct bundle_delta_packing *packing,
                             struct bundle_delta_frame **ret, struct err *e)
    __attribute__((nonnull));
// The bytes of a row; offset and position follow from the rows before.
void bundle_delta_format_row(const struct bundle_delta_frame *row,
                             uint8_t ret[static BUNDLE_DELTA_ROW_BYTES]) __attribute__((nonnull));

// A varint: seven bits a byte, lowest first, the top bit set in all but the last; as short as can
// be. Returns how many bytes it wrote.
size_t bundle_delta_put_varint(uint64_t value, uint8_t ret[static BUNDLE_DELTA_VARINT_BYTES])
    __attribute__((nonnull));
// Takes one off the front of *rest. Kind bad_delta: cut short, too long, above 64 bits, or not as
// short as can be.
int bundle_delta_get_varint(struct slice *rest, uint64_t *ret, struct err *e)
    __attribute__((nonnull));

// Signed numbers as unsigned ones: 0, -1, 1, -2, … are 0, 1, 2, 3, ….
static inline uint64_t bundle_delta_zigzag(int64_t value) {
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}
static inline int64_t bundle_delta_unzigzag(uint64_t value) {
    return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}
