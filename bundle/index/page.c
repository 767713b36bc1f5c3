// SPDX-License-Identifier: Apache-2.0
//
// Pages of an index: read, verified, kept one at a time.
#include "bundle/index/page.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "bundle/kind.h"

static int read_page(const struct index_page_head *head, uint64_t number,
                     uint8_t ret[static BUNDLE_INDEX_PAGE_BYTES], struct err *e) {
    size_t got = 0;
    if (fs_pread(head->fd, ret, BUNDLE_INDEX_PAGE_BYTES,
                 head->offset + number * BUNDLE_INDEX_PAGE_BYTES, &got, e) < 0)
        return err_prefix(e, "reading the index");
    if (got < BUNDLE_INDEX_PAGE_BYTES)
        return err_set(e, &err_truncated, "the index ends in its page %llu",
                       (unsigned long long)number);
    return 0;
}

// Directory slots behind the last page are padding.
static int check_padding(const struct index_page_head *head, struct err *e) {
    uint64_t used = head->n_pages % INDEX_PAGE_DIGESTS;
    for (size_t i = used * KEYS_DIGEST_BYTES; used && i < sizeof head->page; i++)
        if (head->page[i] != 0)
            return err_set(e, &err_bad_index, "the index's directory is not padded with zeros");
    return 0;
}

int index_page_open(struct index_page_head *head, const struct keys_digest *digest,
                    uint8_t ret_header[static BUNDLE_INDEX_PAGE_BYTES], struct err *e) {
    struct keys_digest_state state;
    struct keys_digest found;
    head->cached = UINT64_MAX;
    head->directory = calloc(head->n_directory ? head->n_directory : 1, sizeof *head->directory);
    if (!head->directory)
        return err_set(e, &err_memory, "opening an index");
    if (read_page(head, 0, head->page, e) < 0)
        return -1;
    keys_digest_init(&state);
    keys_digest_add(&state, head->page, sizeof head->page);
    memcpy(ret_header, head->page, sizeof head->page);
    for (uint64_t i = 0; i < head->n_directory; i++) {
        if (read_page(head, 1 + i, head->page, e) < 0)
            return -1;
        keys_digest_add(&state, head->page, sizeof head->page);
        keys_digest_of(head->page, sizeof head->page, &head->directory[i]);
    }
    keys_digest_final(&state, &found);
    if (!keys_digest_equal(&found, digest))
        return err_set(e, &err_bad_index,
                       "the index's head is not the one that the manifest names");
    return head->n_directory ? check_padding(head, e) : 0;
}

void index_page_close(struct index_page_head *head) {
    free(head->directory);
    head->directory = NULL;
}

static int load_directory(struct index_page_head *head, uint64_t number, struct err *e) {
    struct keys_digest found;
    if (head->cached == number)
        return 0;
    head->cached = UINT64_MAX;
    if (read_page(head, 1 + number, head->page, e) < 0)
        return -1;
    keys_digest_of(head->page, sizeof head->page, &found);
    if (!keys_digest_equal(&found, &head->directory[number]))
        return err_set(e, &err_bad_index, "the index's directory changed while it was in use");
    head->cached = number;
    return 0;
}

int index_page_load(struct index_page_head *head, uint64_t number, struct index_page *page,
                    struct err *e) {
    struct keys_digest found, named;
    assert(number < head->n_pages);
    if (page->number == number)
        return 0;
    page->number = UINT64_MAX;
    if (load_directory(head, number / INDEX_PAGE_DIGESTS, e) < 0 ||
        read_page(head, 1 + head->n_directory + number, page->bytes, e) < 0)
        return -1;
    memcpy(named.bytes, head->page + number % INDEX_PAGE_DIGESTS * KEYS_DIGEST_BYTES,
           sizeof named.bytes);
    keys_digest_of(page->bytes, sizeof page->bytes, &found);
    if (!keys_digest_equal(&found, &named))
        return err_set(e, &err_bad_index, "page %llu of the index is not the one its head names",
                       (unsigned long long)number);
    page->number = number;
    return 0;
}
