// SPDX-License-Identifier: Apache-2.0
//
// The table of chunks that are held. Its rows are this machine's own and never leave it, so they are
// stored as they lie in memory.
#include "bundle/unpack/held.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

#define WINDOW_BYTES (4UL * BUNDLE_CHUNK_MAX_BYTES)
#define FILL         (UNPACK_HELD_PAGE_ROWS / 2) // rows that are expected in a page

static_assert(sizeof(struct unpack_held_page) <= UNPACK_HELD_PAGE_BYTES, "a page is one write");
static_assert(BUNDLE_CHUNK_MAX_BYTES <= UINT16_MAX + 1, "a length fits its row");

void unpack_held_init(struct unpack_held *h, int fd, uint64_t bytes, uint64_t contents) {
    h->fd = fd;
    h->n = 0;
    h->first_pages = (bytes / BUNDLE_CHUNK_AVG_BYTES + contents) / FILL + 1;
    h->n_pages = h->first_pages;
    h->loaded = UINT64_MAX;
    h->window = NULL;
    bundle_chunker_init(&h->chunker);
}

void unpack_held_clear(struct unpack_held *h) {
    free(h->window);
    h->window = NULL;
}

// A page that was never written is empty.
static int load(struct unpack_held *h, uint64_t number, struct err *e) {
    size_t got = 0;
    if (h->loaded == number)
        return 0;
    h->loaded = UINT64_MAX;
    if (fs_pread(h->fd, &h->page, sizeof h->page, number * UNPACK_HELD_PAGE_BYTES, &got, e) < 0)
        return err_prefix(e, "reading a scratch file");
    memset((uint8_t *)&h->page + got, 0, sizeof h->page - got);
    // Each page that goes on comes later than the one it goes on from, so a search ends.
    if (h->page.n > UNPACK_HELD_PAGE_ROWS || h->page.next >= h->n_pages ||
        (h->page.next != 0 && h->page.next <= number))
        return err_set(e, &err_io, "a scratch file has something else in it than was written");
    h->loaded = number;
    return 0;
}

static int store(struct unpack_held *h, struct err *e) {
    uint64_t number = h->loaded;
    h->loaded = UINT64_MAX; // until the file has it
    if (fs_pwrite(h->fd, &h->page, sizeof h->page, number * UNPACK_HELD_PAGE_BYTES, e) < 0)
        return err_prefix(e, "writing a scratch file");
    h->loaded = number;
    return 0;
}

static const struct unpack_held_row *find_in_page(const struct unpack_held_page *page,
                                                  const uint8_t *digest, uint16_t bytes) {
    for (uint32_t i = 0; i < page->n; i++)
        if (page->rows[i].bytes == bytes &&
            memcmp(page->rows[i].digest, digest, sizeof page->rows[i].digest) == 0)
            return &page->rows[i];
    return NULL;
}

// Loads page after page from where a search begins; *ret is the row, or NULL and the last page is
// loaded.
static int search(struct unpack_held *h, const uint8_t *digest, uint32_t bytes,
                  const struct unpack_held_row **ret, struct err *e) {
    uint64_t hash;
    memcpy(&hash, digest, sizeof hash);
    if (load(h, hash % h->first_pages, e) < 0)
        return -1;
    while (!(*ret = find_in_page(&h->page, digest, (uint16_t)(bytes - 1))) && h->page.next != 0)
        if (load(h, h->page.next, e) < 0)
            return -1;
    return 0;
}

// Makes an empty page, linked from the loaded one, the loaded one.
static int go_on(struct unpack_held *h, struct err *e) {
    h->page.next = h->n_pages++;
    uint64_t next = h->page.next;
    return store(h, e) < 0 ? -1 : load(h, next, e);
}

int unpack_held_add(struct unpack_held *h, const struct keys_digest *digest, uint32_t bytes,
                    const struct unpack_held_place *place, struct err *e) {
    const struct unpack_held_row *there = NULL;
    assert(bytes > 0 && bytes <= BUNDLE_CHUNK_MAX_BYTES);
    if (search(h, digest->bytes, bytes, &there, e) < 0)
        return -1;
    if (there)
        return 0;
    if (h->page.n == UNPACK_HELD_PAGE_ROWS && go_on(h, e) < 0)
        return -1;
    struct unpack_held_row *row = &h->page.rows[h->page.n++];
    memcpy(row->digest, digest->bytes, sizeof row->digest);
    row->bytes = (uint16_t)(bytes - 1);
    row->component = place->component;
    row->tree_offset = place->tree_offset;
    row->position = place->position;
    h->n++;
    return store(h, e);
}

int unpack_held_cut(struct unpack_held *h, int fd, uint64_t size,
                    const struct unpack_held_place *place, struct err *e) {
    struct unpack_held_place at = *place;
    struct err unread = ERR_NONE;
    uint64_t done = 0; // cut
    size_t have = 0;   // bytes of the window behind that
    if (!h->window && !(h->window = malloc(WINDOW_BYTES)))
        return err_set(e, &err_memory, "looking for what is held");
    while (done < size) {
        size_t got = 0, from = 0;
        size_t want = size - done - have < WINDOW_BYTES - have ? (size_t)(size - done - have)
                                                               : WINDOW_BYTES - have;
        // What cannot be read is not held: it is fetched, whatever has become of the medium.
        if (fs_pread(fd, h->window + have, want, done + have, &got, &unread) < 0)
            break;
        have += got;
        if (got < want)
            size = done + have; // it is shorter than it was
        // A cut needs a whole chunk ahead, or the end.
        while (have > 0 && (have >= BUNDLE_CHUNK_MAX_BYTES || done + have == size)) {
            struct keys_digest digest;
            size_t len = bundle_chunker_cut(&h->chunker, h->window + from, have);
            keys_digest_of(h->window + from, len, &digest);
            at.position = place->position + done;
            if (unpack_held_add(h, &digest, (uint32_t)len, &at, e) < 0)
                return -1;
            from += len;
            done += len;
            have -= len;
        }
        memmove(h->window, h->window + from, have);
    }
    return 0;
}

int unpack_held_find(struct unpack_held *h,
                     const uint8_t digest[static BUNDLE_INDEX_CHUNK_DIGEST_BYTES], uint32_t bytes,
                     struct unpack_held_place *ret, struct err *e) {
    const struct unpack_held_row *row = NULL;
    if (search(h, digest, bytes, &row, e) < 0)
        return -1;
    if (!row)
        return UNPACK_HELD_NONE;
    *ret = (struct unpack_held_place){row->component, row->tree_offset, row->position};
    return 0;
}
