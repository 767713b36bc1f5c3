// SPDX-License-Identifier: Apache-2.0
//
// The tree of a `files` component: one canonical JSON object a line, each line ended by one newline, in this order: paths compare as
// bytes with '/' lowest, so that a directory comes right before what is in it. Every parent directory has a line of its own.
//
//   {"path":"etc","type":"dir"}
//   {"digest":"…","exec":false,"path":"etc/passwd","size":812,"type":"file"}
//   {"path":"bin","target":"usr/bin","type":"link"}
//
// A path is relative, of segments that are not empty, "." or "..", UTF-8 without control characters; nothing lies below a link. It is
// read line by line: memory does not depend on the number of entries. The reader below is fed bytes that were verified already (the
// tree's digest is in the manifest) or that are verified at the end before anything is acted upon.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bundle/limits.h"
#include "keys/digest.h"

enum bundle_tree_type { BUNDLE_TREE_DIR, BUNDLE_TREE_FILE, BUNDLE_TREE_LINK };

struct bundle_tree_entry {
    enum bundle_tree_type type;
    char path[BUNDLE_PATH_MAX + 1];
    bool exec;                        // file
    uint64_t size;                    // file
    struct keys_digest digest;        // file
    char target[BUNDLE_LINK_MAX + 1]; // link
};

struct bundle_tree_reader; // reads a tree from a descriptor, one small buffer

// Reads [offset, offset + size) of fd, which stays the caller's. Kinds: bad_tree, bad_path, truncated.
int bundle_tree_open(int fd, uint64_t offset, uint64_t size, struct bundle_tree_reader **ret, struct err *e)
    __attribute__((nonnull));
void bundle_tree_close(struct bundle_tree_reader *reader);
// 0 and the next entry, checked for order and form against the one before; BUNDLE_TREE_END after the last.
enum { BUNDLE_TREE_END = 1 };
int bundle_tree_next(struct bundle_tree_reader *reader, struct bundle_tree_entry *ret, struct err *e)
    __attribute__((nonnull));

// The same for the next file: directories and links are read, checked and passed over.
int bundle_tree_next_file(struct bundle_tree_reader *reader, struct bundle_tree_entry *ret, struct err *e)
    __attribute__((nonnull));
// How many entries were read, of all types.
uint64_t bundle_tree_entries(const struct bundle_tree_reader *reader) __attribute__((nonnull));
// Where the entry that bundle_tree_next gave last begins, as an offset in the tree.
uint64_t bundle_tree_offset(const struct bundle_tree_reader *reader) __attribute__((nonnull));

// The entry whose line begins at this offset of a tree that was verified before. Kinds: bad_tree, those of reading.
int bundle_tree_at(int fd, uint64_t offset, struct bundle_tree_entry *ret, struct err *e) __attribute__((nonnull));
// One line, newline included, taken by itself: its form and its path are checked, its place among others cannot be.
int bundle_tree_parse(struct slice line, struct bundle_tree_entry *ret, struct err *e) __attribute__((nonnull));
// One entry as its line, newline included.
int bundle_tree_format(const struct bundle_tree_entry *entry, struct buf *ret, struct err *e) __attribute__((nonnull));
// Kind bad_path with the reason.
int bundle_tree_check_path(const char *path, size_t len, struct err *e) __attribute__((nonnull));
// A link's target: 1 to BUNDLE_LINK_MAX bytes of UTF-8 without control characters; where it leads is not our business, it is never
// followed. Kind bad_tree.
int bundle_tree_check_target(const char *target, size_t len, struct err *e) __attribute__((nonnull));
// Whether `path` may follow `before` (a path with its type; "" at the start): in order, and with its parent directory listed. Kind bad_path.
int bundle_tree_check_order(const char *before, enum bundle_tree_type before_type, const char *path, struct err *e)
    __attribute__((nonnull));
// The order of the tree. <0, 0, >0.
int bundle_tree_compare(const char *a, const char *b) __attribute__((nonnull));
