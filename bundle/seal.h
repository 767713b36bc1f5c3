// SPDX-License-Identifier: Apache-2.0
//
// Sealing turns a staged directory into a generation that may be believed: what was *written* is read back and hashed against the signed
// trees. It runs in the privileged process after the one that wrote has ended, needs no memory per file, and contains no decoder.
//
//   1. the signed tree of each component of the bundle is read back and its digest compared with the manifest's;
//   2. entry by entry: a file that the stage left out because the previous generation has it at the same path with the same digest is
//      reflinked or hard-linked; components that the bundle does not touch are linked whole the same way;
//   3. modes, owner and times are set; all of it is synced (bundle/seal/sync.h), and each slot; the cache is dropped; every file is read back and hashed
//      (bad_content); the number of entries on disk equals the number in the trees, so nothing else is there;
//   4. the record is written; the caller renames <n>.partial to <n>.
//
// What the caller read back while it was written is not read again.
//
// Of an image the generation has a link to its slot, and the first bytes of the slot are read back and hashed. Of files and block devices alike
// the cache is dropped by posix_fadvise: nothing is dirty by then, and it asks for no alignment as O_DIRECT does, and for no privilege as
// BLKFLSBUF does.
#pragma once

#include "bundle/generation.h"

// Contents of an image that were read back while it was written (bundle/seal/follow.h).
struct bundle_seal_read {
    char component[BUNDLE_NAME_MAX + 1];
    uint64_t bytes;
    bool by_blocks; // which digest: as bundle_component.blocks
    struct keys_digest digest;
};
struct bundle_seal_reads {
    size_t n;
    struct bundle_seal_read all[BUNDLE_COMPONENTS_MAX];
};

struct bundle_seal {
    int partial_dir;  // <n>.partial, as the stage left it (components of the bundle, .edge/*.tree)
    int previous_dir; // the generation it is built on, or -1
    const struct bundle_generation *previous; // its record, or NULL
    const struct bundle_manifest *manifest;
    const struct bundle_image_places *images; // slots of all images that the generation will have, with their paths; NULL none
    bool leave_slots; // as bundle_generation_leave_slots
    // Images that are not read again: nobody wrote to their slots since. NULL none.
    const struct bundle_seal_reads *reads;
    uint64_t number;
    bool set_owner; // give everything to root (when running as root)
    // Called now and then with the bytes hashed so far; < 0 with *e set stops. May be NULL.
    int (*progress)(void *context, uint64_t bytes, struct err *e);
    void *context;
};

struct bundle_seal_result {
    struct bundle_generation record;
    uint64_t files_linked;  // taken from the previous generation
    uint64_t files_written;
    uint64_t bytes_hashed;
};

// A bad_content after a stage that left files out may be damage in the previous generation: staging again with previous_dir -1 tells.
// After a failure the same directory may be sealed again.
int bundle_seal(const struct bundle_seal *how, struct bundle_seal_result *ret, struct err *e) __attribute__((nonnull));

// Re-verifies a sealed generation against its own record: record, kept manifests (the signed part, by the id the record has), trees, every file, and that nothing else is there. Kind bad_content,
// bad_generation.
// This is what runs before each activation and revert (I1). One with an image, of which nobody handed over the slot, is refused
// (unsupported_component).
int bundle_seal_verify(int generation_dir, int (*progress)(void *context, uint64_t bytes, struct err *e), void *context,
                       struct bundle_generation *ret, struct err *e) __attribute__((nonnull(4, 5)));
// The same with the slots of its images, whose links must lead to their paths.
int bundle_seal_verify_images(int generation_dir, const struct bundle_image_places *images,
                              int (*progress)(void *context, uint64_t bytes, struct err *e), void *context,
                              struct bundle_generation *ret, struct err *e) __attribute__((nonnull(5, 6)));
