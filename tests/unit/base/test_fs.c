// SPDX-License-Identifier: Apache-2.0
//
// Files: what may be opened, that all is written or nothing claimed, and that barriers are called
// once.

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "tests/support/fs_fault.h"
#include "tests/support/tmp.h"

static void put(int dir, const char *path, const char *text) {
    struct err e = ERR_NONE;
    OWN(fd) int fd = -1;
    cr_assert_eq(fs_create(dir, path, 0, &fd, &e), 0, "%s", e.text);
    cr_assert_eq(fs_write(fd, text, strlen(text), &e), 0, "%s", e.text);
}

static void assert_content(int dir, const char *path, const char *text) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf b;
    buf_init(&b, 1000);
    cr_assert_eq(fs_read_file(dir, path, 1000, &b, &e), 0, "%s", e.text);
    cr_assert_str_eq(buf_text(&b), text);
}

static mode_t mode_of(int dir, const char *path) {
    struct err e = ERR_NONE;
    struct stat status;
    cr_assert_eq(fs_stat(dir, path, &status, &e), 0);
    return status.st_mode & 07777;
}

Test(fs, the_mode_of_a_new_file_does_not_depend_on_the_umask) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    const mode_t umasks[] = {0, 022, 077, 0777};
    const mode_t modes[] = {0600, 0644, 0755, 0400};
    struct err e = ERR_NONE;
    for (size_t i = 0; i < 4; i++) {
        umask(umasks[i]);
        for (size_t j = 0; j < 4; j++) {
            OWN(fd) int created = -1;
            OWN(fd) int opened = -1;
            OWN(fd) int appended = -1;
            cr_assert_eq(fs_create(tmp.fd, "created", modes[j], &created, &e), 0, "%s", e.text);
            cr_assert_eq(fs_open_write(tmp.fd, "opened", modes[j], &opened, &e), 0, "%s", e.text);
            cr_assert_eq(fs_open_append(tmp.fd, "added", modes[j], &appended, &e), 0);
            const char *names[] = {"created", "opened", "added"};
            for (size_t k = 0; k < 3; k++) {
                cr_assert_eq(mode_of(tmp.fd, names[k]), modes[j]);
                cr_assert_eq(fs_remove(tmp.fd, names[k], &e), 0);
            }
        }
        OWN(fd) int plain = -1;
        cr_assert_eq(fs_create(tmp.fd, "plain", 0, &plain, &e), 0);
        cr_assert_eq(mode_of(tmp.fd, "plain"), 0600);
        cr_assert_eq(fs_remove(tmp.fd, "plain", &e), 0);
    }
}

Test(fs, every_descriptor_is_closed_on_exec) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    int fds[5] = {-1, -1, -1, -1, -1};
    cr_assert_eq(fs_create(tmp.fd, "a", 0, &fds[0], &e), 0);
    cr_assert_eq(fs_open_read(tmp.fd, "a", &fds[1], &e), 0);
    cr_assert_eq(fs_open_write(tmp.fd, "a", 0, &fds[2], &e), 0);
    cr_assert_eq(fs_open_append(tmp.fd, "a", 0, &fds[3], &e), 0);
    cr_assert_eq(fs_open_dir(tmp.fd, ".", &fds[4], &e), 0);
    for (size_t i = 0; i < 5; i++) {
        cr_assert(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        close(fds[i]);
    }
}

Test(fs, a_created_file_must_be_new) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    put(tmp.fd, "a", "old");
    struct err e = ERR_NONE;
    int fd = -7;
    cr_assert_eq(fs_create(tmp.fd, "a", 0, &fd, &e), -1);
    cr_assert(err_is(&e, &err_exists));
    cr_assert_eq(fd, -7);
    assert_content(tmp.fd, "a", "old");
}

Test(fs, opening_for_writing_keeps_content_and_mode) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    put(tmp.fd, "a", "old");
    struct err e = ERR_NONE;
    OWN(fd) int fd = -1;
    cr_assert_eq(fs_open_write(tmp.fd, "a", 0755, &fd, &e), 0);
    cr_assert_eq(mode_of(tmp.fd, "a"), 0600);
    cr_assert_eq(fs_pwrite(fd, "O", 1, 0, &e), 0);
    OWN(fd) int appending = -1;
    cr_assert_eq(fs_open_append(tmp.fd, "a", 0, &appending, &e), 0);
    cr_assert_eq(fs_write(appending, "er", 2, &e), 0);
    assert_content(tmp.fd, "a", "Older");
}

Test(fs, a_path_that_was_given_is_opened_without_waiting_and_a_fifo_refused, .timeout = 1200) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    char path[TMP_PATH_BYTES + 16];
    OWN(buf) struct buf text;
    const char *const bad[] = {"fifo", "."};
    int fd = -7;
    struct err e = ERR_NONE;
    cr_assert_eq(mkfifoat(tmp.fd, "fifo", 0600), 0);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", tmp.path, bad[i]);
        cr_expect_eq(fs_open_read(AT_FDCWD, path, &fd, &e), -1);
        cr_expect(err_is(&e, &err_io), "%s", e.text);
        cr_expect_eq(fd, -7);
        err_clear(&e);
    }
    // What a shell's <(command) gives, and devices, are read as ever.
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    (void)close(ends[1]);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    buf_init(&text, 16);
    cr_expect_eq(fs_read_file(AT_FDCWD, path, 16, &text, &e), 0, "%s", e.text);
    cr_expect_str_eq(buf_text(&text), "x");
    (void)close(ends[0]);
    cr_expect_eq(fs_open_read(AT_FDCWD, "/dev/null", &fd, &e), 0, "%s", e.text);
    cr_expect_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    (void)close(fd);
}

Test(fs, below_a_directory_only_ordinary_files_are_opened) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    cr_assert_eq(mkfifoat(tmp.fd, "fifo", 0600), 0);
    cr_assert_eq(mkdirat(tmp.fd, "dir", 0700), 0);
    put(tmp.fd, "file", "x");
    cr_assert_eq(symlinkat("file", tmp.fd, "link"), 0);
    const char *names[] = {"fifo", "dir", "link"};
    for (size_t i = 0; i < 3; i++) {
        int fd = -7;
        struct err e = ERR_NONE;
        cr_assert_eq(fs_open_read(tmp.fd, names[i], &fd, &e), -1, "%s", names[i]);
        err_clear(&e);
        cr_assert_eq(fs_open_write(tmp.fd, names[i], 0, &fd, &e), -1, "%s", names[i]);
        err_clear(&e);
        cr_assert_eq(fs_open_append(tmp.fd, names[i], 0, &fd, &e), -1, "%s", names[i]);
        cr_assert_eq(fd, -7);
    }
    int fd = -7;
    struct err e = ERR_NONE;
    cr_assert_eq(fs_open_dir(tmp.fd, "file", &fd, &e), -1);
}

Test(fs, the_operators_paths_follow_links) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    put(tmp.fd, "file", "here");
    cr_assert_eq(symlinkat("file", tmp.fd, "link"), 0);
    char path[TMP_PATH_BYTES + 8];
    (void)snprintf(path, sizeof path, "%s/link", tmp.path);
    assert_content(AT_FDCWD, path, "here");
}

Test(fs, a_file_is_read_up_to_its_ceiling_and_not_further) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    put(tmp.fd, "a", "12345");
    put(tmp.fd, "empty", "");
    struct err e = ERR_NONE;
    OWN(buf) struct buf b;
    buf_init(&b, 100);
    cr_assert_eq(buf_add_text(&b, "before ", &e), 0);
    cr_assert_eq(fs_read_file(tmp.fd, "a", 5, &b, &e), 0);
    cr_assert_eq(fs_read_file(tmp.fd, "empty", 0, &b, &e), 0);
    cr_assert_str_eq(buf_text(&b), "before 12345");
    cr_assert_eq(fs_read_file(tmp.fd, "a", 4, &b, &e), -1);
    cr_assert(err_is(&e, &err_limit));
    cr_assert_str_eq(e.text, "reading a: more than 4 bytes");
    cr_assert_str_eq(buf_text(&b), "before 12345", "a failure leaves the buffer as it was");

    OWN(buf) struct buf narrow;
    buf_init(&narrow, 4);
    err_clear(&e);
    cr_assert_eq(fs_read_file(tmp.fd, "a", 100, &narrow, &e), -1);
    cr_assert(err_is(&e, &err_limit));
    cr_assert_eq(narrow.len, 0);
    err_clear(&e);
    cr_assert_eq(fs_read_file(tmp.fd, "none", 100, &narrow, &e), -1);
    cr_assert(err_is(&e, &err_not_found));
}

Test(fs, files_larger_than_one_step_are_read_whole) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    OWN(buf) struct buf in;
    OWN(buf) struct buf out;
    buf_init(&in, 200000);
    buf_init(&out, 200000);
    for (int i = 0; in.len < 100000; i++)
        cr_assert_eq(buf_add_format(&in, &e, "%d ", i), 0);
    OWN(fd) int fd = -1;
    cr_assert_eq(fs_create(tmp.fd, "a", 0, &fd, &e), 0);
    cr_assert_eq(fs_write(fd, in.data, in.len, &e), 0);
    cr_assert_eq(fs_read_file(tmp.fd, "a", in.len, &out, &e), 0);
    cr_assert_eq(out.len, in.len);
    cr_assert_eq(memcmp(in.data, out.data, in.len), 0);
    cr_assert_eq(fs_read_file(tmp.fd, "a", in.len - 1, &in, &e), -1);
    uint64_t size = 0;
    err_clear(&e);
    cr_assert_eq(fs_size(fd, &size, &e), 0);
    cr_assert_eq(size, out.len);
}

Test(fs, reading_stops_at_the_end) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    put(tmp.fd, "a", "12345");
    struct err e = ERR_NONE;
    OWN(fd) int fd = -1;
    cr_assert_eq(fs_open_read(tmp.fd, "a", &fd, &e), 0);
    char data[10];
    size_t len = 99;
    cr_assert_eq(fs_pread(fd, data, sizeof data, 2, &len, &e), 0);
    cr_assert_eq(len, 3);
    cr_assert_eq(memcmp(data, "345", 3), 0);
    cr_assert_eq(fs_pread(fd, data, sizeof data, 99, &len, &e), 0);
    cr_assert_eq(len, 0);
    cr_assert_eq(fs_read(fd, data, sizeof data, &len, &e), 0);
    cr_assert_eq(len, 5);
    cr_assert_eq(fs_read(fd, data, sizeof data, &len, &e), 0);
    cr_assert_eq(len, 0);
    cr_assert_eq(fs_pread(fd, data, 1, UINT64_MAX, &len, &e), -1);
    err_clear(&e);
    cr_assert_eq(fs_pread(fd, data, 1, INT64_MAX, &len, &e), -1);
}

Test(fs, offsets_that_do_not_fit_are_refused_before_the_call) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    OWN(fd) int fd = -1;
    cr_assert_eq(fs_create(tmp.fd, "a", 0, &fd, &e), 0);
    fs_fault_begin(&(struct fs_fault){.at = 99});
    cr_assert_eq(fs_pwrite(fd, "x", 1, INT64_MAX, &e), -1);
    err_clear(&e);
    cr_assert_eq(fs_zero(fd, 1, INT64_MAX, &e), -1);
    err_clear(&e);
    cr_assert_eq(fs_truncate(fd, UINT64_MAX, &e), -1);
    err_clear(&e);
    cr_assert_eq(fs_allocate(fd, UINT64_MAX, &e), -1);
    size_t calls = 99;
    cr_assert_not(fs_fault_end(&calls));
    cr_assert_eq(calls, 0);
}

Test(fs, short_and_interrupted_writes_are_continued) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    const enum fs_fault_effect effects[] = {FS_FAULT_SHORT, FS_FAULT_INTERRUPT};
    for (size_t i = 0; i < 2; i++) {
        struct err e = ERR_NONE;
        OWN(fd) int fd = -1;
        fs_fault_begin(&(struct fs_fault){.effect = effects[i], .for_ever = true});
        cr_assert_eq(fs_open_write(tmp.fd, "a", 0, &fd, &e), 0, "%s", e.text);
        cr_assert_eq(fs_write(fd, "0123456789", 10, &e), 0, "%s", e.text);
        cr_assert_eq(fs_pwrite(fd, "abcdef", 6, 2, &e), 0, "%s", e.text);
        cr_assert(fs_fault_end(NULL));
        assert_content(tmp.fd, "a", "01abcdef89");
    }
}

#define ZEROED_BYTES 20000

// Whether exactly these bytes of a file that held ones were made zeros.
static bool is_zeroed(int fd, uint64_t offset, uint64_t len) {
    uint8_t found[2 * ZEROED_BYTES];
    ssize_t got = pread(fd, found, sizeof found, 0);
    bool right = got == (ssize_t)(offset + len > ZEROED_BYTES ? offset + len : ZEROED_BYTES);
    for (ssize_t i = 0; right && i < got; i++)
        right = found[i] == !((uint64_t)i >= offset && (uint64_t)i < offset + len);
    return right;
}

Test(fs, zeros_are_the_same_noted_or_written) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    static const uint64_t places[][2] = {{0, 1},       {0, 4096},      {1, 4095},     {4095, 2},
                                         {4095, 4098}, {4097, 12287},  {8192, 8192},  {3, 16390},
                                         {0, 20000},   {12288, 7712},  {16384, 9000}, {19999, 1},
                                         {20000, 300}, {20480, 12288}, {5, 0}};
    const struct fs_fault faults[] = {
        {.at = SIZE_MAX},
        {.effect = FS_FAULT_INTERRUPT, .for_ever = true},
        {.effect = FS_FAULT_SHORT, .for_ever = true},
        {.for_ever = true, .only = true, .call = FS_CALL_zero, .error = EOPNOTSUPP},
        {.for_ever = true, .only = true, .call = FS_CALL_zero, .error = EINVAL},
        {.for_ever = true, .only = true, .call = FS_CALL_zero, .error = EPERM},
        {.for_ever = true, .only = true, .call = FS_CALL_zero, .error = EBUSY},
        {.for_ever = true, .only = true, .call = FS_CALL_zero, .error = ENOSPC}};
    uint8_t ones[ZEROED_BYTES];
    memset(ones, 1, sizeof ones);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        for (size_t j = 0; j < sizeof places / sizeof *places; j++) {
            struct err e = ERR_NONE;
            uint64_t from = places[j][0], len = places[j][1];
            OWN(fd) int fd = -1;
            cr_assert_eq(fs_open_write(tmp.fd, "a", 0600, &fd, &e), 0, "%s", e.text);
            cr_assert(ftruncate(fd, 0) == 0 && pwrite(fd, ones, sizeof ones, 0) == ZEROED_BYTES);
            fs_fault_begin(&faults[i]);
            int zeroed = fs_zero(fd, len, from, &e);
            (void)fs_fault_end(NULL);
            cr_expect(zeroed == 0 && (from > ZEROED_BYTES || is_zeroed(fd, from, len)),
                      "fault %zu, %ju of %ju: %s", i, (uintmax_t)len, (uintmax_t)from, e.text);
        }
}

Test(fs, zeros_that_cannot_be_had_are_an_error) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    const int errors[] = {EIO, ENOSPC, EBADF};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct err e = ERR_NONE;
        OWN(fd) int fd = -1;
        cr_assert_eq(fs_open_write(tmp.fd, "a", 0600, &fd, &e), 0, "%s", e.text);
        fs_fault_begin(&(struct fs_fault){.error = errors[i], .for_ever = true});
        cr_expect_eq(fs_zero(fd, 8192, 0, &e), -1);
        cr_expect(fs_fault_end(NULL));
        cr_expect_neq(e.kind, NULL);
    }
}

static off_t noted, longest;

static int note_only(int fd, off_t offset, off_t len) {
    cr_assert(fd == 0 && offset == 4096 + noted, "they go on where they ended");
    noted += len;
    longest = len > longest ? len : longest;
    return 0;
}

// In the middle of one call nobody can be killed.
Test(fs, many_zeros_are_noted_in_steps) {
    struct err e = ERR_NONE;
    struct fs_ops ops = fs_system;
    ops.zero = note_only;
    const struct fs_ops *before = fs_swap(&ops);
    int zeroed = fs_zero(0, (1 << 30) + 4096, 4096, &e);
    (void)fs_swap(before);
    cr_expect(zeroed == 0 && noted == (1 << 30) + 4096 && longest == 8 << 20, "%s", e.text);
}

static ssize_t write_nothing(int fd, const void *data, size_t len) {
    (void)fd;
    (void)data;
    (void)len;
    return 0;
}

Test(fs, a_write_that_makes_no_progress_fails_instead_of_turning_for_ever) {
    struct fs_ops ops = fs_system;
    ops.write = write_nothing;
    (void)fs_swap(&ops);
    struct err e = ERR_NONE;
    cr_assert_eq(fs_write(1, "x", 1, &e), -1);
    cr_assert(err_is(&e, &err_io));
    (void)fs_swap(&fs_system);
}

Test(fs, a_failed_barrier_is_not_called_again) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    int (*const barriers[])(int, struct err *) = {fs_sync, fs_sync_data, fs_sync_all};
    const int errors[] = {EIO, EINTR, ENOSPC};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            struct err e = ERR_NONE;
            fs_fault_begin(&(struct fs_fault){.at = 0, .error = errors[j]});
            cr_assert_eq(barriers[i](tmp.fd, &e), -1);
            size_t calls = 0;
            cr_assert(fs_fault_end(&calls));
            cr_assert_eq(calls, 1);
        }
        struct err e = ERR_NONE;
        cr_assert_eq(barriers[i](tmp.fd, &e), 0, "%s", e.text);
    }
}

Test(fs, reserving_space_keeps_the_size_and_is_not_required) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    OWN(fd) int fd = -1;
    cr_assert_eq(fs_create(tmp.fd, "a", 0, &fd, &e), 0);
    cr_assert_eq(fs_allocate(fd, 100000, &e), 0);
    cr_assert_eq(fs_allocate(fd, 0, &e), 0);
    uint64_t size = 1;
    cr_assert_eq(fs_size(fd, &size, &e), 0);
    cr_assert_eq(size, 0);
    struct stat status;
    cr_assert_eq(fstat(fd, &status), 0);
    cr_assert_geq(status.st_blocks * 512, 100000);
    fs_fault_begin(&(struct fs_fault){.error = EOPNOTSUPP});
    cr_assert_eq(fs_allocate(fd, 10, &e), 0);
    cr_assert(fs_fault_end(NULL));
    fs_fault_begin(&(struct fs_fault){.error = ENOSPC});
    cr_assert_eq(fs_allocate(fd, 10, &e), -1);
    cr_assert(fs_fault_end(NULL));
    cr_assert(err_is(&e, &err_no_space));
}

Test(fs, attributes_are_set_through_descriptors) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    OWN(fd) int fd = -1;
    cr_assert_eq(fs_create(tmp.fd, "a", 0, &fd, &e), 0);
    cr_assert_eq(fs_chmod(fd, 0555, &e), 0);
    cr_assert_eq(fs_chown(fd, getuid(), getgid(), &e), 0);
    cr_assert_eq(fs_truncate(fd, 12, &e), 0);
    cr_assert_eq(fs_set_time(fd, 1000000000, &e), 0);
    fs_drop_cache(fd);
    struct stat status;
    cr_assert_eq(fs_stat(tmp.fd, "a", &status, &e), 0);
    cr_assert_eq(status.st_mode & 07777, 0555);
    cr_assert_eq(status.st_size, 12);
    cr_assert_eq(status.st_mtim.tv_sec, 1000000000);
    uint64_t bytes = 0, inodes = 0;
    cr_assert_eq(fs_free(tmp.fd, &bytes, &inodes, &e), 0);
    cr_assert_gt(inodes, 0);
}

Test(fs, a_lock_is_held_by_one) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    int first = -1;
    OWN(fd) int second = -1;
    cr_assert_eq(fs_open_write(tmp.fd, "lock", 0, &first, &e), 0);
    cr_assert_eq(fs_open_write(tmp.fd, "lock", 0, &second, &e), 0);
    cr_assert_eq(fs_lock(first, &e), 0);
    cr_assert_eq(fs_lock(second, &e), FS_LOCKED);
    cr_assert_null(e.kind);
    close(first);
    cr_assert_eq(fs_lock(second, &e), 0);
    cr_assert_eq(fs_lock(-1, &e), -1);
}

Test(fs, cloning_shares_blocks_or_says_that_it_cannot) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    put(tmp.fd, "a", "content");
    struct err e = ERR_NONE;
    OWN(fd) int from = -1;
    OWN(fd) int to = -1;
    cr_assert_eq(fs_open_read(tmp.fd, "a", &from, &e), 0);
    cr_assert_eq(fs_create(tmp.fd, "b", 0, &to, &e), 0);
    int done = fs_clone(to, from, &e);
    cr_assert(done == 0 || done == FS_NO_CLONE, "%s", e.text);
    assert_content(tmp.fd, "b", done == 0 ? "content" : "");
    fs_fault_begin(&(struct fs_fault){.error = EIO});
    cr_assert_eq(fs_clone(to, from, &e), -1);
    cr_assert(fs_fault_end(NULL));
}

Test(fs, creating_fails_at_any_call_without_leaving_a_file) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    umask(077);
    size_t n = 0;
    for (bool hit = true; hit; n++) {
        struct err e = ERR_NONE;
        struct stat status;
        int fd = -1;
        fs_fault_begin(&(struct fs_fault){.at = n, .error = EROFS});
        int done = fs_create(tmp.fd, "a", 0644, &fd, &e);
        hit = fs_fault_end(NULL);
        cr_assert_eq(done, hit ? -1 : 0);
        if (hit) {
            cr_assert(err_is(&e, &err_read_only));
            cr_assert_eq(fd, -1);
            err_clear(&e);
            cr_assert_eq(fs_stat(tmp.fd, "a", &status, &e), FS_ABSENT);
        } else {
            close(fd);
        }
    }
    cr_assert_gt(n, 2, "creating and the mode each failed once");
}
