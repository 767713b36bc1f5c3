// SPDX-License-Identifier: Apache-2.0
//
// Contents on their way into a bundle.
#include "bundle/pack/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"

#define ATTRIBUTES_BYTES 65536

int pack_content_add_item(struct pack_tree *tree, const char *path, struct pack_item **ret,
                          struct err *e) {
    if (bundle_tree_check_path(path, strlen(path), e) < 0)
        return -1;
    if (tree->n == BUNDLE_TREE_ENTRIES_MAX)
        return err_set(e, &err_limit, "more than %d entries", BUNDLE_TREE_ENTRIES_MAX);
    if (tree->n == tree->max) {
        size_t max = tree->max ? 2 * tree->max : 256;
        struct pack_item *items = realloc(tree->items, max * sizeof *items);
        if (!items)
            return err_set(e, &err_memory, "a tree of %zu entries", tree->n);
        tree->items = items;
        tree->max = max;
    }
    struct pack_item *item = &tree->items[tree->n];
    *item = (struct pack_item){.path = strdup(path), .content = {.dir = -1}};
    if (!item->path)
        return err_set(e, &err_memory, "a tree of %zu entries", tree->n);
    tree->n++;
    *ret = item;
    return 0;
}

static int compare_items(const void *a, const void *b) {
    return bundle_tree_compare(((const struct pack_item *)a)->path,
                               ((const struct pack_item *)b)->path);
}

int pack_content_sort(struct pack_tree *tree, struct err *e) {
    const char *before = "";
    enum bundle_tree_type type = BUNDLE_TREE_DIR;
    if (tree->n > 0)
        qsort(tree->items, tree->n, sizeof *tree->items, compare_items);
    for (size_t i = 0; i < tree->n; i++) {
        if (bundle_tree_check_order(before, type, tree->items[i].path, e) < 0)
            return -1;
        before = tree->items[i].path;
        type = tree->items[i].type;
    }
    return 0;
}

void pack_content_clear_tree(struct pack_tree *tree) {
    for (size_t i = 0; i < tree->n; i++) {
        free(tree->items[i].path);
        free(tree->items[i].target);
        free(tree->items[i].content.pieces);
    }
    free(tree->items);
    tree->items = NULL;
    tree->n = tree->max = 0;
    own_drop_fd(&tree->dir);
    tree->dir = -1;
}

// Labels that a security module of the building machine puts on every file say nothing about the
// contents; any other attribute would be lost silently.
static int check_attributes(const struct pack_content *c, int fd, struct err *e) {
    char names[ATTRIBUTES_BYTES];
    ssize_t n = flistxattr(fd, names, sizeof names);
    if (n < 0 && (errno == ENOTSUP || errno == ENOSYS))
        return 0;
    if (n < 0)
        return err_errno(e, errno, "%s: listing its extended attributes", c->path);
    for (const char *name = names; name < names + n; name += strlen(name) + 1)
        if (strcmp(name, "security.selinux") != 0 && strcmp(name, "security.SMACK64") != 0)
            return err_set(e, &err_unsupported_member,
                           "%s has the extended attribute %s, which a bundle of files cannot "
                           "carry: remove it, strip special members, or ship an image",
                           c->path, name);
    return 0;
}

static void stamp_of(const struct stat *status, struct pack_stamp *ret) {
    memset(ret, 0, sizeof *ret);
    ret->device = (uint64_t)status->st_dev;
    ret->inode = (uint64_t)status->st_ino;
    ret->size = (uint64_t)status->st_size;
    ret->modified = status->st_mtim;
    ret->changed = status->st_ctim;
}

int pack_content_open(struct pack_content *c, bool again, int *ret, struct err *e) {
    OWN(fd) int fd = -1;
    struct stat status;
    struct pack_stamp stamp;
    if (c->memory || !c->path) {
        *ret = -1;
        return 0;
    }
    if (fs_open_read(c->dir, c->path, &fd, e) < 0)
        return -1;
    if (fstat(fd, &status) < 0)
        return err_errno(e, errno, "looking at %s", c->path);
    stamp_of(&status, &stamp);
    if (again && memcmp(&stamp, &c->stamp, sizeof stamp) != 0)
        return err_set(e, &err_busy, "%s changed while it was being packed", c->path);
    if (!again && !c->strip && check_attributes(c, fd, e) < 0)
        return -1;
    c->stamp = stamp;
    c->size = stamp.size;
    *ret = own_take_fd(&fd);
    return 0;
}

int pack_content_read(const struct pack_content *c, int fd, uint64_t offset, void *data, size_t len,
                      struct err *e) {
    size_t got = 0;
    if (c->memory) {
        memcpy(data, c->memory + offset, len);
        return 0;
    }
    if (fs_pread(c->path ? fd : c->dir, data, len, c->offset + offset, &got, e) < 0)
        return err_prefix(e, "%s", c->path ? c->path : "spool");
    if (got < len)
        return err_set(e, &err_busy, "%s got shorter while it was being packed",
                       c->path ? c->path : "the spool");
    return 0;
}

int pack_content_add_piece(struct pack_content *c, const struct pack_piece *piece, struct err *e) {
    if (c->n_pieces == c->max_pieces) {
        size_t max = c->max_pieces ? 2 * c->max_pieces : 1;
        struct pack_piece *pieces = realloc(c->pieces, max * sizeof *pieces);
        if (!pieces)
            return err_set(e, &err_memory, "a list of %zu chunks", c->n_pieces);
        c->pieces = pieces;
        c->max_pieces = max;
    }
    c->pieces[c->n_pieces++] = *piece;
    return 0;
}
