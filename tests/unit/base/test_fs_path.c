// SPDX-License-Identifier: Apache-2.0
//
// Paths below a descriptor stay there; with openat2 and without it.

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs_path.h"
#include "base/own.h"
#include "tests/support/tmp.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

// top/ is the directory that must not be left; beside it lies a secret.
static int make_top(const struct tmp_dir *tmp) {
    close(openat(tmp->fd, "secret", O_CREAT | O_WRONLY, 0600));
    mkdirat(tmp->fd, "top", 0700);
    int top = openat(tmp->fd, "top", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mkdirat(top, "dir", 0700);
    mkdirat(top, "dir/sub", 0700);
    close(openat(top, "dir/sub/file", O_CREAT | O_WRONLY, 0600));
    cr_assert_eq(symlinkat("..", top, "up"), 0);
    cr_assert_eq(symlinkat("../secret", top, "out"), 0);
    cr_assert_eq(symlinkat("/", top, "slash"), 0);
    cr_assert_eq(symlinkat("dir", top, "inside"), 0);
    return top;
}

Test(fs_path, no_path_leaves_its_directory_or_follows_a_link) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int top = make_top(&tmp);
    const char *const bad[] = {
        "/etc/passwd",
        "../secret",
        "up/secret",
        "out",
        "slash/etc/passwd",
        "dir/../../secret",
        "dir/../dir/sub",
        "..",
        "dir/..",
        "inside/sub/file",
        "",
        "none/file",
        "dir/sub/file/x",
        "./../secret",
    };
    int (*const opens[])(int, const char *, int, mode_t) = {fs_path_open, fs_path_walk};
    for (size_t i = 0; i < COUNT(bad); i++) {
        for (size_t j = 0; j < 2; j++) {
            int fd = opens[j](top, bad[i], O_RDONLY | O_CLOEXEC, 0);
            cr_assert_eq(fd, -1, "%s was opened by way %zu", bad[i], j);
            cr_assert_neq(errno, 0);
        }
    }
}

Test(fs_path, ordinary_paths_are_opened_both_ways) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int top = make_top(&tmp);
    const char *const good[] = {"dir/sub/file",      "dir",     "dir/", ".",
                                "./dir//sub/./file", "dir/sub/"};
    int (*const opens[])(int, const char *, int, mode_t) = {fs_path_open, fs_path_walk};
    for (size_t i = 0; i < COUNT(good); i++) {
        struct stat status[2];
        for (size_t j = 0; j < 2; j++) {
            OWN(fd) int fd = opens[j](top, good[i], O_RDONLY | O_CLOEXEC, 0);
            cr_assert_geq(fd, 0, "%s was not opened by way %zu", good[i], j);
            cr_assert_eq(fstat(fd, &status[j]), 0);
        }
        cr_assert_eq(status[0].st_ino, status[1].st_ino);
    }
}

Test(fs_path, a_component_or_path_that_is_too_long_is_refused) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    char name[NAME_MAX + 2];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    cr_assert_eq(fs_path_walk(tmp.fd, name, O_RDONLY, 0), -1);
    cr_assert_eq(errno, ENAMETOOLONG);
    int error = 0;
    struct fs_place place = FS_PLACE_NONE;
    cr_assert_eq(fs_path_enter(tmp.fd, name, &place, &error), -1);
    cr_assert_eq(error, ENAMETOOLONG);
    cr_assert_eq(fs_path_enter(tmp.fd, name + 1, &place, &error), 0);
    cr_assert_eq(place.dir, tmp.fd);
    static char path[FS_PATH_BYTES + 1];
    for (size_t i = 0; i < sizeof path - 1; i++)
        path[i] = i % 2 ? '/' : 'x';
    cr_assert_eq(fs_path_enter(tmp.fd, path, &place, &error), -1);
    cr_assert_eq(error, ENAMETOOLONG);
}

Test(fs_path, the_last_component_is_split_off) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(fd) int top = make_top(&tmp);
    const struct {
        const char *path, *name;
        bool opened;
    } rows[] = {
        {"file", "file", false}, {"dir/new", "new", true},    {"dir/sub//new", "new", true},
        {"dir/", "dir", false},  {"dir/sub///", "sub", true}, {".", ".", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int error = 0;
        OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
        cr_assert_eq(fs_path_enter(top, rows[i].path, &place, &error), 0, "%s", rows[i].path);
        cr_assert_str_eq(place.name, rows[i].name);
        cr_assert_eq(place.opened >= 0, rows[i].opened);
    }
    const char *const bad[] = {"", "/", "/dir", "up/x", "inside/x", "..", "dir/..", "none/x"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        int error = 0;
        struct fs_place place = FS_PLACE_NONE;
        cr_assert_eq(fs_path_enter(top, bad[i], &place, &error), -1, "%s", bad[i]);
        cr_assert_neq(error, 0);
        cr_assert_eq(place.opened, -1);
    }
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    cr_assert_eq(fs_path_enter(AT_FDCWD, "/", &place, &error), 0);
    cr_assert_str_eq(place.name, ".");
}
