// SPDX-License-Identifier: Apache-2.0
//
// Files that wait for signatures; see pending.h.
#include "ctl/cmd/pending.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/workspace.h"
#include "ctl/lock.h"
#include "ctl/repo/targets.h"
#include "keys/kind.h"

static int open_workspace(const char *workspace, int *ret, struct err *e) {
    return fs_open_dir(AT_FDCWD, workspace, ret, e) < 0 ? err_prefix(e, "opening the workspace")
                                                        : 0;
}

static void path_of(const char *name, char ret[static CMD_PENDING_NAME_BYTES + 16]) {
    (void)snprintf(ret, CMD_PENDING_NAME_BYTES + 16, CMD_PENDING_DIR "/%s", name);
}

int cmd_pending_lock(const char *workspace, int *ret, struct err *e) {
    OWN(fd) int dir = -1;
    OWN(root) struct keys_root *root = NULL;
    // Nothing is made in a folder that is no workspace.
    if (cmd_workspace_root(workspace, &root, e) < 0)
        return -1;
    if (open_workspace(workspace, &dir, e) < 0 ||
        fs_make_dir(dir, CMD_PENDING_DIR, CMD_WORKSPACE_DIR_MODE, e) < 0 ||
        ctl_lock_folder(dir, CMD_PENDING_DIR, ret, e) < 0)
        return err_prefix(e, "%s/" CMD_PENDING_DIR, workspace);
    return 0;
}

int cmd_pending_lock_beside(const char *file, int *ret, struct err *e) {
    char folder[FS_PATH_BYTES];
    const char *slash = strrchr(file, '/');
    size_t len = slash ? (size_t)(slash - file) + 1 : 0;
    if (len >= sizeof folder)
        return err_set(e, &err_limit, "its path is longer than %zu bytes", sizeof folder - 1);
    (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)len : 1, slash ? file : ".");
    return ctl_lock_folder(AT_FDCWD, folder, ret, e) < 0 ? err_prefix(e, "%s", folder) : 0;
}

int cmd_pending_save(const char *workspace, const char *name, const struct cmd_document *document,
                     struct err *e) {
    char path[CMD_PENDING_NAME_BYTES + 16];
    OWN(fd) int dir = -1;
    path_of(name, path);
    if (open_workspace(workspace, &dir, e) < 0 ||
        fs_make_dir(dir, CMD_PENDING_DIR, CMD_WORKSPACE_DIR_MODE, e) < 0 ||
        fs_replace(dir, path, document->raw.data, document->raw.len, CMD_WORKSPACE_FILE_MODE, e) <
            0)
        return err_prefix(e, "keeping %s", path);
    return 0;
}

int cmd_pending_load(const char *workspace, const char *name, struct cmd_document *ret,
                     struct err *e) {
    char path[CMD_PENDING_NAME_BYTES + 16];
    OWN(fd) int dir = -1;
    path_of(name, path);
    if (open_workspace(workspace, &dir, e) < 0)
        return -1;
    int r = cmd_document_read(dir, path, ret, e);
    return r < 0 ? err_prefix(e, "%s", workspace) : r;
}

int cmd_pending_remove(const char *workspace, const char *name, struct err *e) {
    char path[CMD_PENDING_NAME_BYTES + 16];
    OWN(fd) int dir = -1;
    path_of(name, path);
    if (open_workspace(workspace, &dir, e) < 0)
        return -1;
    return fs_remove(dir, path, e);
}

static int unknown_role(const json_t *targets, const char *name, struct err *e) {
    char names[256] = "", shown[80];
    size_t used = 0, n = repo_targets_n_delegations(targets);
    for (size_t i = 0; i < n && used < sizeof names; i++) {
        int len = snprintf(names + used, sizeof names - used, ", %s",
                           repo_targets_delegation_name(targets, i));
        used += len > 0 ? (size_t)len : 0;
    }
    return err_set(e, &err_not_found,
                   "the targets delegate to no role \"%s\"; there %s targets%s (edgectl release "
                   "delegate makes one)",
                   text_safe(name, shown, sizeof shown), n > 0 ? "are" : "is only", names);
}

int cmd_pending_role(const json_t *targets, const char *name, struct keys_role *ret,
                     struct err *e) {
    int r = repo_targets_role(targets, name, ret, e);
    return r == REPO_TARGETS_ABSENT ? unknown_role(targets, name, e) : r;
}

static int open_next(const char *workspace, struct cmd_pending_root *root, struct err *e) {
    (void)snprintf(root->name, sizeof root->name, "%llu.root.json",
                   (unsigned long long)root->current.header.version + 1);
    if (cmd_pending_load(workspace, root->name, &root->next, e) < 0)
        return -1;
    if (!root->next.content)
        return 0;
    if (strcmp(root->next.type, "root") != 0 ||
        root->next.header.version != root->current.header.version + 1)
        return err_set(e, &err_wrong_type,
                       "%s/" CMD_PENDING_DIR "/%s is not version %llu of the root; take it away",
                       workspace, root->name, (unsigned long long)root->current.header.version + 1);
    return 0;
}

int cmd_pending_root_open(const char *workspace, struct cmd_pending_root *ret, struct err *e) {
    OWN(pending_root) struct cmd_pending_root root = CMD_PENDING_ROOT_NONE;
    OWN(fd) int dir = -1;
    if (cmd_workspace_root(workspace, &root.trusted, e) < 0 ||
        open_workspace(workspace, &dir, e) < 0)
        return -1;
    int r = cmd_document_read(dir, CMD_WORKSPACE_ROOT, &root.current, e);
    if (r != 0)
        return r < 0 ? -1 : err_set(e, &err_busy, "%s/root.json has just gone", workspace);
    if (open_next(workspace, &root, e) < 0)
        return -1;
    *ret = root;
    root = (struct cmd_pending_root)CMD_PENDING_ROOT_NONE;
    return 0;
}

void cmd_pending_root_clear(struct cmd_pending_root *root) {
    keys_root_free(root->trusted);
    root->trusted = NULL;
    cmd_document_clear(&root->current);
    cmd_document_clear(&root->next);
}
