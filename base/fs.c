// SPDX-License-Identifier: Apache-2.0
//
// Files: opening, reading, writing, barriers. Names are in fs_name.c, whole trees in fs_tree.c.

#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fs_path.h"
#include "base/own.h"

#define CREATE_RACES                                                                               \
    16 // how often another process may create and remove the name between our two looks
#define READ_STEP_BYTES 16384
#define ZEROS_BYTES     65536 // written at once
#define ZEROS_UNIT      4096  // whole ones can be noted
// Noted at once. A device that does not know zeros writes them, and whoever waits for that cannot be
// killed.
#define ZEROS_STEP_BYTES (8ULL * 1024 * 1024)

static int open_with(int dir, const char *path, int flags, mode_t mode) {
    return FS_PATH_RETRY(fs_path_ops()->openat(dir, path, flags | O_CLOEXEC | O_NOCTTY, mode));
}

// A FIFO with a name has nobody at its other end, or nobody who ever ends. The pipe of a shell's
// <(command) has no name in any file system, and its writer ends.
static bool is_named_fifo(int fd, const struct stat *status) {
    struct statfs where;
    return S_ISFIFO(status->st_mode) && (fstatfs(fd, &where) < 0 || where.f_type != PIPEFS_MAGIC);
}

// Hands over *fd when it is an ordinary file. Below a directory anything else is refused: a FIFO or
// a device that someone left there would block or do things when it is read. A path that the
// operator gave may also be a device, a terminal or a pipe, which are read as usual.
static int hand_over_file(int dir, const char *path, int *fd, int *ret, struct err *e) {
    char shown[FS_SHOWN_BYTES];
    struct stat status;
    if (fstat(*fd, &status) < 0)
        return err_errno(e, errno, "looking at %s", fs_path_show(path, shown));
    if (S_ISDIR(status.st_mode))
        return err_errno(e, EISDIR, "opening %s", fs_path_show(path, shown));
    if (dir == AT_FDCWD ? is_named_fifo(*fd, &status) : !S_ISREG(status.st_mode))
        return err_set(e, &err_io, "opening %s: not an ordinary file", fs_path_show(path, shown));
    if (!S_ISREG(status.st_mode)) {
        int flags = fcntl(*fd, F_GETFL);
        if (flags < 0 || fcntl(*fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
            return err_errno(e, errno, "opening %s", fs_path_show(path, shown));
    }
    *ret = own_take_fd(fd);
    return 0;
}

int fs_open_dir(int dir, const char *path, int *ret, struct err *e) {
    int fd = open_with(dir, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        char shown[FS_SHOWN_BYTES];
        return err_errno(e, errno, "opening the directory %s", fs_path_show(path, shown));
    }
    *ret = fd;
    return 0;
}

// Without O_NONBLOCK opening a FIFO would wait for its other end; for ordinary files the flag means
// nothing.
int fs_open_read(int dir, const char *path, int *ret, struct err *e) {
    OWN(fd) int fd = open_with(dir, path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) {
        char shown[FS_SHOWN_BYTES];
        return err_errno(e, errno, "opening %s", fs_path_show(path, shown));
    }
    return hand_over_file(dir, path, &fd, ret, e);
}

// Creates with O_EXCL and brings the mode to what was asked, whatever the umask. Returns the
// descriptor, or -1 and errno; then the name is gone again.
static int create_exactly(int dir, const char *path, int flags, mode_t mode) {
    if (mode == 0)
        mode = 0600;
    OWN(fd) int fd = open_with(dir, path, flags | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return -1;
    struct stat status;
    int error = fstat(fd, &status) < 0 ? errno : 0;
    if (!error && (status.st_mode & 07777) != mode &&
        FS_PATH_RETRY(fs_path_ops()->fchmod(fd, mode)) < 0)
        error = errno;
    if (!error)
        return own_take_fd(&fd);
    struct err ignored = ERR_NONE;
    (void)fs_remove(dir, path, &ignored);
    errno = error;
    return -1;
}

int fs_create(int dir, const char *path, mode_t mode, int *ret, struct err *e) {
    int fd = create_exactly(dir, path, O_RDWR, mode);
    if (fd < 0) {
        char shown[FS_SHOWN_BYTES];
        return err_errno(e, errno, "creating %s", fs_path_show(path, shown));
    }
    *ret = fd;
    return 0;
}

// Only with O_EXCL is it known who created the file, and with that whose mode counts.
static int open_or_create(int dir, const char *path, int flags, mode_t mode, int *ret,
                          struct err *e) {
    char shown[FS_SHOWN_BYTES];
    for (int i = 0; i < CREATE_RACES; i++) {
        OWN(fd) int fd = open_with(dir, path, flags | O_NONBLOCK, 0);
        if (fd >= 0)
            return hand_over_file(dir, path, &fd, ret, e);
        if (errno != ENOENT)
            return err_errno(e, errno, "opening %s", fs_path_show(path, shown));
        fd = create_exactly(dir, path, flags, mode);
        if (fd >= 0) {
            *ret = own_take_fd(&fd);
            return 0;
        }
        if (errno != EEXIST)
            return err_errno(e, errno, "creating %s", fs_path_show(path, shown));
    }
    return err_set(e, &err_busy, "opening %s: it comes and goes", fs_path_show(path, shown));
}

int fs_open_write(int dir, const char *path, mode_t mode, int *ret, struct err *e) {
    return open_or_create(dir, path, O_RDWR, mode, ret, e);
}

// Of a block device O_EXCL asks the kernel for it alone; of anything else it says nothing without
// O_CREAT.
int fs_open_update(const char *path, int *ret, struct err *e) {
    OWN(fd) int fd = open_with(AT_FDCWD, path, O_RDWR | O_EXCL | O_NONBLOCK, 0);
    if (fd < 0) {
        char shown[FS_SHOWN_BYTES];
        return err_errno(e, errno, "opening %s", fs_path_show(path, shown));
    }
    return hand_over_file(AT_FDCWD, path, &fd, ret, e);
}

int fs_open_append(int dir, const char *path, mode_t mode, int *ret, struct err *e) {
    return open_or_create(dir, path, O_WRONLY | O_APPEND, mode, ret, e);
}

static int read_to_end(int fd, size_t max_bytes, struct buf *ret, struct err *e) {
    size_t before = ret->len;
    for (;;) {
        uint8_t *to;
        size_t got = 0;
        size_t step = max_bytes - (ret->len - before);
        if (step > READ_STEP_BYTES)
            step = READ_STEP_BYTES;
        if (step > ret->ceiling - ret->len)
            step = ret->ceiling - ret->len;
        if (step == 0) {
            uint8_t more;
            if (fs_read(fd, &more, 1, &got, e) < 0)
                return -1;
            return got == 0 ? 0 : err_set(e, &err_limit, "more than %zu bytes", ret->len - before);
        }
        if (buf_reserve(ret, step, &to, e) < 0 || fs_read(fd, to, step, &got, e) < 0)
            return -1;
        buf_commit(ret, got);
        if (got < step)
            return 0;
    }
}

int fs_read_file(int dir, const char *path, size_t max_bytes, struct buf *ret, struct err *e) {
    OWN(fd) int fd = -1;
    if (fs_open_read(dir, path, &fd, e) < 0)
        return -1;
    size_t before = ret->len;
    if (read_to_end(fd, max_bytes, ret, e) < 0) {
        char shown[FS_SHOWN_BYTES];
        ret->len = before;
        if (ret->data)
            ret->data[before] = '\0';
        return err_prefix(e, "reading %s", fs_path_show(path, shown));
    }
    return 0;
}

int fs_read(int fd, void *data, size_t len, size_t *ret_len, struct err *e) {
    size_t done = 0;
    while (done < len) {
        ssize_t got = FS_PATH_RETRY(read(fd, (uint8_t *)data + done, len - done));
        if (got < 0)
            return err_errno(e, errno, "reading");
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_len = done;
    return 0;
}

// The offset as the kernel has it; false when the end would not fit.
static bool fits_off(uint64_t offset, size_t len, off_t *ret) {
    uint64_t end;
    if (__builtin_add_overflow(offset, len, &end) || end > INT64_MAX)
        return false;
    *ret = (off_t)offset;
    return true;
}

int fs_pread(int fd, void *data, size_t len, uint64_t offset, size_t *ret_len, struct err *e) {
    off_t at;
    if (!fits_off(offset, len, &at))
        return err_errno(e, EOVERFLOW, "reading at %llu", (unsigned long long)offset);
    size_t done = 0;
    while (done < len) {
        ssize_t got =
            FS_PATH_RETRY(pread(fd, (uint8_t *)data + done, len - done, at + (off_t)done));
        if (got < 0)
            return err_errno(e, errno, "reading at %llu", (unsigned long long)offset + done);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_len = done;
    return 0;
}

int fs_size(int fd, uint64_t *ret, struct err *e) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return err_errno(e, errno, "measuring a file");
    if (!S_ISBLK(status.st_mode)) {
        *ret = (uint64_t)status.st_size;
        return 0;
    }
    // A block device tells its size only so. The offset is put back.
    off_t here = lseek(fd, 0, SEEK_CUR);
    off_t end = here < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (end < 0 || lseek(fd, here, SEEK_SET) < 0)
        return err_errno(e, errno, "measuring a block device");
    *ret = (uint64_t)end;
    return 0;
}

int fs_free(int fd, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *e) {
    struct statvfs status;
    if (FS_PATH_RETRY(fstatvfs(fd, &status)) < 0)
        return err_errno(e, errno, "measuring free space");
    uint64_t bytes;
    if (__builtin_mul_overflow((uint64_t)status.f_bavail, (uint64_t)status.f_frsize, &bytes))
        bytes = UINT64_MAX;
    *ret_bytes = bytes;
    // btrfs and some others have no table of inodes and say 0 of 0: then they do not run out.
    *ret_inodes = status.f_files == 0 ? UINT64_MAX : (uint64_t)status.f_favail;
    return 0;
}

int fs_write(int fd, const void *data, size_t len, struct err *e) {
    size_t done = 0;
    while (done < len) {
        ssize_t put =
            FS_PATH_RETRY(fs_path_ops()->write(fd, (const uint8_t *)data + done, len - done));
        if (put <= 0)
            return err_errno(e, put < 0 ? errno : EIO, "writing");
        done += (size_t)put;
    }
    return 0;
}

int fs_pwrite(int fd, const void *data, size_t len, uint64_t offset, struct err *e) {
    off_t at;
    if (!fits_off(offset, len, &at))
        return err_errno(e, EOVERFLOW, "writing at %llu", (unsigned long long)offset);
    size_t done = 0;
    while (done < len) {
        ssize_t put = FS_PATH_RETRY(
            fs_path_ops()->pwrite(fd, (const uint8_t *)data + done, len - done, at + (off_t)done));
        if (put <= 0)
            return err_errno(e, put < 0 ? errno : EIO, "writing at %llu",
                             (unsigned long long)offset + done);
        done += (size_t)put;
    }
    return 0;
}

// What cannot be noted is written, whatever the reason: a full file system has no room to note zeros
// where it takes them as bytes. What is really wrong the write says.
static bool note_zeros(int fd, uint64_t len, uint64_t offset) {
    for (uint64_t done = 0; done < len; done += ZEROS_STEP_BYTES) {
        uint64_t n = len - done < ZEROS_STEP_BYTES ? len - done : ZEROS_STEP_BYTES;
        if (FS_PATH_RETRY(fs_path_ops()->zero(fd, (off_t)(offset + done), (off_t)n)) < 0)
            return false;
    }
    return true;
}

static int write_zeros(int fd, uint64_t len, uint64_t offset, struct err *e) {
    static uint8_t zeros[ZEROS_BYTES]; // never touched: it takes no memory
    for (uint64_t done = 0; done < len;) {
        size_t n = len - done < sizeof zeros ? (size_t)(len - done) : sizeof zeros;
        if (fs_pwrite(fd, zeros, n, offset + done, e) < 0)
            return -1;
        done += n;
    }
    return 0;
}

int fs_zero(int fd, uint64_t len, uint64_t offset, struct err *e) {
    off_t at;
    if (!fits_off(offset, len, &at))
        return err_errno(e, EOVERFLOW, "writing at %llu", (unsigned long long)offset);
    uint64_t end = offset + len, from = (offset + ZEROS_UNIT - 1) / ZEROS_UNIT * ZEROS_UNIT;
    uint64_t to = end / ZEROS_UNIT * ZEROS_UNIT;
    if (from >= to || !note_zeros(fd, to - from, from))
        return write_zeros(fd, len, offset, e);
    return write_zeros(fd, from - offset, offset, e) < 0 ? -1 : write_zeros(fd, end - to, to, e);
}

int fs_truncate(int fd, uint64_t len, struct err *e) {
    off_t to;
    if (!fits_off(len, 0, &to))
        return err_errno(e, EFBIG, "cutting a file to %llu bytes", (unsigned long long)len);
    if (FS_PATH_RETRY(fs_path_ops()->ftruncate(fd, to)) < 0)
        return err_errno(e, errno, "cutting a file to %llu bytes", (unsigned long long)len);
    return 0;
}

int fs_allocate(int fd, uint64_t len, struct err *e) {
    off_t to;
    if (!fits_off(len, 0, &to))
        return err_errno(e, EFBIG, "reserving %llu bytes", (unsigned long long)len);
    if (len == 0 || FS_PATH_RETRY(fs_path_ops()->fallocate(fd, to)) == 0)
        return 0;
    if (errno == EOPNOTSUPP || errno == ENOSYS)
        return 0;
    return err_errno(e, errno, "reserving %llu bytes", (unsigned long long)len);
}

int fs_chmod(int fd, mode_t mode, struct err *e) {
    if (FS_PATH_RETRY(fs_path_ops()->fchmod(fd, mode)) < 0)
        return err_errno(e, errno, "setting the mode %04o", (unsigned)mode);
    return 0;
}

int fs_chown(int fd, uid_t uid, gid_t gid, struct err *e) {
    if (FS_PATH_RETRY(fs_path_ops()->fchown(fd, uid, gid)) < 0)
        return err_errno(e, errno, "giving a file to %u:%u", (unsigned)uid, (unsigned)gid);
    return 0;
}

int fs_set_time(int fd, int64_t seconds, struct err *e) {
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    if (FS_PATH_RETRY(fs_path_ops()->futimens(fd, times)) < 0)
        return err_errno(e, errno, "setting the time of a file");
    return 0;
}

void fs_drop_cache(int fd) {
    fs_drop_cache_range(fd, 0, 0);
}

// Barriers are not called again, not even after EINTR: the kernel may have dropped what could not
// be written, and the next call would then succeed for nothing.
int fs_sync(int fd, struct err *e) {
    if (fs_path_ops()->fsync(fd) < 0)
        return err_errno(e, errno, "syncing");
    return 0;
}

int fs_sync_data(int fd, struct err *e) {
    if (fs_path_ops()->fdatasync(fd) < 0)
        return err_errno(e, errno, "syncing");
    return 0;
}

int fs_sync_all(int fd, struct err *e) {
    if (fs_path_ops()->syncfs(fd) < 0)
        return err_errno(e, errno, "syncing the file system");
    return 0;
}

int fs_lock(int fd, struct err *e) {
    if (FS_PATH_RETRY(flock(fd, LOCK_EX | LOCK_NB)) == 0)
        return 0;
    return errno == EWOULDBLOCK ? FS_LOCKED : err_errno(e, errno, "locking");
}
