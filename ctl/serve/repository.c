// SPDX-License-Identifier: Apache-2.0
//
// A controller's repository: opened, kept fresh, asked.
#include "ctl/serve/repository.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/lock.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/mandate.h"
#include "ctl/serve/repository_parts.h"
#include "ctl/store/audit.h"
#include "keys/kind.h"
#include "keys/sign/signer.h"

static void say(const struct serve_server *server, enum serve_say what, const char *line) {
    server->options->say(server->options->context, what, line);
}

// ── Opening ──────────────────────────────────────────────────────────────────────────────────────

static int read_root(const struct serve_server *server, struct buf *ret, struct err *e) {
    buf_init(ret, KEYS_ROOT_MAX_BYTES);
    return fs_read_file(server->workspace, "root.json", KEYS_ROOT_MAX_BYTES, ret, e);
}

static int open_folder(const struct serve_server *server, struct serve_repository *r,
                       struct err *e) {
    OWN(buf) struct buf root;
    if (read_root(server, &root, e) < 0 ||
        fs_make_dir(server->workspace, SERVE_REPOSITORY_DIR, 0755, e) < 0 ||
        ctl_lock_folder(server->workspace, SERVE_REPOSITORY_DIR, &r->dir, e) < 0 ||
        repo_folder_make(r->dir, buf_slice(&root), e) < 0)
        return -1;
    return repo_folder_open(r->dir, buf_slice(&root), &r->folder, e);
}

int serve_repository_keep_root(struct serve_server *server, struct serve_repository *r,
                               struct err *e) {
    const struct slice raw = repo_folder_root_raw(r->folder);
    struct keys_root *root = NULL;
    if (keys_root_header(repo_folder_root(r->folder))->version ==
        keys_root_header(server->root)->version)
        return 0;
    if (r->n_retired == SERVE_REPOSITORY_ROOTS_MAX)
        return err_set(e, &err_limit, "%d roots since the start: start the controller again",
                       SERVE_REPOSITORY_ROOTS_MAX);
    if (fs_replace(server->workspace, "root.json", raw.data, raw.len, 0644, e) < 0 ||
        keys_root_open(raw, &root, e) < 0)
        return -1;
    // Another thread may be verifying a bundle by the old one.
    r->retired[r->n_retired++] = server->root;
    server->root = root;
    serve_mandate_know(server);
    return 0;
}

static int open_key(const struct serve_server *server, enum keys_root_role role,
                    struct sign_signer **ret, struct err *e) {
    int found = serve_keys_open(server, server->root, role, ret, e);
    if (found == SERVE_KEYS_ABSENT)
        return err_set(e, &err_not_found,
                       "%s/keys holds no key of the role %s in version %llu of the root: put the "
                       "file NAME.key there; a new key takes a new root (edgectl key rotate %s)",
                       server->options->workspace, keys_root_role_names[role],
                       (unsigned long long)keys_root_header(server->root)->version,
                       keys_root_role_names[role]);
    return found;
}

static int open_repository(struct serve_server *server, struct serve_repository *r, struct err *e) {
    if (open_folder(server, r, e) < 0 || serve_repository_keep_root(server, r, e) < 0)
        return -1;
    server->repository = r;
    if (serve_repository_take_all(server, e) < 0)
        return -1;
    if (!serve_repository_is_meant(r)) {
        say(server, SERVE_SAY_WARNING,
            "root.json was made by an older version and names no keys for a repository: devices "
            "with a newer agent install nothing from here; edgectl(1), UPGRADING, says how to go "
            "on");
        return 0;
    }
    if (open_key(server, KEYS_ROOT_ROLE_SNAPSHOT, &r->snapshot, e) < 0 ||
        open_key(server, KEYS_ROOT_ROLE_TIMESTAMP, &r->timestamp, e) < 0)
        return -1;
    const struct repo_folder_online online =
        serve_repository_online(server, chrono_wall_ms(server->clock) / 1000);
    // What lies there may have been put back from a backup.
    if (repo_folder_renew_all(r->folder, &online, e) == 0)
        return 0;
    if (!err_is(e, &err_not_found)) // of targets
        return -1;
    say(server, SERVE_SAY_WARNING, e->text);
    err_clear(e);
    return 0;
}

bool serve_repository_is_meant(const struct serve_repository *r) {
    return keys_root_role(repo_folder_root(r->folder), KEYS_ROOT_ROLE_TIMESTAMP)->n_keys > 0;
}

int serve_repository_open(struct serve_server *server, struct err *e) {
    struct serve_repository *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(e, &err_memory, "opening the repository: out of memory");
    r->dir = -1;
    if (open_repository(server, r, e) == 0)
        return 0;
    server->repository = NULL;
    serve_repository_close(r);
    return -1;
}

void serve_repository_close(struct serve_repository *r) {
    if (r == NULL)
        return;
    while (r->n_retired > 0)
        keys_root_free(r->retired[--r->n_retired]);
    while (r->n_directors > 0)
        sign_signer_free(r->directors[--r->n_directors]);
    sign_signer_free(r->snapshot);
    sign_signer_free(r->timestamp);
    repo_folder_free(r->folder);
    own_drop_fd(&r->dir);
    free(r);
}

// ── Keeping it fresh ─────────────────────────────────────────────────────────────────────────────

struct repo_folder_online serve_repository_online(const struct serve_server *server,
                                                  int64_t now_s) {
    const struct serve_repository *r = server->repository;
    return (struct repo_folder_online){.snapshot = r->snapshot,
                                       .timestamp = r->timestamp,
                                       .snapshot_s = (int64_t)server->options->snapshot_expires_s,
                                       .timestamp_s = (int64_t)server->options->timestamp_expires_s,
                                       .now_s = now_s};
}

static int note_renewal(const struct serve_repository *r, struct store_db *db, int64_t now_s,
                        struct err *e) {
    const struct repo_folder_state *snapshot = repo_folder_find(r->folder, "snapshot");
    const struct repo_folder_state *timestamp = repo_folder_find(r->folder, "timestamp");
    OWN(json)
    json_t *data = json_pack("{s:I, s:I}", "snapshot", (json_int_t)snapshot->header.version,
                             "timestamp", (json_int_t)timestamp->header.version);
    if (data == NULL)
        return err_set(e, &err_memory, "noting a renewal: out of memory");
    return store_audit_add(db, now_s, "serve", "repository.renew", "timestamp", data, e);
}

void serve_repository_tick(struct serve_server *server, struct store_db *db, int64_t now_ms) {
    struct serve_repository *r = server->repository;
    struct err e = ERR_NONE;
    int64_t boot_ms = chrono_boot_ms(server->clock);
    if (boot_ms < r->retry_ms || repo_folder_find(r->folder, "targets")->header.version == 0)
        return;
    const struct repo_folder_online online = serve_repository_online(server, now_ms / 1000);
    int done = repo_folder_renew(r->folder, &online, &e);
    if (done == REPO_FOLDER_SAME)
        return;
    if (done == 0)
        done = note_renewal(r, db, now_ms / 1000, &e);
    if (done == 0)
        return;
    (void)err_prefix(&e, "renewing the repository's timestamp (tried again in %d s)",
                     SERVE_REPOSITORY_RETRY_S);
    say(server, SERVE_SAY_ERROR, e.text);
    r->retry_ms = boot_ms + SERVE_REPOSITORY_RETRY_S * 1000LL;
}

// ── Asked by others ──────────────────────────────────────────────────────────────────────────────

void serve_repository_hint(const struct serve_server *server, struct bundle_answer *answer) {
    const struct serve_repository *r = server->repository;
    answer->repository_root = answer->repository_snapshot = 0;
    if (!serve_repository_is_meant(r))
        return;
    answer->repository_root = repo_folder_find(r->folder, "root")->header.version;
    answer->repository_snapshot = repo_folder_find(r->folder, "snapshot")->header.version;
}

bool serve_repository_names(const struct serve_server *server, const struct store_bundle *bundle,
                            const struct keys_digest *id) {
    struct repo_target target = {.length = 0};
    (void)bundle_target_set(&target.bundle, bundle->name, bundle->version, id);
    return serve_repository_is_meant(server->repository) &&
           repo_folder_names(server->repository->folder, &target) == 0;
}

bool serve_repository_names_delta(const struct serve_server *server,
                                  const struct store_bundle *bundle,
                                  const struct store_delta *delta) {
    struct repo_target target = {.length = 0};
    struct keys_digest id;
    struct keys_digest base;
    struct err ignored = ERR_NONE;
    if (keys_digest_parse(bundle->id, "bundle", &id, &ignored) < 0 ||
        keys_digest_parse(delta->base, "base", &base, &ignored) < 0)
        return false;
    (void)bundle_target_set_delta(&target.bundle, bundle->name, bundle->version, &id, &base);
    return repo_folder_names(server->repository->folder, &target) == 0 &&
           strcmp(target.digest, delta->head) == 0 && target.length == delta->head_bytes;
}

// What devices would answer to one bundle of a release.
static int check_bundle(const struct serve_server *server, const struct store_bundle *row,
                        const char *policy, struct err *e) {
    struct bundle_target target;
    struct keys_digest id;
    struct err why = ERR_NONE;
    if (keys_digest_parse(row->id, "a bundle's id", &id, e) < 0)
        return -1;
    int found = repo_folder_admits(server->repository->folder,
                                   bundle_target_set(&target, row->name, row->version, &id), &why);
    if (found == 0)
        return 0;
    if (found == REPO_FOLDER_ABSENT)
        return err_set(e, &err_not_published,
                       "applying %s: the repository's targets do not name %s %s%s%s (%.8s), so "
                       "devices would refuse it; sign them with edgectl release publish",
                       policy, row->name, row->version, *row->variant ? " " : "", row->variant,
                       row->id);
    if (err_is(&why, &err_delegation))
        return err_set(e, why.kind, "applying %s: devices would refuse %s %s (%.8s): %s", policy,
                       row->name, row->version, row->id, why.text);
    // What passes by itself, like want of memory, says nothing about the release.
    if (why.kind->retry)
        return err_set(e, why.kind, "applying %s: looking for %s %s in the repository: %s", policy,
                       row->name, row->version, why.text);
    return err_set(e, &err_not_published,
                   "applying %s: the repository does not hold, so devices would not find %s %s "
                   "(%.8s) in it: %s (edgectl root status says which file has to be signed anew)",
                   policy, row->name, row->version, row->id, why.text);
}

int serve_repository_check(struct serve_call *call, const struct rollout_policy *policy,
                           struct err *e) {
    const struct serve_server *server = call->server;
    const struct serve_engine *engine = server->engine;
    for (size_t i = 0; serve_repository_is_meant(server->repository) && i < engine->n_bundles;
         i++) {
        const struct store_bundle *row = &engine->bundles[i].row;
        if (strcmp(row->name, policy->release_name) == 0 &&
            strcmp(row->version, policy->release_version) == 0 &&
            check_bundle(server, row, policy->name, e) < 0) {
            // Elsewhere it is about what was sent; here about what was published.
            if (err_is(e, &err_delegation))
                call->status = 409;
            return -1;
        }
    }
    return 0;
}
