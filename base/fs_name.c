// SPDX-License-Identifier: Apache-2.0
//
// Names: making, renaming, linking and removing them, and replacing what a name stands for so that
// a power cut leaves either the old or the new.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/fs_path.h"
#include "base/own.h"
#include "base/random.h"

// Ends a failed operation on one path.
static int failed(struct err *e, int error, const char *doing, const char *path) {
    char shown[FS_SHOWN_BYTES];
    return err_errno(e, error, "%s %s", doing, fs_path_show(path, shown));
}

int fs_readlink(int dir, const char *path, char *ret, size_t ret_bytes, struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    char target[FS_PATH_BYTES];
    ssize_t len = -1;
    if (fs_path_enter(dir, path, &place, &error) == 0) {
        len = FS_PATH_RETRY(readlinkat(place.dir, place.name, target, sizeof target));
        error = errno;
    }
    if (len < 0)
        return failed(e, error, "reading the link", path);
    if ((size_t)len >= ret_bytes || (size_t)len == sizeof target) {
        char shown[FS_SHOWN_BYTES];
        return err_set(e, &err_limit, "reading the link %s: its target has more than %zu bytes",
                       fs_path_show(path, shown), ret_bytes ? ret_bytes - 1 : 0);
    }
    memcpy(ret, target, (size_t)len);
    ret[len] = '\0';
    return 0;
}

int fs_stat(int dir, const char *path, struct stat *ret, struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    struct stat status;
    if (fs_path_enter(dir, path, &place, &error) == 0) {
        if (FS_PATH_RETRY(fstatat(place.dir, place.name, &status, AT_SYMLINK_NOFOLLOW)) == 0) {
            *ret = status;
            return 0;
        }
        error = errno;
    }
    return error == ENOENT ? FS_ABSENT : failed(e, error, "looking at", path);
}

int fs_set_link_time(int dir, const char *path, int64_t seconds, struct err *e) {
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    if (fs_path_enter(dir, path, &place, &error) == 0) {
        if (FS_PATH_RETRY(fs_path_ops()->utimensat_nofollow(place.dir, place.name, times)) == 0)
            return 0;
        error = errno;
    }
    return failed(e, error, "setting the time of", path);
}

// Brings a directory that was just made to exactly this mode. Returns 0 or an errno.
static int exact_dir_mode(const struct fs_place *place, mode_t mode) {
    struct stat status;
    if (fstatat(place->dir, place->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    if ((status.st_mode & 07777) == mode)
        return 0;
    // O_PATH, because a umask may have taken our own permission to open it.
    OWN(fd)
    int fd = FS_PATH_RETRY(
        openat(place->dir, place->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd < 0 || FS_PATH_RETRY(fs_path_ops()->fchmod(fd, mode)) < 0)
        return errno;
    return 0;
}

// Returns 0 or an errno; after a failure the directory is not there, unless it was there before.
static int make_dir_at(const struct fs_place *place, mode_t mode) {
    if (mode == 0)
        mode = 0700;
    if (FS_PATH_RETRY(fs_path_ops()->mkdirat(place->dir, place->name, mode)) < 0)
        return errno;
    int error = exact_dir_mode(place, mode);
    if (error)
        (void)fs_path_ops()->unlinkat(place->dir, place->name, AT_REMOVEDIR);
    return error;
}

int fs_mkdir(int dir, const char *path, mode_t mode, struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    if (fs_path_enter(dir, path, &place, &error) == 0)
        error = make_dir_at(&place, mode);
    return error ? failed(e, error, "making the directory", path) : 0;
}

int fs_make_dir(int dir, const char *path, mode_t mode, struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    if (fs_path_enter(dir, path, &place, &error) == 0)
        error = make_dir_at(&place, mode);
    if (error == EEXIST) {
        struct stat status;
        int follow = dir == AT_FDCWD ? 0 : AT_SYMLINK_NOFOLLOW;
        error = fstatat(place.dir, place.name, &status, follow) < 0 ? errno : 0;
        if (!error && !S_ISDIR(status.st_mode)) {
            char shown[FS_SHOWN_BYTES];
            return err_set(e, &err_exists, "making the directory %s: something else has that name",
                           fs_path_show(path, shown));
        }
    }
    return error ? failed(e, error, "making the directory", path) : 0;
}

static int rename_with(int (*rename_at)(int, const char *, int, const char *), int dir,
                       const char *from, const char *to, struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place from_place = FS_PLACE_NONE;
    OWN(fs_place) struct fs_place to_place = FS_PLACE_NONE;
    if (fs_path_enter(dir, from, &from_place, &error) == 0 &&
        fs_path_enter(dir, to, &to_place, &error) == 0) {
        if (FS_PATH_RETRY(
                rename_at(from_place.dir, from_place.name, to_place.dir, to_place.name)) == 0)
            return 0;
        error = errno;
    }
    char shown_from[FS_SHOWN_BYTES], shown_to[FS_SHOWN_BYTES];
    return err_errno(e, error, "renaming %s to %s", fs_path_show(from, shown_from),
                     fs_path_show(to, shown_to));
}

int fs_rename(int dir, const char *from, const char *to, struct err *e) {
    return rename_with(fs_path_ops()->renameat, dir, from, to, e);
}

int fs_rename_new(int dir, const char *from, const char *to, struct err *e) {
    return rename_with(fs_path_ops()->renameat_noreplace, dir, from, to, e);
}

int fs_symlink(const char *target, int dir, const char *path, struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    if (fs_path_enter(dir, path, &place, &error) == 0) {
        if (FS_PATH_RETRY(fs_path_ops()->symlinkat(target, place.dir, place.name)) == 0)
            return 0;
        error = errno;
    }
    return failed(e, error, "making the link", path);
}

int fs_link(int from_dir, const char *from, int to_dir, const char *to, struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place from_place = FS_PLACE_NONE;
    OWN(fs_place) struct fs_place to_place = FS_PLACE_NONE;
    if (fs_path_enter(from_dir, from, &from_place, &error) == 0 &&
        fs_path_enter(to_dir, to, &to_place, &error) == 0) {
        if (FS_PATH_RETRY(fs_path_ops()->linkat(from_place.dir, from_place.name, to_place.dir,
                                                to_place.name)) == 0)
            return 0;
        error = errno;
    }
    char shown_from[FS_SHOWN_BYTES], shown_to[FS_SHOWN_BYTES];
    return err_errno(e, error, "linking %s to %s", fs_path_show(from, shown_from),
                     fs_path_show(to, shown_to));
}

int fs_clone(int to_fd, int from_fd, struct err *e) {
    if (FS_PATH_RETRY(fs_path_ops()->clone(to_fd, from_fd)) == 0)
        return 0;
    switch (errno) {
    case EOPNOTSUPP:
    case ENOTTY:
    case ENOSYS:
    case EXDEV:
    case EINVAL:
        return FS_NO_CLONE;
    default:
        return err_errno(e, errno, "cloning a file");
    }
}

int fs_remove(int dir, const char *path, struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    if (fs_path_enter(dir, path, &place, &error) == 0) {
        if (FS_PATH_RETRY(fs_path_ops()->unlinkat(place.dir, place.name, 0)) == 0)
            return 0;
        error = errno;
    }
    return error == ENOENT ? 0 : failed(e, error, "removing", path);
}

#define TEMPORARY_MARK   ".tmp-"
#define TEMPORARY_DIGITS 16

// ".NAME.tmp-0123456789abcdef"; a long name is cut, the digits keep it apart from others.
static void name_temporary(const char *name, char ret[static NAME_MAX + 1]) {
    enum { KEPT = NAME_MAX - 1 - (int)(sizeof TEMPORARY_MARK - 1) - TEMPORARY_DIGITS };
    uint64_t nonce;
    random_fill(&nonce, sizeof nonce);
    (void)snprintf(ret, NAME_MAX + 1, ".%.*s" TEMPORARY_MARK "%016llx", (int)KEPT, name,
                   (unsigned long long)nonce);
}

bool fs_is_temporary(const char *name) {
    size_t len = strlen(name);
    size_t tail = sizeof TEMPORARY_MARK - 1 + TEMPORARY_DIGITS;
    if (name[0] != '.' || len < 1 + tail)
        return false;
    const char *mark = name + len - tail;
    const char *digits = mark + sizeof TEMPORARY_MARK - 1;
    return strncmp(mark, TEMPORARY_MARK, sizeof TEMPORARY_MARK - 1) == 0 &&
           strspn(digits, "0123456789abcdef") == TEMPORARY_DIGITS;
}

// The directory of a path, open so that it can be synced, and the last component's name.
static int enter_to_sync(int dir, const char *path, int *ret_dir, char ret_name[NAME_MAX + 1],
                         struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    if (fs_path_enter(dir, path, &place, &error) < 0)
        return failed(e, error, "replacing", path);
    // A descriptor opened with O_PATH cannot be synced, so "." is opened in its place.
    if (fs_open_dir(place.dir, ".", ret_dir, e) < 0)
        return -1;
    memcpy(ret_name, place.name, sizeof place.name);
    return 0;
}

// Puts the temporary in the place of name and syncs the directory, or removes the temporary.
static int settle(int dir, const char *temporary, const char *name, struct err *e) {
    if (fs_rename(dir, temporary, name, e) < 0) {
        struct err ignored = ERR_NONE;
        (void)fs_remove(dir, temporary, &ignored);
        return -1;
    }
    return fs_sync(dir, e);
}

static int fill_and_sync(int fd, const void *data, size_t len, struct err *e) {
    if (fs_write(fd, data, len, e) < 0)
        return -1;
    return fs_sync(fd, e);
}

int fs_replace(int dir, const char *path, const void *data, size_t len, mode_t mode,
               struct err *e) {
    OWN(fd) int parent = -1;
    OWN(fd) int fd = -1;
    char name[NAME_MAX + 1], temporary[NAME_MAX + 1], shown[FS_SHOWN_BYTES];
    if (enter_to_sync(dir, path, &parent, name, e) < 0)
        return -1;
    name_temporary(name, temporary);
    if (fs_create(parent, temporary, mode, &fd, e) < 0)
        return err_prefix(e, "replacing %s", fs_path_show(path, shown));
    if (fill_and_sync(fd, data, len, e) < 0) {
        struct err ignored = ERR_NONE;
        (void)fs_remove(parent, temporary, &ignored);
        return err_prefix(e, "replacing %s", fs_path_show(path, shown));
    }
    if (settle(parent, temporary, name, e) < 0)
        return err_prefix(e, "replacing %s", fs_path_show(path, shown));
    return 0;
}

int fs_replace_link(int dir, const char *path, const char *target, struct err *e) {
    OWN(fd) int parent = -1;
    char name[NAME_MAX + 1], temporary[NAME_MAX + 1], shown[FS_SHOWN_BYTES];
    if (enter_to_sync(dir, path, &parent, name, e) < 0)
        return -1;
    name_temporary(name, temporary);
    if (fs_symlink(target, parent, temporary, e) < 0 || settle(parent, temporary, name, e) < 0)
        return err_prefix(e, "replacing the link %s", fs_path_show(path, shown));
    return 0;
}
