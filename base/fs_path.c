// SPDX-License-Identifier: Apache-2.0
//
// Walking paths that must stay where they are. A hostile or broken tree may contain links that lead
// elsewhere; a directory descriptor is the authority, and nothing reached from it may lie outside.

#include "base/fs_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"
#include "base/text.h"

#define OPENAT2_RACES 16 // how often a rename elsewhere may make openat2 ask for another try

const char *fs_path_show(const char *path, char ret[static FS_SHOWN_BYTES]) {
    return text_safe(path, ret, FS_SHOWN_BYTES);
}

// The next component of *path and its length; *path moves behind it and the slashes that follow.
static const char *next_component(const char **path, size_t *ret_len) {
    const char *component = *path;
    size_t len = strcspn(component, "/");
    *path = component + len;
    *path += strspn(*path, "/");
    *ret_len = len;
    return component;
}

// Absolute paths and ".." are refused here, so that a kernel with openat2 and one without agree.
// Returns 0 or an errno.
static int check_beneath(const char *path) {
    if (path[0] == '/')
        return EXDEV;
    while (*path) {
        size_t len;
        const char *component = next_component(&path, &len);
        if (len == 2 && memcmp(component, "..", 2) == 0)
            return EXDEV;
    }
    return 0;
}

int fs_path_walk(int dir, const char *path, int flags, mode_t mode) {
    int error = *path ? check_beneath(path) : ENOENT;
    if (error) {
        errno = error;
        return -1;
    }
    OWN(fd) int at = -1;
    for (;;) {
        char name[NAME_MAX + 1];
        size_t len;
        const char *component = next_component(&path, &len);
        if (len > NAME_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, component, len);
        name[len] = '\0';
        int from = at >= 0 ? at : dir;
        if (!*path)
            return openat(from, name, flags | O_NOFOLLOW, mode);
        int next = openat(from, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -1;
        if (at >= 0)
            (void)close(at);
        at = next;
    }
}

int fs_path_open(int dir, const char *path, int flags, mode_t mode) {
    flags |= O_CLOEXEC;
    if (dir == AT_FDCWD)
        return openat(dir, path, flags, mode);
    int error = check_beneath(path);
    if (error) {
        errno = error;
        return -1;
    }
    struct open_how how = {
        .flags = (unsigned)flags,
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;
    for (int i = 0; i < OPENAT2_RACES; i++) {
        fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    // EPERM: seccomp filters of older container managers answer so for calls that they do not know.
    // The walk then meets the true reason, if there is one.
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return fs_path_walk(dir, path, flags, mode);
    return (int)fd;
}

// Splits path into what leads to the last component (ret_lead, "" when nothing) and the last
// component.
static int split(const char *path, char ret_lead[static FS_PATH_BYTES],
                 char ret_name[static NAME_MAX + 1]) {
    size_t len = strlen(path);
    if (len == 0)
        return ENOENT;
    if (len >= FS_PATH_BYTES)
        return ENAMETOOLONG;
    while (len > 1 && path[len - 1] == '/')
        len--;
    size_t name_at = len;
    while (name_at > 0 && path[name_at - 1] != '/')
        name_at--;
    size_t name_len = len - name_at;
    if (name_len > NAME_MAX)
        return ENAMETOOLONG;
    memcpy(ret_name, path + name_at, name_len);
    ret_name[name_len] = '\0';
    if (name_len == 0) { // "/"
        ret_name[0] = '.';
        ret_name[1] = '\0';
    }
    memcpy(ret_lead, path, name_at);
    ret_lead[name_at] = '\0';
    return 0;
}

int fs_path_enter(int dir, const char *path, struct fs_place *ret, int *ret_errno) {
    char lead[FS_PATH_BYTES];
    char name[NAME_MAX + 1];
    int error = split(path, lead, name);
    if (!error && dir != AT_FDCWD)
        error = check_beneath(path);
    if (error) {
        *ret_errno = error;
        return -1;
    }
    int opened = -1;
    if (lead[0]) {
        opened =
            FS_PATH_RETRY(fs_path_ops()->openat(dir, lead, O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
        if (opened < 0) {
            *ret_errno = errno;
            return -1;
        }
    }
    ret->dir = opened >= 0 ? opened : dir;
    ret->opened = opened;
    memcpy(ret->name, name, sizeof name);
    return 0;
}

void fs_path_leave(struct fs_place *place) {
    if (place->opened >= 0)
        (void)close(place->opened);
    place->opened = -1;
}
