// SPDX-License-Identifier: Apache-2.0
//
// One page of an index in memory, verified when it is loaded. The head's directory names the digest of every page; the directory
// itself may be large (64 MiB for 4 TiB of contents), so only the digests of its pages are kept, 32 bytes for each 128 pages of the
// index, and a directory page is verified again whenever it is read again: the file beneath may change between two looks.
#pragma once

#include <stdint.h>

#include "bundle/limits.h"
#include "keys/digest.h"

#define INDEX_PAGE_DIGESTS (BUNDLE_INDEX_PAGE_BYTES / KEYS_DIGEST_BYTES) // in a page of the directory

struct index_page_head {
    int fd;          // the caller's
    uint64_t offset; // of the index in it
    uint64_t n_pages;
    uint64_t n_directory;           // pages of the directory
    struct keys_digest *directory;  // digest of each; owned
    uint64_t cached;                // which directory page is in `page`; UINT64_MAX none
    uint8_t page[BUNDLE_INDEX_PAGE_BYTES];
};

struct index_page {
    uint64_t number; // UINT64_MAX: none loaded
    uint8_t bytes[BUNDLE_INDEX_PAGE_BYTES];
};

// Reads the head, verifies it against `digest` and gives the header page to *ret_header. Kinds: bad_index, truncated, io, memory.
int index_page_open(struct index_page_head *head, const struct keys_digest *digest,
                    uint8_t ret_header[static BUNDLE_INDEX_PAGE_BYTES], struct err *e) __attribute__((nonnull));
void index_page_close(struct index_page_head *head) __attribute__((nonnull));
// Makes *page hold page `number` of those behind the head. Kinds: bad_index, truncated, io.
int index_page_load(struct index_page_head *head, uint64_t number, struct index_page *page, struct err *e)
    __attribute__((nonnull));
