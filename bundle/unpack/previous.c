// SPDX-License-Identifier: Apache-2.0
//
// The tree of a generation before, one step at a time.
#include "bundle/unpack/previous.h"

#include <stdio.h>

#include "base/fs.h"
#include "base/own.h"

#define TREE_PATH_BYTES (BUNDLE_NAME_MAX + 16)

int unpack_previous_open(struct unpack_previous *p, int generation_dir, const char *component,
                         struct err *e) {
    char path[TREE_PATH_BYTES];
    uint64_t size = 0;
    p->fd = -1;
    p->tree = NULL;
    p->has_entry = false;
    if (generation_dir < 0)
        return 0;
    (void)snprintf(path, sizeof path, ".edge/%s.tree", component);
    if (fs_open_read(generation_dir, path, &p->fd, e) < 0) {
        err_clear(e);
        return 0;
    }
    if (fs_size(p->fd, &size, e) == 0 && bundle_tree_open(p->fd, 0, size, &p->tree, e) == 0)
        return 0;
    if (err_is(e, &err_memory))
        return -1;
    err_clear(e);
    return 0;
}

void unpack_previous_clear(struct unpack_previous *p) {
    bundle_tree_close(own_take(&p->tree));
    own_drop_fd(&p->fd);
    p->fd = -1;
}

// Both trees are sorted, so one step forward is enough.
int unpack_previous_has(struct unpack_previous *p, const struct bundle_tree_entry *entry, bool *ret,
                        struct err *e) {
    *ret = false;
    while (p->tree) {
        if (!p->has_entry) {
            int r = bundle_tree_next(p->tree, &p->entry, e);
            if (r < 0 && err_is(e, &err_memory))
                return -1;
            // A tree that is damaged ends where it is: what cannot be read is not there.
            if (r < 0 || r == BUNDLE_TREE_END) {
                err_clear(e);
                bundle_tree_close(own_take(&p->tree));
                return 0;
            }
            p->has_entry = true;
        }
        int order = bundle_tree_compare(p->entry.path, entry->path);
        if (order > 0)
            return 0;
        if (order == 0) {
            *ret = p->entry.type == BUNDLE_TREE_FILE && p->entry.size == entry->size &&
                   p->entry.exec == entry->exec &&
                   keys_digest_equal(&p->entry.digest, &entry->digest);
            return 0;
        }
        p->has_entry = false;
    }
    return 0;
}
