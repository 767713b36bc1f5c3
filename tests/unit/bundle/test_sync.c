// SPDX-License-Identifier: Apache-2.0
//
// A generation is made durable by as many barriers as it has files, or by one for all.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/seal/sync.h"
#include "tests/support/fs_record.h"
#include "tests/support/tmp.h"

static void put(const struct tmp_dir *tmp, const char *path) {
    OWN(fd) int fd = openat(tmp->fd, path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    cr_assert(fd >= 0 && write(fd, "x", 1) == 1, "%s", path);
}

// Two directories, a link, and so many files: entries in all.
static void fill(const struct tmp_dir *tmp, unsigned entries) {
    cr_assert_eq(mkdirat(tmp->fd, "app", 0755), 0);
    cr_assert_eq(mkdirat(tmp->fd, "app/inner", 0755), 0);
    cr_assert_eq(symlinkat("0", tmp->fd, "app/link"), 0);
    for (unsigned i = 0; i + 3 < entries; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "app/%s%u", i % 2 ? "inner/" : "", i);
        put(tmp, path);
    }
}

static size_t barriers(enum fs_call call, const char *path) {
    size_t n = 0;
    for (size_t i = 0; i < fs_record_count(); i++)
        n += fs_record_at(i)->call == call && (!path || strcmp(fs_record_at(i)->path, path) == 0);
    return n;
}

Test(sync, of_a_few_files_each_and_its_directories_are_synced_and_nothing_else_is) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    fill(&tmp, 6);
    fs_record_begin(tmp.path);
    cr_expect_eq(seal_sync(tmp.fd, &e), 0, "%s", e.text);
    fs_record_end();
    static const char *const paths[] = {".", "app", "app/inner", "app/0", "app/inner/1", "app/2"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        cr_expect_eq(barriers(FS_CALL_fsync, paths[i]), 1, "%s", paths[i]);
    cr_expect_eq(fs_record_count(), 6);
    fs_record_clear();
}

Test(sync, of_many_files_the_file_system_is_synced_at_once) {
    static const unsigned counts[] = {SEAL_SYNC_EACH_MAX, SEAL_SYNC_EACH_MAX + 1};
    for (size_t i = 0; i < 2; i++) {
        OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
        struct err e = ERR_NONE;
        fill(&tmp, counts[i]);
        fs_record_begin(tmp.path);
        cr_expect_eq(seal_sync(tmp.fd, &e), 0, "%s", e.text);
        fs_record_end();
        cr_expect_eq(barriers(FS_CALL_syncfs, NULL), i, "%u entries", counts[i]);
        cr_expect_eq(barriers(FS_CALL_fsync, NULL), i == 0 ? SEAL_SYNC_EACH_MAX : 0,
                     "all but the link, and the directory itself");
        fs_record_clear();
    }
}

Test(sync, a_barrier_that_fails_is_an_error) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    fill(&tmp, 6);
    for (size_t at = 0;; at++) {
        const struct fs_fault fault = {.at = at, .effect = FS_FAULT_ERROR, .error = 5};
        struct err e = ERR_NONE;
        fs_fault_begin(&fault);
        int r = seal_sync(tmp.fd, &e);
        if (!fs_fault_end(NULL)) {
            cr_expect_eq(r, 0, "%s", e.text);
            cr_expect_geq(at, 6);
            break;
        }
        cr_expect_lt(r, 0);
        cr_expect(err_is(&e, &err_io), "%s", e.text);
    }
}
