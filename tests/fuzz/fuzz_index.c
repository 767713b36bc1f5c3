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

#define PAGES_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Reads all rows; each must lie within what the header counts.
static void read_all(struct bundle_index_reader *reader) {
    const struct bundle_index_header *h = bundle_index_head(reader);
    struct err e = ERR_NONE;
    uint64_t raw = 0, stream = 0;
    for (uint64_t i = 0; i < h->n_frames; i++) {
        struct bundle_index_frame f;
        if (bundle_index_frame(reader, i, &f, &e) < 0 || f.raw != raw ||
            f.stored_bytes > f.raw_bytes)
            abort();
        raw += f.raw_bytes;
    }
    for (uint64_t i = 0; i < h->n_chunks; i++) {
        struct bundle_index_chunk c;
        if (bundle_index_chunk(reader, i, &c, &e) < 0 || c.raw + c.bytes > h->raw_bytes)
            abort();
        stream += c.bytes;
    }
    if (raw != h->raw_bytes || stream != h->stream_bytes)
        abort();
}

// Input: the header's 56 bytes, then the pages behind the head, cut or filled with zeros.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t pages[2 + PAGES_MAX][BUNDLE_INDEX_PAGE_BYTES];
    struct bundle_index_reader *reader = NULL;
    struct err e = ERR_NONE;
    OWN(fd) int fd = memfd_create("index", MFD_CLOEXEC);
    memset(pages, 0, sizeof pages);
    size_t head = size < 56 ? size : 56, rest = size - head, n = 0;
    memcpy(pages[0], data, head);
    for (; rest > 0 && n < PAGES_MAX; n++) {
        struct keys_digest digest;
        size_t part = rest < BUNDLE_INDEX_PAGE_BYTES ? rest : BUNDLE_INDEX_PAGE_BYTES;
        memcpy(pages[2 + n], data + size - rest, part);
        rest -= part;
        keys_digest_of(pages[2 + n], sizeof pages[0], &digest);
        memcpy(pages[1] + n * KEYS_DIGEST_BYTES, digest.bytes, sizeof digest.bytes);
    }
    struct bundle_packing packing = {.frame_bytes = BUNDLE_FRAME_DEFAULT_BYTES,
                                     .index_bytes = (2 + n) * sizeof pages[0],
                                     .index_head_bytes = 2 * sizeof pages[0]};
    for (int i = 7; i >= 0; i--)
        packing.data_bytes = packing.data_bytes << 8 | pages[0][48 + i];
    keys_digest_of(pages, packing.index_head_bytes, &packing.index_digest);
    if (fd < 0 || write(fd, pages, packing.index_bytes) != (ssize_t)packing.index_bytes)
        abort();
    if (bundle_index_open(fd, 0, &packing, &reader, &e) == 0)
        read_all(reader);
    else if (!e.kind)
        abort();
    bundle_index_close(reader);
    return 0;
}
