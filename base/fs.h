// SPDX-License-Identifier: Apache-2.0
//
// The file-system seam: every change the programs make to a file system goes through here, as
// SQLite's goes through its VFS. In production the functions of `fs_system` are thin system calls;
// tests put a recorder or a fault injector in their place with fs_swap. A lint refuses the raw
// mutating calls elsewhere.
//
// Durability: fs_replace writes a temporary, fsyncs it, renames it and fsyncs the directory. A
// failed fsync is never retried and trusted: the file counts as lost and the operation fails. Paths
// are relative to a directory descriptor and are resolved without following any symbolic link and
// without leaving it (openat2 RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS; where the kernel has no openat2,
// component by component with O_NOFOLLOW). Files are created 0600 and directories 0700 unless a
// mode is given; umask does not matter.
//
// Opening never waits, and never opens a directory as a file or a FIFO that has a name. Below a
// directory descriptor only ordinary files and directories are opened: a device that someone left there is refused. Absolute paths and ".." are refused there.
//
// Error kinds: those of err_errno. All functions but the barriers retry EINTR. Not thread-safe to
// swap; otherwise as thread-safe as the calls beneath.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"

#define FS_PATH_BYTES 4096

// The system calls beneath, each with the meaning of its man page (-1 and errno). This is the seam.
struct fs_ops {
    // Not following links and staying beneath are the implementation's duty.
    int (*openat)(int dir, const char *path, int flags, mode_t mode);
    ssize_t (*write)(int fd, const void *data, size_t len);
    ssize_t (*pwrite)(int fd, const void *data, size_t len, off_t offset);
    int (*ftruncate)(int fd, off_t len);
    int (*fallocate)(int fd, off_t len);
    int (*zero)(int fd, off_t offset, off_t len); // fallocate, FALLOC_FL_ZERO_RANGE
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*syncfs)(int fd);
    int (*renameat)(int from_dir, const char *from, int to_dir, const char *to);
    int (*renameat_noreplace)(int from_dir, const char *from, int to_dir, const char *to);
    int (*linkat)(int from_dir, const char *from, int to_dir, const char *to);
    int (*symlinkat)(const char *target, int dir, const char *path);
    int (*unlinkat)(int dir, const char *path, int flags);
    int (*mkdirat)(int dir, const char *path, mode_t mode);
    int (*fchmod)(int fd, mode_t mode);
    int (*futimens)(int fd, const struct timespec times[2]);
    int (*utimensat_nofollow)(int dir, const char *path, const struct timespec times[2]);
    int (*clone)(int to_fd, int from_fd); // FICLONE
    int (*fchown)(int fd, uid_t uid, gid_t gid);
};

extern const struct fs_ops fs_system;
// Puts other operations in place for the whole process and returns the previous ones. Tests only.
const struct fs_ops *fs_swap(const struct fs_ops *ops) __attribute__((nonnull));

// Opening. `dir` may be AT_FDCWD for a path the operator gave (then links are followed as usual).
int fs_open_dir(int dir, const char *path, int *ret, struct err *e) __attribute__((nonnull));
int fs_open_read(int dir, const char *path, int *ret, struct err *e) __attribute__((nonnull));
// Creates a file that must not exist.
int fs_create(int dir, const char *path, mode_t mode, int *ret, struct err *e)
    __attribute__((nonnull));
// Opens for reading and writing, created if absent.
int fs_open_write(int dir, const char *path, mode_t mode, int *ret, struct err *e)
    __attribute__((nonnull));
// Opens a file or block device that the operator named, for reading and writing; it must be there.
// Kind busy when a block device is in use: mounted, or part of another device.
int fs_open_update(const char *path, int *ret, struct err *e) __attribute__((nonnull));
// Appends only; created if absent.
int fs_open_append(int dir, const char *path, mode_t mode, int *ret, struct err *e)
    __attribute__((nonnull));

// Reading. A whole file of at most max bytes (limit otherwise) appended to *ret.
int fs_read_file(int dir, const char *path, size_t max_bytes, struct buf *ret, struct err *e)
    __attribute__((nonnull));
// Reads until len bytes or the end; *ret_len says how many.
int fs_read(int fd, void *data, size_t len, size_t *ret_len, struct err *e)
    __attribute__((nonnull));
int fs_pread(int fd, void *data, size_t len, uint64_t offset, size_t *ret_len, struct err *e)
    __attribute__((nonnull));
// The target with its NUL in ret_bytes (limit otherwise).
int fs_readlink(int dir, const char *path, char *ret, size_t ret_bytes, struct err *e)
    __attribute__((nonnull));
// Of a file or a block device.
int fs_size(int fd, uint64_t *ret, struct err *e) __attribute__((nonnull));
// 0 and *ret; FS_ABSENT when there is nothing by that name. Never follows the last component.
enum { FS_ABSENT = 1 };
int fs_stat(int dir, const char *path, struct stat *ret, struct err *e) __attribute__((nonnull));
// Bytes an unprivileged process may still write on the file system of fd, and the free inodes.
int fs_free(int fd, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *e)
    __attribute__((nonnull));

// Writing, all of it or failure.
int fs_write(int fd, const void *data, size_t len, struct err *e) __attribute__((nonnull));
int fs_pwrite(int fd, const void *data, size_t len, uint64_t offset, struct err *e)
    __attribute__((nonnull));
// Zeros. Where the file system or the device can note them they are not written, and cost no wear.
int fs_zero(int fd, uint64_t len, uint64_t offset, struct err *e) __attribute__((nonnull));
int fs_truncate(int fd, uint64_t len, struct err *e) __attribute__((nonnull));
// Reserves space for the first len bytes; the size does not change. Not supported counts as done.
int fs_allocate(int fd, uint64_t len, struct err *e) __attribute__((nonnull));
int fs_chmod(int fd, mode_t mode, struct err *e) __attribute__((nonnull));
int fs_chown(int fd, uid_t uid, gid_t gid, struct err *e) __attribute__((nonnull));
int fs_set_time(int fd, int64_t seconds, struct err *e) __attribute__((nonnull));
int fs_set_link_time(int dir, const char *path, int64_t seconds, struct err *e)
    __attribute__((nonnull));
// Tells the kernel that the file's clean pages are not needed, so that the next read comes from the
// medium. Advice; never fails.
void fs_drop_cache(int fd);
// The same of len bytes at offset; 0: to the end.
void fs_drop_cache_range(int fd, uint64_t offset, uint64_t len);
// How many of the len bytes at offset, a multiple of 64 KiB, are not in memory, up to the first that is. 0 where that
// cannot be told.
uint64_t fs_uncached(int fd, uint64_t offset, uint64_t len);
// Has the kernel begin to read len bytes at offset, whole pages and none besides, without waiting for them. Advice: what
// lies scattered comes in side by side when all of it is asked for before the first is read.
void fs_begin_read(int fd, uint64_t offset, uint64_t len);
// Has the kernel read what lies from `offset` on, up to `end` and not all too far; *asked, `offset` at first, is how far
// it was asked to. Advice: the kernel's own read-ahead is too short to keep a medium busy while what came is hashed.
void fs_read_ahead(int fd, uint64_t offset, uint64_t end, uint64_t *asked) __attribute__((nonnull));
// Begins to write what is dirty of len bytes at offset to the medium, without waiting. Advice; no barrier.
void fs_begin_write_back(int fd, uint64_t offset, uint64_t len);
// Waits for that, so that no more than so much is dirty at once. An error is one of the medium.
int fs_await_write_back(int fd, uint64_t offset, uint64_t len, struct err *e)
    __attribute__((nonnull));

// Durability barriers.
int fs_sync(int fd, struct err *e) __attribute__((nonnull));
int fs_sync_data(int fd, struct err *e) __attribute__((nonnull));
int fs_sync_all(int fd, struct err *e) __attribute__((nonnull)); // the whole file system of fd

// Names.
int fs_mkdir(int dir, const char *path, mode_t mode, struct err *e)
    __attribute__((nonnull)); // must not exist
// Makes the directory if it is absent; one that is there must be a directory.
int fs_make_dir(int dir, const char *path, mode_t mode, struct err *e) __attribute__((nonnull));
int fs_rename(int dir, const char *from, const char *to, struct err *e)
    __attribute__((nonnull)); // replaces; not durable by itself
int fs_rename_new(int dir, const char *from, const char *to, struct err *e)
    __attribute__((nonnull)); // exists when `to` is there
int fs_symlink(const char *target, int dir, const char *path, struct err *e)
    __attribute__((nonnull));
int fs_link(int from_dir, const char *from, int to_dir, const char *to, struct err *e)
    __attribute__((nonnull));
// Shares the data blocks of one file with another, empty one. 1 when the file system cannot.
enum { FS_NO_CLONE = 1 };
int fs_clone(int to_fd, int from_fd, struct err *e) __attribute__((nonnull));
// Removes a file or link; absence is fine.
int fs_remove(int dir, const char *path, struct err *e) __attribute__((nonnull));
// Removes a whole tree without following links and without recursion on its depth; absence is fine.
// It opens up directories that deny their owner, does not cross mount points (busy), and can be
// called again after a failure. Memory grows with the depth only.
int fs_remove_tree(int dir, const char *path, struct err *e) __attribute__((nonnull));

// Replaces a file durably: temporary in the same directory, fsync, rename, fsync of the directory.
// After a failure before the rename the temporary is gone and the old file is there; if only the
// last fsync fails, either may be there after a power cut. A power cut can leave a temporary
// behind: fs_is_temporary.
int fs_replace(int dir, const char *path, const void *data, size_t len, mode_t mode, struct err *e)
    __attribute__((nonnull));
// The same for a symbolic link; what the link points to must have been synced before.
int fs_replace_link(int dir, const char *path, const char *target, struct err *e)
    __attribute__((nonnull));

// Whether a name has the form of fs_replace's temporaries (".NAME.tmp-0123456789abcdef"): recovery
// removes them.
bool fs_is_temporary(const char *name) __attribute__((nonnull));

// Takes an exclusive lock on an open file without waiting; 1 when another process holds it.
enum { FS_LOCKED = 1 };
int fs_lock(int fd, struct err *e) __attribute__((nonnull));

// Walks one directory in no particular order: calls visit(name, type) for each entry but "." and
// ".."; a visit that returns < 0 ends it with its error. type is the S_IFMT part of a mode.
int fs_list(int dir, const char *path,
            int (*visit)(void *context, const char *name, mode_t type, struct err *e),
            void *context, struct err *e) __attribute__((nonnull(2, 3, 5)));
