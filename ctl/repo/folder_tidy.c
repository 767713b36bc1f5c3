// SPDX-License-Identifier: Apache-2.0
//
// What writers left that were killed: files that were never renamed into place. Whoever opens the
// folder holds it, so none of them is somebody's who is still writing.
#include "base/fs.h"
#include "base/own.h"
#include "ctl/repo/folder_parts.h"

struct level {
    int dir;
    unsigned below; // levels of folders below this one that are looked into
};

static int visit(void *context, const char *name, mode_t type, struct err *e);

static int tidy(const struct level *level, struct err *e) {
    return fs_list(level->dir, ".", visit, (void *)(uintptr_t)level, e);
}

static int visit(void *context, const char *name, mode_t type, struct err *e) {
    const struct level *level = context;
    OWN(fd) int dir = -1;
    if (S_ISREG(type) && fs_is_temporary(name))
        return fs_remove(level->dir, name, e);
    if (!S_ISDIR(type) || level->below == 0)
        return 0;
    if (fs_open_dir(level->dir, name, &dir, e) < 0)
        return -1;
    return tidy(&(struct level){.dir = dir, .below = level->below - 1}, e);
}

int repo_folder_tidy(const struct repo_folder *folder, struct err *e) {
    if (tidy(&(struct level){.dir = folder->metadata}, e) < 0 ||
        tidy(&(struct level){.dir = folder->targets, .below = 3}, e) < 0)
        return err_prefix(e, "removing what was left unfinished");
    return 0;
}
