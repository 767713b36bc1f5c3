// SPDX-License-Identifier: Apache-2.0
//
// The old contents: read at random by old address, and found one by one by number. A table on disk
// has a row for each content in stream order, so memory does not depend on their number; few
// descriptors are open at a time, and small reads close to each other are one read of a block.
#pragma once

#include "bundle/tree.h"
#include "bundle/unpack/delta.h"
#include "bundle/unpack/scratch.h"

#define DELTA_BASE_WINDOW_BYTES (32 * 1024)
#define DELTA_BASE_OPEN_MAX     4
#define DELTA_BASE_IMAGE        UINT64_MAX // in place of a tree offset

// A content of the base. Of an image only `size` and `digest` of the entry are set, and the path is
// "".
struct delta_base_content {
    size_t component; // number in the head
    struct bundle_tree_entry entry;
};

// A run of old addresses, and where it lies.
struct delta_base_run {
    uint64_t from, end; // empty: nothing is there
    int fd;             // owned, but for trees and the spool
    bool borrowed;
    uint64_t offset; // of `from` in the file
};

struct delta_base_component {
    uint64_t from;    // old address of its tree, or of its image
    uint64_t first;   // number of its first content
    int dir;          // files of a generation: its directory; else -1
    int image;        // an image of a generation: its slot, borrowed; else -1
    int tree;         // of a files component
    uint64_t tree_at; // where the tree lies in that file
    bool tree_borrowed;
};

struct unpack_delta_base {
    const struct bundle_delta_head *head;
    uint64_t bytes;
    int spool; // -1: a generation
    struct delta_base_component components[BUNDLE_COMPONENTS_MAX];
    struct unpack_scratch rows; // key: old address, a: tree offset, b: component
    struct delta_base_run open[DELTA_BASE_OPEN_MAX];
    size_t oldest; // of open[], to be replaced next
    uint64_t window_at;
    size_t window_len;
    uint8_t window[DELTA_BASE_WINDOW_BYTES];
};

// An empty base for this head; delta_base_add is called for each component in order. Kind memory.
int delta_base_new(const struct bundle_delta_head *head, int table_fd,
                   struct unpack_delta_base **ret, struct err *e) __attribute__((nonnull));
// Makes the rows of component `number`, whose place is set in components[]. Its tree's digest held
// before. Kinds: bad_delta (the head says something else of it), bad_tree.
int delta_base_add(struct unpack_delta_base *base, size_t number, struct err *e)
    __attribute__((nonnull));

// As a frame's decoder wants it; borrowed.
void delta_base_reader(struct unpack_delta_base *base, struct delta_base *ret)
    __attribute__((nonnull));
// One of the contents. Kind bad_delta when there is none of this number.
int delta_base_content(struct unpack_delta_base *base, uint64_t number,
                       struct delta_base_content *ret, struct err *e) __attribute__((nonnull));
// Opens the file of a content of a generation; *ret_fd is the caller's.
int delta_base_file(const struct unpack_delta_base *base, const struct delta_base_content *content,
                    int *ret_fd, struct err *e) __attribute__((nonnull));
