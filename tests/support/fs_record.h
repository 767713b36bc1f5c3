// SPDX-License-Identifier: Apache-2.0
//
// Writes down every change that goes through the file-system seam, in order and with what was
// written, so that a test can check the protocol (what was synced before what was renamed) or
// replay any part of it.
//
// Paths are relative to the root given at the beginning ("." is the root itself); what lies outside
// keeps its absolute path. A file's path is the one it had at that moment. Opening is recorded only
// when it creates or truncates.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "tests/support/fs_fault.h"

#define FS_RECORD_PATH_BYTES 1024

struct fs_record {
    enum fs_call call;
    char path[FS_RECORD_PATH_BYTES]; // of the file, or what was renamed or linked from; a link's
                                     // target for symlinkat
    char to[FS_RECORD_PATH_BYTES];   // the new name of renames and links; else ""
    ino_t inode;          // of the file of a descriptor, or of what openat created; else 0
    uint64_t offset, len; // of a write; len is also the size of ftruncate, fallocate and zero
    uint8_t *data;        // len bytes of a write or a zero
    unsigned mode;        // of openat, mkdirat, fchmod; the flags of unlinkat
    int error;            // errno of a failed call, 0 otherwise
};

// Puts the recorder before what is in place (fs_system, mostly). `root` is an absolute path.
void fs_record_begin(const char *root) __attribute__((nonnull));
// Takes it away; what was recorded stays until fs_record_clear or the next beginning.
void fs_record_end(void);
void fs_record_clear(void);
size_t fs_record_count(void);
// Borrowed until more is recorded.
const struct fs_record *fs_record_at(size_t index);
// One line each: "renameat .a.tmp-* -> a": digits of temporaries are shown as "*", so that a
// protocol can be compared as text.
void fs_record_format(struct buf *ret) __attribute__((nonnull));
