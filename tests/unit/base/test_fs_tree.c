// SPDX-License-Identifier: Apache-2.0
//
// Trees: deep, wide, locked, hostile, and failing at any call.

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/fs_fault.h"
#include "tests/support/tmp.h"

static void touch(int dir, const char *name) {
    int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0, "%s", strerror(errno));
    close(fd);
}

// name/d/d/d/…, a file in each.
static void make_deep(int dir, const char *name, size_t depth) {
    OWN(fd) int at = dup(dir);
    const char *next = name;
    for (size_t i = 0; i < depth; i++, next = "d") {
        cr_assert_eq(mkdirat(at, next, 0700), 0);
        int below = openat(at, next, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(below, 0);
        close(at);
        at = below;
        touch(at, "file");
    }
}

static void make_bushy(int dir, const char *name, unsigned depth) {
    cr_assert_eq(mkdirat(dir, name, 0700), 0);
    OWN(fd) int at = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    touch(at, "file");
    cr_assert_eq(symlinkat("..", at, "link"), 0);
    if (depth == 0)
        return;
    make_bushy(at, "left", depth - 1);
    make_bushy(at, "right", depth - 1);
}

static bool is_there(int dir, const char *name) {
    struct stat status;
    return fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

Test(fs_tree, a_tree_3000_deep_is_removed_with_few_descriptors) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    make_deep(tmp.fd, "deep", 3000);
    struct rlimit few;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &few), 0);
    few.rlim_cur = 64;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct err e = ERR_NONE;
    cr_assert_eq(fs_remove_tree(tmp.fd, "deep", &e), 0, "%s", e.text);
    cr_assert_not(is_there(tmp.fd, "deep"));
}

Test(fs_tree, a_tree_with_many_branches_below_the_held_levels_is_removed) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    make_bushy(tmp.fd, "bushy", 11); // 4095 directories, three levels deeper than streams are held
    struct err e = ERR_NONE;
    cr_assert_eq(fs_remove_tree(tmp.fd, "bushy", &e), 0, "%s", e.text);
    cr_assert_not(is_there(tmp.fd, "bushy"));
}

Test(fs_tree, a_wide_directory_is_removed) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    cr_assert_eq(mkdirat(tmp.fd, "wide", 0700), 0);
    OWN(fd) int wide = openat(tmp.fd, "wide", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 5000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", i);
        if (i % 3)
            touch(wide, name);
        else
            cr_assert_eq(mkdirat(wide, name, 0700), 0);
    }
    struct err e = ERR_NONE;
    cr_assert_eq(fs_remove_tree(tmp.fd, "wide", &e), 0, "%s", e.text);
    cr_assert_not(is_there(tmp.fd, "wide"));
}

Test(fs_tree, links_are_removed_and_not_followed) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    make_bushy(tmp.fd, "kept", 2);
    cr_assert_eq(mkdirat(tmp.fd, "gone", 0700), 0);
    cr_assert_eq(symlinkat("../kept", tmp.fd, "gone/link"), 0);
    cr_assert_eq(symlinkat("kept", tmp.fd, "top"), 0);
    struct err e = ERR_NONE;
    cr_assert_eq(fs_remove_tree(tmp.fd, "gone", &e), 0, "%s", e.text);
    cr_assert_eq(fs_remove_tree(tmp.fd, "top", &e), 0, "%s", e.text);
    cr_assert_not(is_there(tmp.fd, "gone"));
    cr_assert_not(is_there(tmp.fd, "top"));
    cr_assert(is_there(tmp.fd, "kept/left/left/file"));
}

Test(fs_tree, absence_and_single_files_are_fine) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    touch(tmp.fd, "file");
    struct err e = ERR_NONE;
    cr_assert_eq(fs_remove_tree(tmp.fd, "none", &e), 0);
    cr_assert_eq(fs_remove_tree(tmp.fd, "none/deeper", &e), 0);
    cr_assert_eq(fs_remove_tree(tmp.fd, "file", &e), 0);
    cr_assert_not(is_there(tmp.fd, "file"));
    cr_assert_eq(fs_remove_tree(tmp.fd, ".", &e), -1, "the directory itself is not below it");
}

// Root may do anything; what is tested here needs somebody who may not.
static void become_nobody(const struct tmp_dir *tmp) {
    if (geteuid() != 0)
        return;
    cr_assert_eq(fchown(tmp->fd, 65534, 65534), 0);
    cr_assert_eq(setgroups(0, NULL), 0);
    cr_assert_eq(setegid(65534), 0);
    cr_assert_eq(seteuid(65534), 0);
}

static void become_self_again(void) {
    if (getuid() == 0) {
        cr_assert_eq(seteuid(0), 0);
        cr_assert_eq(setegid(0), 0);
    }
}

Test(fs_tree, directories_that_deny_their_owner_are_opened_up) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    become_nobody(&tmp);
    const mode_t modes[] = {0555, 0500, 0300, 0000};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(mkdirat(tmp.fd, "a", 0700), 0);
        cr_assert_eq(mkdirat(tmp.fd, "a/b", 0700), 0);
        touch(tmp.fd, "a/file");
        touch(tmp.fd, "a/b/file");
        cr_assert_eq(fchmodat(tmp.fd, "a/b", modes[i], 0), 0);
        cr_assert_eq(fchmodat(tmp.fd, "a", modes[i], 0), 0);
        struct err e = ERR_NONE;
        cr_assert_eq(fs_remove_tree(tmp.fd, "a", &e), 0, "mode %o: %s", modes[i], e.text);
        cr_assert_not(is_there(tmp.fd, "a"));
    }
    become_self_again();
}

static char moved_to[TMP_PATH_BYTES + 32];
static char fence[TMP_PATH_BYTES];
static bool moved;

// The absolute path of an open directory.
static void path_of(int dir, char *ret, size_t ret_bytes) {
    char link[40];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t len = readlink(link, ret, ret_bytes - 1);
    ret[len < 0 ? 0 : len] = '\0';
}

// Moves a directory out of the tree as soon as the walk removes something inside it. Nothing
// outside the test's own directory can be removed through it: a walk that lost its way would
// otherwise empty the machine of whoever runs this test.
static int moving_unlinkat(int dir, const char *path, int flags) {
    char above[2 * TMP_PATH_BYTES];
    path_of(dir, above, sizeof above);
    size_t len = strlen(fence);
    if (len == 0 || strncmp(above, fence, len) != 0 || (above[len] && above[len] != '/'))
        abort();
    if (!moved && strcmp(path, "deepest") == 0) {
        moved = true;
        cr_assert_eq(renameat(AT_FDCWD, above, AT_FDCWD, moved_to), 0);
    }
    return fs_system.unlinkat(dir, path, flags);
}

// Nor may a mode be changed there.
static int refusing_fchmod(int fd, mode_t mode) {
    (void)fd;
    (void)mode;
    abort();
}

// The deepest of `depth` directories is moved while it is emptied.
static void move_away_at(int depth) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    make_deep(tmp.fd, "tree", (size_t)depth);
    OWN(fd) int at = openat(tmp.fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 1; i < depth; i++) {
        int below = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = below;
    }
    touch(at, "deepest");
    make_bushy(tmp.fd, "elsewhere", 2);
    (void)snprintf(fence, sizeof fence, "%s", tmp.path);
    (void)snprintf(moved_to, sizeof moved_to, "%s/elsewhere/moved", tmp.path);
    moved = false;
    struct fs_ops ops = fs_system;
    ops.unlinkat = moving_unlinkat;
    ops.fchmod = refusing_fchmod;
    (void)fs_swap(&ops);
    struct err e = ERR_NONE;
    int done = fs_remove_tree(tmp.fd, "tree", &e);
    (void)fs_swap(&fs_system);
    cr_assert(moved);
    cr_assert_eq(done, -1);
    cr_assert(is_there(tmp.fd, "elsewhere/left/left/file"), "what lies elsewhere stays");
    cr_assert(is_there(tmp.fd, "elsewhere/file"));
    cr_assert(is_there(tmp.fd, "elsewhere/moved"));
}

Test(fs_tree, a_directory_moved_away_meanwhile_does_not_lead_the_walk_elsewhere) {
    move_away_at(4);  // the directory above is still open
    move_away_at(20); // the directory above is found through ".."
}

Test(fs_tree, removing_fails_at_any_call_and_can_be_repeated) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    bool hit = true;
    size_t n = 0;
    for (; hit; n++) {
        struct err e = ERR_NONE;
        make_bushy(tmp.fd, "a", 2);
        make_deep(tmp.fd, "a/left/deep", 12);
        fs_fault_begin(&(struct fs_fault){.at = n, .error = EIO});
        int done = fs_remove_tree(tmp.fd, "a", &e);
        hit = fs_fault_end(NULL);
        cr_assert_eq(done, hit ? -1 : 0, "call %zu: %s", n, e.text);
        err_clear(&e);
        cr_assert_eq(fs_remove_tree(tmp.fd, "a", &e), 0, "%s", e.text);
        cr_assert_not(is_there(tmp.fd, "a"));
    }
    cr_assert_gt(n, 40);
}

Test(fs_tree, removing_without_memory_fails_and_can_be_repeated) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    bool hit = true;
    size_t n = 0;
    for (; hit; n++) {
        struct err e = ERR_NONE;
        make_bushy(tmp.fd, "a", 1);
        make_deep(tmp.fd, "a/left/deep", 20);
        alloc_fault_begin(n, false);
        int done = fs_remove_tree(tmp.fd, "a", &e);
        hit = alloc_fault_end();
        cr_assert_eq(done, hit ? -1 : 0, "allocation %zu", n);
        cr_assert(!hit || err_is(&e, &err_memory), "%s", e.text);
        err_clear(&e);
        cr_assert_eq(fs_remove_tree(tmp.fd, "a", &e), 0, "%s", e.text);
    }
    cr_assert_gt(n, 40);
}

struct seen {
    unsigned files, dirs, links, others;
};

static int see(void *context, const char *name, mode_t type, struct err *e) {
    struct seen *seen = context;
    if (strcmp(name, "stop") == 0)
        return err_set(e, &err_busy, "stopped");
    seen->files += S_ISREG(type);
    seen->dirs += S_ISDIR(type);
    seen->links += S_ISLNK(type);
    seen->others += S_ISFIFO(type);
    return 0;
}

Test(fs_tree, listing_names_each_entry_once_with_its_type) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    touch(tmp.fd, "file");
    touch(tmp.fd, ".hidden");
    cr_assert_eq(mkdirat(tmp.fd, "dir", 0700), 0);
    cr_assert_eq(symlinkat("none", tmp.fd, "link"), 0);
    cr_assert_eq(mkfifoat(tmp.fd, "fifo", 0600), 0);
    struct seen seen = {0};
    struct err e = ERR_NONE;
    cr_assert_eq(fs_list(tmp.fd, ".", see, &seen, &e), 0, "%s", e.text);
    cr_assert_eq(seen.files, 2);
    cr_assert_eq(seen.dirs, 1);
    cr_assert_eq(seen.links, 1);
    cr_assert_eq(seen.others, 1);
    touch(tmp.fd, "dir/stop");
    cr_assert_eq(fs_list(tmp.fd, "dir", see, &seen, &e), -1);
    cr_assert(err_is(&e, &err_busy), "the visitor's error comes back");
    err_clear(&e);
    cr_assert_eq(fs_list(tmp.fd, "link", see, &seen, &e), -1);
    err_clear(&e);
    cr_assert_eq(fs_list(tmp.fd, "none", see, &seen, &e), -1);
    cr_assert(err_is(&e, &err_not_found));
}
