// SPDX-License-Identifier: Apache-2.0
//
// What base/fs does when nothing is put in its place: the system calls, with the answers of older
// kernels and lesser file systems brought to one form.

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/fs_path.h"

static ssize_t system_write(int fd, const void *data, size_t len) {
    return write(fd, data, len);
}

static ssize_t system_pwrite(int fd, const void *data, size_t len, off_t offset) {
    return pwrite(fd, data, len, offset);
}

static int system_zero(int fd, off_t offset, off_t len) {
    return fallocate(fd, FALLOC_FL_ZERO_RANGE, offset, len);
}

static int system_fallocate(int fd, off_t len) {
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, len);
}

// Where the file system has no RENAME_NOREPLACE (some network and FUSE ones), looking first is what
// is left: enough against our own leftovers, not against a second writer, who is kept out by the
// lock of the state directory.
static int system_renameat_noreplace(int from_dir, const char *from, int to_dir, const char *to) {
    int done = renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE);
    if (done == 0 || (errno != EINVAL && errno != ENOSYS))
        return done;
    struct stat there;
    if (fstatat(to_dir, to, &there, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? renameat(from_dir, from, to_dir, to) : -1;
}

static int system_linkat(int from_dir, const char *from, int to_dir, const char *to) {
    return linkat(from_dir, from, to_dir, to, 0);
}

// A directory that its owner may not open can only be held with O_PATH; fchmod refuses such a
// descriptor, its name in /proc does not.
static int system_fchmod(int fd, mode_t mode) {
    int done = fchmod(fd, mode);
    if (done == 0 || errno != EBADF || fcntl(fd, F_GETFD) < 0)
        return done;
    char name[40];
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    return chmod(name, mode);
}

static int system_utimensat_nofollow(int dir, const char *path, const struct timespec times[2]) {
    return utimensat(dir, path, times, AT_SYMLINK_NOFOLLOW);
}

static int system_clone(int to_fd, int from_fd) {
    return ioctl(to_fd, FICLONE, from_fd);
}

const struct fs_ops fs_system = {
    .openat = fs_path_open,
    .write = system_write,
    .pwrite = system_pwrite,
    .ftruncate = ftruncate,
    .fallocate = system_fallocate,
    .zero = system_zero,
    .fsync = fsync,
    .fdatasync = fdatasync,
    .syncfs = syncfs,
    .renameat = renameat,
    .renameat_noreplace = system_renameat_noreplace,
    .linkat = system_linkat,
    .symlinkat = symlinkat,
    .unlinkat = unlinkat,
    .mkdirat = mkdirat,
    .fchmod = system_fchmod,
    .futimens = futimens,
    .utimensat_nofollow = system_utimensat_nofollow,
    .clone = system_clone,
    .fchown = fchown,
};

static const struct fs_ops *in_force = &fs_system;

const struct fs_ops *fs_path_ops(void) {
    return in_force;
}

const struct fs_ops *fs_swap(const struct fs_ops *ops) {
    const struct fs_ops *before = in_force;
    in_force = ops;
    return before;
}
