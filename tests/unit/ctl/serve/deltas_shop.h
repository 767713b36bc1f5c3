// SPDX-License-Identifier: Apache-2.0
//
// What the store's thread sees when deltas are made and named, without the threads: a workspace with
// a repository whose targets name one bundle and delegate deltas to an online key, a store, and real
// deltas to that bundle. Key 1 signs roots, key 2 targets, key 0 the bundle. Everything here aborts
// the test when it fails.
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "ctl/kind.h"
#include "ctl/repo/target.h"
#include "ctl/repo/targets.h"
#include "ctl/serve/delta_parts.h"
#include "ctl/serve/repository_parts.h"
#include "keys/sign/keyfile.h"
#include "tests/support/delta_scene.h"
#include "tests/support/fake_clock.h"
#include "tests/support/tmp.h"

#define SHOP_NOW_S 1800000000LL

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

struct shop {
    struct tmp_dir dir;
    struct store_db *db;
    struct fake_clock now;
    struct serve_options options;
    struct serve_server server;
    struct delta_scene scene;
    struct keys_role online; // the role deltas
    char bundle[KEYS_DIGEST_HEX];
    char said[4096];  // lines of the log
    uint64_t version; // of targets
};

static inline void shop_say(void *context, enum serve_say what, const char *line) {
    struct shop *s = context;
    size_t len = strlen(s->said);
    (void)what;
    (void)snprintf(s->said + len, sizeof s->said - len, "%s\n", line);
}

static inline void shop_key(const struct shop *s, const char *name, struct keys_role *ret) {
    struct err e = ERR_NONE;
    OWN(fd) int keys = -1;
    *ret = (struct keys_role){.threshold = 1, .n_keys = 1};
    must(fs_open_dir(s->dir.fd, "keys", &keys, &e));
    must(sign_keyfile_create(keys, name, NULL, &sign_keyfile_kdf_least, &ret->keys[0], &e));
}

static inline void shop_sign(struct slice part, unsigned key, struct buf *ret) {
    struct err e = ERR_NONE;
    struct sign_signer *signer = forge_signer(key);
    buf_init(ret, REPO_TARGETS_MAX_BYTES);
    must(sign_signer_envelope(part, &signer, 1, ret, &e));
    sign_signer_free(signer);
}

static inline struct keys_role shop_role(unsigned key) {
    struct keys_role role = {.threshold = 1, .n_keys = 1};
    keys_secret_free(forge_key(key, &role.keys[0]));
    return role;
}

static inline void shop_root(struct shop *s, bool for_a_repository) {
    struct err e = ERR_NONE;
    OWN(mem) struct keys_root_content *c = calloc(1, sizeof *c);
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    c->header = (struct keys_header){1, FORGE_ISSUED_S, CHRONO_MAX_S};
    c->roles[KEYS_ROOT_ROLE_ROOT] = shop_role(1);
    c->roles[KEYS_ROOT_ROLE_BUNDLE] = shop_role(0);
    c->roles[KEYS_ROOT_ROLE_DIRECTOR] = shop_role(3);
    if (for_a_repository) {
        c->roles[KEYS_ROOT_ROLE_TARGETS] = shop_role(2);
        shop_key(s, "snapshot", &c->roles[KEYS_ROOT_ROLE_SNAPSHOT]);
        shop_key(s, "timestamp", &c->roles[KEYS_ROOT_ROLE_TIMESTAMP]);
    }
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    must(keys_root_format_content(c, &part, &e));
    shop_sign(buf_slice(&part), 1, &raw);
    must(fs_replace(s->dir.fd, "root.json", raw.data, raw.len, 0644, &e));
    struct keys_root *root = NULL;
    must(keys_root_open(buf_slice(&raw), &root, &e));
    s->server.root = root;
}

// The bundle: its target's file, and its row.
static inline struct repo_target shop_target(const struct shop *s) {
    struct err e = ERR_NONE;
    struct bundle_manifest_unverified *m = NULL;
    struct repo_target target;
    struct slice part;
    must(bundle_manifest_peek(buf_slice(&s->scene.manifest), &m, &e));
    must(repo_target_of(buf_slice(&s->scene.manifest), bundle_manifest_peek_view(m), &target, &part,
                        &e));
    must(repo_folder_put_target(s->server.repository->folder, &target, part, &e));
    bundle_manifest_peek_free(m);
    return target;
}

static inline void shop_publish(struct shop *s, const char *id, const char *name,
                                const char *version) {
    struct err e = ERR_NONE;
    struct store_bundle b = {.size = 5000, .components = json_pack("{s:{}}", "c")};
    (void)snprintf(b.id, sizeof b.id, "%s", id);
    (void)snprintf(b.name, sizeof b.name, "%s", name);
    (void)snprintf(b.version, sizeof b.version, "%s", version);
    must(store_release_add(s->db, &b, &e));
    store_release_clear(&b);
    serve_engine_doubt(s->server.engine);
    must(serve_engine_load(s->server.engine, s->db, &e));
}

// New targets: whether they name the bundle, and delegate to so many signatures of this key (none: 0).
static inline void shop_targets(struct shop *s, bool named, unsigned threshold,
                                const struct keys_role *key) {
    struct err e = ERR_NONE;
    OWN(json) json_t *targets = NULL;
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    const struct repo_folder_online online = serve_repository_online(&s->server, SHOP_NOW_S);
    const char *paths = REPO_TARGETS_DELTAS_PATHS;
    struct keys_header header = {++s->version, FORGE_ISSUED_S, CHRONO_MAX_S};
    must(repo_targets_new(&targets, &e));
    if (threshold > 0) {
        struct keys_role role = *key;
        role.threshold = threshold;
        if (threshold > 1)
            role.keys[role.n_keys++] = shop_role(7).keys[0];
        const struct repo_targets_delegation d = {
            .name = REPO_TARGETS_DELTAS_ROLE, .role = &role, .n_paths = 1, .paths = &paths};
        must(repo_targets_delegate(targets, &d, &e));
    }
    struct repo_target target = shop_target(s);
    if (named)
        must(repo_targets_add(targets, &target, &e));
    buf_init(&part, REPO_TARGETS_MAX_BYTES);
    must(repo_targets_format(targets, &header, &part, &e));
    shop_sign(buf_slice(&part), 2, &raw);
    must(repo_folder_accept(s->server.repository->folder, "targets", buf_slice(&raw), &online, &e));
}

static inline void shop_open(struct shop *s, bool for_a_repository) {
    char path[TMP_PATH_BYTES + 16];
    struct err e = ERR_NONE;
    memset(s, 0, sizeof *s);
    must(keys_secret_init(&e));
    tmp_dir_in_memory();
    s->dir = tmp_dir_make();
    must(fs_mkdir(s->dir.fd, "keys", 0700, &e));
    must(fs_mkdir(s->dir.fd, "bundles", 0755, &e));
    must(fs_mkdir(s->dir.fd, "making", 0755, &e));
    fake_clock_init(&s->now, SHOP_NOW_S * 1000, 5000000);
    s->options = (struct serve_options){
        .workspace = s->dir.path, .clock = &s->now.chrono, .say = shop_say, .context = s};
    s->server.options = &s->options;
    s->server.clock = &s->now.chrono;
    s->server.workspace = s->dir.fd;
    must(fs_open_dir(s->dir.fd, "bundles", &s->server.bundles, &e));
    (void)snprintf(path, sizeof path, "%s/store.db", s->dir.path);
    must(store_db_open(path, &s->db, &e));
    must(store_db_begin(s->db, &e));
    must(serve_engine_open(&s->server.engine, &e));
    must(serve_engine_load(s->server.engine, s->db, &e));
    shop_root(s, for_a_repository);
    shop_key(s, REPO_TARGETS_DELTAS_ROLE, &s->online);
    must(serve_repository_open(&s->server, &e));
    delta_scene_make(&s->scene);
    (void)keys_digest_hex(&s->scene.id, s->bundle);
    shop_publish(s, s->bundle, "forged", "1.0");
}

static inline void shop_close(struct shop *s) {
    serve_repository_close(s->server.repository);
    serve_engine_close(s->server.engine);
    store_db_close(s->db);
    keys_root_free(s->server.root);
    (void)close(s->server.bundles);
    delta_scene_clear(&s->scene);
    tmp_dir_remove(&s->dir);
}

// The id of a bundle that a delta may start from.
static inline const char *shop_base(unsigned n, char ret[static KEYS_DIGEST_HEX]) {
    (void)snprintf(ret, KEYS_DIGEST_HEX, "%064x", n + 1);
    return ret;
}

static unsigned shop_delta_base;
static inline void shop_edit(struct bundle_delta_head *head) {
    char hex[KEYS_DIGEST_HEX];
    struct err e = ERR_NONE;
    must(keys_digest_parse(shop_base(shop_delta_base, hex), "base", &head->base, &e));
}

// A delta from base n as a file of this name; its row, as the controller would make it, in *ret.
static inline void shop_write_delta(struct shop *s, int dir, const char *name, unsigned n,
                                    struct store_delta *ret) {
    struct err e = ERR_NONE;
    struct repo_target target;
    struct slice part;
    struct forge_memory memory;
    struct unpack_source source;
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    OWN(buf) struct buf bytes;
    char file[STORE_DELTA_FILE_BYTES];
    shop_delta_base = n;
    s->scene.edit = shop_edit;
    delta_scene_write(&s->scene, &bytes);
    forge_source(&memory, buf_slice(&bytes), &source);
    must(unpack_delta_open(&source, &candidate, &e));
    must(repo_target_peek_delta(unpack_delta_open_manifest(candidate),
                                unpack_delta_open_head(candidate), &target, &part, &e));
    *ret = (struct store_delta){
        .head_bytes = target.length, .size = bytes.len, .actor = STORE_DELTA_MADE};
    (void)snprintf(ret->head, sizeof ret->head, "%s", target.digest);
    (void)snprintf(ret->bundle, sizeof ret->bundle, "%s", s->bundle);
    (void)shop_base(n, ret->base);
    must(fs_replace(dir, name ? name : store_delta_file(ret->head, file), bytes.data, bytes.len,
                    0644, &e));
}

// What was made at this time: rows, and with `real` the file; otherwise it was lost.
static inline void shop_made(struct shop *s, unsigned n, int64_t at_s, bool real,
                             struct store_delta *ret) {
    struct err e = ERR_NONE;
    struct store_making making = {.at_s = at_s};
    if (real)
        shop_write_delta(s, s->server.bundles, NULL, n, ret);
    else {
        *ret = (struct store_delta){.head_bytes = 100, .size = 1000, .actor = STORE_DELTA_MADE};
        (void)snprintf(ret->head, sizeof ret->head, "f%063x", n);
        (void)snprintf(ret->bundle, sizeof ret->bundle, "%s", s->bundle);
        (void)shop_base(n, ret->base);
    }
    must(store_delta_add(s->db, ret, &e));
    (void)snprintf(making.bundle, sizeof making.bundle, "%s", ret->bundle);
    (void)snprintf(making.base, sizeof making.base, "%s", ret->base);
    (void)snprintf(making.head, sizeof making.head, "%s", ret->head);
    must(store_making_put(s->db, &making, &e));
}

// How many deltas the role's file names.
static inline size_t shop_named(const struct shop *s) {
    const json_t *content =
        repo_folder_targets(s->server.repository->folder, REPO_TARGETS_DELTAS_ROLE);
    return json_object_size(json_object_get(content, "targets"));
}

static inline bool shop_has_file(const struct shop *s, const struct store_delta *delta) {
    struct err e = ERR_NONE;
    struct stat st;
    char name[STORE_DELTA_FILE_BYTES];
    return fs_stat(s->server.bundles, store_delta_file(delta->head, name), &st, &e) == 0;
}

static inline bool shop_has_row(const struct shop *s, const struct store_delta *delta) {
    struct err e = ERR_NONE;
    struct store_delta row;
    int found = store_delta_get(s->db, delta->head, &row, &e);
    must(found);
    return found == 0;
}
