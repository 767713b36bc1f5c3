// SPDX-License-Identifier: Apache-2.0
//
// Reading a generation back: every byte against the trees, and nothing beside them.
#pragma once

#include <stdbool.h>

#include "bundle/generation.h"
#include "bundle/seal.h"
#include "bundle/tree.h"
#include "keys/blocks.h"

#define SEAL_VERIFY_BUFFER_BYTES (KEYS_BLOCKS_AT_ONCE * KEYS_BLOCKS_BLOCK_BYTES)
#define SEAL_VERIFY_NAME_BYTES (BUNDLE_NAME_MAX + 16)

struct seal_verify {
    int dir;      // of the generation
    bool recorded; // .edge/generation.json belongs there
    const struct bundle_image_places *images; // NULL none
    const struct bundle_seal_reads *reads; // of images that were read back already; NULL none
    int (*progress)(void *context, uint64_t bytes, struct err *e); // may be NULL
    void *context;
    uint64_t bytes_hashed;
};

// Kinds: bad_content, bad_generation, bad_tree, bad_path, memory, io; unsupported_component when the slot of an image is missing.
int seal_verify_all(struct seal_verify *v, const struct bundle_generation *record, struct err *e)
    __attribute__((nonnull));

// Opens .edge/NAME.tree, compares its digest and opens a reader over it. Descriptor and reader are the caller's. Kind bad_tree.
int seal_verify_tree(int edge, const struct bundle_generation_component *c, int *ret_fd,
                     struct bundle_tree_reader **ret, struct err *e) __attribute__((nonnull));
// The slot of an image, with its path. Kind unsupported_component.
int seal_verify_place(const struct bundle_image_places *images, const char *component, const struct bundle_image_place **ret,
                      struct err *e) __attribute__((nonnull(2, 3, 4)));
// The names in .edge of a component's tree and manifest. ret has SEAL_VERIFY_NAME_BYTES. Returns ret.
char *seal_verify_name(const char *component, const char *suffix, char *ret) __attribute__((nonnull));
// Whether a name belongs into .edge of this generation.
bool seal_verify_known(const struct bundle_generation *record, bool recorded, const char *name)
    __attribute__((nonnull));
