// SPDX-License-Identifier: Apache-2.0
//
// Putting an entry of a tree in its place below a component's directory. Links are never followed, and a
// name is made once; with `resume` one that an earlier try made is gone on with, and something else in
// its place refuses.
#pragma once

#include "bundle/tree.h"

// Opens a file to be filled; *ret_have says how many bytes of an earlier try are there.
int unpack_place_file(int dir, const char *path, bool resume, int *ret_fd, uint64_t *ret_have, struct err *e)
    __attribute__((nonnull));
int unpack_place_dir(int dir, const char *path, bool resume, struct err *e) __attribute__((nonnull));
int unpack_place_link(int dir, const struct bundle_tree_entry *entry, bool resume, struct err *e)
    __attribute__((nonnull));
