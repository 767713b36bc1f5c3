// SPDX-License-Identifier: Apache-2.0
//
// See partial.h.
#include "bundle/pack/partial.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/own.h"

int pack_partial_begin(const char *path, struct pack_partial *ret, struct err *e) {
    int n = snprintf(ret->path, sizeof ret->path, "%s.partial", path);
    if (n < 0 || (size_t)n >= sizeof ret->path)
        return err_set(e, &err_usage, "the path of the output is too long");
    if (fs_remove(AT_FDCWD, ret->path, e) < 0)
        return -1;
    return fs_create(AT_FDCWD, ret->path, 0644, &ret->fd, e);
}

int pack_partial_end(struct pack_partial *partial, const char *path, int result, struct err *e) {
    struct err late = ERR_NONE;
    own_drop_fd(&partial->fd);
    if (result == 0)
        result = fs_rename(AT_FDCWD, partial->path, path, e);
    if (result < 0)
        (void)fs_remove(AT_FDCWD, partial->path, &late);
    return result;
}
