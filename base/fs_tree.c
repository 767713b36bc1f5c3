// SPDX-License-Identifier: Apache-2.0
//
// Directories as wholes: listing one, removing a tree of any depth with a bounded number of
// descriptors.
//
// The walk goes down through descriptors and back up through "..", and after each step up compares
// device and inode with what they were on the way down: if someone moves a directory away
// meanwhile, the removal fails instead of continuing elsewhere.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/fs_path.h"
#include "base/own.h"

#define HELD_STREAMS                                                                               \
    8 // levels whose directory stays open while the walk is below; deeper ones are read again
#define RESCANS                                                                                    \
    16 // how often a directory may turn out not to be empty although everything seen was removed

static void own_drop_stream(DIR **stream) {
    if (*stream)
        (void)closedir(*stream);
}

static bool is_dot(const char *name) {
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

// The next entry but "." and ".."; NULL at the end (*ret_errno 0) or after a failure.
static const struct dirent *next_entry(DIR *stream, int *ret_errno) {
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(stream);
    } while (entry && is_dot(entry->d_name));
    *ret_errno = entry ? 0 : errno;
    return entry;
}

// The S_IFMT part of an entry's mode. Returns 0 or an errno.
static int type_of(DIR *stream, const struct dirent *entry, mode_t *ret) {
    if (entry->d_type != DT_UNKNOWN) {
        *ret = (mode_t)DTTOIF(entry->d_type);
        return 0;
    }
    struct stat status;
    if (fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    *ret = status.st_mode & S_IFMT;
    return 0;
}

int fs_list(int dir, const char *path,
            int (*visit)(void *context, const char *name, mode_t type, struct err *e),
            void *context, struct err *e) {
    char shown[FS_SHOWN_BYTES];
    OWN(fd) int fd = -1;
    if (fs_open_dir(dir, path, &fd, e) < 0)
        return -1;
    OWN(stream) DIR *stream = fdopendir(fd);
    if (!stream)
        return err_errno(e, errno, "listing %s", fs_path_show(path, shown));
    (void)own_take_fd(&fd); // the stream has it now
    for (;;) {
        int error;
        mode_t type = 0;
        const struct dirent *entry = next_entry(stream, &error);
        if (!entry && !error)
            return 0;
        if (entry)
            error = type_of(stream, entry, &type);
        if (error == ENOENT) // removed since it was read
            continue;
        if (error)
            return err_errno(e, error, "listing %s", fs_path_show(path, shown));
        if (visit(context, entry->d_name, type, e) < 0)
            return -1;
    }
}

struct level {
    dev_t device;
    ino_t inode;
    DIR *stream; // NULL: given up to save descriptors, read again on the way back
    char *name;  // in the directory above
    unsigned rescans;
};

struct walk {
    struct level *levels;
    size_t count, capacity;
    int top;      // directory that holds the tree
    dev_t device; // of the whole tree; another one is a mount point
};

static void own_drop_walk(struct walk *w) {
    for (size_t i = 0; i < w->count; i++) {
        own_drop_stream(&w->levels[i].stream);
        free(w->levels[i].name);
    }
    free(w->levels);
}

// Removes a name. A directory that denies its owner writing is opened up once: generations are kept
// read-only. Returns 0 or an errno.
static int unlink_at(int dir, const char *name, int flags) {
    const struct fs_ops *ops = fs_path_ops();
    int error = FS_PATH_RETRY(ops->unlinkat(dir, name, flags)) < 0 ? errno : 0;
    if (error == EACCES && FS_PATH_RETRY(ops->fchmod(dir, 0700)) == 0)
        error = FS_PATH_RETRY(ops->unlinkat(dir, name, flags)) < 0 ? errno : 0;
    return error == ENOENT ? 0 : error;
}

// Opens a directory for reading, if need be by changing its mode.
static int open_dir_at(int dir, const char *name) {
    const struct fs_ops *ops = fs_path_ops();
    const int flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = FS_PATH_RETRY(openat(dir, name, O_RDONLY | flags));
    if (fd >= 0 || errno != EACCES)
        return fd;
    OWN(fd) int closed = FS_PATH_RETRY(openat(dir, name, O_PATH | flags));
    if (closed < 0 || FS_PATH_RETRY(ops->fchmod(closed, 0700)) < 0)
        return -1;
    return FS_PATH_RETRY(openat(dir, name, O_RDONLY | flags));
}

static int add_level(struct walk *w) {
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 16;
        struct level *levels = realloc(w->levels, capacity * sizeof *levels);
        if (!levels)
            return ENOMEM;
        w->levels = levels;
        w->capacity = capacity;
    }
    return 0;
}

// Goes down into a directory. Returns 0 or an errno.
static int descend(struct walk *w, int dir, const char *name) {
    int error = add_level(w);
    if (error)
        return error;
    OWN(fd) int fd = open_dir_at(dir, name);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return errno;
    if (w->count > 0 && status.st_dev != w->device)
        return EBUSY;
    size_t name_bytes = strlen(name) + 1;
    OWN(mem) char *copy = malloc(name_bytes);
    if (!copy)
        return ENOMEM;
    memcpy(copy, name, name_bytes);
    DIR *stream = fdopendir(fd);
    if (!stream)
        return errno;
    (void)own_take_fd(&fd);
    if (w->count > HELD_STREAMS) {
        struct level *above = &w->levels[w->count - 1];
        own_drop_stream(&above->stream);
        above->stream = NULL;
    }
    w->device = status.st_dev;
    w->levels[w->count++] = (struct level){
        .device = status.st_dev, .inode = status.st_ino, .stream = stream, .name = own_take(&copy)};
    return 0;
}

// Makes sure that the level above the last is open, coming from below. Returns 0 or an errno.
static int reopen_above(struct walk *w) {
    struct level *above = &w->levels[w->count - 2];
    if (above->stream)
        return 0;
    OWN(fd)
    int fd = FS_PATH_RETRY(
        openat(dirfd(w->levels[w->count - 1].stream), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return errno;
    if (status.st_dev != above->device || status.st_ino != above->inode)
        return ESTALE;
    above->stream = fdopendir(fd);
    if (!above->stream)
        return errno;
    (void)own_take_fd(&fd);
    return 0;
}

// The last level has been emptied: goes up and removes it. Returns 0 or an errno.
static int ascend(struct walk *w) {
    struct level *last = &w->levels[w->count - 1];
    int above = w->top;
    if (w->count > 1) {
        int error = reopen_above(w);
        if (error)
            return error;
        above = dirfd(w->levels[w->count - 2].stream);
    }
    // A name that is gone while the directory is not means that it was moved: what `above` is, is
    // no longer known.
    struct stat status;
    int error =
        FS_PATH_RETRY(fs_path_ops()->unlinkat(above, last->name, AT_REMOVEDIR)) < 0 ? errno : 0;
    if (error == ENOENT)
        error = fstat(dirfd(last->stream), &status) == 0 && status.st_nlink == 0 ? 0 : ESTALE;
    else if (error == EACCES)
        error = unlink_at(above, last->name, AT_REMOVEDIR);
    // Some file systems skip entries of a directory that shrinks while it is read.
    if ((error == ENOTEMPTY || error == EEXIST) && last->rescans < RESCANS) {
        last->rescans++;
        rewinddir(last->stream);
        return 0;
    }
    if (error)
        return error;
    own_drop_stream(&last->stream);
    free(last->name);
    w->count--;
    return 0;
}

// One entry of the last level: removes it, or goes down into it. Returns 0 or an errno.
static int step(struct walk *w) {
    DIR *stream = w->levels[w->count - 1].stream;
    int error;
    const struct dirent *entry = next_entry(stream, &error);
    if (error)
        return error;
    if (!entry)
        return ascend(w);
    mode_t type;
    error = type_of(stream, entry, &type);
    if (error)
        return error == ENOENT ? 0 : error;
    if (type != S_IFDIR)
        return unlink_at(dirfd(stream), entry->d_name, 0);
    error = descend(w, dirfd(stream), entry->d_name);
    return error == ENOENT ? 0 : error;
}

int fs_remove_tree(int dir, const char *path, struct err *e) {
    int error = 0;
    OWN(fs_place) struct fs_place place = FS_PLACE_NONE;
    OWN(walk) struct walk w = {.top = -1};
    struct stat status;
    if (fs_path_enter(dir, path, &place, &error) == 0) {
        w.top = place.dir;
        if (fstatat(place.dir, place.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            error = errno;
        else if (!S_ISDIR(status.st_mode))
            error = unlink_at(place.dir, place.name, 0);
        else
            error = descend(&w, place.dir, place.name);
    }
    while (!error && w.count > 0)
        error = step(&w);
    if (!error || error == ENOENT)
        return 0;
    char shown[FS_SHOWN_BYTES];
    return err_errno(e, error, "removing the tree %s", fs_path_show(path, shown));
}
