// SPDX-License-Identifier: Apache-2.0
//
// Writing one content of the stream into a file, or passing over it, as it was planned (bundle/unpack/plan.h): a chunk that is in its place is
// left there (that is how an interrupted staging goes on), one that is held is copied and its digest compared, one that repeats is copied from where
// it was put first: a file staged before, the same file, a tree, or, when that file was left out, the previous generation's. The others come from
// their frames; and so does one that is not where it was held any more.
#pragma once

#include "bundle/image.h"
#include "bundle/unpack/plan.h"
#include "bundle/unpack/scratch.h"
#include "bundle/unpack/stream.h"

// Where a content goes, so that it can be found again.
struct unpack_content_place {
    uint32_t component;   // number in the manifest
    uint64_t tree_offset; // of its line; one of these for the tree itself, for an image
};
#define UNPACK_CONTENT_TREE  UINT64_MAX
#define UNPACK_CONTENT_IMAGE (UINT64_MAX - 1)

// What of the contents is made. Of a plan with two passes the first makes what comes from fresh frames, which are few, and the second all else, forward:
// so whoever reads behind it finds little left to do at the end. From a source that begins at the beginning again for each step back, the first makes
// what waits for no fresh frame, as these lie behind the others.
enum unpack_content_pass { UNPACK_CONTENT_ALL, UNPACK_CONTENT_FIRST, UNPACK_CONTENT_SECOND };

struct unpack_content {
    struct unpack_stream *stream;
    struct unpack_plan *plan;
    enum unpack_content_pass pass;
    uint64_t done_bytes; // of contents: made, kept or passed over
    const struct bundle_manifest_view *view;
    int target_dir;   // component directories lie here; the caller's
    int previous_dir; // or -1
    const struct bundle_image_places *images, *old_images; // as of struct unpack_stage
    const struct bundle_image_place *slot; // of the content that is written, when it is an image
    uint64_t settled; // of it: said not to be written again
    bool fresh_last; // the pass for fresh frames is the second one
    const int *trees; // one descriptor for each files component; the caller's
    struct unpack_scratch places; // stream position of a content → where it went
    int again_fd;         // the file that a repeat was last copied from, or -1
    uint64_t again_start; // stream position of its content
    uint8_t *chunk;       // owned, BUNDLE_CHUNK_MAX_BYTES
    uint64_t chunk_row;   // the row that repeats have it from, and one more; 0: it holds something else
    const uint8_t *run;   // bytes of the loaded frame that are to be written
    size_t run_bytes;
    uint64_t run_offset, run_frame;
    // Called before another frame is loaded; may be NULL.
    int (*progress)(void *context, struct err *e);
    void *context;
};

// places_fd: an empty file, the caller's.
int unpack_content_init(struct unpack_content *c, int places_fd, struct err *e) __attribute__((nonnull));
void unpack_content_clear(struct unpack_content *c) __attribute__((nonnull));

// fd: open for reading and writing, holding `have` bytes of an earlier try (0 when it is new). After the last pass it has `size` bytes; when `have` is
// not above that it is not cut.
// 0; UNPACK_CONTENT_KEPT when all of it was there before.
enum { UNPACK_CONTENT_KEPT = 1 };
int unpack_content_write(struct unpack_content *c, const struct unpack_content_place *place, int fd, uint64_t size,
                         uint64_t have, struct err *e) __attribute__((nonnull));
// Passes over a content that is not needed here.
int unpack_content_skip(struct unpack_content *c, const struct unpack_content_place *place, uint64_t size,
                        struct err *e) __attribute__((nonnull));
