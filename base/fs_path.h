// SPDX-License-Identifier: Apache-2.0
//
// Inside base/fs only: the operations in force, and where a path's last component lives. A path
// below a directory descriptor is walked without following links and without leaving it; a path
// with AT_FDCWD is the operator's and is walked as usual.
#pragma once

#include <errno.h>
#include <limits.h>

#include "base/err.h"
#include "base/fs.h"

// The value of a call that answers -1 and errno, called again for as long as a signal interrupts
// it.
#define FS_PATH_RETRY(call)                                                                        \
    __extension__({                                                                                \
        __typeof__(call) retry_result;                                                             \
        do {                                                                                       \
            retry_result = (call);                                                                 \
        } while (retry_result < 0 && errno == EINTR);                                              \
        retry_result;                                                                              \
    })

// What fs_swap put in place.
const struct fs_ops *fs_path_ops(void);

// The system's openat with the resolution that base/fs.h promises; the openat of fs_system.
int fs_path_open(int dir, const char *path, int flags, mode_t mode);
// The same without openat2, one component at a time: for kernels before 5.6. Here for its test.
int fs_path_walk(int dir, const char *path, int flags, mode_t mode);

// The directory that holds a path's last component, and that component. `dir` is the caller's own
// descriptor when the path has only one component; fs_path_leave closes what fs_path_enter opened.
struct fs_place {
    int dir;
    int opened; // -1: nothing to close
    char name[NAME_MAX + 1];
};
int fs_path_enter(int dir, const char *path, struct fs_place *ret, int *ret_errno);
void fs_path_leave(struct fs_place *place);
#define own_drop_fs_place fs_path_leave
#define FS_PLACE_NONE                                                                              \
    { .dir = -1, .opened = -1 }

// A path for an error text: escaped and cut.
#define FS_SHOWN_BYTES 200
const char *fs_path_show(const char *path, char ret[static FS_SHOWN_BYTES]);
