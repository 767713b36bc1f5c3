// SPDX-License-Identifier: Apache-2.0
//
// The index, as a trusted signer could have written it: the digests are made to fit, so that every
// row is reached. What the reader accepts adds up.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "bundle/index.h"
#include "bundle/manifest.h"

#define PAGES_MAX   16
#define HEAD_BYTES  72
#define PLACE_BYTES 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Reads all rows that can be read; each must lie within what the header counts, and they must follow
// each other. Looks for each by its place, too.
static void read_frames(struct bundle_index_reader *reader) {
    const struct bundle_index_header *h = bundle_index_head(reader);
    struct err e = ERR_NONE;
    uint64_t raw = 0, offset = 0, found = 0;
    for (uint64_t i = 0; i < h->n_frames; i++) {
        struct bundle_index_frame f;
        if (bundle_index_frame(reader, i, &f, &e) < 0)
            return;
        if (f.raw != raw || f.offset != offset || f.stored_bytes > f.raw_bytes)
            abort();
        if (bundle_index_find_frame(reader, raw + f.raw_bytes - 1, &found, &e) < 0 || found != i)
            abort();
        raw += f.raw_bytes;
        offset += f.stored_bytes;
    }
    if (raw != h->raw_bytes || offset != h->data_bytes)
        abort();
}

static void read_chunks(struct bundle_index_reader *reader) {
    const struct bundle_index_header *h = bundle_index_head(reader);
    uint64_t stream = 0, at[2] = {0, h->fresh_start}, found = 0;
    for (uint64_t i = 0; i < h->n_chunks; i++) {
        struct err e = ERR_NONE, none = ERR_NONE;
        struct bundle_index_chunk c, first;
        if (bundle_index_chunk(reader, i, &c, &e) < 0)
            return;
        if (c.stream != stream || c.bytes == 0)
            abort();
        if (bundle_index_find_chunk(reader, stream, &found, &e) < 0 || found != i)
            abort();
        if (c.what >= BUNDLE_INDEX_REPEATS) {
            if (bundle_index_repeated(reader, &c, &first, &none) == 0 &&
                (first.stream >= c.stream || first.bytes != c.bytes))
                abort();
        } else if (c.raw != at[c.what]) {
            abort();
        } else {
            at[c.what] += c.bytes;
        }
        stream += c.bytes;
    }
    if (stream != h->stream_bytes || at[0] != h->fresh_start || at[1] != h->raw_bytes)
        abort();
}

// Input: the header's 72 bytes, the 24 bytes of places of each page (as many as there are pages), then the
// pages behind the head, cut or filled with zeros; the number of pages is the first byte.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t pages[2 + PAGES_MAX][BUNDLE_INDEX_PAGE_BYTES];
    struct bundle_index_reader *reader = NULL;
    struct err e = ERR_NONE;
    OWN(fd) int fd = memfd_create("index", MFD_CLOEXEC);
    memset(pages, 0, sizeof pages);
    size_t n = size > 0 ? data[0] % (PAGES_MAX + 1) : 0, at = size > 0;
    uint8_t head[HEAD_BYTES + PAGES_MAX * PLACE_BYTES] = {0};
    size_t part = HEAD_BYTES + n * PLACE_BYTES;
    if (part > size - at)
        part = size - at;
    memcpy(head, data + at, part);
    at += part;
    memcpy(pages[0], head, HEAD_BYTES);
    for (size_t i = 0; i < n; i++) {
        struct keys_digest digest;
        uint8_t *row = pages[1] + i * BUNDLE_INDEX_DIRECTORY_ROW_BYTES;
        part = size - at < sizeof pages[0] ? size - at : sizeof pages[0];
        memcpy(pages[2 + i], data + at, part);
        at += part;
        keys_digest_of(pages[2 + i], sizeof pages[0], &digest);
        memcpy(row, digest.bytes, sizeof digest.bytes);
        memcpy(row + sizeof digest.bytes, head + HEAD_BYTES + i * PLACE_BYTES, PLACE_BYTES);
    }
    struct bundle_packing packing = {.frame_bytes = BUNDLE_FRAME_DEFAULT_BYTES,
                                     .index_bytes = (2 + n) * sizeof pages[0],
                                     .index_head_bytes = 2 * sizeof pages[0]};
    for (int i = 7; i >= 0; i--)
        packing.data_bytes = packing.data_bytes << 8 | pages[0][48 + i];
    keys_digest_of(pages, packing.index_head_bytes, &packing.index_digest);
    if (fd < 0 || write(fd, pages, packing.index_bytes) != (ssize_t)packing.index_bytes)
        abort();
    const struct bundle_index_file file = {.fd = fd};
    if (bundle_index_open(&file, &packing, &reader, &e) == 0) {
        read_frames(reader);
        read_chunks(reader);
    } else if (!e.kind) {
        abort();
    }
    bundle_index_close(reader);
    return 0;
}
