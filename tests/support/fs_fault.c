// SPDX-License-Identifier: Apache-2.0
//
// A table of operations that count, and fail when it is their turn.

#include "tests/support/fs_fault.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/fs.h"

static struct fs_fault plan;
static size_t counted;
static bool hit;
static bool interrupted; // the call that comes next was interrupted just now

// Whether this call is not to be made.
static bool is_stopped(enum fs_call call) {
    if (plan.only && plan.call != call)
        return false;
    if (interrupted) {
        interrupted = false;
        return false;
    }
    size_t turn = counted++;
    if (turn != plan.at && !(plan.for_ever && turn > plan.at))
        return false;
    hit = true;
    switch (plan.effect) {
    case FS_FAULT_KILL:
        (void)kill(getpid(), SIGKILL);
        return true;
    case FS_FAULT_INTERRUPT:
        interrupted = true;
        errno = EINTR;
        return true;
    case FS_FAULT_ERROR:
        errno = plan.error;
        return true;
    case FS_FAULT_AFTERWARDS:
    case FS_FAULT_SHORT:
        return false;
    }
    return false;
}

// Whether the call that was just counted is the one, for the effects that let it through.
static bool is_hit(enum fs_call call, enum fs_fault_effect effect) {
    if (plan.effect != effect || (plan.only && plan.call != call) || counted == 0)
        return false;
    return counted - 1 == plan.at || (plan.for_ever && counted - 1 > plan.at);
}

static int after(enum fs_call call, int result) {
    if (result >= 0 && is_hit(call, FS_FAULT_AFTERWARDS)) {
        if (call == FS_CALL_openat)
            (void)close(result);
        errno = plan.error;
        return -1;
    }
    return result;
}

static size_t shorten(enum fs_call call, size_t len) {
    return len > 1 && is_hit(call, FS_FAULT_SHORT) ? 1 : len;
}

#define FAULT(name, parameters, ...)                                                               \
    static int fault_##name parameters {                                                           \
        if (is_stopped(FS_CALL_##name))                                                            \
            return -1;                                                                             \
        return after(FS_CALL_##name, fs_system.name(__VA_ARGS__));                                 \
    }

FAULT(openat, (int dir, const char *path, int flags, mode_t mode), dir, path, flags, mode)
FAULT(ftruncate, (int fd, off_t len), fd, len)
FAULT(fallocate, (int fd, off_t len), fd, len)
FAULT(zero, (int fd, off_t offset, off_t len), fd, offset, len)
FAULT(fsync, (int fd), fd)
FAULT(fdatasync, (int fd), fd)
FAULT(syncfs, (int fd), fd)
FAULT(renameat, (int from_dir, const char *from, int to_dir, const char *to), from_dir, from,
      to_dir, to)
FAULT(renameat_noreplace, (int from_dir, const char *from, int to_dir, const char *to), from_dir,
      from, to_dir, to)
FAULT(linkat, (int from_dir, const char *from, int to_dir, const char *to), from_dir, from, to_dir,
      to)
FAULT(symlinkat, (const char *target, int dir, const char *path), target, dir, path)
FAULT(unlinkat, (int dir, const char *path, int flags), dir, path, flags)
FAULT(mkdirat, (int dir, const char *path, mode_t mode), dir, path, mode)
FAULT(fchmod, (int fd, mode_t mode), fd, mode)
FAULT(futimens, (int fd, const struct timespec times[2]), fd, times)
FAULT(utimensat_nofollow, (int dir, const char *path, const struct timespec times[2]), dir, path,
      times)
FAULT(clone, (int to_fd, int from_fd), to_fd, from_fd)
FAULT(fchown, (int fd, uid_t uid, gid_t gid), fd, uid, gid)

static ssize_t fault_write(int fd, const void *data, size_t len) {
    if (is_stopped(FS_CALL_write))
        return -1;
    ssize_t put = fs_system.write(fd, data, shorten(FS_CALL_write, len));
    return after(FS_CALL_write, put < 0 ? -1 : 0) < 0 ? -1 : put;
}

static ssize_t fault_pwrite(int fd, const void *data, size_t len, off_t offset) {
    if (is_stopped(FS_CALL_pwrite))
        return -1;
    ssize_t put = fs_system.pwrite(fd, data, shorten(FS_CALL_pwrite, len), offset);
    return after(FS_CALL_pwrite, put < 0 ? -1 : 0) < 0 ? -1 : put;
}

#define FAULT_ROW(name) .name = fault_##name,
static const struct fs_ops fault_ops = {FS_CALLS(FAULT_ROW)};

void fs_fault_begin(const struct fs_fault *fault) {
    plan = *fault;
    counted = 0;
    hit = false;
    interrupted = false;
    (void)fs_swap(&fault_ops);
}

bool fs_fault_end(size_t *ret_calls) {
    (void)fs_swap(&fs_system);
    if (ret_calls)
        *ret_calls = counted;
    return hit;
}
