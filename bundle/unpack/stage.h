// SPDX-License-Identifier: Apache-2.0
//
// Staging: streams the contents of a verified bundle into a directory, without a spool, in memory that does not depend on the size of
// the bundle or the number of files: one index page of each kind, one stored frame, one decoded frame of each group, small scratch tables on disk
// for what is planned and for chunks that repeat. A stored frame is decoded only after its digest held. What was written is *not* yet believed: sealing
// (bundle/seal.h) reads it back.
//
// From a source that is far away (unpack_source.expect) only what is needed is taken, as it is planned before (bundle/unpack/plan.h): pages of the
// index that cover something new, and frames with chunks that are nowhere on the device. Chunks that the previous generation, an older one or the old slot has are copied
// from there. From a source that is near all of the index is taken, frames that nothing needs are not read, and the end of the bundle is checked.
//
// Resume: with `resume`, chunks of files already there are kept where they are right, so a broken download continues at the
// frame where it broke. Files that the previous generation has at the same path with the same digest and exec are left out.
// Of a slot what is believed with `resume` is any chunk of the image in its place, whoever wrote it. Where no try of this update came before
// (`untouched`) a slot has some other image in it, or nothing: then it is looked at closely only as long as what is found is right, else in samples.
#pragma once

#include "bundle/image.h"
#include "bundle/unpack/open.h"

// What an installation costs, known before any content is fetched; the trees are there by then.
struct unpack_plan_cost {
    uint64_t fetched_bytes; // taken from the source so far, headers included
    uint64_t index_bytes;   // of these, of the index
    uint64_t fetch_bytes;   // still to be fetched
    uint64_t reused_bytes;  // of contents: the device has them, as files to be left out or as chunks to be copied
    uint64_t kept_bytes;    // of contents: an earlier try left them
};

struct unpack_stage {
    int target_dir;   // <n>.partial: gets <component>/… and .edge/<component>.tree; scratch files under .edge/scratch-*, removed at the end
    int previous_dir; // generation to compare with, or -1
    int older_dir;    // one more, in which chunks are looked for; or -1
    const struct bundle_image_places *images;     // slots that images are written to; NULL none
    const struct bundle_image_places *old_images; // slots of the previous generation's images; NULL none
    bool resume;
    bool untouched; // slots were not written to for this bundle, as far as is known
    uint64_t decode_max_bytes; // ceiling on packing.frame_bytes (kind decode_memory)
    // Called after each frame with bytes taken from the source and bytes of contents finished; < 0 with *e set stops. May be NULL.
    int (*progress)(void *context, uint64_t source_bytes, uint64_t stream_bytes, struct err *e);
    // Called once, before the first frame with contents is asked for; < 0 with *e set stops. May be NULL.
    int (*planned)(void *context, const struct unpack_plan_cost *cost, struct err *e);
    void *context;
};

struct unpack_stage_result {
    uint64_t source_bytes;   // read from the source, headers and index included
    uint64_t stream_bytes;   // of contents written
    uint64_t files_written;
    uint64_t files_kept;     // found right by resume
    uint64_t files_left_out; // the previous generation has them
};

// An image goes into its slot, of which at least the image's size is there to be written; one that has no place in `images` but one in
// `old_images` is left out, because the caller found it to be the same. Kind unsupported_component, before anything is read, when an image has
// neither.
int unpack_stage(const struct unpack_bundle *bundle, const struct unpack_source *source, const struct unpack_stage *how,
                 struct unpack_stage_result *ret, struct err *e) __attribute__((nonnull));

// Reads and verifies everything (index, frames, trees, contents, padding, end) and writes nothing. For `verify`. Chunks that repeat are
// read again from the source.
int unpack_check(const struct unpack_bundle *bundle, const struct unpack_source *source, uint64_t decode_max_bytes,
                 struct err *e) __attribute__((nonnull));
