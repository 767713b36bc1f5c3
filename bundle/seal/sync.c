// SPDX-License-Identifier: Apache-2.0
//
// One barrier, or a few.
#include "bundle/seal/sync.h"

#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"

#define LIST_MAX_BYTES (SEAL_SYNC_EACH_MAX * (size_t)FS_PATH_BYTES)

// Of each file and directory: a mark, the path, a NUL.
struct entries {
    const char *parent;
    struct buf list;
    size_t seen;
};
enum { FILE_MARK = 'f', DIRECTORY_MARK = 'd' };

static int visit(void *context, const char *name, mode_t type, struct err *e) {
    struct entries *n = context;
    bool is_directory = S_ISDIR(type);
    // A link is its directory's; what is neither is found when it is read back.
    if (++n->seen > SEAL_SYNC_EACH_MAX || (!is_directory && !S_ISREG(type)))
        return 0;
    if (buf_add_format(&n->list, e, "%c%s%s%s", is_directory ? DIRECTORY_MARK : FILE_MARK,
                       n->parent, *n->parent ? "/" : "", name) < 0)
        return -1;
    return buf_add(&n->list, "", 1, e);
}

// Everything below dir, breadth first, unless it is too much. What is a file begins to be written, so
// that the first barrier finds all of it done.
static int collect(struct entries *n, int dir, struct err *e) {
    char path[FS_PATH_BYTES];
    n->parent = "";
    int r = fs_list(dir, ".", visit, n, e);
    for (size_t at = 0; r == 0 && at < n->list.len && n->seen <= SEAL_SYNC_EACH_MAX;) {
        const char *entry = buf_text(&n->list) + at;
        size_t len = strlen(entry) + 1;
        if (len > sizeof path)
            return err_set(e, &err_bad_path, "a path of a generation is too long");
        memcpy(path, entry + 1, len - 1);
        at += len;
        if (entry[0] == DIRECTORY_MARK) {
            n->parent = path;
            r = fs_list(dir, path, visit, n, e);
        } else {
            OWN(fd) int fd = -1;
            r = fs_open_read(dir, path, &fd, e);
            if (r == 0)
                fs_begin_write_back(fd, 0, 0);
        }
    }
    return r;
}

static int sync_each(const struct entries *n, int dir, struct err *e) {
    for (size_t at = 0; at < n->list.len;) {
        const char *entry = buf_text(&n->list) + at;
        OWN(fd) int fd = -1;
        int r = entry[0] == DIRECTORY_MARK ? fs_open_dir(dir, entry + 1, &fd, e)
                                           : fs_open_read(dir, entry + 1, &fd, e);
        if (r < 0 || fs_sync(fd, e) < 0)
            return err_prefix(e, "%s", entry + 1);
        at += strlen(entry) + 1;
    }
    return fs_sync(dir, e);
}

int seal_sync(int dir, struct err *e) {
    struct entries n = {.seen = 0};
    buf_init(&n.list, LIST_MAX_BYTES);
    int r = collect(&n, dir, e);
    if (r == 0)
        r = n.seen > SEAL_SYNC_EACH_MAX ? fs_sync_all(dir, e) : sync_each(&n, dir, e);
    buf_clear(&n.list);
    return r;
}
