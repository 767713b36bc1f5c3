// SPDX-License-Identifier: Apache-2.0
//
// The contents that a device holds of the components which a bundle brings: trees and files of the generation before and of an older one that is
// kept, and the images in the slots of the first. (An older image lies in the slot that is written over.) Where chunks are looked for, and copied
// from. What is missing or cannot be read is not held; nothing here is believed because of where it lies.
#pragma once

#include "bundle/image.h"
#include "bundle/tree.h"
#include "bundle/unpack/held.h"

struct unpack_old_component {
    int dir;  // of a files component: its directory, owned; -1: the generation has none
    int tree; // and its tree, owned
    int image; // of an image: the caller's; -1 none
    uint64_t bytes; // of the tree, or of the image
};

// Components are numbered as the new manifest does; those of the older generation from here.
#define UNPACK_OLD_OLDER BUNDLE_COMPONENTS_MAX
#define UNPACK_OLD_COMPONENTS (2 * BUNDLE_COMPONENTS_MAX)

struct unpack_old {
    const struct bundle_manifest_view *view;
    struct unpack_old_component components[UNPACK_OLD_COMPONENTS];
    int fd;                        // the file that was read last, owned; -1 none
    struct unpack_held_place open; // whose it is
};

// Nothing is held.
void unpack_old_init(struct unpack_old *ret) __attribute__((nonnull));
// *old was initialised, and is to be cleared. previous_dir and older_dir may be -1, images NULL.
void unpack_old_open(struct unpack_old *old, const struct bundle_manifest_view *view, int previous_dir, int older_dir,
                     const struct bundle_image_places *images) __attribute__((nonnull(1, 2)));
void unpack_old_clear(struct unpack_old *old) __attribute__((nonnull));
// Opens a file of a component that has a tree; it is the caller's.
int unpack_old_file(const struct unpack_old *old, uint32_t component, const char *path, int *ret, struct err *e)
    __attribute__((nonnull));
// Reads len bytes at a place. 0, or UNPACK_OLD_GONE when they are not there or cannot be read.
enum { UNPACK_OLD_GONE = 1 };
int unpack_old_read(struct unpack_old *old, const struct unpack_held_place *place, void *data, size_t len)
    __attribute__((nonnull));
