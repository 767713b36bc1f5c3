// SPDX-License-Identifier: Apache-2.0
//
// The index: rows survive their bytes, sizes are bounded, and a page that changes after it was
// verified is noticed. What rows must agree on is tested with whole bundles (unpack/test_check.c).
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "bundle/index.h"
#include "bundle/kind.h"
#include "bundle/manifest.h"

Test(index, rows_survive_their_bytes) {
    struct bundle_index_frame f = {.offset = 0x0102030405060708,
                                   .raw = 0x1112131415161718,
                                   .stored_bytes = 0x21222324,
                                   .raw_bytes = 0x31323334},
                              g;
    struct bundle_index_chunk c = {.raw = 0x4142434445464748, .bytes = 0x51525354}, d;
    uint8_t frame[BUNDLE_INDEX_FRAME_ROW_BYTES], chunk[BUNDLE_INDEX_CHUNK_ROW_BYTES];
    memset(f.digest.bytes, 0xaa, sizeof f.digest.bytes);
    memset(c.digest, 0xbb, sizeof c.digest);
    bundle_index_format_frame(&f, frame);
    bundle_index_parse_frame(frame, &g);
    cr_expect_eq(memcmp(&f, &g, sizeof f), 0);
    cr_expect_eq(frame[32], 0x08, "little-endian");
    bundle_index_format_chunk(&c, chunk);
    bundle_index_parse_chunk(chunk, &d);
    cr_expect_eq(d.raw, c.raw);
    cr_expect_eq(d.bytes, c.bytes);
    cr_expect_eq(memcmp(c.digest, d.digest, sizeof c.digest), 0);
}

Test(index, its_size_follows_from_the_counts_and_has_a_ceiling) {
    static const struct {
        uint64_t frames, chunks, head, bytes;
    } cases[] = {
        {0, 0, 4096, 4096},
        {1, 1, 2 * 4096, 4 * 4096},
        {73, 128, 2 * 4096, 4 * 4096},
        {74, 129, 2 * 4096, 6 * 4096},
        {73 * 64, 128 * 64, 2 * 4096, 130 * 4096},
        {73 * 64, 128 * 64 + 1, 3 * 4096, 132 * 4096},
    };
    uint64_t head = 0, bytes = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_NONE;
        cr_assert_eq(bundle_index_size(cases[i].frames, cases[i].chunks, &head, &bytes, &e), 0);
        cr_expect_eq(head, cases[i].head);
        cr_expect_eq(bytes, cases[i].bytes);
    }
    static const uint64_t huge[] = {1ULL << 40, UINT64_MAX};
    for (size_t i = 0; i < 2; i++) {
        struct err e = ERR_NONE;
        cr_expect_lt(bundle_index_size(1, huge[i], &head, &bytes, &e), 0);
        cr_expect(err_is(&e, &err_limit));
        err_clear(&e);
        cr_expect_lt(bundle_index_size(huge[i], 1, &head, &bytes, &e), 0);
    }
}

Test(index, a_header_has_one_form) {
    const struct bundle_index_header h = {
        .n_frames = 1, .n_chunks = 2, .raw_bytes = 3, .stream_bytes = 4, .data_bytes = 3};
    uint8_t page[BUNDLE_INDEX_PAGE_BYTES];
    struct bundle_index_header read;
    struct err e = ERR_NONE;
    bundle_index_format_header(&h, page);
    cr_assert_eq(bundle_index_parse_header(page, &read, &e), 0);
    cr_expect_eq(memcmp(&h, &read, sizeof h), 0);
    for (size_t i = 0; i < sizeof page; i++) {
        if (i >= 16 && i < 56)
            continue; // the counts
        page[i] ^= 1;
        err_clear(&e);
        cr_expect_lt(bundle_index_parse_header(page, &read, &e), 0, "byte %zu", i);
        cr_expect(err_is(&e, &err_bad_index));
        page[i] ^= 1;
    }
}

// An index of 100 chunks of 100 bytes in one frame, in a memory file.
static int make(struct bundle_packing *ret) {
    uint8_t pages[4][BUNDLE_INDEX_PAGE_BYTES];
    const struct bundle_index_header h = {.n_frames = 1,
                                          .n_chunks = 100,
                                          .raw_bytes = 10000,
                                          .stream_bytes = 10000,
                                          .data_bytes = 10000};
    const struct bundle_index_frame f = {.stored_bytes = 10000, .raw_bytes = 10000};
    memset(pages, 0, sizeof pages);
    bundle_index_format_header(&h, pages[0]);
    bundle_index_format_frame(&f, pages[2]);
    for (uint64_t i = 0; i < 100; i++) {
        const struct bundle_index_chunk c = {.raw = i * 100, .bytes = 100};
        bundle_index_format_chunk(&c, pages[3] + i * BUNDLE_INDEX_CHUNK_ROW_BYTES);
    }
    for (size_t i = 0; i < 2; i++) {
        struct keys_digest digest;
        keys_digest_of(pages[2 + i], sizeof pages[0], &digest);
        memcpy(pages[1] + i * KEYS_DIGEST_BYTES, digest.bytes, sizeof digest.bytes);
    }
    *ret = (struct bundle_packing){.data_bytes = 10000,
                                   .frame_bytes = 65536,
                                   .index_bytes = sizeof pages,
                                   .index_head_bytes = 2 * sizeof pages[0]};
    keys_digest_of(pages, 2 * sizeof pages[0], &ret->index_digest);
    int fd = memfd_create("index", MFD_CLOEXEC);
    cr_assert_eq(write(fd, pages, sizeof pages), (ssize_t)sizeof pages);
    return fd;
}

Test(index, any_flipped_byte_is_noticed_on_opening) {
    struct bundle_packing packing;
    OWN(fd) int fd = make(&packing);
    for (uint64_t i = 0; i < packing.index_bytes; i++) {
        struct err e = ERR_NONE;
        struct bundle_index_reader *reader = NULL;
        uint8_t byte = 0;
        cr_assert_eq(pread(fd, &byte, 1, (off_t)i), 1);
        byte ^= 0x10;
        cr_assert_eq(pwrite(fd, &byte, 1, (off_t)i), 1);
        cr_assert_lt(bundle_index_open(fd, 0, &packing, &reader, &e), 0, "byte %llu",
                     (unsigned long long)i);
        cr_assert(err_is(&e, &err_bad_index), "%s", e.text);
        byte ^= 0x10;
        cr_assert_eq(pwrite(fd, &byte, 1, (off_t)i), 1);
    }
}

Test(index, a_page_that_changes_after_it_was_verified_is_not_read_again) {
    struct err e = ERR_NONE;
    struct bundle_packing packing;
    struct bundle_index_reader *reader = NULL;
    struct bundle_index_chunk row;
    OWN(fd) int fd = make(&packing);
    cr_assert_eq(bundle_index_open(fd, 0, &packing, &reader, &e), 0, "%s", e.text);
    cr_expect_eq(pwrite(fd, "x", 1, 3 * 4096 + 20), 1);
    cr_expect_eq(bundle_index_chunk(reader, 99, &row, &e), 0, "the page in memory serves");
    cr_expect_eq(row.raw, 9900);
    bundle_index_close(reader);
}

Test(index, a_file_that_is_too_short_is_truncated) {
    struct bundle_packing packing;
    for (off_t len = 0; len < 4 * 4096; len += 1000) {
        struct err e = ERR_NONE;
        struct bundle_index_reader *reader = NULL;
        OWN(fd) int whole = make(&packing);
        cr_assert_eq(ftruncate(whole, len), 0);
        cr_expect_lt(bundle_index_open(whole, 0, &packing, &reader, &e), 0);
        cr_expect(err_is(&e, &err_truncated), "%lld: %s", (long long)len, e.text);
    }
}
