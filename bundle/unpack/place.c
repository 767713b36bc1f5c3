// SPDX-License-Identifier: Apache-2.0
//
// Entries of a tree, made.
#include "bundle/unpack/place.h"

#include <string.h>

#include "base/fs.h"
#include "base/own.h"

int unpack_place_file(int dir, const char *path, bool resume, int *ret_fd, uint64_t *ret_have,
                      struct err *e) {
    *ret_have = 0;
    if (!resume)
        return fs_create(dir, path, 0600, ret_fd, e);
    OWN(fd) int fd = -1;
    if (fs_open_write(dir, path, 0600, &fd, e) < 0 || fs_size(fd, ret_have, e) < 0)
        return -1;
    *ret_fd = own_take_fd(&fd);
    return 0;
}

int unpack_place_dir(int dir, const char *path, bool resume, struct err *e) {
    return resume ? fs_make_dir(dir, path, 0700, e) : fs_mkdir(dir, path, 0700, e);
}

int unpack_place_link(int dir, const struct bundle_tree_entry *entry, bool resume, struct err *e) {
    char found[BUNDLE_LINK_MAX + 2];
    struct stat status;
    if (resume) {
        int r = fs_stat(dir, entry->path, &status, e);
        if (r < 0)
            return -1;
        if (r == 0 && S_ISLNK(status.st_mode)) {
            if (fs_readlink(dir, entry->path, found, sizeof found, e) < 0)
                return -1;
            if (strcmp(found, entry->target) == 0)
                return 0;
        }
        if (r == 0 && fs_remove(dir, entry->path, e) < 0)
            return -1;
    }
    return fs_symlink(entry->target, dir, entry->path, e);
}
