// SPDX-License-Identifier: Apache-2.0
//
// The table of held chunks against a plain array: what was added is found where it was added first,
// nothing else is, however many there are and whatever the number that was expected.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/unpack/held.h"
#include "tests/support/fs_fault.h"
#include "tests/support/tmp.h"

static int open_scratch(const struct tmp_dir *tmp) {
    struct err e = ERR_NONE;
    int fd = -1;
    cr_assert_eq(fs_create(tmp->fd, "scratch", 0600, &fd, &e), 0, "%s", e.text);
    return fd;
}

// The n-th digest of a row: no two are the same in their first bytes.
static void digest_of(uint64_t n, struct keys_digest *ret) {
    keys_digest_of(&n, sizeof n, ret);
}

static struct unpack_held_place place_of(uint64_t n) {
    return (struct unpack_held_place){(uint32_t)(n % 16), n * 77, n * 8192};
}

static uint32_t bytes_of(uint64_t n) {
    return n % 5 == 0 ? BUNDLE_CHUNK_MAX_BYTES : (uint32_t)(n % 30000) + 1;
}

static void add(struct unpack_held *held, uint64_t n, uint64_t place) {
    struct err e = ERR_NONE;
    struct keys_digest digest;
    const struct unpack_held_place at = place_of(place);
    digest_of(n, &digest);
    cr_assert_eq(unpack_held_add(held, &digest, bytes_of(n), &at, &e), 0, "%s", e.text);
}

static void expect_found(struct unpack_held *held, uint64_t n) {
    struct err e = ERR_NONE;
    struct keys_digest digest;
    const struct unpack_held_place want = place_of(n);
    struct unpack_held_place found = {0};
    digest_of(n, &digest);
    cr_assert_eq(unpack_held_find(held, digest.bytes, bytes_of(n), &found, &e), 0, "row %lu: %s",
                 (unsigned long)n, e.text);
    cr_assert(found.component == want.component && found.tree_offset == want.tree_offset &&
              found.position == want.position);
    cr_assert_eq(unpack_held_find(held, digest.bytes, bytes_of(n) + 1, &found, &e),
                 UNPACK_HELD_NONE, "another length is another chunk");
}

static void try_table(uint64_t rows, uint64_t expected_bytes) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = open_scratch(&tmp);
    struct unpack_held *held = malloc(sizeof *held);
    cr_assert(held != NULL);
    unpack_held_init(held, fd, expected_bytes, 1);
    for (uint64_t n = 0; n < rows; n++) {
        add(held, n, n);
        add(held, n / 2, rows + n); // one that is there
    }
    cr_assert_eq(held->n, rows);
    for (uint64_t n = 0; n < rows; n++)
        expect_found(held, n);
    for (uint64_t n = rows; n < rows + 1000; n++) {
        struct err e = ERR_NONE;
        struct keys_digest digest;
        struct unpack_held_place found;
        digest_of(n, &digest);
        cr_assert_eq(unpack_held_find(held, digest.bytes, bytes_of(n), &found, &e),
                     UNPACK_HELD_NONE);
    }
    unpack_held_clear(held);
    free(held);
}

Test(held, what_was_added_is_found_where_it_was_added_first) {
    try_table(0, 0);
    try_table(1, 8192);
    try_table(20000, 20000UL * BUNDLE_CHUNK_AVG_BYTES);
}

Test(held, more_than_was_expected_is_found_too) {
    try_table(20000, 300UL * BUNDLE_CHUNK_AVG_BYTES);
    try_table(3 * UNPACK_HELD_PAGE_ROWS + 1, 0);
}

Test(held, less_than_was_expected_is_found_too) {
    try_table(100, 4096UL * BUNDLE_CHUNK_AVG_BYTES);
}

static uint8_t *make_content(size_t len) {
    uint8_t *data = malloc(len + 1);
    uint64_t state = 1;
    cr_assert(data != NULL);
    for (size_t i = 0; i < len; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        data[i] = (uint8_t)(state >> 56);
    }
    return data;
}

// Cuts a file and looks for the chunks of the same bytes in memory.
static void try_cut(size_t len, size_t named, uint64_t at) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = open_scratch(&tmp);
    OWN(fd) int content = -1;
    struct err e = ERR_NONE;
    struct unpack_held *held = malloc(sizeof *held);
    uint8_t *data = make_content(len);
    const struct unpack_held_place place = {3, 99, at};
    size_t chunks = 0, end = named < len ? named : len;
    cr_assert(held != NULL);
    cr_assert_eq(fs_create(tmp.fd, "content", 0600, &content, &e), 0);
    cr_assert_eq(fs_write(content, data, len, &e), 0);
    unpack_held_init(held, fd, len, 1);
    cr_assert_eq(unpack_held_cut(held, content, named, &place, &e), 0, "%s", e.text);
    for (size_t done = 0; done < end; chunks++) {
        struct unpack_held_place found = {0};
        struct keys_digest digest;
        size_t n = bundle_chunker_cut(&held->chunker, data + done, end - done);
        keys_digest_of(data + done, n, &digest);
        cr_assert_eq(unpack_held_find(held, digest.bytes, (uint32_t)n, &found, &e), 0,
                     "of %zu bytes, the chunk at %zu", len, done);
        cr_assert(found.component == 3 && found.tree_offset == 99 && found.position == at + done);
        done += n;
    }
    cr_assert_eq(held->n, chunks, "and no others");
    unpack_held_clear(held);
    free(held);
    free(data);
}

Test(held, a_file_is_cut_as_the_rule_says) {
    static const size_t lens[] = {0,
                                  1,
                                  BUNDLE_CHUNK_MIN_BYTES,
                                  BUNDLE_CHUNK_MAX_BYTES,
                                  BUNDLE_CHUNK_MAX_BYTES + 1,
                                  4 * BUNDLE_CHUNK_MAX_BYTES,
                                  4 * BUNDLE_CHUNK_MAX_BYTES + 1,
                                  3000000};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
        try_cut(lens[i], lens[i], 0);
}

Test(held, of_a_file_only_what_was_named_is_cut) {
    try_cut(1000000, 500000, 0);
}

Test(held, a_file_that_became_shorter_is_cut_to_its_end) {
    try_cut(300000, 1000000, 0);
}

Test(held, what_cannot_be_read_is_not_held) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = open_scratch(&tmp);
    struct err e = ERR_NONE;
    const struct unpack_held_place place = {0};
    struct unpack_held *held = malloc(sizeof *held);
    cr_assert(held != NULL);
    unpack_held_init(held, fd, 8, 1);
    // Reading a directory fails, as reading a broken place of a medium does.
    cr_assert_eq(unpack_held_cut(held, tmp.fd, 8, &place, &e), 0, "%s", e.text);
    cr_assert_eq(held->n, 0);
    unpack_held_clear(held);
    free(held);
}

Test(held, the_same_bytes_over_and_over_are_one_row) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = open_scratch(&tmp);
    OWN(fd) int zeros = -1;
    struct err e = ERR_NONE;
    const struct unpack_held_place place = {0};
    struct unpack_held *held = malloc(sizeof *held);
    cr_assert(held != NULL);
    cr_assert_eq(fs_create(tmp.fd, "zeros", 0600, &zeros, &e), 0);
    cr_assert_eq(fs_truncate(zeros, 1000UL * BUNDLE_CHUNK_MAX_BYTES, &e), 0);
    unpack_held_init(held, fd, 0, 1);
    cr_assert_eq(unpack_held_cut(held, zeros, 1000UL * BUNDLE_CHUNK_MAX_BYTES, &place, &e), 0);
    cr_assert_eq(held->n, 1);
    unpack_held_clear(held);
    free(held);
}

Test(held, a_write_that_fails_is_said_and_loses_nothing_that_was_there) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = open_scratch(&tmp);
    struct err e = ERR_NONE;
    struct keys_digest digest;
    struct unpack_held_place found = place_of(1);
    struct unpack_held *held = malloc(sizeof *held);
    cr_assert(held != NULL);
    unpack_held_init(held, fd, 0, 1);
    for (uint64_t n = 0; n < UNPACK_HELD_PAGE_ROWS; n++)
        add(held, n, n);
    digest_of(1000, &digest);
    fs_fault_begin(&(struct fs_fault){.error = ENOSPC});
    cr_expect_lt(unpack_held_add(held, &digest, 1, &found, &e), 0);
    cr_expect(fs_fault_end(NULL));
    cr_expect(err_is(&e, &err_no_space), "%s", e.text);
    for (uint64_t n = 0; n < UNPACK_HELD_PAGE_ROWS; n++)
        expect_found(held, n);
    unpack_held_clear(held);
    free(held);
}
