// SPDX-License-Identifier: Apache-2.0
//
// Makes the n-th call through the file-system seam fail. The usual loop: for n = 0, 1, 2, … begin,
// run the operation, end, check that a failure left what it should; until the plan was not hit any
// more, when the operation must have succeeded.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// The calls of struct fs_ops.
// clang-format off
#define FS_CALLS(X)                                                                                \
    X(openat) X(write) X(pwrite) X(ftruncate) X(fallocate) X(zero) X(fsync) X(fdatasync) X(syncfs)         \
    X(renameat) X(renameat_noreplace) X(linkat) X(symlinkat) X(unlinkat) X(mkdirat) X(fchmod)      \
    X(futimens) X(utimensat_nofollow) X(clone) X(fchown)
// clang-format on

#define FS_CALL_ENUM(name) FS_CALL_##name,
enum fs_call { FS_CALLS(FS_CALL_ENUM) FS_CALLS_COUNT };

enum fs_fault_effect {
    FS_FAULT_ERROR,      // the call is not made; errno is `error`
    FS_FAULT_AFTERWARDS, // the call is made, then errno is `error` all the same (a lost
                         // acknowledgement)
    FS_FAULT_SHORT,      // a write puts one byte only; other calls are made as they are
    FS_FAULT_INTERRUPT,  // as FS_FAULT_ERROR with EINTR, and the same call then goes through
    FS_FAULT_KILL,       // the process is killed before the call, by SIGKILL
};

struct fs_fault {
    size_t at; // which call, from 0, of those that count
    enum fs_fault_effect effect;
    int error;
    bool for_ever; // that call and all that follow
    bool only;     // only calls of this kind count:
    enum fs_call call;
};

// Puts the faults before fs_system.
void fs_fault_begin(const struct fs_fault *fault) __attribute__((nonnull));
// Takes them away. Returns whether a call was hit; *ret_calls (may be NULL) gets how many counted.
bool fs_fault_end(size_t *ret_calls);
