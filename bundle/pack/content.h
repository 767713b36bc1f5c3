// SPDX-License-Identifier: Apache-2.0
//
// A content on its way into a bundle: where its bytes are, and what was found out about them. Bytes are read twice (measured, then
// packed), so a file that changes in between is noticed by its stamp. The chunk lists belong to the content until the table has them.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "bundle/index.h"
#include "bundle/tree.h"

// A chunk as measured. What the index has of its digest would do to find it, but not to call two chunks the same.
#define PACK_PIECE_DIGEST_BYTES 20
struct pack_piece {
    uint8_t digest[PACK_PIECE_DIGEST_BYTES];
    uint32_t bytes;
};

// What tells one state of a file from another.
struct pack_stamp {
    uint64_t device, inode, size;
    struct timespec modified, changed;
};

struct pack_content {
    const uint8_t *memory; // a tree; else NULL
    int dir;               // the file `path` below it, or the spool when path is NULL. Borrowed
    const char *path;      // borrowed
    uint64_t offset;       // in the spool
    uint64_t size;
    bool strip; // extended attributes are dropped, not refused
    struct pack_stamp stamp;
    struct keys_digest digest;
    bool by_blocks; // it is an image: the next is wanted, too
    struct keys_digest blocks;
    uint32_t
        held; // by the holders of these references, as bits (pack/reference.h): they have it whole
    size_t n_pieces, max_pieces;
    struct pack_piece *pieces; // owned, until the table took them
    uint64_t first_chunk;      // its rows in the table
    uint64_t n_chunks;
};

// An entry of a tree that is being made.
struct pack_item {
    enum bundle_tree_type type;
    bool exec;
    bool seen_link; // an archive's hard link, not resolved yet: target is the path of the file
    char *path;     // owned
    char *target;   // owned; where a link leads, or the name under which a single file is read
    struct pack_content content;
};

struct pack_tree {
    int dir; // directory or spool that contents are read from; owned
    size_t n, max;
    struct pack_item *items; // owned; sorted when complete
    uint64_t stripped;       // entries whose special bits, owners or attributes were dropped
    uint64_t skipped;        // entries that were left out
};

struct pack_component;

// Adds an item with a copy of its path; *ret is borrowed until the next. Kinds: bad_path, limit, memory.
int pack_content_add_item(struct pack_tree *tree, const char *path, struct pack_item **ret,
                          struct err *e) __attribute__((nonnull));
// Sorts the items and checks what holds between them. Kind bad_path.
int pack_content_sort(struct pack_tree *tree, struct err *e) __attribute__((nonnull));
void pack_content_clear_tree(struct pack_tree *tree) __attribute__((nonnull));

// Opens a file for reading (*ret is the caller's; -1 when the content is in memory). The first time its stamp is taken, with `again` it is
// compared. Kinds: unsupported_member (attributes), busy (it changed), io.
int pack_content_open(struct pack_content *c, bool again, int *ret, struct err *e)
    __attribute__((nonnull));
// Reads exactly len bytes at offset. Kind busy when the file got shorter.
int pack_content_read(const struct pack_content *c, int fd, uint64_t offset, void *data, size_t len,
                      struct err *e) __attribute__((nonnull));
int pack_content_add_piece(struct pack_content *c, const struct pack_piece *piece, struct err *e)
    __attribute__((nonnull));
