// SPDX-License-Identifier: Apache-2.0
//
// Entries of a tree, made; and what a staging needs beside them.
#include "bundle/unpack/place.h"

#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"

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

int unpack_place_admits(const struct bundle_manifest_view *view,
                        const struct bundle_image_places *images,
                        const struct bundle_image_places *old_images, struct err *e) {
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        if (c->type == BUNDLE_COMPONENT_IMAGE && !bundle_image_find(images, c->name) &&
            !bundle_image_find(old_images, c->name))
            return err_set(e, &err_unsupported_component,
                           "component %s is an image, and there is no slot for it", c->name);
    }
    return 0;
}

int unpack_place_begin(int target_dir, const char *const *names, size_t n, int *ret_edge,
                       int *ret_fds, struct err *e) {
    if (fs_make_dir(target_dir, ".edge", 0700, e) < 0 ||
        fs_open_dir(target_dir, ".edge", ret_edge, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (fs_remove(*ret_edge, names[i], e) < 0 ||
            fs_create(*ret_edge, names[i], 0600, &ret_fds[i], e) < 0)
            return -1;
    return 0;
}

int unpack_place_end(int edge, const char *const *names, size_t n, struct err *e) {
    for (size_t i = 0; edge >= 0 && i < n; i++)
        if (fs_remove(edge, names[i], e) < 0)
            return -1;
    return 0;
}
