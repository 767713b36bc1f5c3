// SPDX-License-Identifier: Apache-2.0
//
// Changing a repository; see source.h. A controller verifies, writes and signs snapshot and
// timestamp itself. For a folder this program does the same with the online keys of the workspace,
// under a lock.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/signers.h"
#include "ctl/cmd/source.h"
#include "ctl/cmd/source_private.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "ctl/lock.h"
#include "ctl/repo/folder.h"
#include "ctl/term.h"
#include "keys/kind.h"

// ── A folder ─────────────────────────────────────────────────────────────────────────────────────

struct online {
    struct cmd_signers snapshot, timestamp;
    struct repo_folder_online to_sign;
};

static void own_drop_online(struct online *o) {
    cmd_signers_clear(&o->snapshot);
    cmd_signers_clear(&o->timestamp);
}

// The keys of the workspace's server that the root names.
static int open_online(struct cmd_source *s, const struct keys_root *root, struct online *ret,
                       struct err *e) {
    const struct keys_role *snapshot = keys_root_role(root, KEYS_ROOT_ROLE_SNAPSHOT);
    const struct keys_role *timestamp = keys_root_role(root, KEYS_ROOT_ROLE_TIMESTAMP);
    if (cmd_signers_add_folder(&ret->snapshot, &s->passphrase, s->workspace,
                               CMD_WORKSPACE_SERVER_KEYS, &snapshot, 1, e) < 0 ||
        cmd_signers_add_folder(&ret->timestamp, &s->passphrase, s->workspace,
                               CMD_WORKSPACE_SERVER_KEYS, &timestamp, 1, e) < 0)
        return -1;
    ret->to_sign.now_s = chrono_wall_ms(s->context->clock) / 1000;
    ret->to_sign.snapshot = ret->snapshot.n > 0 ? ret->snapshot.list[0] : NULL;
    ret->to_sign.timestamp = ret->timestamp.n > 0 ? ret->timestamp.list[0] : NULL;
    return 0;
}

// A controller holds its repository for as long as it runs: only it may change it then.
static int lock_folder(const struct cmd_source *s, int *ret, struct err *e) {
    struct err why = ERR_NONE;
    if (ctl_lock_folder(s->folder, ".", ret, &why) == 0)
        return 0;
    return err_set(e, why.kind, "%s%s", why.text,
                   err_is(&why, &err_busy)
                       ? ", or where a controller runs on it, publish there (--controller URL)"
                       : "");
}

// The folder, locked while *ret_lock is open.
static int open_folder(const struct cmd_source *s, struct repo_folder **ret, int *ret_lock,
                       struct err *e) {
    OWN(buf) struct buf root;
    OWN(fd) int lock = -1;
    buf_init(&root, KEYS_ROOT_MAX_BYTES);
    if (fs_read_file(s->home, CMD_WORKSPACE_ROOT, KEYS_ROOT_MAX_BYTES, &root, e) < 0 ||
        lock_folder(s, &lock, e) < 0)
        return err_prefix(e, "%s", s->name);
    if (repo_folder_make(s->folder, buf_slice(&root), e) < 0 ||
        repo_folder_open(s->folder, buf_slice(&root), ret, e) < 0)
        return err_prefix(e, "%s", s->name);
    *ret_lock = own_take_fd(&lock);
    return 0;
}

static int put_into_folder(struct cmd_source *s, const char *role,
                           const struct cmd_document *document, bool *ret_same, struct err *e) {
    OWN(repo_folder) struct repo_folder *folder = NULL;
    OWN(online) struct online online = {.snapshot = CMD_SIGNERS_NONE};
    OWN(root) struct keys_root *next = NULL;
    OWN(fd) int lock = -1;
    bool is_root = strcmp(role, "root") == 0;
    struct slice raw = buf_slice(&document->raw);
    // A root signs itself with its own keys; whether it may follow is the folder's to say.
    if (open_folder(s, &folder, &lock, e) < 0 || (is_root && keys_root_open(raw, &next, e) < 0))
        return -1;
    if (open_online(s, is_root ? next : repo_folder_root(folder), &online, e) < 0)
        return -1;
    int r = repo_folder_accept(folder, role, raw, &online.to_sign, e);
    *ret_same = r == REPO_FOLDER_SAME;
    return r < 0 ? err_prefix(e, "%s", s->name) : 0;
}

// ── A controller ─────────────────────────────────────────────────────────────────────────────────

static int put_at_controller(struct cmd_source *s, const char *role,
                             const struct cmd_document *document, bool *ret_same, struct err *e) {
    OWN(buf) struct buf path;
    OWN(json) json_t *answer = NULL;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, "repository/metadata/%", role) < 0)
        return -1;
    int r = net_client_put(s->client, buf_text(&path), buf_slice(&document->raw), &answer, e);
    *ret_same = r == 0;
    return r < 0 ? err_prefix(e, "%s", s->name) : 0;
}

int cmd_source_put(struct cmd_source *source, const char *role, const struct cmd_document *document,
                   bool *ret_same, struct err *e) {
    struct err why = ERR_NONE;
    int r = source->client ? put_at_controller(source, role, document, ret_same, &why)
                           : put_into_folder(source, role, document, ret_same, &why);
    if (r == 0)
        return 0;
    // Both made in the same second have the same version: one of them came first.
    bool late = err_is(&why, &err_rollback) && strcmp(role, "root") != 0;
    return err_set(e, late ? &err_conflict : why.kind, "%s%s", why.text,
                   late ? ": somebody published in between; make the change again" : "");
}

// ── Bundles and deltas ──────────────────────────────────────────────────────────────────────────────────────

static void on_progress(void *context, uint64_t done, uint64_t total) {
    ctl_term_progress_update(context, "uploading", done, total);
}

int cmd_source_send(struct net_client *client, const struct cmd_context *context,
                    const struct cmd_source_file *file, json_t **ret, bool *ret_created,
                    struct err *e) {
    struct ctl_term_progress progress;
    struct net_client_upload upload = {.fd = file->file->fd,
                                       .size = file->file->state.size,
                                       .progress = on_progress,
                                       .context = &progress};
    ctl_term_progress_init(&progress, context->clock);
    int r = net_client_upload(client, file->delta ? "/api/v1/deltas" : "/api/v1/releases", &upload,
                              ret, e);
    ctl_term_progress_end(&progress);
    *ret_created = r == NET_CLIENT_CREATED;
    return r < 0 ? -1 : 0;
}

static int put_target(struct cmd_source *s, const struct cmd_source_file *file,
                      const struct repo_target *target, struct slice part, json_t **ret,
                      bool *ret_created, struct err *e) {
    OWN(repo_folder) struct repo_folder *folder = NULL;
    OWN(fd) int lock = -1;
    if (open_folder(s, &folder, &lock, e) < 0)
        return -1;
    int r = repo_folder_put_target(folder, target, part, e);
    if (r < 0)
        return -1;
    *ret_created = r == 0;
    const json_int_t size = (json_int_t)file->file->state.size;
    *ret = file->delta ? json_pack("{s:s,s:s,s:s,s:I}", "bundle", target->bundle.id, "base",
                                   target->bundle.base, "head", target->digest, "size", size)
                       : json_pack("{s:s,s:s,s:I,s:s}", "name", target->bundle.name, "version",
                                   target->bundle.release, "size", size, "id", target->bundle.id);
    return *ret ? 0 : err_set(e, &err_memory, "publishing: no memory");
}

int cmd_source_upload(struct cmd_source *source, const struct cmd_source_file *file,
                      const struct repo_target *target, struct slice signed_part, json_t **ret,
                      bool *ret_created, struct err *e) {
    return source->client
               ? cmd_source_send(source->client, source->context, file, ret, ret_created, e)
               : put_target(source, file, target, signed_part, ret, ret_created, e);
}
