// SPDX-License-Identifier: Apache-2.0
//
// The recorder. A descriptor's path is asked of /proc at the moment of the call.

#include "tests/support/fs_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

static struct fs_record *records;
static size_t count, capacity;
static char root[FS_RECORD_PATH_BYTES];
static const struct fs_ops *beneath = &fs_system;

static const char *const call_names[] = {
#define CALL_NAME(name) #name,
    FS_CALLS(CALL_NAME)};

static struct fs_record *add(enum fs_call call) {
    if (count == capacity) {
        capacity = capacity ? capacity * 2 : 64;
        records = realloc(records, capacity * sizeof *records);
        if (!records)
            abort();
    }
    records[count] = (struct fs_record){.call = call};
    return &records[count++];
}

// Cuts the root off an absolute path.
static void relative(const char *path, char ret[static FS_RECORD_PATH_BYTES]) {
    size_t len = strlen(root);
    const char *rest = path;
    if (strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0'))
        rest = path[len] ? path + len + 1 : ".";
    (void)snprintf(ret, FS_RECORD_PATH_BYTES, "%s", rest);
}

static void path_of_fd(int fd, char ret[static FS_RECORD_PATH_BYTES]) {
    char name[40], target[FS_RECORD_PATH_BYTES];
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t len = fd == AT_FDCWD ? readlink("/proc/self/cwd", target, sizeof target - 1)
                                 : readlink(name, target, sizeof target - 1);
    target[len < 0 ? 0 : len] = '\0';
    relative(target, ret);
}

static void path_of_name(int dir, const char *path, char ret[static FS_RECORD_PATH_BYTES]) {
    char above[FS_RECORD_PATH_BYTES];
    if (path[0] == '/') {
        relative(path, ret);
        return;
    }
    path_of_fd(dir, above);
    if (strcmp(above, ".") == 0)
        (void)snprintf(ret, FS_RECORD_PATH_BYTES, "%s", path);
    else if (snprintf(ret, FS_RECORD_PATH_BYTES, "%s/%s", above, path) >= FS_RECORD_PATH_BYTES)
        abort();
}

static ino_t inode_of(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static struct fs_record *add_fd(enum fs_call call, int fd) {
    struct fs_record *r = add(call);
    path_of_fd(fd, r->path);
    r->inode = inode_of(fd);
    return r;
}

static struct fs_record *add_name(enum fs_call call, int dir, const char *path) {
    struct fs_record *r = add(call);
    path_of_name(dir, path, r->path);
    return r;
}

static int ended(struct fs_record *r, int result) {
    r->error = result < 0 ? errno : 0;
    return result;
}

static int record_openat(int dir, const char *path, int flags, mode_t mode) {
    if (!(flags & (O_CREAT | O_TRUNC)))
        return beneath->openat(dir, path, flags, mode);
    struct fs_record *r = add_name(FS_CALL_openat, dir, path);
    r->mode = mode;
    int fd = ended(r, beneath->openat(dir, path, flags, mode));
    if (fd >= 0)
        r->inode = inode_of(fd);
    return fd;
}

static void keep_data(struct fs_record *r, const void *data, ssize_t put, uint64_t offset) {
    (void)ended(r, put < 0 ? -1 : 0);
    if (put <= 0)
        return;
    r->offset = offset;
    r->len = (uint64_t)put;
    r->data = malloc((size_t)put);
    if (!r->data)
        abort();
    memcpy(r->data, data, (size_t)put);
}

static ssize_t record_write(int fd, const void *data, size_t len) {
    struct fs_record *r = add_fd(FS_CALL_write, fd);
    ssize_t put = beneath->write(fd, data, len);
    // Behind the write, because an appending one chooses its own place.
    off_t end = put < 0 ? 0 : lseek(fd, 0, SEEK_CUR);
    keep_data(r, data, put, end < put ? 0 : (uint64_t)(end - put));
    return put;
}

static ssize_t record_pwrite(int fd, const void *data, size_t len, off_t offset) {
    struct fs_record *r = add_fd(FS_CALL_pwrite, fd);
    ssize_t put = beneath->pwrite(fd, data, len, offset);
    keep_data(r, data, put, (uint64_t)offset);
    return put;
}

static int record_ftruncate(int fd, off_t len) {
    struct fs_record *r = add_fd(FS_CALL_ftruncate, fd);
    r->len = (uint64_t)len;
    return ended(r, beneath->ftruncate(fd, len));
}

static int record_fallocate(int fd, off_t len) {
    struct fs_record *r = add_fd(FS_CALL_fallocate, fd);
    r->len = (uint64_t)len;
    return ended(r, beneath->fallocate(fd, len));
}

static int record_zero(int fd, off_t offset, off_t len) {
    struct fs_record *r = add_fd(FS_CALL_zero, fd);
    r->offset = (uint64_t)offset;
    r->len = (uint64_t)len;
    r->data = calloc(1, (size_t)len);
    if (!r->data)
        abort();
    return ended(r, beneath->zero(fd, offset, len));
}

static int record_fsync(int fd) {
    return ended(add_fd(FS_CALL_fsync, fd), beneath->fsync(fd));
}

static int record_fdatasync(int fd) {
    return ended(add_fd(FS_CALL_fdatasync, fd), beneath->fdatasync(fd));
}

static int record_syncfs(int fd) {
    return ended(add_fd(FS_CALL_syncfs, fd), beneath->syncfs(fd));
}

static struct fs_record *add_names(enum fs_call call, int from_dir, const char *from, int to_dir,
                                   const char *to) {
    struct fs_record *r = add_name(call, from_dir, from);
    path_of_name(to_dir, to, r->to);
    return r;
}

static int record_renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return ended(add_names(FS_CALL_renameat, from_dir, from, to_dir, to),
                 beneath->renameat(from_dir, from, to_dir, to));
}

static int record_renameat_noreplace(int from_dir, const char *from, int to_dir, const char *to) {
    return ended(add_names(FS_CALL_renameat_noreplace, from_dir, from, to_dir, to),
                 beneath->renameat_noreplace(from_dir, from, to_dir, to));
}

static int record_linkat(int from_dir, const char *from, int to_dir, const char *to) {
    return ended(add_names(FS_CALL_linkat, from_dir, from, to_dir, to),
                 beneath->linkat(from_dir, from, to_dir, to));
}

static int record_symlinkat(const char *target, int dir, const char *path) {
    struct fs_record *r = add(FS_CALL_symlinkat);
    (void)snprintf(r->path, sizeof r->path, "%s", target);
    path_of_name(dir, path, r->to);
    return ended(r, beneath->symlinkat(target, dir, path));
}

static int record_unlinkat(int dir, const char *path, int flags) {
    struct fs_record *r = add_name(FS_CALL_unlinkat, dir, path);
    r->mode = (unsigned)flags;
    return ended(r, beneath->unlinkat(dir, path, flags));
}

static int record_mkdirat(int dir, const char *path, mode_t mode) {
    struct fs_record *r = add_name(FS_CALL_mkdirat, dir, path);
    r->mode = mode;
    return ended(r, beneath->mkdirat(dir, path, mode));
}

static int record_fchmod(int fd, mode_t mode) {
    struct fs_record *r = add_fd(FS_CALL_fchmod, fd);
    r->mode = mode;
    return ended(r, beneath->fchmod(fd, mode));
}

static int record_futimens(int fd, const struct timespec times[2]) {
    return ended(add_fd(FS_CALL_futimens, fd), beneath->futimens(fd, times));
}

static int record_utimensat_nofollow(int dir, const char *path, const struct timespec times[2]) {
    return ended(add_name(FS_CALL_utimensat_nofollow, dir, path),
                 beneath->utimensat_nofollow(dir, path, times));
}

static int record_clone(int to_fd, int from_fd) {
    struct fs_record *r = add_fd(FS_CALL_clone, to_fd);
    path_of_fd(from_fd, r->to);
    return ended(r, beneath->clone(to_fd, from_fd));
}

static int record_fchown(int fd, uid_t uid, gid_t gid) {
    return ended(add_fd(FS_CALL_fchown, fd), beneath->fchown(fd, uid, gid));
}

#define RECORD_ROW(name) .name = record_##name,
static const struct fs_ops record_ops = {FS_CALLS(RECORD_ROW)};

void fs_record_begin(const char *absolute_root) {
    fs_record_clear();
    (void)snprintf(root, sizeof root, "%s", absolute_root);
    const struct fs_ops *before = fs_swap(&record_ops);
    if (before != &record_ops)
        beneath = before;
}

void fs_record_end(void) {
    (void)fs_swap(beneath);
}

void fs_record_clear(void) {
    for (size_t i = 0; i < count; i++)
        free(records[i].data);
    free(records);
    records = NULL;
    count = capacity = 0;
}

size_t fs_record_count(void) {
    return count;
}

const struct fs_record *fs_record_at(size_t index) {
    return index < count ? &records[index] : NULL;
}

// Replaces the digits behind ".tmp-" by one "*".
static const char *plain(const char *path, char ret[static FS_RECORD_PATH_BYTES]) {
    (void)snprintf(ret, FS_RECORD_PATH_BYTES, "%s", path);
    char *mark = strstr(ret, ".tmp-");
    if (mark) {
        char *digits = mark + strlen(".tmp-");
        size_t len = strspn(digits, "0123456789abcdef");
        if (len > 0) {
            *digits = '*';
            memmove(digits + 1, digits + len, strlen(digits + len) + 1);
        }
    }
    return ret;
}

void fs_record_format(struct buf *ret) {
    struct err e = ERR_NONE;
    char from[FS_RECORD_PATH_BYTES], to[FS_RECORD_PATH_BYTES];
    for (size_t i = 0; i < count; i++) {
        const struct fs_record *r = &records[i];
        if (buf_add_format(ret, &e, "%s %s%s%s%s\n", call_names[r->call], plain(r->path, from),
                           r->to[0] ? " -> " : "", plain(r->to, to),
                           r->error ? " (failed)" : "") < 0)
            abort();
    }
}
