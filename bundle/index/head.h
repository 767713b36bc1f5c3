// SPDX-License-Identifier: Apache-2.0
//
// The head of an index, and pages read by it, each verified when it is read. The head's directory names digest and place of every page; the directory
// itself may be large (120 MB for 4 TiB of contents), so only the digests of its pages are kept, 32 bytes for each 73 pages of the
// index, and a directory page is verified again whenever it is read again: the file beneath may change between two looks.
#pragma once

#include <stdint.h>

#include "bundle/index.h"

struct index_head {
    struct bundle_index_file file;
    struct bundle_index_header header;
    uint64_t n_frame_pages;
    uint64_t n_pages;               // behind the head
    uint64_t n_directory;           // pages of the directory
    struct keys_digest *directory;  // digest of each; owned
    uint64_t cached;                // which directory page is in `page`; UINT64_MAX none
    uint8_t page[BUNDLE_INDEX_PAGE_BYTES];
};

// Reads and verifies the head by what the manifest says of it. Kinds: bad_index, truncated, io, memory.
int index_head_open(struct index_head *head, const struct bundle_packing *packing, struct err *e)
    __attribute__((nonnull));
void index_head_close(struct index_head *head) __attribute__((nonnull));
// The directory's row of page `number` of those behind the head.
int index_head_row(struct index_head *head, uint64_t number, struct bundle_index_page *ret, struct err *e)
    __attribute__((nonnull));
// The same, and where it ends.
int index_head_span(struct index_head *head, uint64_t number, struct bundle_index_page *ret, uint64_t ret_end[static 3],
                    struct err *e) __attribute__((nonnull));
// Reads that page and holds it against its row's digest. Kinds: bad_index, truncated, io, those of `want`.
int index_head_page(struct index_head *head, uint64_t number, const struct bundle_index_page *row,
                    uint8_t ret[static BUNDLE_INDEX_PAGE_BYTES], struct err *e) __attribute__((nonnull));
