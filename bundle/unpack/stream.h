// SPDX-License-Identifier: Apache-2.0
//
// The stream of a verified bundle: its contents one after another (bundle/index.h), chunk by chunk. What a chunk's bytes are is asked for
// separately, so that frames which nobody wants are never read. Staging and checking are two consumers of this.
//
// Forward: opening takes everything between the manifest and the data from the source; the index goes to a file, because it is needed again and
// again; from there on the source is read forward, by two cursors where there are fresh frames, but for unpack_stream_again.
// By choice: opening takes the head of the index only; its pages are taken when they are needed, one at a time, or in runs by
// unpack_stream_fetch; contents whose rows are not needed are passed over without them (unpack_stream_pass). The padding of the container and the header
// of the data are not looked at then: nothing that is installed depends on them.
//
// Memory: three buffers, for the stored bytes of a frame and for one decoded frame of each group (fresh ones are small), each when it is first needed.
#pragma once

#include <stdbool.h>

#include "bundle/index.h"
#include "bundle/unpack/open.h"

struct unpack_stream;

// One chunk, as the consumer sees it.
struct unpack_piece {
    uint64_t number; // of its row
    uint64_t stream; // its position in the stream
    uint64_t raw;    // not a repeat: where its bytes are
    uint32_t bytes;
    bool repeat;      // seen before: unpack_stream_first says where
    uint32_t repeats; // number of that row
    uint64_t frame;   // not a repeat: the frame that holds it
    uint8_t digest[BUNDLE_INDEX_CHUNK_DIGEST_BYTES];
};

enum unpack_stream_way { UNPACK_STREAM_FORWARD, UNPACK_STREAM_BY_CHOICE };

// index_fd: an empty file, the caller's, open for reading and writing. Kinds: decode_memory, bad_skeleton, bad_index, truncated, those
// of the source.
int unpack_stream_open(const struct unpack_bundle *bundle, const struct unpack_source *source,
                       enum unpack_stream_way way, int index_fd, uint64_t decode_max_bytes,
                       struct unpack_stream **ret, struct err *e) __attribute__((nonnull));
void unpack_stream_close(struct unpack_stream *s);

// The index, for one that plans; borrowed. Its rows may be taken in any order, the stream's position does not move.
struct bundle_index_reader *unpack_stream_index(struct unpack_stream *s) __attribute__((nonnull));
// By choice: takes the pages [first, first + n) (bundle_index_pages) from the source in one read each run, but those that are there. Nothing otherwise.
int unpack_stream_fetch(struct unpack_stream *s, uint64_t first, uint64_t n, struct err *e)
    __attribute__((nonnull));

// Whether any chunk repeats; when none does, nobody needs to remember where contents are.
bool unpack_stream_repeats(const struct unpack_stream *s) __attribute__((nonnull));
// Position of the next chunk.
uint64_t unpack_stream_position(const struct unpack_stream *s) __attribute__((nonnull));
uint64_t unpack_stream_read_bytes(const struct unpack_stream *s) __attribute__((nonnull));

// The next chunk of a content of which `left` bytes are to come. Kind bad_index when it crosses the content's end or the stream is at its own.
int unpack_stream_next(struct unpack_stream *s, uint64_t left, struct unpack_piece *ret,
                       struct err *e) __attribute__((nonnull));
// Passes over a content, or what is left of it, of so many bytes: as unpack_stream_next to its end, but rows of pages that begin and end within it are
// not looked at. By choice the rows behind are looked for when the next chunk is asked for, so contents passed over one after another cost no page.
int unpack_stream_pass(struct unpack_stream *s, uint64_t bytes, struct err *e)
    __attribute__((nonnull));
// Makes the content that begins at this position the next one, again. Frees the decoded frames: a pass that reads one group needs no room for the other.
void unpack_stream_return(struct unpack_stream *s, uint64_t position) __attribute__((nonnull));
// Bytes of a chunk that is not a repeat; borrowed until a chunk of another frame of the same group is asked for.
int unpack_stream_bytes(struct unpack_stream *s, const struct unpack_piece *piece,
                        const uint8_t **ret, struct err *e) __attribute__((nonnull));
// The stream position of the chunk that a repeat repeats: seen first, before it. Kind bad_index.
int unpack_stream_first(struct unpack_stream *s, const struct unpack_piece *piece, uint64_t *ret,
                        struct err *e) __attribute__((nonnull));
// Bytes of a repeat, by reading its frame again; borrowed until the next call.
int unpack_stream_again(struct unpack_stream *s, const struct unpack_piece *piece,
                        const uint8_t **ret, struct err *e) __attribute__((nonnull));
// Called where the trees end: the index must say the same place.
int unpack_stream_border(struct unpack_stream *s, struct err *e) __attribute__((nonnull));
// The whole stream was taken: forward also checks the bytes behind the data. Kinds: bad_index, trailing_data, truncated.
int unpack_stream_end(struct unpack_stream *s, struct err *e) __attribute__((nonnull));
