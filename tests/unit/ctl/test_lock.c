// SPDX-License-Identifier: Apache-2.0
//
// One at a time in a folder.
#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/lock.h"
#include "tests/support/tmp.h"

Test(lock, a_folder_is_held_until_its_descriptor_is_closed_and_nothing_is_left_in_it) {
    struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    OWN(fd) int other = -1;
    int held = -1;
    cr_assert_eq(ctl_lock_folder(dir.fd, ".", &held, &e), 0, "%s", e.text);
    cr_assert_eq(fs_open_dir(dir.fd, ".", &other, &e), 0);
    cr_assert_eq(fs_lock(other, &e), FS_LOCKED);
    own_drop_fd(&held);
    cr_assert_eq(fs_lock(other, &e), 0);
    own_drop_fd(&other);
    cr_assert_eq(rmdir(dir.path), 0, "something was left in it");
}

Test(lock, whoever_comes_second_waits_for_the_first) {
    struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    int held = -1, status = 0, said[2];
    char byte = 0;
    cr_assert_eq(pipe(said), 0);
    cr_assert_eq(ctl_lock_folder(dir.fd, ".", &held, &e), 0, "%s", e.text);
    pid_t child = fork();
    if (child == 0) {
        int mine = -1;
        own_drop_fd(&held); // one lock, shared over fork
        _exit(write(said[1], "", 1) == 1 && ctl_lock_folder(dir.fd, ".", &mine, &e) == 0 ? 0 : 1);
    }
    cr_assert_eq(read(said[0], &byte, 1), 1);
    cr_assert_eq(waitpid(child, &status, WNOHANG), 0, "it did not wait");
    own_drop_fd(&held);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", status);
    (void)close(said[0]);
    (void)close(said[1]);
    tmp_dir_remove(&dir);
}

Test(lock, a_folder_that_is_not_there_is_not_made) {
    struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    int held = -1;
    cr_assert_lt(ctl_lock_folder(dir.fd, "nothing", &held, &e), 0);
    cr_assert(err_is(&e, &err_not_found), "%s", e.text);
    cr_assert_eq(held, -1);
    tmp_dir_remove(&dir);
}
