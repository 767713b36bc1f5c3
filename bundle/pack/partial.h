// SPDX-License-Identifier: Apache-2.0
//
// An output file that has its name only when it is whole: written as PATH.partial, then renamed. What
// an earlier run left under that name is replaced.
#pragma once

#include "base/err.h"
#include "base/fs.h"

struct pack_partial {
    char path[FS_PATH_BYTES];
    int fd; // open for reading and writing; the struct's until the end
};

// Kinds: usage when the path is too long, those of files.
int pack_partial_begin(const char *path, struct pack_partial *ret, struct err *e)
    __attribute__((nonnull));
// Closes it. When `result`, of what was written into it, is 0 the file gets its name; otherwise it is
// removed. Returns result, or < 0 when the rename failed.
int pack_partial_end(struct pack_partial *partial, const char *path, int result, struct err *e)
    __attribute__((nonnull));
