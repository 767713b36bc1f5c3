// SPDX-License-Identifier: Apache-2.0
//
// What the previous generation has of a component, walked beside the new tree: a reason to leave a file
// out of staging, nothing more. Sealing hashes what is taken from there. A tree that is damaged, or cannot be read, ends there:
// that is no fault of the bundle, which brings what is missing.
#pragma once

#include "bundle/tree.h"

struct unpack_previous {
    int fd; // of its tree; owned, -1: none
    struct bundle_tree_reader *tree; // NULL: none, or at its end
    bool has_entry;                  // `entry` is its current one
    struct bundle_tree_entry entry;
};

// generation_dir may be -1; a generation without the component has nothing of it. Clear is due in every
// case.
int unpack_previous_open(struct unpack_previous *p, int generation_dir, const char *component, struct err *e)
    __attribute__((nonnull));
void unpack_previous_clear(struct unpack_previous *p) __attribute__((nonnull));
// Whether it has this file with the same digest and mode. Entries are asked for in the order of their
// tree.
int unpack_previous_has(struct unpack_previous *p, const struct bundle_tree_entry *entry, bool *ret, struct err *e)
    __attribute__((nonnull));
