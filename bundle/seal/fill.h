// SPDX-License-Identifier: Apache-2.0
//
// Completing a generation before it is believed: what the stage left out is taken from the previous generation, and everything gets
// its mode, owner and time.
#pragma once

#include <stdbool.h>

#include "bundle/generation.h"
#include "bundle/tree.h"

struct seal_fill {
    int dir;           // <n>.partial
    int edge;          // its .edge
    int previous;      // the generation it is built on, or -1
    int previous_edge; // its .edge, or -1
    bool set_owner;
    bool no_clone; // the file system said so once
    bool no_link;
    uint64_t linked, written;
};

// Makes one component complete. `tree` is read to its end.
int seal_fill_component(struct seal_fill *f, const char *component, struct bundle_tree_reader *tree, struct err *e)
    __attribute__((nonnull));
// Makes a component that is an image: a directory with the link to its slot.
int seal_fill_image(struct seal_fill *f, const char *component, const char *slot, struct err *e) __attribute__((nonnull));
// Directories get their mode and time last, because making an entry changes the time. `tree` is read to its end.
int seal_fill_directories(struct seal_fill *f, const char *component, struct bundle_tree_reader *tree, struct err *e)
    __attribute__((nonnull));
// Takes a file of .edge (a tree, a manifest) from the previous generation.
int seal_fill_edge(struct seal_fill *f, const char *name, struct err *e) __attribute__((nonnull));
// Mode, owner and time of an open file or directory, where they differ.
int seal_fill_dress(const struct seal_fill *f, int fd, mode_t mode, struct err *e) __attribute__((nonnull));
