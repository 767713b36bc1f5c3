// SPDX-License-Identifier: Apache-2.0
//
// Contents that are held.
#include "bundle/unpack/old.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/generation.h"

#define TREE_PATH_BYTES (BUNDLE_NAME_MAX + 16)

// What cannot be opened is not held, whatever the reason.
static void open_files(struct unpack_old_component *c, int previous_dir, const char *name) {
    char path[TREE_PATH_BYTES];
    struct err none = ERR_NONE;
    (void)snprintf(path, sizeof path, ".edge/%s.tree", name);
    if (fs_open_read(previous_dir, path, &c->tree, &none) == 0 &&
        fs_open_dir(previous_dir, name, &c->dir, &none) == 0 &&
        fs_size(c->tree, &c->bytes, &none) == 0)
        return;
    own_drop_fd(&c->tree);
    own_drop_fd(&c->dir);
    c->tree = c->dir = -1;
}

// The slot may be larger than what is in it: the generation's record says how much that is.
static uint64_t image_bytes(int previous_dir, const char *name, uint64_t otherwise) {
    struct bundle_generation record;
    struct err none = ERR_NONE;
    if (previous_dir < 0 || bundle_generation_read(previous_dir, &record, &none) < 0)
        return otherwise;
    const struct bundle_generation_component *c = bundle_generation_component(&record, name);
    return c && c->type == BUNDLE_COMPONENT_IMAGE ? c->size : otherwise;
}

void unpack_old_init(struct unpack_old *ret) {
    ret->view = NULL;
    ret->fd = -1;
    for (size_t i = 0; i < UNPACK_OLD_COMPONENTS; i++)
        ret->components[i] = (struct unpack_old_component){.dir = -1, .tree = -1, .image = -1};
}

void unpack_old_open(struct unpack_old *old, const struct bundle_manifest_view *view,
                     int previous_dir, int older_dir, const struct bundle_image_places *images) {
    old->view = view;
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *component = &view->components[i];
        struct unpack_old_component *c = &old->components[i];
        const struct bundle_image_place *place = bundle_image_find(images, component->name);
        if (component->type == BUNDLE_COMPONENT_FILES) {
            if (previous_dir >= 0)
                open_files(c, previous_dir, component->name);
            if (older_dir >= 0)
                open_files(&old->components[UNPACK_OLD_OLDER + i], older_dir, component->name);
        } else if (place) {
            c->image = place->fd;
            c->bytes = image_bytes(previous_dir, component->name, component->size);
        }
    }
}

void unpack_old_clear(struct unpack_old *old) {
    for (size_t i = 0; i < UNPACK_OLD_COMPONENTS; i++) {
        own_drop_fd(&old->components[i].dir);
        own_drop_fd(&old->components[i].tree);
        old->components[i].dir = old->components[i].tree = -1;
    }
    own_drop_fd(&old->fd);
    old->fd = -1;
}

int unpack_old_file(const struct unpack_old *old, uint32_t component, const char *path, int *ret,
                    struct err *e) {
    return fs_open_read(old->components[component].dir, path, ret, e);
}

static int open_place(struct unpack_old *old, const struct unpack_held_place *place,
                      struct err *e) {
    struct bundle_tree_entry entry;
    if (bundle_tree_at(old->components[place->component].tree, place->tree_offset, &entry, e) < 0)
        return -1;
    own_drop_fd(&old->fd);
    old->fd = -1;
    if (unpack_old_file(old, place->component, entry.path, &old->fd, e) < 0)
        return -1;
    old->open = *place;
    return 0;
}

int unpack_old_read(struct unpack_old *old, const struct unpack_held_place *place, void *data,
                    size_t len) {
    const struct unpack_old_component *c = &old->components[place->component];
    struct err why = ERR_NONE; // whoever asks goes another way, whatever it is
    size_t got = 0;
    int fd = c->image >= 0 ? c->image : c->tree;
    if (place->tree_offset != UNPACK_HELD_WHOLE) {
        bool is_open = old->fd >= 0 && old->open.component == place->component &&
                       old->open.tree_offset == place->tree_offset;
        if (!is_open && open_place(old, place, &why) < 0)
            return UNPACK_OLD_GONE;
        fd = old->fd;
    }
    if (fs_pread(fd, data, len, place->position, &got, &why) < 0 || got < len)
        return UNPACK_OLD_GONE;
    return 0;
}
