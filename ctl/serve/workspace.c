// SPDX-License-Identifier: Apache-2.0
//
// The workspace of a controller.
#include "ctl/serve/workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/random.h"
#include "ctl/kind.h"
#include "ctl/serve/keys.h"
#include "ctl/store/audit.h"
#include "ctl/store/token.h"
#include "keys/kind.h"
#include "keys/sign/keyfile.h"
#include "keys/sign/signer.h"

#define DIRECTOR_KEY   "keys/director.key"
#define TOKEN_KEY_META "token_key"
#define FIRST_TOKEN_S  (3650LL * 86400)

static int open_root(struct serve_server *server, struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    if (fs_read_file(server->workspace, "root.json", KEYS_ROOT_MAX_BYTES, &raw, e) < 0)
        return err_is(e, &err_not_found)
                   ? (err_clear(e), err_set(e, &err_wrong_workspace,
                                            "%s has no root.json: make a workspace with `edgectl "
                                            "init DIR` and serve DIR/server",
                                            server->options->workspace))
                   : -1;
    struct keys_root *root = NULL;
    if (keys_root_open(buf_slice(&raw), &root, e) < 0)
        return err_prefix(e, "root.json");
    server->root = root;
    return 0;
}

static int open_director(struct serve_server *server, struct err *e) {
    struct sign_keyfile_info info;
    struct sign_signer *director = NULL;
    const char *workspace = server->options->workspace;
    int found = serve_keys_open(server, server->root, KEYS_ROOT_ROLE_DIRECTOR, &director, e);
    if (found < 0)
        return err_prefix(e, "%s", workspace);
    if (found == SERVE_KEYS_ABSENT) {
        // What is wrong with the key that should be it.
        if (sign_keyfile_info(server->workspace, DIRECTOR_KEY, &info, e) < 0)
            return err_prefix(e, "%s/" DIRECTOR_KEY, workspace);
        return err_set(e, &err_bad_key,
                       "%s/" DIRECTOR_KEY
                       ": root.json does not list this key for the role director; "
                       "devices would refuse every instruction",
                       workspace);
    }
    server->director = director;
    return 0;
}

int serve_workspace_open(struct serve_server *server, struct err *e) {
    server->workspace = server->bundles = -1;
    if (fs_open_dir(AT_FDCWD, server->options->workspace, &server->workspace, e) < 0)
        return err_prefix(e, "opening the workspace");
    // SQLite would say less of it, and later.
    if (faccessat(server->workspace, ".", W_OK, AT_EACCESS) < 0)
        return err_errno(e, errno, "%s: the controller keeps its store here and cannot write",
                         server->options->workspace);
    if (open_root(server, e) < 0 || open_director(server, e) < 0)
        return -1;
    if (fs_make_dir(server->workspace, "bundles", 0755, e) < 0)
        return -1;
    return fs_open_dir(server->workspace, "bundles", &server->bundles, e);
}

void serve_workspace_close(struct serve_server *server) {
    own_drop_fd(&server->bundles);
    own_drop_fd(&server->workspace);
    sign_signer_free(server->director);
    keys_root_free(server->root);
    explicit_bzero(server->token_key, sizeof server->token_key);
}

// ── Keys that belong offline ──

struct search {
    const struct serve_server *server;
    int dir;
    const char *where;
};

static int look_at(void *context, const char *name, mode_t type, struct err *e) {
    const struct search *search = context;
    struct sign_keyfile_info info;
    struct err ignored = ERR_NONE;
    size_t len = strlen(name);
    (void)type;
    if (len < 5 || strcmp(name + len - 4, ".key") != 0 ||
        sign_keyfile_info(search->dir, name, &info, &ignored) < 0)
        return 0;
    const struct keys_root *root = search->server->root;
    const char *role = NULL;
    static const enum keys_root_role offline[] = {KEYS_ROOT_ROLE_ROOT, KEYS_ROOT_ROLE_BUNDLE,
                                                  KEYS_ROOT_ROLE_TARGETS, KEYS_ROOT_ROLE_MANDATE};
    for (size_t i = 0; i < sizeof offline / sizeof offline[0]; i++)
        if (role == NULL && keys_role_has(keys_root_role(root, offline[i]), info.pub.id))
            role = keys_root_role_names[offline[i]];
    const struct keys_root_content *content = keys_root_content(root);
    for (size_t i = 0; i < content->n_bundle_roles; i++)
        if (role == NULL && keys_role_has(&content->bundle_roles[i].role, info.pub.id))
            role = "bundle (a delegation of it)";
    if (role == NULL)
        return 0;
    return err_set(e, &err_offline_key,
                   "%s/%s is a key of the role %s: whoever takes over this controller could sign "
                   "what devices install. Move it to a machine of its own, or allow it with "
                   "--allow-offline-keys (for demonstrations)",
                   search->where, name, role);
}

int serve_workspace_check_keys(const struct serve_server *server, struct err *e) {
    static const char *const places[] = {".", "keys", "../offline", "../offline/keys"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[FS_PATH_BYTES];
        OWN(fd) int dir = -1;
        struct err ignored = ERR_NONE;
        int len = snprintf(path, sizeof path, "%s/%s", server->options->workspace, places[i]);
        if (len < 0 || (size_t)len >= sizeof path ||
            fs_open_dir(AT_FDCWD, path, &dir, &ignored) < 0)
            continue; // what cannot be opened cannot be stolen from here
        struct search search = {.server = server, .dir = dir, .where = path};
        if (fs_list(dir, ".", look_at, &search, e) < 0)
            return -1;
    }
    return 0;
}

// ── The first start ──

static int make_admin(struct serve_server *server, struct store_db *db, int64_t now_s,
                      struct err *e) {
    char line[STORE_TOKEN_SECRET_BYTES + 1];
    char secret[STORE_TOKEN_SECRET_BYTES];
    struct store_token token = {.kind = STORE_TOKEN_OPERATOR,
                                .name = "admin",
                                .role = STORE_ROLE_ADMIN,
                                .created_s = now_s,
                                .expires_s = now_s + FIRST_TOKEN_S};
    if (store_token_add(db, &token, secret, e) < 0 ||
        store_audit_add(db, now_s, "serve", "token.create", token.id, NULL, e) < 0)
        return -1;
    int len = snprintf(line, sizeof line, "%s\n", secret);
    int done = fs_replace(server->workspace, SERVE_TOKEN_FILE, line, (size_t)len, 0600, e);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(line, sizeof line);
    return done;
}

static int found(struct serve_server *server, struct store_db *db, int64_t now_s, bool *ret_made,
                 struct err *e) {
    uint64_t admins = 0;
    int got = store_db_get_meta(db, TOKEN_KEY_META, server->token_key, sizeof server->token_key, e);
    if (got < 0)
        return -1;
    if (got == STORE_ABSENT) {
        random_fill(server->token_key, sizeof server->token_key);
        if (store_db_put_meta(db, TOKEN_KEY_META, server->token_key, sizeof server->token_key, e) <
            0)
            return -1;
    }
    if (store_token_admins(db, now_s, &admins, e) < 0)
        return -1;
    *ret_made = admins == 0;
    return admins > 0 ? 0 : make_admin(server, db, now_s, e);
}

int serve_workspace_found(struct serve_server *server, struct store_db *db, int64_t now_s,
                          bool *ret_made, struct err *e) {
    if (store_db_begin(db, e) < 0)
        return -1;
    if (found(server, db, now_s, ret_made, e) == 0 && store_db_commit(db, e) == 0)
        return 0;
    store_db_rollback(db);
    return -1;
}
