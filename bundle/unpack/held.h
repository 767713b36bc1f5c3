// SPDX-License-Identifier: Apache-2.0
//
// Which chunks a device holds, and where: a table on disk, made by cutting what it holds by the builder's rule (bundle/chunker.h), asked by
// the digest that an index names. Memory is one page of it, whatever there is; the file is thrown away with the staging.
//
// A row is the first bytes of the digest of a chunk, its length and its place. Rows lie in pages; the digest says in which page a search begins,
// and a page that is full names the next. What was found is no proof: whoever copies from a place compares the digest of what is there.
#pragma once

#include "bundle/chunker.h"
#include "bundle/index.h"

#define UNPACK_HELD_PAGE_BYTES 4096
#define UNPACK_HELD_PAGE_ROWS 127

// A place in a content that the device holds.
struct unpack_held_place {
    uint32_t component;   // by the numbers of whoever made the table
    uint64_t tree_offset; // of its line in the old tree; UNPACK_HELD_WHOLE: the tree or the image itself
    uint64_t position;    // in the content
};
#define UNPACK_HELD_WHOLE UINT64_MAX

struct unpack_held_row {
    uint8_t digest[BUNDLE_INDEX_CHUNK_DIGEST_BYTES];
    uint16_t bytes; // - 1
    uint32_t component;
    uint64_t tree_offset;
    uint64_t position;
};

struct unpack_held_page {
    uint64_t next; // number of the page that goes on; 0 none
    uint32_t n;
    uint8_t unused[20];
    struct unpack_held_row rows[UNPACK_HELD_PAGE_ROWS];
};

struct unpack_held {
    int fd; // the caller's; an empty file
    uint64_t n; // rows in all
    uint64_t first_pages; // a search begins in one of these
    uint64_t n_pages;
    uint64_t loaded; // number of the page in memory; UINT64_MAX none
    struct unpack_held_page page;
    struct bundle_chunker chunker;
    uint8_t *window; // owned; allocated by the first cut
};

// A table for about so many bytes in so many contents; more than expected makes it slower and no more.
void unpack_held_init(struct unpack_held *held, int fd, uint64_t bytes, uint64_t contents) __attribute__((nonnull));
void unpack_held_clear(struct unpack_held *held) __attribute__((nonnull));
// Of two chunks that are the same the first stays.
int unpack_held_add(struct unpack_held *held, const struct keys_digest *digest, uint32_t bytes,
                    const struct unpack_held_place *place, struct err *e) __attribute__((nonnull));
// Cuts the first `size` bytes of fd, or what there is of them and can be read, and adds each chunk; place is that of the first. Kinds: memory, and io and
// no_space of the table.
int unpack_held_cut(struct unpack_held *held, int fd, uint64_t size, const struct unpack_held_place *place,
                    struct err *e) __attribute__((nonnull));
// 0 and the place; UNPACK_HELD_NONE.
enum { UNPACK_HELD_NONE = 1 };
int unpack_held_find(struct unpack_held *held, const uint8_t digest[static BUNDLE_INDEX_CHUNK_DIGEST_BYTES],
                     uint32_t bytes, struct unpack_held_place *ret, struct err *e) __attribute__((nonnull));
