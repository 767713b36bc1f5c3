// SPDX-License-Identifier: Apache-2.0
//
// Old versions go: all but the last few of each role, so that a client in the middle of a refresh
// still finds what its timestamp named. Roots stay, every device walks their chain.
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/repo/folder_parts.h"

#define FILES_MAX 65536 // looked at; more are left for the next time

struct file {
    char role[REPO_TARGETS_NAME_MAX + 1];
    uint64_t version;
};

struct files {
    size_t n, room;
    struct file *list;
};

static int note(void *context, const char *name, mode_t type, struct err *e) {
    struct files *files = context;
    struct file file;
    (void)type;
    if (!repo_folder_parse_file(name, file.role, &file.version) || strcmp(file.role, "root") == 0 ||
        files->n == FILES_MAX)
        return 0;
    if (files->n == files->room) {
        size_t room = files->room ? 2 * files->room : 64;
        struct file *list = realloc(files->list, room * sizeof *list);
        if (!list)
            return err_set(e, &err_memory, "looking for old metadata: out of memory");
        files->list = list;
        files->room = room;
    }
    files->list[files->n++] = file;
    return 0;
}

// By role, the newest first.
static int compare(const void *a, const void *b) {
    const struct file *x = a, *y = b;
    int by_role = strcmp(x->role, y->role);
    return by_role ? by_role : (x->version < y->version) - (x->version > y->version);
}

static int remove_old(const struct repo_folder *folder, const struct files *files, struct err *e) {
    size_t newer = 0;
    for (size_t i = 0; i < files->n; i++) {
        const struct file *file = &files->list[i];
        const struct folder_role *role = repo_folder_at(folder, file->role);
        char name[REPO_FOLDER_FILE_BYTES];
        newer = i > 0 && strcmp(files->list[i - 1].role, file->role) == 0 ? newer + 1 : 0;
        // A role that nothing delegates to may still be named by the snapshot.
        if (newer < REPO_FOLDER_KEPT || !role || role->state.header.version == file->version)
            continue;
        if (fs_remove(folder->metadata, repo_folder_file(file->role, file->version, name), e) < 0)
            return -1;
    }
    return 0;
}

int repo_folder_prune(const struct repo_folder *folder, struct err *e) {
    struct files files = {.n = 0};
    int done = fs_list(folder->metadata, ".", note, &files, e);
    if (done == 0 && files.n > 0) {
        qsort(files.list, files.n, sizeof *files.list, compare);
        done = remove_old(folder, &files, e);
    }
    free(files.list);
    return done < 0 ? err_prefix(e, "removing old metadata") : 0;
}
