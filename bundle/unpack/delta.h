// SPDX-License-Identifier: Apache-2.0
//
// Taking a delta apart (bundle/delta.h): opened, verified, then staged like a bundle, or checked.
//
// Candidate and verified delta are different types. The manifest is always verified by the root.
// The head says which frames there are; it is verified either by the same root (whoever may sign
// the manifest may sign the head), or by a digest that the caller has from signed metadata of a
// repository. No frame is decoded before that, nor before its own digest held.
//
// Memory does not depend on the size of the contents or the number of files: the frame table (at
// most 512 KiB), one stored frame, its decoders (packing.decode_bytes in all), small buffers, and
// tables on disk.
#pragma once

#include "bundle/delta.h"
#include "bundle/image.h"
#include "bundle/skeleton.h"
#include "bundle/unpack/open.h"
#include "bundle/unpack/source.h"

struct unpack_delta_candidate; // headers, manifest and head were read, nothing verified
struct unpack_delta;           // manifest and head verified; frame table and frames not read

// 0 and *ret; UNPACK_DELTA_OPEN_NONE when the second member is not a delta's head (a bundle, or
// nothing of ours: unpack_open says which). Kinds: bad_skeleton, truncated, limit, memory, the
// source's.
enum { UNPACK_DELTA_OPEN_NONE = 1 };
int unpack_delta_open(const struct unpack_source *source, struct unpack_delta_candidate **ret,
                      struct err *e) __attribute__((nonnull));
void unpack_delta_open_free(struct unpack_delta_candidate *candidate);
static inline void own_drop_delta_candidate(struct unpack_delta_candidate **candidate) {
    unpack_delta_open_free(*candidate);
    *candidate = NULL;
}
// The members as they came, padding included; borrowed.
struct slice unpack_delta_open_manifest(const struct unpack_delta_candidate *candidate)
    __attribute__((nonnull));
struct slice unpack_delta_open_head(const struct unpack_delta_candidate *candidate)
    __attribute__((nonnull));

// Both consume the candidate in every case (NULL afterwards) and check that sizes and the length of
// the source are those that the head prescribes, and that the head is one for this manifest. Kinds
// of bundle_manifest_verify_root, for the head too; bad_delta, bad_skeleton, truncated,
// trailing_data.
int unpack_delta_verify_root(struct unpack_delta_candidate **candidate,
                             const struct keys_root *root, struct unpack_delta **ret, struct err *e)
    __attribute__((nonnull));
// `head` is the digest of the head's canonical signed part and head_bytes its length, by the word
// of signed metadata; the head's own signatures play no part. Also kind digest_mismatch.
int unpack_delta_verify_digest(struct unpack_delta_candidate **candidate,
                               const struct keys_root *root, const struct keys_digest *head,
                               uint64_t head_bytes, struct unpack_delta **ret, struct err *e)
    __attribute__((nonnull));
void unpack_delta_free(struct unpack_delta *delta);
static inline void own_drop_delta(struct unpack_delta **delta) {
    unpack_delta_free(*delta);
    *delta = NULL;
}

// Borrowed from the delta.
const struct bundle_manifest *unpack_delta_manifest(const struct unpack_delta *delta)
    __attribute__((nonnull));
const struct bundle_delta_head *unpack_delta_head(const struct unpack_delta *delta)
    __attribute__((nonnull));
const struct bundle_skeleton_delta *unpack_delta_skeleton(const struct unpack_delta *delta)
    __attribute__((nonnull));

// The contents that a delta starts from.
struct unpack_delta_base;

// Whether a generation on a device has them: each component of the head's base must be there with
// its digest. Only the record is read. Kinds: wrong_base, bad_generation.
int unpack_delta_base_match(const struct unpack_delta *delta, int generation_dir, struct err *e)
    __attribute__((nonnull));
// Opens them there; also each tree must be whole (bad_generation) and what the head says of it true
// (bad_delta). generation_dir stays the caller's and open, and so do the slots of its images (NULL:
// it has none; bad_generation when the delta starts from one); table_fd is an empty file of his.
int unpack_delta_base_open(const struct unpack_delta *delta, int generation_dir,
                           const struct bundle_image_places *images, int table_fd,
                           struct unpack_delta_base **ret, struct err *e)
    __attribute__((nonnull(1, 5, 6)));
// Those that lie in a file as the old stream, for a build machine; the caller compared every
// content with its signed digest. Length and trees must be what the head says (wrong_base).
// spool_fd stays the caller's and open.
int unpack_delta_base_spool(const struct unpack_delta *delta, int spool_fd, int table_fd,
                            struct unpack_delta_base **ret, struct err *e) __attribute__((nonnull));
void unpack_delta_base_close(struct unpack_delta_base *base);
static inline void own_drop_delta_base(struct unpack_delta_base **base) {
    unpack_delta_base_close(*base);
    *base = NULL;
}

struct unpack_delta_stage {
    int target_dir;   // as of struct unpack_stage
    int base_dir;     // generation that has the base
    int previous_dir; // generation to compare with, or -1: every file is written
    const struct bundle_image_places *images;      // as of struct unpack_stage
    const struct bundle_image_places *base_images; // slots of the base's images; NULL none
    bool resume;
    uint64_t decode_max_bytes; // ceiling on packing.decode_bytes (kind decode_memory)
    // Called after each frame; < 0 with *e set stops. May be NULL.
    int (*progress)(void *context, uint64_t source_bytes, uint64_t stream_bytes, struct err *e);
    void *context;
};

// Streams the contents into a directory, as unpack_stage does with a bundle's: files that the
// previous generation has at the same path are left out, those that the base has elsewhere are
// cloned or copied, coded ones are decoded; sealing reads all of it back. Every content that was
// written is compared with its digest before the next one is begun. With resume, files that are
// there whole are kept and frames that make nothing else are not read. An image goes into its slot,
// one without a place in `images` but with one in `base_images` is left out; how far it is stands in a
// note beside the trees (bundle/unpack/delta/note.h). Kinds: bad_delta (also for
// contents that are not those signed: the bundle may still be right), bad_tree, bad_path,
// decode_memory, unsupported_component for an image without a slot, those of source and base.
struct unpack_stage_result;
int unpack_delta_stage(const struct unpack_delta *delta, const struct unpack_source *source,
                       const struct unpack_delta_stage *how, struct unpack_stage_result *ret,
                       struct err *e) __attribute__((nonnull));
// Decodes everything, compares every tree and coded content with its digest, and writes nothing.
// Contents that are the base's own are compared by digest only. Images too.
int unpack_delta_check(const struct unpack_delta *delta, const struct unpack_source *source,
                       struct unpack_delta_base *base, uint64_t decode_max_bytes, struct err *e)
    __attribute__((nonnull));
