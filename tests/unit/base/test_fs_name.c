// SPDX-License-Identifier: Apache-2.0
//
// Names: that nothing is done outside, that replacing is in the right order, and what every failing
// call leaves behind.

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "tests/support/fs_fault.h"
#include "tests/support/fs_record.h"
#include "tests/support/tmp.h"

static const char *content(int dir, const char *path) {
    static char text[200];
    OWN(fd) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (len < 0)
        return "(none)";
    text[len] = '\0';
    return text;
}

static int count_entry(void *context, const char *name, mode_t type, struct err *e) {
    (void)name;
    (void)type;
    (void)e;
    ++*(size_t *)context;
    return 0;
}

static size_t entries(int dir) {
    size_t count = 0;
    struct err e = ERR_NONE;
    cr_assert_eq(fs_list(dir, ".", count_entry, &count, &e), 0, "%s", e.text);
    return count;
}

Test(fs_name, the_mode_of_a_new_directory_does_not_depend_on_the_umask) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    const mode_t umasks[] = {0, 022, 077, 0777};
    const mode_t modes[] = {0, 0700, 0755, 0555};
    struct err e = ERR_NONE;
    struct stat status;
    for (size_t i = 0; i < 4; i++) {
        umask(umasks[i]);
        for (size_t j = 0; j < 4; j++) {
            mode_t wanted = modes[j] ? modes[j] : 0700;
            cr_assert_eq(fs_mkdir(tmp.fd, "a", modes[j], &e), 0, "%s", e.text);
            cr_assert_eq(fs_stat(tmp.fd, "a", &status, &e), 0);
            cr_assert_eq(status.st_mode & 07777, wanted);
            cr_assert_eq(fs_make_dir(tmp.fd, "b", modes[j], &e), 0, "%s", e.text);
            cr_assert_eq(fs_stat(tmp.fd, "b", &status, &e), 0);
            cr_assert_eq(status.st_mode & 07777, wanted);
            cr_assert_eq(fs_remove_tree(tmp.fd, "a", &e), 0);
            cr_assert_eq(fs_remove_tree(tmp.fd, "b", &e), 0);
        }
    }
}

Test(fs_name, a_directory_that_is_there_is_kept_or_refused) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    cr_assert_eq(fs_mkdir(tmp.fd, "a", 0750, &e), 0);
    cr_assert_eq(fs_make_dir(tmp.fd, "a", 0700, &e), 0);
    struct stat status;
    cr_assert_eq(fs_stat(tmp.fd, "a", &status, &e), 0);
    cr_assert_eq(status.st_mode & 07777, 0750);
    cr_assert_eq(fs_mkdir(tmp.fd, "a", 0, &e), -1);
    cr_assert(err_is(&e, &err_exists));
    err_clear(&e);
    cr_assert_eq(fs_symlink("a", tmp.fd, "link", &e), 0);
    cr_assert_eq(fs_make_dir(tmp.fd, "link", 0, &e), -1);
    cr_assert(err_is(&e, &err_exists));
    err_clear(&e);
    char path[TMP_PATH_BYTES + 8];
    (void)snprintf(path, sizeof path, "%s/link", tmp.path);
    cr_assert_eq(fs_make_dir(AT_FDCWD, path, 0, &e), 0, "the operator may link: %s", e.text);
}

Test(fs_name, absence_is_an_outcome_and_a_link_is_not_followed) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct stat status;
    cr_assert_eq(fs_stat(tmp.fd, "none", &status, &e), FS_ABSENT);
    cr_assert_eq(fs_stat(tmp.fd, "none/deeper", &status, &e), FS_ABSENT);
    cr_assert_eq(fs_symlink("none", tmp.fd, "link", &e), 0);
    cr_assert_eq(fs_stat(tmp.fd, "link", &status, &e), 0);
    cr_assert(S_ISLNK(status.st_mode));
    cr_assert_eq(fs_stat(tmp.fd, "link/x", &status, &e), -1);
    err_clear(&e);
    cr_assert_eq(fs_remove(tmp.fd, "none", &e), 0);
    cr_assert_eq(fs_remove(tmp.fd, "none/deeper", &e), 0);
    cr_assert_eq(fs_set_link_time(tmp.fd, "link", 77, &e), 0);
    cr_assert_eq(fs_stat(tmp.fd, "link", &status, &e), 0);
    cr_assert_eq(status.st_mtim.tv_sec, 77);
}

Test(fs_name, a_links_target_is_read_whole_or_not_at_all) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    cr_assert_eq(fs_symlink("target", tmp.fd, "link", &e), 0);
    char target[8] = "unset";
    cr_assert_eq(fs_readlink(tmp.fd, "link", target, 6, &e), -1);
    cr_assert(err_is(&e, &err_limit));
    cr_assert_str_eq(target, "unset");
    err_clear(&e);
    cr_assert_eq(fs_readlink(tmp.fd, "link", target, 7, &e), 0);
    cr_assert_str_eq(target, "target");
    cr_assert_eq(fs_readlink(tmp.fd, "none", target, 7, &e), -1);
    cr_assert(err_is(&e, &err_not_found));
}

Test(fs_name, renaming_and_linking_stay_below_the_directory) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    cr_assert_eq(fs_mkdir(tmp.fd, "top", 0, &e), 0);
    cr_assert_eq(fs_replace(tmp.fd, "victim", "v", 1, 0, &e), 0);
    OWN(fd) int top = -1;
    cr_assert_eq(fs_open_dir(tmp.fd, "top", &top, &e), 0);
    cr_assert_eq(fs_replace(top, "a", "a", 1, 0, &e), 0, "%s", e.text);
    cr_assert_eq(fs_symlink("..", top, "up", &e), 0);
    const char *const outside[] = {"../victim", "up/victim", "/victim", ".."};
    for (size_t i = 0; i < 4; i++) {
        struct err refused = ERR_NONE;
        cr_assert_eq(fs_rename(top, "a", outside[i], &refused), -1, "%s", outside[i]);
        cr_assert_eq(fs_rename(top, outside[i], "b", &refused), -1);
        cr_assert_eq(fs_rename_new(top, "a", outside[i], &refused), -1);
        cr_assert_eq(fs_link(top, "a", top, outside[i], &refused), -1);
        cr_assert_eq(fs_symlink("x", top, outside[i], &refused), -1);
        cr_assert_eq(fs_mkdir(top, outside[i], 0, &refused), -1);
        cr_assert_eq(fs_remove(top, outside[i], &refused), -1);
        cr_assert_eq(fs_remove_tree(top, outside[i], &refused), -1);
        cr_assert_eq(fs_replace(top, outside[i], "x", 1, 0, &refused), -1);
        cr_assert_eq(fs_replace_link(top, outside[i], "x", &refused), -1);
    }
    cr_assert_str_eq(content(tmp.fd, "victim"), "v");
    cr_assert_str_eq(content(top, "a"), "a");
    cr_assert_eq(entries(top), 2);
    cr_assert_eq(entries(tmp.fd), 2);
}

Test(fs_name, rename_replaces_and_rename_new_does_not) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    cr_assert_eq(fs_replace(tmp.fd, "a", "a", 1, 0, &e), 0);
    cr_assert_eq(fs_replace(tmp.fd, "b", "b", 1, 0, &e), 0);
    cr_assert_eq(fs_rename_new(tmp.fd, "a", "b", &e), -1);
    cr_assert(err_is(&e, &err_exists));
    err_clear(&e);
    cr_assert_eq(fs_rename_new(tmp.fd, "a", "c", &e), 0);
    cr_assert_eq(fs_rename(tmp.fd, "c", "b", &e), 0);
    cr_assert_str_eq(content(tmp.fd, "b"), "a");
    cr_assert_eq(entries(tmp.fd), 1);
    cr_assert_eq(fs_link(tmp.fd, "b", tmp.fd, "d", &e), 0);
    cr_assert_str_eq(content(tmp.fd, "d"), "a");
}

Test(fs_name, replacing_syncs_the_file_before_and_the_directory_after_the_rename) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    umask(022);
    struct err e = ERR_NONE;
    cr_assert_eq(fs_mkdir(tmp.fd, "dir", 0, &e), 0);
    fs_record_begin(tmp.path);
    cr_assert_eq(fs_replace(tmp.fd, "dir/file", "new", 3, 0644, &e), 0, "%s", e.text);
    cr_assert_eq(fs_replace_link(tmp.fd, "current", "dir", &e), 0, "%s", e.text);
    fs_record_end();
    OWN(buf) struct buf protocol;
    buf_init(&protocol, 10000);
    fs_record_format(&protocol);
    fs_record_clear();
    cr_assert_str_eq(buf_text(&protocol), "openat dir/.file.tmp-*\n"
                                          "write dir/.file.tmp-*\n"
                                          "fsync dir/.file.tmp-*\n"
                                          "renameat dir/.file.tmp-* -> dir/file\n"
                                          "fsync dir\n"
                                          "symlinkat dir -> .current.tmp-*\n"
                                          "renameat .current.tmp-* -> current\n"
                                          "fsync .\n");
    struct stat status;
    cr_assert_eq(fs_stat(tmp.fd, "dir/file", &status, &e), 0);
    cr_assert_eq(status.st_mode & 07777, 0644);
    cr_assert_str_eq(content(tmp.fd, "current/file"), "new");
}

// Runs replace with the n-th call failing, for all n.
static size_t fail_everywhere(int dir, enum fs_fault_effect effect) {
    size_t n = 0;
    for (bool hit = true; hit; n++) {
        struct err e = ERR_NONE;
        cr_assert_eq(fs_replace(dir, "file", "old", 3, 0644, &e), 0, "%s", e.text);
        fs_fault_begin(&(struct fs_fault){.at = n, .effect = effect, .error = ENOSPC});
        int done = fs_replace(dir, "file", "new", 3, 0644, &e);
        hit = fs_fault_end(NULL);
        const char *now = content(dir, "file");
        cr_assert_eq(done, hit ? -1 : 0, "call %zu", n);
        if (done == 0)
            cr_assert_str_eq(now, "new");
        else
            cr_assert(strcmp(now, "old") == 0 || strcmp(now, "new") == 0, "call %zu: %s", n, now);
        if (done < 0)
            cr_assert(err_is(&e, &err_no_space), "call %zu: %s", n, e.text);
        if (done < 0 && effect == FS_FAULT_ERROR)
            cr_assert_eq(entries(dir), 1, "call %zu left its temporary", n);
    }
    return n;
}

Test(fs_name, replacing_fails_at_any_call_with_the_old_file_or_the_new_one) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    umask(077);
    cr_assert_gt(fail_everywhere(tmp.fd, FS_FAULT_ERROR), 7);
    cr_assert_gt(fail_everywhere(tmp.fd, FS_FAULT_AFTERWARDS), 7);
}

Test(fs_name, a_replacement_link_fails_at_any_call_with_the_old_link_or_the_new_one) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    bool hit = true;
    for (size_t n = 0; hit; n++) {
        struct err e = ERR_NONE;
        char target[8] = "";
        cr_assert_eq(fs_replace_link(tmp.fd, "current", "old", &e), 0);
        fs_fault_begin(&(struct fs_fault){.at = n, .error = EIO});
        int done = fs_replace_link(tmp.fd, "current", "new", &e);
        hit = fs_fault_end(NULL);
        cr_assert_eq(done, hit ? -1 : 0);
        struct err none = ERR_NONE;
        cr_assert_eq(fs_readlink(tmp.fd, "current", target, sizeof target, &none), 0);
        cr_assert(strcmp(target, "old") == 0 || strcmp(target, "new") == 0);
        cr_assert_eq(entries(tmp.fd), 1);
    }
}

Test(fs_name, killed_at_any_call_the_file_is_old_or_new_and_the_rest_is_recognized) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    int status = 0;
    for (size_t n = 0; n < 20; n++) {
        struct err e = ERR_NONE;
        cr_assert_eq(fs_replace(tmp.fd, "file", "old", 3, 0, &e), 0);
        pid_t child = fork();
        if (child == 0) {
            fs_fault_begin(&(struct fs_fault){.at = n, .effect = FS_FAULT_KILL});
            (void)fs_replace(tmp.fd, "file", "new", 3, 0, &e);
            _exit(0);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        const char *now = content(tmp.fd, "file");
        cr_assert(strcmp(now, "old") == 0 || strcmp(now, "new") == 0);
        if (WIFEXITED(status))
            break;
    }
    cr_assert(WIFEXITED(status));
    cr_assert_gt(entries(tmp.fd), 1, "at least one kill left a temporary");
}

static int require_temporary(void *context, const char *name, mode_t type, struct err *e) {
    (void)context;
    if (strcmp(name, "file") != 0 && !(S_ISREG(type) && fs_is_temporary(name)))
        return err_set(e, &err_io, "%s is not a temporary", name);
    return 0;
}

Test(fs_name, temporaries_are_told_from_other_files) {
    const char *const ours[] = {".a.tmp-0123456789abcdef", "..hidden.tmp-0123456789abcdef",
                                ".a.tmp-0123456789abcdef.tmp-0123456789abcdef"};
    const char *const others[] = {"",
                                  ".",
                                  "a",
                                  "a.tmp-0123456789abcdef",
                                  ".a.tmp-0123456789abcde",
                                  ".a.tmp-0123456789abcdef0",
                                  ".a.tmp-0123456789ABCDEF",
                                  ".a.tmp-",
                                  ".a.tmp_0123456789abcdef",
                                  ".tmp-0123456789abcde"};
    for (size_t i = 0; i < 3; i++)
        cr_assert(fs_is_temporary(ours[i]), "%s", ours[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert_not(fs_is_temporary(others[i]), "%s", others[i]);
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    char longest[NAME_MAX + 1];
    memset(longest, 'x', NAME_MAX);
    longest[NAME_MAX] = '\0';
    cr_assert_eq(fs_replace(tmp.fd, longest, "x", 1, 0, &e), 0, "%s", e.text);
    cr_assert_str_eq(content(tmp.fd, longest), "x");
    cr_assert_eq(fs_list(tmp.fd, ".", require_temporary, NULL, &e), -1);
    cr_assert_eq(fs_remove(tmp.fd, longest, &e), 0);
    pid_t child = fork();
    if (child == 0) {
        fs_fault_begin(
            &(struct fs_fault){.only = true, .call = FS_CALL_fsync, .effect = FS_FAULT_KILL});
        (void)fs_replace(tmp.fd, "file", "new", 3, 0, &e);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status));
    err_clear(&e);
    cr_assert_eq(fs_list(tmp.fd, ".", require_temporary, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(entries(tmp.fd), 1);
}

Test(fs_name, interrupted_calls_are_made_again) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    const enum fs_call calls[] = {FS_CALL_openat,    FS_CALL_write,   FS_CALL_renameat,
                                  FS_CALL_symlinkat, FS_CALL_mkdirat, FS_CALL_unlinkat,
                                  FS_CALL_linkat,    FS_CALL_fchmod,  FS_CALL_renameat_noreplace};
    umask(077);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        fs_fault_begin(&(struct fs_fault){
            .only = true, .call = calls[i], .effect = FS_FAULT_INTERRUPT, .for_ever = true});
        cr_assert_eq(fs_mkdir(tmp.fd, "dir", 0755, &e), 0, "%s", e.text);
        cr_assert_eq(fs_replace(tmp.fd, "dir/file", "x", 1, 0644, &e), 0, "%s", e.text);
        cr_assert_eq(fs_link(tmp.fd, "dir/file", tmp.fd, "dir/other", &e), 0, "%s", e.text);
        cr_assert_eq(fs_rename_new(tmp.fd, "dir/other", "dir/third", &e), 0, "%s", e.text);
        cr_assert_eq(fs_replace_link(tmp.fd, "dir/link", "file", &e), 0, "%s", e.text);
        cr_assert_eq(fs_remove_tree(tmp.fd, "dir", &e), 0, "%s", e.text);
        cr_assert(fs_fault_end(NULL));
        cr_assert_eq(entries(tmp.fd), 0);
    }
}
