// SPDX-License-Identifier: Apache-2.0
//
// Completing a generation.
#include "bundle/seal/fill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"

#define COPY_BYTES  65536
#define PERMISSIONS 07777

int seal_fill_dress(const struct seal_fill *f, int fd, mode_t mode, struct err *e) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return err_errno(e, errno, "looking at a file of the generation");
    // A file shared with the previous generation is right already and must not be touched.
    if (f->set_owner && (status.st_uid != 0 || status.st_gid != 0) && fs_chown(fd, 0, 0, e) < 0)
        return -1;
    if ((status.st_mode & PERMISSIONS) != mode && fs_chmod(fd, mode, e) < 0)
        return -1;
    if (status.st_mtim.tv_sec == BUNDLE_GENERATION_TIME_S && status.st_mtim.tv_nsec == 0)
        return 0;
    return fs_set_time(fd, BUNDLE_GENERATION_TIME_S, e);
}

static int copy(int to, int from, struct err *e) {
    uint8_t *buffer = malloc(COPY_BYTES);
    if (!buffer)
        return err_set(e, &err_memory, "copying a file");
    int r = 0;
    for (uint64_t done = 0; r == 0;) {
        size_t got = 0;
        r = fs_pread(from, buffer, COPY_BYTES, done, &got, e);
        if (r == 0 && got > 0)
            r = fs_pwrite(to, buffer, got, done, e);
        if (got == 0)
            break;
        done += got;
    }
    free(buffer);
    return r;
}

// Sharing blocks keeps the two files apart, so it comes first; copying serves everywhere.
static int clone_or_copy(struct seal_fill *f, int from_dir, int to_dir, const char *path,
                         bool may_copy, struct err *e) {
    OWN(fd) int from = -1;
    OWN(fd) int to = -1;
    if (fs_open_read(from_dir, path, &from, e) < 0 || fs_create(to_dir, path, 0600, &to, e) < 0)
        return -1;
    if (!f->no_clone) {
        int r = fs_clone(to, from, e);
        if (r <= 0)
            return r;
        f->no_clone = true;
    }
    if (may_copy)
        return copy(to, from, e);
    return fs_remove(to_dir, path, e) < 0 ? -1 : FS_NO_CLONE;
}

// Takes a file at the same path. A hard link shares the mode too, so it serves only when that is
// equal.
static int take(struct seal_fill *f, int from_dir, int to_dir, const char *path, bool same_mode,
                struct err *e) {
    bool may_link = same_mode && !f->no_link;
    if (!f->no_clone || !may_link) {
        int r = clone_or_copy(f, from_dir, to_dir, path, !may_link, e);
        if (r <= 0)
            return r;
    }
    if (fs_link(from_dir, path, to_dir, path, e) == 0)
        return 0;
    if (err_is(e, &err_no_space) || err_is(e, &err_read_only) || err_is(e, &err_not_found))
        return -1;
    // No links on this file system, too many of them, or not allowed: a copy always works.
    err_clear(e);
    f->no_link = true;
    return clone_or_copy(f, from_dir, to_dir, path, true, e);
}

int seal_fill_edge(struct seal_fill *f, const char *name, struct err *e) {
    OWN(fd) int fd = -1;
    if (fs_remove(f->edge, name, e) < 0 || take(f, f->previous_edge, f->edge, name, true, e) < 0 ||
        fs_open_read(f->edge, name, &fd, e) < 0)
        return -1;
    return seal_fill_dress(f, fd, 0444, e);
}

struct place {
    struct seal_fill *fill;
    int to;   // the component's directory
    int from; // the same in the previous generation, or -1
};

// Takes the file from the previous generation. Whether it is the right one is seen when it is read
// back.
static int take_file(const struct place *p, const struct bundle_tree_entry *entry, struct err *e) {
    struct stat status;
    int r = p->from < 0 ? FS_ABSENT : fs_stat(p->from, entry->path, &status, e);
    if (r < 0)
        return -1;
    if (r == FS_ABSENT || !S_ISREG(status.st_mode))
        return err_set(e, &err_bad_content,
                       "it was neither staged nor is it in the previous generation");
    bool exec = (status.st_mode & 0111) != 0;
    if (take(p->fill, p->from, p->to, entry->path, exec == entry->exec, e) < 0)
        return err_prefix(e, "taking it from the previous generation");
    p->fill->linked++;
    return 0;
}

static int fill_file(const struct place *p, const struct bundle_tree_entry *entry, struct err *e) {
    OWN(fd) int fd = -1;
    struct stat status;
    int r = fs_stat(p->to, entry->path, &status, e);
    if (r < 0)
        return -1;
    // One of another size is what an interrupted try left.
    if (r == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size != entry->size) {
        if (fs_remove(p->to, entry->path, e) < 0)
            return -1;
        r = FS_ABSENT;
    }
    if (r == FS_ABSENT) {
        if (take_file(p, entry, e) < 0)
            return -1;
    } else {
        p->fill->written++;
    }
    if (fs_open_read(p->to, entry->path, &fd, e) < 0)
        return -1;
    return seal_fill_dress(p->fill, fd, entry->exec ? 0555 : 0444, e);
}

static int fill_link(const struct place *p, const struct bundle_tree_entry *entry, struct err *e) {
    struct stat status;
    int r = fs_stat(p->to, entry->path, &status, e);
    if (r < 0 || (r == FS_ABSENT && fs_symlink(entry->target, p->to, entry->path, e) < 0))
        return -1;
    return fs_set_link_time(p->to, entry->path, BUNDLE_GENERATION_TIME_S, e);
}

static int fill_entries(const struct place *p, struct bundle_tree_reader *tree, struct err *e) {
    for (;;) {
        struct bundle_tree_entry entry;
        int r = bundle_tree_next(tree, &entry, e);
        if (r != 0)
            return r < 0 ? -1 : 0;
        r = entry.type == BUNDLE_TREE_FILE   ? fill_file(p, &entry, e)
            : entry.type == BUNDLE_TREE_LINK ? fill_link(p, &entry, e)
                                             : fs_make_dir(p->to, entry.path, 0700, e);
        if (r < 0)
            return err_prefix(e, "%s", entry.path);
    }
}

int seal_fill_component(struct seal_fill *f, const char *component, struct bundle_tree_reader *tree,
                        struct err *e) {
    OWN(fd) int to = -1;
    OWN(fd) int from = -1;
    if (fs_make_dir(f->dir, component, 0700, e) < 0 || fs_open_dir(f->dir, component, &to, e) < 0)
        return -1;
    if (f->previous >= 0 && fs_open_dir(f->previous, component, &from, e) < 0) {
        if (!err_is(e, &err_not_found))
            return -1;
        err_clear(e);
    }
    const struct place place = {.fill = f, .to = to, .from = from};
    return fill_entries(&place, tree, e);
}

int seal_fill_image(struct seal_fill *f, const char *component, const char *slot, struct err *e) {
    OWN(fd) int dir = -1;
    // What lies there may be a tree of an earlier try.
    if (fs_remove_tree(f->dir, component, e) < 0 || fs_mkdir(f->dir, component, 0700, e) < 0 ||
        fs_open_dir(f->dir, component, &dir, e) < 0 ||
        fs_symlink(slot, dir, BUNDLE_IMAGE_LINK, e) < 0 ||
        fs_set_link_time(dir, BUNDLE_IMAGE_LINK, BUNDLE_GENERATION_TIME_S, e) < 0)
        return -1;
    return seal_fill_dress(f, dir, 0755, e);
}

int seal_fill_directories(struct seal_fill *f, const char *component,
                          struct bundle_tree_reader *tree, struct err *e) {
    OWN(fd) int top = -1;
    if (fs_open_dir(f->dir, component, &top, e) < 0)
        return -1;
    for (;;) {
        struct bundle_tree_entry entry;
        OWN(fd) int dir = -1;
        int r = bundle_tree_next(tree, &entry, e);
        if (r < 0)
            return -1;
        if (r == BUNDLE_TREE_END)
            return seal_fill_dress(f, top, 0755, e);
        if (entry.type == BUNDLE_TREE_DIR &&
            (fs_open_dir(top, entry.path, &dir, e) < 0 || seal_fill_dress(f, dir, 0755, e) < 0))
            return err_prefix(e, "%s", entry.path);
    }
}
