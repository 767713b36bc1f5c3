// SPDX-License-Identifier: Apache-2.0
//
// Reading from the medium: the same bytes as otherwise, no further than asked, and not from memory.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/medium.h"
#include "base/own.h"
#include "tests/support/skip.h"
#include "tests/support/tmp.h"

#define FILE_BYTES (5 * MEDIUM_SLICE_BYTES + 4321)

static uint8_t byte_at(uint64_t offset) {
    return (uint8_t)(offset * 31 + offset / 251);
}

static int make(const struct tmp_dir *tmp, size_t bytes) {
    OWN(fd) int fd = openat(tmp->fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct err e = ERR_NONE;
    cr_assert_geq(fd, 0);
    for (size_t at = 0; at < bytes;) {
        uint8_t page[4096];
        size_t n = bytes - at < sizeof page ? bytes - at : sizeof page;
        for (size_t i = 0; i < n; i++)
            page[i] = byte_at(at + i);
        cr_assert_eq(fs_pwrite(fd, page, n, at, &e), 0, "%s", e.text);
        at += n;
    }
    cr_assert_eq(fs_sync_data(fd, &e), 0, "%s", e.text);
    int reads = openat(tmp->fd, "file", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(reads, 0);
    return reads;
}

static void open_with(struct medium *m, int fd, struct medium_spare *spare) {
    struct err e = ERR_NONE;
    int r = medium_open(m, fd, spare, &e);
    cr_assert_geq(r, 0, "%s", e.text);
    if (r == MEDIUM_NONE)
        skip_test("files here cannot be read past the cache");
}

static void open_it(struct medium *m, int fd) {
    open_with(m, fd, NULL);
}

// Reads up to `end`, to where it got before.
static uint64_t read_to(struct medium *m, uint64_t at, uint64_t end) {
    for (;;) {
        const uint8_t *bytes = NULL;
        size_t n = 0;
        struct err e = ERR_NONE;
        cr_assert_eq(medium_next(m, end, &bytes, &n, &e), 0, "%s", e.text);
        if (n == 0)
            return at;
        for (size_t i = 0; i < n; i++, at++)
            cr_assert_eq(bytes[i], byte_at(at), "at %llu", (unsigned long long)at);
        cr_assert_leq(at, end);
        if (at == end)
            return at;
    }
}

Test(medium, gives_the_bytes_of_the_file_up_to_where_it_may) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = make(&tmp, FILE_BYTES);
    struct medium m;
    open_it(&m, fd);
    uint64_t at = read_to(&m, 0, 4096);
    cr_expect_eq(at, 4096);
    at = read_to(&m, at, 3 * MEDIUM_SLICE_BYTES);
    cr_expect_eq(at, 3 * MEDIUM_SLICE_BYTES);
    cr_expect_eq(read_to(&m, at, FILE_BYTES), FILE_BYTES);
    medium_close(&m);
}

Test(medium, ends_where_the_file_does) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = make(&tmp, FILE_BYTES);
    struct medium m;
    open_it(&m, fd);
    cr_expect_eq(read_to(&m, 0, 100 * MEDIUM_SLICE_BYTES), FILE_BYTES);
    medium_close(&m);
}

// Whatever the kernel remembers of it.
Test(medium, reads_what_lies_there) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = make(&tmp, FILE_BYTES);
    struct medium m;
    struct rusage before, after;
    open_it(&m, fd);
    cr_assert_eq(getrusage(RUSAGE_SELF, &before), 0);
    (void)read_to(&m, 0, FILE_BYTES);
    medium_close(&m);
    cr_assert_eq(getrusage(RUSAGE_SELF, &after), 0);
    if (after.ru_inblock == 0 && before.ru_inblock == 0)
        skip_test("files here lie in memory");
    cr_expect_geq(after.ru_inblock - before.ru_inblock, (long)(FILE_BYTES / 512));
}

Test(medium, a_pipe_is_read_in_another_way) {
    int ends[2];
    struct medium m;
    struct err e = ERR_NONE;
    cr_assert_eq(pipe(ends), 0);
    cr_expect_eq(medium_open(&m, ends[0], NULL, &e), MEDIUM_NONE);
    cr_expect_eq(fcntl(ends[0], F_GETFL) & O_DIRECT, 0, "its flags are what they were");
    medium_close(&m);
    close(ends[0]);
    close(ends[1]);
}

// tmpfs takes the flag since Linux 6.6, as ext4 with data=journal always did: what it gives is what memory has.
Test(medium, a_file_that_is_read_through_the_cache_all_the_same_is_read_in_another_way) {
    static const uint8_t page[4096];
    OWN(fd) int memory = memfd_create("medium", MFD_CLOEXEC);
    char path[32];
    struct medium m;
    struct err e = ERR_NONE;
    cr_assert_eq(fs_pwrite(memory, page, sizeof page, 0, &e), 0, "%s", e.text);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    OWN(fd) int fd = open(path, O_RDONLY | O_CLOEXEC); // as a file of tmpfs is opened
    cr_assert_geq(fd, 0);
    cr_expect_eq(medium_open(&m, fd, NULL, &e), MEDIUM_NONE);
    cr_expect_eq(fcntl(fd, F_GETFL) & O_DIRECT, 0, "its flags are what they were");
    medium_close(&m);
}

// What is dirty in the cache when it is opened is no reason against it.
Test(medium, what_is_not_written_yet_is_read_past_the_cache) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = make(&tmp, FILE_BYTES);
    OWN(fd) int writes = openat(tmp.fd, "file", O_WRONLY | O_CLOEXEC);
    const uint8_t byte = byte_at(0);
    struct medium m;
    struct err e = ERR_NONE;
    open_it(&m, fd);
    medium_close(&m);
    cr_assert_eq(fcntl(fd, F_SETFL, O_RDONLY), 0);
    cr_assert_eq(fs_pwrite(writes, &byte, sizeof byte, 0, &e), 0, "%s", e.text);
    cr_assert_eq(medium_open(&m, fd, NULL, &e), 0, "%s", e.text);
    (void)read_to(&m, 0, FILE_BYTES);
    medium_close(&m);
}

// With reads under way, whose answers come between.
Test(medium, what_others_wrote_is_made_durable_while_it_is_read) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = make(&tmp, FILE_BYTES);
    OWN(fd) int writes = openat(tmp.fd, "file", O_WRONLY | O_CLOEXEC);
    static const uint8_t more[100000];
    struct medium m;
    struct err e = ERR_NONE;
    open_it(&m, fd);
    uint64_t at = read_to(&m, 0, MEDIUM_SLICE_BYTES);
    cr_assert_eq(fs_pwrite(writes, more, sizeof more, FILE_BYTES, &e), 0, "%s", e.text);
    if (!medium_sync_begin(&m))
        skip_test("this kernel cannot sync aside");
    cr_expect_not(medium_sync_begin(&m), "one at a time");
    at = read_to(&m, at, 3 * MEDIUM_SLICE_BYTES);
    cr_expect_eq(medium_sync_end(&m, true, &e), 0, "%s", e.text);
    cr_expect_eq(medium_sync_end(&m, true, &e), 0, "nothing is under way any more");
    cr_expect(medium_sync_begin(&m), "and again");
    cr_expect_eq(read_to(&m, at, FILE_BYTES), FILE_BYTES);
    medium_close(&m);
    cr_expect_not(medium_sync_begin(&m), "closed");
}

// What was under way when the first was closed is nobody's answer later.
Test(medium, a_queue_goes_from_one_to_the_next_with_nothing_in_it) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int fd = make(&tmp, FILE_BYTES);
    struct medium_spare spare = {.is_there = false};
    struct medium m;
    for (int i = 0; i < 3; i++) {
        open_with(&m, fd, &spare);
        cr_expect_not(spare.is_there, "it is in use");
        (void)read_to(&m, 0, i == 1 ? FILE_BYTES : MEDIUM_SLICE_BYTES);
        cr_assert(medium_sync_begin(&m) || i > 0);
        unsigned long queue = m.queue;
        medium_close(&m);
        cr_expect(spare.is_there && spare.queue == queue);
    }
    struct medium other;
    OWN(fd) int again = openat(tmp.fd, "file", O_RDONLY | O_CLOEXEC);
    open_with(&m, fd, &spare);
    open_with(&other, again, &spare);
    cr_expect_neq(m.queue, other.queue);
    medium_close(&m);
    medium_close(&other);
    cr_expect(spare.is_there);
    medium_spare_clear(&spare);
    medium_spare_clear(&spare);
    cr_expect_not(spare.is_there);
}
