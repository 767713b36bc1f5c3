// SPDX-License-Identifier: Apache-2.0
//
// Walking a directory without recursion: the list of items is also the list of directories to do.
#include "bundle/pack/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"

static const char *special_type(mode_t mode) {
    return S_ISFIFO(mode)   ? "a fifo"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISCHR(mode)  ? "a character device"
           : S_ISBLK(mode)  ? "a block device"
                            : "neither file, directory nor link";
}

int pack_walk_judge(const struct pack_component *component, const char *path, unsigned mode,
                    struct pack_tree *tree, struct err *e) {
    const char *what = NULL;
    bool carried = S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode);
    if (!carried)
        what = special_type(mode);
    else if (!S_ISLNK(mode) && (mode & (S_ISUID | S_ISGID | S_ISVTX)))
        what = mode & S_ISUID ? "setuid" : mode & S_ISGID ? "setgid" : "sticky";
    if (!what)
        return 0;
    if (!component->strip_special)
        return err_set(e, &err_unsupported_member,
                       "component %s: %s is %s, which a bundle of files cannot carry: remove it, "
                       "strip special members, or ship an image",
                       component->name, path, what);
    if (carried)
        tree->stripped++;
    else
        tree->skipped++;
    return carried ? 0 : PACK_WALK_SKIP;
}

struct walk {
    const struct pack_component *component;
    struct pack_tree *tree;
    const char *parent; // "" at the top
};

static int read_link(int dir, struct pack_item *item, struct err *e) {
    char target[BUNDLE_LINK_MAX + 2];
    if (fs_readlink(dir, item->path, target, sizeof target, e) < 0 ||
        bundle_tree_check_target(target, strlen(target), e) < 0)
        return err_prefix(e, "%s", item->path);
    item->target = strdup(target);
    return item->target ? 0 : err_set(e, &err_memory, "a link");
}

static int add_path(const struct walk *w, const char *path, const struct stat *status,
                    struct err *e) {
    struct pack_item *item = NULL;
    int r = pack_walk_judge(w->component, path, status->st_mode, w->tree, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (pack_content_add_item(w->tree, path, &item, e) < 0)
        return -1;
    if (S_ISDIR(status->st_mode)) {
        item->type = BUNDLE_TREE_DIR;
        return 0;
    }
    if (S_ISLNK(status->st_mode)) {
        item->type = BUNDLE_TREE_LINK;
        return read_link(w->tree->dir, item, e);
    }
    item->type = BUNDLE_TREE_FILE;
    item->exec = (status->st_mode & 0111) != 0;
    item->content.dir = w->tree->dir;
    item->content.path = item->path;
    item->content.size = (uint64_t)status->st_size;
    item->content.strip = w->component->strip_special;
    return 0;
}

static int visit(void *context, const char *name, mode_t type, struct err *e) {
    const struct walk *w = context;
    char path[FS_PATH_BYTES];
    struct stat status;
    (void)type; // the file system may not say; fs_stat does
    int n = snprintf(path, sizeof path, "%s%s%s", w->parent, *w->parent ? "/" : "", name);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, &err_bad_path, "below %s: a path is too long", w->parent);
    int r = fs_stat(w->tree->dir, path, &status, e);
    if (r != 0)
        return r < 0 ? -1 : err_set(e, &err_busy, "%s vanished while it was being packed", path);
    return add_path(w, path, &status, e);
}

static int walk_directory(const struct pack_component *component, struct pack_tree *tree,
                          struct err *e) {
    struct walk w = {.component = component, .tree = tree, .parent = ""};
    if (fs_list(tree->dir, ".", visit, &w, e) < 0)
        return -1;
    for (size_t i = 0; i < tree->n; i++) {
        if (tree->items[i].type != BUNDLE_TREE_DIR)
            continue;
        w.parent = tree->items[i].path; // owned by itself: stays when the list moves
        if (fs_list(tree->dir, w.parent, visit, &w, e) < 0)
            return -1;
    }
    return 0;
}

// A single file: the operator named it, so a link to it is followed; the tree has it under the name
// that was given.
static int walk_file(const struct pack_component *component, const struct stat *status,
                     struct pack_tree *ret, struct err *e) {
    struct walk w = {.component = component, .tree = ret, .parent = ""};
    const char *slash = strrchr(component->path, '/');
    OWN(mem) char *real = realpath(component->path, NULL);
    if (!real)
        return err_errno(e, errno, "component %s: %s", component->name, component->path);
    char *name = strrchr(real, '/');
    *name++ = '\0';
    if (fs_open_dir(AT_FDCWD, *real ? real : "/", &ret->dir, e) < 0 ||
        add_path(&w, slash ? slash + 1 : component->path, status, e) < 0)
        return -1;
    if (ret->n == 0) // a device, left out
        return 0;
    struct pack_item *item = &ret->items[0];
    item->target = strdup(name);
    item->content.path = item->target;
    return item->target ? 0 : err_set(e, &err_memory, "a name");
}

int pack_walk_path(const struct pack_component *component, struct pack_tree *ret, struct err *e) {
    struct stat status;
    if (stat(component->path, &status) < 0)
        return err_errno(e, errno, "component %s: %s", component->name, component->path);
    if (!S_ISDIR(status.st_mode))
        return walk_file(component, &status, ret, e);
    if (fs_open_dir(AT_FDCWD, component->path, &ret->dir, e) < 0 ||
        walk_directory(component, ret, e) < 0)
        return -1;
    return pack_content_sort(ret, e);
}
