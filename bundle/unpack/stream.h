// SPDX-License-Identifier: Apache-2.0
//
// The stream of a verified bundle: its contents one after another (bundle/index.h), chunk by chunk. What a chunk's bytes are is asked for
// separately, so that frames which nobody wants are never read. Staging and checking are two consumers of this.
//
// Opening takes everything between the manifest and the data from the source: the index goes to a file, because it is needed again and
// again; from there on the source is read forward only, but for unpack_stream_again.
#pragma once

#include <stdbool.h>

#include "bundle/index.h"
#include "bundle/unpack/open.h"

struct unpack_stream;

// One chunk, as the consumer sees it.
struct unpack_piece {
    uint64_t stream; // its position in the stream
    uint64_t raw;
    uint32_t bytes;
    bool repeat;     // seen before: its bytes are those at `first`
    uint64_t first;  // stream position of the chunk that was seen first
    uint64_t frame;  // not a repeat: the frame that holds it
    uint8_t digest[BUNDLE_INDEX_CHUNK_DIGEST_BYTES];
};

// index_fd and firsts_fd: empty files, the caller's, open for reading and writing. Kinds: decode_memory, bad_skeleton, bad_index, truncated, those
// of the source.
int unpack_stream_open(const struct unpack_bundle *bundle, const struct unpack_source *source, int index_fd,
                       int firsts_fd, uint64_t decode_max_bytes, struct unpack_stream **ret, struct err *e)
    __attribute__((nonnull));
void unpack_stream_close(struct unpack_stream *s);

// Whether any chunk repeats; when none does, nobody needs to remember where contents are.
bool unpack_stream_repeats(const struct unpack_stream *s) __attribute__((nonnull));
// Position of the next chunk.
uint64_t unpack_stream_position(const struct unpack_stream *s) __attribute__((nonnull));
uint64_t unpack_stream_read_bytes(const struct unpack_stream *s) __attribute__((nonnull));

// The next chunk of a content of which `left` bytes are to come. Kind bad_index when it crosses the content's end or the stream is at its own.
int unpack_stream_next(struct unpack_stream *s, uint64_t left, struct unpack_piece *ret, struct err *e)
    __attribute__((nonnull));
// Bytes of a chunk that is not a repeat; borrowed until a chunk of another frame is asked for.
int unpack_stream_bytes(struct unpack_stream *s, const struct unpack_piece *piece, const uint8_t **ret, struct err *e)
    __attribute__((nonnull));
// The same for a repeat, by reading its frame again; borrowed until the next call.
int unpack_stream_again(struct unpack_stream *s, const struct unpack_piece *piece, const uint8_t **ret, struct err *e)
    __attribute__((nonnull));
// Called where the trees end: no frame may cross that place.
int unpack_stream_border(struct unpack_stream *s, struct err *e) __attribute__((nonnull));
// The whole stream was taken: checks the bytes behind the data. Kinds: bad_index, trailing_data, truncated.
int unpack_stream_end(struct unpack_stream *s, struct err *e) __attribute__((nonnull));
