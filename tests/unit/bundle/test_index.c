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
    struct bundle_index_frame f = {.stored_bytes = 0x21222324, .raw_bytes = 0x31323334}, g;
    struct bundle_index_chunk c = {.bytes = 0x5153, .what = 0x61626364}, d;
    struct bundle_index_page p = {.at = {0x0102030405060708, 2, UINT64_MAX}}, q;
    uint8_t page[BUNDLE_INDEX_DIRECTORY_ROW_BYTES];
    uint8_t frame[BUNDLE_INDEX_FRAME_ROW_BYTES], chunk[BUNDLE_INDEX_CHUNK_ROW_BYTES];
    memset(f.digest.bytes, 0xaa, sizeof f.digest.bytes);
    memset(c.digest, 0xbb, sizeof c.digest);
    bundle_index_format_frame(&f, frame);
    bundle_index_parse_frame(frame, &g);
    cr_expect_eq(memcmp(&f, &g, sizeof f), 0);
    cr_expect_eq(frame[32], 0x24, "little-endian");
    bundle_index_format_chunk(&c, chunk);
    bundle_index_parse_chunk(chunk, &d);
    cr_expect_eq(d.bytes, c.bytes);
    cr_expect_eq(d.what, c.what);
    cr_expect_eq(chunk[10], 0x52, "one less than its bytes");
    memset(p.digest.bytes, 0xcc, sizeof p.digest.bytes);
    bundle_index_format_page(&p, page);
    bundle_index_parse_page(page, &q);
    cr_expect_eq(memcmp(&p, &q, sizeof p), 0);
    cr_expect_eq(memcmp(c.digest, d.digest, sizeof c.digest), 0);
}

Test(index, its_size_follows_from_the_counts_and_has_a_ceiling) {
    static const struct {
        uint64_t frames, chunks, head, bytes;
    } cases[] = {
        {0, 0, 4096, 4096},
        {1, 1, 2 * 4096, 4 * 4096},
        {102, 256, 2 * 4096, 4 * 4096},
        {103, 257, 2 * 4096, 6 * 4096},
        {102 * 36, 256 * 37, 2 * 4096, 75 * 4096},
        {102 * 36, 256 * 37 + 1, 3 * 4096, 77 * 4096},
    };
    uint64_t head = 0, bytes = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_NONE;
        cr_assert_eq(bundle_index_size(cases[i].frames, cases[i].chunks, &head, &bytes, &e), 0);
        cr_expect_eq(head, cases[i].head);
        cr_expect_eq(bytes, cases[i].bytes);
    }
    static const uint64_t huge[] = {UINT32_MAX - 1ULL, UINT64_MAX};
    for (size_t i = 0; i < 2; i++) {
        struct err e = ERR_NONE;
        cr_expect_lt(bundle_index_size(1, huge[i], &head, &bytes, &e), 0);
        cr_expect(err_is(&e, &err_limit));
        err_clear(&e);
        cr_expect_lt(bundle_index_size(huge[i], 1, &head, &bytes, &e), 0);
    }
}

// The counts that an index of the largest size has room for; it would be as large as that, so it is not made.
#define MOST_PAGES  (BUNDLE_INDEX_MAX_BYTES / BUNDLE_INDEX_PAGE_BYTES)
#define MOST_OF_ALL (MOST_PAGES - 1 - (MOST_PAGES - 1) / (BUNDLE_INDEX_PAGES_PER_PAGE + 1) - 1)

static bool has_size(uint64_t frames, uint64_t chunks, uint64_t *ret_bytes) {
    struct err e = ERR_NONE;
    uint64_t head = 0;
    bool has = bundle_index_size(frames, chunks, &head, ret_bytes, &e) == 0;
    cr_expect(has || err_is(&e, &err_limit), "%s", e.text);
    return has;
}

Test(index, as_many_chunks_as_its_ceiling_has_room_for_and_no_more) {
    enum { CHUNKS_OF = BUNDLE_INDEX_CHUNKS_PER_PAGE, FRAMES_OF = BUNDLE_INDEX_FRAMES_PER_PAGE };
    const uint64_t most = (MOST_OF_ALL - 1) * CHUNKS_OF; // beside one page of frames
    uint64_t bytes = 0;
    cr_expect(has_size(1, most, &bytes));
    cr_expect_eq(bytes, BUNDLE_INDEX_MAX_BYTES);
    cr_expect(has_size(FRAMES_OF, most - 1, &bytes));
    cr_expect_not(has_size(1, most + 1, &bytes), "one more");
    cr_expect_not(has_size(FRAMES_OF + 1, most, &bytes), "or a frame more");
    cr_expect(has_size(FRAMES_OF + 1, most - CHUNKS_OF, &bytes));
    cr_expect_eq(bytes, BUNDLE_INDEX_MAX_BYTES);
    cr_expect_lt(most, BUNDLE_INDEX_CHUNKS_MAX);
    cr_expect_not(has_size(1, BUNDLE_INDEX_CHUNKS_MAX, &bytes));
    cr_expect_not(has_size(1, 1ULL << 32, &bytes));
}

Test(index, a_header_has_one_form) {
    const struct bundle_index_header h = {.n_frames = 1,
                                          .n_chunks = 2,
                                          .raw_bytes = 3,
                                          .stream_bytes = 4,
                                          .data_bytes = 3,
                                          .trees_end = 1,
                                          .fresh_start = 2};
    uint8_t page[BUNDLE_INDEX_PAGE_BYTES];
    struct bundle_index_header read;
    struct err e = ERR_NONE;
    bundle_index_format_header(&h, page);
    cr_assert_eq(bundle_index_parse_header(page, &read, &e), 0);
    cr_expect_eq(memcmp(&h, &read, sizeof h), 0);
    for (size_t i = 0; i < sizeof page; i++) {
        if (i >= 16 && i < 72)
            continue; // the counts
        page[i] ^= 1;
        err_clear(&e);
        cr_expect_lt(bundle_index_parse_header(page, &read, &e), 0, "byte %zu", i);
        cr_expect(err_is(&e, &err_bad_index));
        page[i] ^= 1;
    }
}

#define CHUNKS 600 // of 100 bytes: three pages; the last one in each page is fresh
#define FRAMES 3   // trees, known, fresh
#define PAGES  (2 + 1 + 3)

static bool is_fresh(uint64_t chunk) {
    return chunk % BUNDLE_INDEX_CHUNKS_PER_PAGE == 200;
}

// An index in a memory file.
static int make(struct bundle_packing *ret) {
    uint8_t pages[PAGES][BUNDLE_INDEX_PAGE_BYTES];
    const struct bundle_index_header h = {.n_frames = FRAMES,
                                          .n_chunks = CHUNKS,
                                          .raw_bytes = 60000,
                                          .stream_bytes = 60000,
                                          .data_bytes = 60000,
                                          .trees_end = 1000,
                                          .fresh_start = 59800};
    static const uint32_t bytes[FRAMES] = {1000, 58800, 200};
    struct bundle_index_page rows[PAGES - 2] = {{.at = {0}}, {.at = {0, 0, 59800}}};
    memset(pages, 0, sizeof pages);
    bundle_index_format_header(&h, pages[0]);
    for (size_t i = 0; i < FRAMES; i++) {
        const struct bundle_index_frame f = {.stored_bytes = bytes[i], .raw_bytes = bytes[i]};
        bundle_index_format_frame(&f, pages[2] + i * BUNDLE_INDEX_FRAME_ROW_BYTES);
    }
    for (uint64_t i = 0; i < CHUNKS; i++) {
        const struct bundle_index_chunk c = {.bytes = 100, .what = is_fresh(i)};
        struct bundle_index_page *row = &rows[1 + i / BUNDLE_INDEX_CHUNKS_PER_PAGE];
        if (i > 0 && i % BUNDLE_INDEX_CHUNKS_PER_PAGE == 0) {
            // 255 known ones and a fresh one in each page before.
            uint64_t before = i / BUNDLE_INDEX_CHUNKS_PER_PAGE;
            row->at[0] = 100 * i;
            row->at[1] = 100 * (i - before);
            row->at[2] = 59800 + 100 * before;
        }
        bundle_index_format_chunk(&c, pages[3 + i / BUNDLE_INDEX_CHUNKS_PER_PAGE] +
                                          i % BUNDLE_INDEX_CHUNKS_PER_PAGE *
                                              BUNDLE_INDEX_CHUNK_ROW_BYTES);
    }
    for (size_t i = 0; i < PAGES - 2; i++) {
        keys_digest_of(pages[2 + i], sizeof pages[0], &rows[i].digest);
        bundle_index_format_page(&rows[i], pages[1] + i * BUNDLE_INDEX_DIRECTORY_ROW_BYTES);
    }
    *ret = (struct bundle_packing){.data_bytes = 60000,
                                   .frame_bytes = 65536,
                                   .index_bytes = sizeof pages,
                                   .index_head_bytes = 2 * sizeof pages[0]};
    keys_digest_of(pages, 2 * sizeof pages[0], &ret->index_digest);
    int fd = memfd_create("index", MFD_CLOEXEC);
    cr_assert_eq(write(fd, pages, sizeof pages), (ssize_t)sizeof pages);
    return fd;
}

// All rows, as one who reads everything takes them.
static int read_rows(struct bundle_index_reader *reader, struct err *e) {
    struct bundle_index_frame f;
    struct bundle_index_chunk c;
    uint64_t raw = 0, stream = 0, at[2] = {0, 59800};
    for (uint64_t i = 0; i < FRAMES; i++) {
        if (bundle_index_frame(reader, i, &f, e) < 0)
            return -1;
        cr_assert_eq(f.raw, raw);
        cr_assert_eq(f.offset, raw);
        raw += f.raw_bytes;
    }
    for (uint64_t i = 0; i < CHUNKS; i++) {
        if (bundle_index_chunk(reader, i, &c, e) < 0)
            return -1;
        cr_assert_eq(c.stream, stream);
        cr_assert_eq(c.raw, at[c.what]);
        cr_assert_eq(c.what, is_fresh(i));
        stream += c.bytes;
        at[c.what] += c.bytes;
    }
    cr_assert_eq(raw, 60000);
    cr_assert_eq(stream, 60000);
    return 0;
}

static int open_and_read(int fd, const struct bundle_packing *packing, struct err *e) {
    const struct bundle_index_file file = {.fd = fd};
    struct bundle_index_reader *reader = NULL;
    if (bundle_index_open(&file, packing, &reader, e) < 0)
        return -1;
    int r = read_rows(reader, e);
    bundle_index_close(reader);
    return r;
}

Test(index, rows_have_the_places_that_they_leave_out) {
    struct err e = ERR_NONE;
    struct bundle_packing packing;
    OWN(fd) int fd = make(&packing);
    cr_expect_eq(open_and_read(fd, &packing, &e), 0, "%s", e.text);
}

// Pages that are put into the file when they are wanted.
struct pages {
    int whole, fd;
    unsigned wanted[PAGES];
};

static int want(void *context, uint64_t page, struct err *e) {
    struct pages *p = context;
    uint8_t bytes[BUNDLE_INDEX_PAGE_BYTES];
    off_t at = (off_t)((2 + page) * sizeof bytes);
    p->wanted[page]++;
    if (page == 1)
        return err_set(e, &err_io, "the line is down");
    cr_assert_eq(pread(p->whole, bytes, sizeof bytes, at), (ssize_t)sizeof bytes);
    cr_assert_eq(pwrite(p->fd, bytes, sizeof bytes, at), (ssize_t)sizeof bytes);
    return 0;
}

Test(index, only_the_pages_that_are_needed_are_wanted) {
    struct err e = ERR_NONE;
    struct bundle_packing packing;
    struct bundle_index_reader *reader = NULL;
    struct bundle_index_chunk c;
    uint64_t number = 0, page = 0, end[3];
    struct bundle_index_page row;
    OWN(fd) int whole = make(&packing);
    OWN(fd) int fd = memfd_create("part", MFD_CLOEXEC);
    struct pages pages = {.whole = whole, .fd = fd};
    const struct bundle_index_file file = {.fd = fd, .want = want, .context = &pages};
    uint8_t head[2 * BUNDLE_INDEX_PAGE_BYTES];
    cr_assert_eq(pread(whole, head, sizeof head, 0), (ssize_t)sizeof head);
    cr_assert_eq(write(fd, head, sizeof head), (ssize_t)sizeof head);
    cr_assert_eq(bundle_index_open(&file, &packing, &reader, &e), 0, "%s", e.text);
    cr_expect_eq(bundle_index_page_of_chunk(reader, 0), 1, "behind one page of frames");
    cr_expect_eq(bundle_index_pages(reader), 4);
    cr_expect_eq(bundle_index_page_of_stream(reader, 51199, &page, &e), 0);
    cr_expect_eq(page, 2);
    cr_expect_eq(bundle_index_page_of_stream(reader, 51200, &page, &e), 0);
    cr_expect_eq(page, 3);
    cr_expect_eq(bundle_index_page_of_raw(reader, 59999, &page, &e), 0);
    cr_expect_eq(page, 0);
    cr_expect_eq(bundle_index_page(reader, 2, &row, end, &e), 0);
    cr_expect(row.at[0] == 25600 && row.at[1] == 25500 && row.at[2] == 59900);
    cr_expect(end[0] == 51200 && end[1] == 51000 && end[2] == 60000);
    cr_expect_eq(bundle_index_page(reader, 3, &row, end, &e), 0);
    cr_expect(end[0] == 60000 && end[1] == 59800 && end[2] == 60000);
    for (size_t i = 0; i < PAGES; i++)
        cr_expect_eq(pages.wanted[i], 0, "the directory suffices");
    cr_expect_eq(bundle_index_find_chunk(reader, 51300, &number, &e), 0, "%s", e.text);
    cr_expect_eq(number, 513);
    cr_expect_eq(bundle_index_chunk(reader, 599, &c, &e), 0);
    cr_expect_eq(c.raw, 59700);
    cr_expect_eq(bundle_index_find_frame(reader, 59800, &number, &e), 0);
    cr_expect_eq(number, 2);
    cr_expect(pages.wanted[0] == 1 && pages.wanted[1] == 0 && pages.wanted[2] == 0 &&
              pages.wanted[3] == 1);
    cr_expect_lt(bundle_index_find_chunk(reader, 51301, &number, &e), 0);
    cr_expect(err_is(&e, &err_bad_index), "no chunk begins there: %s", e.text);
    err_clear(&e);
    cr_expect_lt(bundle_index_chunk(reader, 0, &c, &e), 0);
    cr_expect(err_is(&e, &err_io), "%s", e.text);
    bundle_index_close(reader);
}

Test(index, any_flipped_byte_is_noticed) {
    struct bundle_packing packing;
    OWN(fd) int fd = make(&packing);
    for (uint64_t i = 0; i < packing.index_bytes; i++) {
        struct err e = ERR_NONE;
        uint8_t byte = 0;
        cr_assert_eq(pread(fd, &byte, 1, (off_t)i), 1);
        byte ^= 0x10;
        cr_assert_eq(pwrite(fd, &byte, 1, (off_t)i), 1);
        cr_assert_lt(open_and_read(fd, &packing, &e), 0, "byte %llu", (unsigned long long)i);
        cr_assert(err_is(&e, &err_bad_index), "%s", e.text);
        byte ^= 0x10;
        cr_assert_eq(pwrite(fd, &byte, 1, (off_t)i), 1);
    }
}

// Gives the page that was changed, and the head, digests that fit, as a signer of lies would.
static void sign(int fd, struct bundle_packing *packing, size_t page) {
    uint8_t bytes[BUNDLE_INDEX_PAGE_BYTES], head[2 * BUNDLE_INDEX_PAGE_BYTES];
    struct keys_digest digest;
    cr_assert_eq(pread(fd, bytes, sizeof bytes, (off_t)((2 + page) * sizeof bytes)), 4096);
    cr_assert_eq(pread(fd, head, sizeof head, 0), (ssize_t)sizeof head);
    keys_digest_of(bytes, sizeof bytes, &digest);
    memcpy(head + 4096 + page * BUNDLE_INDEX_DIRECTORY_ROW_BYTES, digest.bytes, KEYS_DIGEST_BYTES);
    cr_assert_eq(pwrite(fd, head, sizeof head, 0), (ssize_t)sizeof head);
    keys_digest_of(head, sizeof head, &packing->index_digest);
}

static void put64(int fd, off_t at, uint64_t value) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    cr_assert_eq(pwrite(fd, bytes, 8, at), 8);
}

// What one page says must be what its row of the directory and the next one say.
Test(index, a_page_that_does_not_reach_the_next_one_is_a_bad_index) {
    enum { ROW = BUNDLE_INDEX_DIRECTORY_ROW_BYTES, CHUNK = 16 };
    static const struct {
        const char *what;
        off_t at; // of the file
        uint64_t value;
        size_t page; // to be signed again
    } lies[] = {
        {"a page that begins earlier in the stream", 4096 + 2 * ROW + 32, 25500, 1},
        {"a page that begins later in the stream", 4096 + 2 * ROW + 32, 25700, 1},
        {"a page that begins at the end of the stream", 4096 + 2 * ROW + 32, 60000, 1},
        {"a page that begins where the one before does", 4096 + 2 * ROW + 32, 0, 1},
        {"a page that begins earlier in known", 4096 + 2 * ROW + 40, 25400, 1},
        {"a page that begins behind known", 4096 + 2 * ROW + 40, 59900, 1},
        {"a page that begins earlier in fresh", 4096 + 2 * ROW + 48, 59800, 1},
        {"a page that begins before fresh", 4096 + 2 * ROW + 48, 59700, 1},
        {"a page that begins at 2^63", 4096 + 2 * ROW + 32, 1ULL << 63, 1},
        {"a padded directory", 4096 + 4 * ROW, 1, 1},
        {"a padded directory's end", 2 * 4096 - 8, 1ULL << 63, 1},
        {"rows of 100 bytes with one of 101", 3 * 4096 + 7 * CHUNK + 8, 100ULL << 16, 1},
        {"a chunk above the ceiling", 3 * 4096 + 7 * CHUNK + 8, 0xffffULL << 16, 1},
        {"a frame of one byte less", 2 * 4096 + 40 + 32, 58799ULL << 32 | 58799, 0},
        {"a padded page of frames", 2 * 4096 + 3 * 40, 1, 0},
        {"a padded page of chunks", 5 * 4096 + 88 * CHUNK, 1, 3},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct err e = ERR_NONE;
        struct bundle_packing packing;
        OWN(fd) int fd = make(&packing);
        put64(fd, lies[i].at, lies[i].value);
        sign(fd, &packing, lies[i].page);
        cr_expect_lt(open_and_read(fd, &packing, &e), 0, "%s", lies[i].what);
        cr_expect(err_is(&e, &err_bad_index), "%s: %s", lies[i].what, e.text);
    }
}

Test(index, a_page_that_changes_after_it_was_verified_is_not_read_again) {
    struct err e = ERR_NONE;
    struct bundle_packing packing;
    struct bundle_index_reader *reader = NULL;
    struct bundle_index_chunk row;
    OWN(fd) int fd = make(&packing);
    const struct bundle_index_file file = {.fd = fd};
    cr_assert_eq(bundle_index_open(&file, &packing, &reader, &e), 0, "%s", e.text);
    cr_expect_eq(bundle_index_chunk(reader, 0, &row, &e), 0, "%s", e.text);
    cr_expect_eq(pwrite(fd, "x", 1, 3 * 4096 + 20), 1);
    cr_expect_eq(bundle_index_chunk(reader, 99, &row, &e), 0, "the page in memory serves");
    cr_expect_eq(row.raw, 9900);
    cr_expect_eq(bundle_index_chunk(reader, 300, &row, &e), 0, "%s", e.text);
    cr_expect_lt(bundle_index_chunk(reader, 99, &row, &e), 0, "read again, it is another one");
    cr_expect(err_is(&e, &err_bad_index), "%s", e.text);
    bundle_index_close(reader);
}

Test(index, a_file_that_is_too_short_is_truncated) {
    struct bundle_packing packing;
    for (off_t len = 0; len < PAGES * 4096; len += 1000) {
        struct err e = ERR_NONE;
        OWN(fd) int whole = make(&packing);
        cr_assert_eq(ftruncate(whole, len), 0);
        cr_expect_lt(open_and_read(whole, &packing, &e), 0);
        cr_expect(err_is(&e, &err_truncated), "%lld: %s", (long long)len, e.text);
    }
}

// A head of one page, or of two, whose header says how many chunks there are; the manifest names it.
Test(index, a_header_of_more_chunks_than_the_manifest_has_room_for_is_a_bad_index) {
    static const uint64_t n_chunks[] = {
        CHUNKS + 168,            // as many as the pages have room for, which is then no end of them
        CHUNKS + 169,            // one more
        BUNDLE_INDEX_CHUNKS_MAX, // more than any index has
        (1ULL << 32) + CHUNKS,   // which in 32 bits were those
        (1ULL << 42) - 1,        // as many as there may be bytes
        (1ULL << 42) + 1,
        UINT64_MAX};
    for (size_t i = 0; i < sizeof n_chunks / sizeof *n_chunks; i++) {
        struct err e = ERR_NONE;
        struct bundle_packing packing;
        OWN(fd) int fd = make(&packing);
        put64(fd, 24, n_chunks[i]);
        put64(fd, 40, n_chunks[i] < 1ULL << 42 ? 1ULL << 42 : 60000); // bytes of the stream
        sign(fd, &packing, 1);
        cr_expect_lt(open_and_read(fd, &packing, &e), 0, "%zu", i);
        cr_expect(err_is(&e, &err_bad_index), "%zu: %s", i, e.text);
        cr_expect_eq(strstr(e.text, "the manifest's sizes prescribe") != NULL, i > 0 && i < 5,
                     "%zu: %s", i, e.text);
    }
}

#define LARGE_CHUNK 32768

// A frame of a tree, and one of `bytes` behind it that is known or fresh; all stored as they are.
static int make_large(uint32_t bytes, bool fresh, struct bundle_packing *ret) {
    enum { LARGE_PAGES = 4 };
    static uint8_t pages[LARGE_PAGES][BUNDLE_INDEX_PAGE_BYTES];
    const uint64_t n_chunks = 1 + (bytes + LARGE_CHUNK - 1) / LARGE_CHUNK, all = 1000ULL + bytes;
    const struct bundle_index_header h = {.n_frames = 2,
                                          .n_chunks = n_chunks,
                                          .raw_bytes = all,
                                          .stream_bytes = all,
                                          .data_bytes = all,
                                          .trees_end = 1000,
                                          .fresh_start = fresh ? 1000 : all};
    struct bundle_index_page rows[2] = {{.at = {0}}, {.at = {0, 0, fresh ? 1000 : all}}};
    memset(pages, 0, sizeof pages);
    bundle_index_format_header(&h, pages[0]);
    for (size_t i = 0; i < 2; i++) {
        const uint32_t size = i == 0 ? 1000 : bytes;
        const struct bundle_index_frame f = {.stored_bytes = size, .raw_bytes = size};
        bundle_index_format_frame(&f, pages[2] + i * BUNDLE_INDEX_FRAME_ROW_BYTES);
    }
    for (uint64_t i = 0; i < n_chunks; i++) {
        uint64_t left = bytes - (i == 0 ? 0 : (i - 1) * LARGE_CHUNK);
        struct bundle_index_chunk c = {.bytes = left < LARGE_CHUNK ? (uint32_t)left : LARGE_CHUNK,
                                       .what = fresh};
        if (i == 0)
            c = (struct bundle_index_chunk){.bytes = 1000};
        bundle_index_format_chunk(&c, pages[3] + i * BUNDLE_INDEX_CHUNK_ROW_BYTES);
    }
    for (size_t i = 0; i < 2; i++) {
        keys_digest_of(pages[2 + i], sizeof pages[0], &rows[i].digest);
        bundle_index_format_page(&rows[i], pages[1] + i * BUNDLE_INDEX_DIRECTORY_ROW_BYTES);
    }
    *ret = (struct bundle_packing){.data_bytes = all,
                                   .frame_bytes = BUNDLE_FRAME_MAX_BYTES,
                                   .index_bytes = sizeof pages,
                                   .index_head_bytes = 2 * sizeof pages[0]};
    keys_digest_of(pages, 2 * sizeof pages[0], &ret->index_digest);
    int fd = memfd_create("index", MFD_CLOEXEC);
    cr_assert(fd >= 0 && write(fd, pages, sizeof pages) == (ssize_t)sizeof pages);
    return fd;
}

static int read_large(int fd, const struct bundle_packing *packing, struct err *e) {
    const struct bundle_index_file file = {.fd = fd};
    struct bundle_index_reader *reader = NULL;
    struct bundle_index_frame f;
    struct bundle_index_chunk c;
    if (bundle_index_open(&file, packing, &reader, e) < 0)
        return -1;
    int r = bundle_index_frame(reader, 0, &f, e);
    if (r == 0)
        r = bundle_index_frame(reader, 1, &f, e);
    for (uint64_t i = 0; r == 0 && i < bundle_index_head(reader)->n_chunks; i++)
        r = bundle_index_chunk(reader, i, &c, e);
    bundle_index_close(reader);
    return r;
}

// Fresh frames are decoded into a buffer of their own, which is no larger than this.
Test(index, a_fresh_frame_has_a_lower_ceiling_than_a_known_one) {
    static const struct {
        uint32_t bytes;
        bool fresh, good;
    } cases[] = {
        {BUNDLE_FRAME_FRESH_BYTES - 1, true, true},  {BUNDLE_FRAME_FRESH_BYTES, true, true},
        {BUNDLE_FRAME_FRESH_BYTES + 1, true, false}, {BUNDLE_FRAME_MAX_BYTES, true, false},
        {BUNDLE_FRAME_MAX_BYTES, false, true},       {BUNDLE_FRAME_MAX_BYTES + 1, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bundle_packing packing;
        struct err e = ERR_NONE;
        OWN(fd) int fd = make_large(cases[i].bytes, cases[i].fresh, &packing);
        int r = read_large(fd, &packing, &e);
        cr_expect_eq(r == 0, cases[i].good, "%zu: %s", i, e.text);
        cr_expect(cases[i].good || err_is(&e, &err_bad_index), "%zu: %s", i, e.text);
    }
}
