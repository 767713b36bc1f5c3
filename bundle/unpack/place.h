// SPDX-License-Identifier: Apache-2.0
//
// Putting an entry of a tree in its place below a component's directory. Links are never followed, and a
// name is made once; with `resume` one that an earlier try made is gone on with, and something else in
// its place refuses.
#pragma once

#include "bundle/image.h"
#include "bundle/manifest.h"
#include "bundle/tree.h"

// Opens a file to be filled; *ret_have says how many bytes of an earlier try are there.
int unpack_place_file(int dir, const char *path, bool resume, int *ret_fd, uint64_t *ret_have,
                      struct err *e) __attribute__((nonnull));
int unpack_place_dir(int dir, const char *path, bool resume, struct err *e)
    __attribute__((nonnull));
int unpack_place_link(int dir, const struct bundle_tree_entry *entry, bool resume, struct err *e)
    __attribute__((nonnull));

// What every staging begins and ends with, whatever it is fed by. Kind unsupported_component when there is an image that is neither to be
// written nor left out (bundle/unpack/stage.h).
int unpack_place_admits(const struct bundle_manifest_view *view, const struct bundle_image_places *images,
                        const struct bundle_image_places *old_images, struct err *e) __attribute__((nonnull(1, 4)));
// How the names of scratch files begin, in .edge.
#define UNPACK_PLACE_SCRATCH "scratch-"
// Opens .edge of the target and makes empty scratch files of these names in it. What was opened before a failure is
// in *ret_edge and ret_fds, the caller's.
int unpack_place_begin(int target_dir, const char *const *names, size_t n, int *ret_edge,
                       int *ret_fds, struct err *e) __attribute__((nonnull));
// Removes the scratch files: one that stays would be refused by sealing as something that nobody signed. edge may be -1.
int unpack_place_end(int edge, const char *const *names, size_t n, struct err *e)
    __attribute__((nonnull));
