// SPDX-License-Identifier: Apache-2.0
//
// Two who make a key of one name: what fails here removes nothing of theirs.
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "keys/kind.h"
#include "keys/sign/keyfile.h"
#include "tests/support/tmp.h"
#include "tests/unit/keys/keyring.h"

static int dir = -1;
static const char *theirs; // what somebody else puts there while a key is made here

static void somebody_comes(void) {
    if (!theirs)
        return;
    int fd = openat(dir, theirs, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "theirs", 6), 6);
    (void)close(fd);
    theirs = NULL;
}

static int sync_fails(int fd) {
    (void)fd;
    somebody_comes();
    errno = EIO;
    return -1;
}

static int rename_is_late(int from_dir, const char *from, int to_dir, const char *to) {
    somebody_comes();
    return fs_system.renameat_noreplace(from_dir, from, to_dir, to);
}

static void somebody_elses_stays(const struct fs_ops *ops, const char *path, const char *own,
                                 const struct err_kind *kind) {
    struct err e = ERR_NONE;
    struct keys_pub pub;
    OWN(buf) struct buf text;
    buf_init(&text, 64);
    theirs = path;
    (void)fs_swap(ops);
    int made = sign_keyfile_create(dir, "bob", NULL, &sign_keyfile_kdf_least, &pub, &e);
    (void)fs_swap(&fs_system);
    cr_assert_lt(made, 0);
    cr_expect_eq(e.kind, kind, "%s", e.text);
    err_clear(&e);
    cr_assert_eq(faccessat(dir, path, F_OK, 0), 0, "%s is gone", path);
    cr_assert_eq(fs_read_file(dir, path, 64, &text, &e), 0, "%s", e.text);
    cr_expect_str_eq(buf_text(&text), "theirs");
    cr_expect_eq(faccessat(dir, own, F_OK, 0), -1, "half a pair of our own stays: %s", own);
    cr_assert_eq(fs_remove(dir, path, &e), 0, "%s", e.text);
}

Test(keyfile_race, what_fails_removes_nothing_that_somebody_else_made) {
    OWN(tmp_dir) struct tmp_dir made = tmp_dir_make();
    struct err e = ERR_NONE;
    keyring_must(keys_secret_init(&e), &e);
    dir = made.fd;
    struct fs_ops fails = fs_system, late = fs_system;
    fails.fsync = sync_fails;
    late.renameat_noreplace = rename_is_late;
    somebody_elses_stays(&fails, "bob.key", "bob.pub", &err_io);
    somebody_elses_stays(&fails, "bob.pub", "bob.key", &err_io);
    somebody_elses_stays(&late, "bob.key", "bob.pub", &err_exists);
    somebody_elses_stays(&late, "bob.pub", "bob.key", &err_exists);
}
