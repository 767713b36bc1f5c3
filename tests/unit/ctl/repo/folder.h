// SPDX-License-Identifier: Apache-2.0
//
// A repository in a directory of its own, signed by the forge's keys: 1 root, 2 targets, 3
// snapshot, 4 timestamp. Everything here ends the test when it fails.
#pragma once

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/fs.h"
#include "base/own.h"
#include "ctl/repo/folder.h"
#include "keys/canon.h"
#include "keys/kind.h"
#include "keys/sign/signer.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"

#define NOW 1800000000LL
#define DAY 86400LL

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

struct place {
    struct tmp_dir dir;
    struct repo_folder *folder;
    struct sign_signer *snapshot, *timestamp;
    struct repo_folder_online online;
};

static inline struct keys_role role_of(unsigned first, unsigned n, size_t threshold) {
    struct keys_role role = {.threshold = threshold, .n_keys = n};
    for (unsigned i = 0; i < n; i++)
        keys_secret_free(forge_key(first + i, &role.keys[i]));
    return role;
}

// The envelope of a signed part by the keys whose bits are set.
static inline void sign_by(struct slice part, uint64_t keys, struct buf *ret) {
    struct err e = ERR_NONE;
    struct sign_signer *signers[16];
    size_t n = 0;
    for (unsigned i = 0; i < 16; i++)
        if (keys >> i & 1)
            signers[n++] = forge_signer(i);
    must(sign_signer_envelope(part, signers, n, ret, &e));
    while (n > 0)
        sign_signer_free(signers[--n]);
}

static inline void root_content(uint64_t version, struct keys_root_content *ret) {
    *ret = (struct keys_root_content){.header = {version, NOW, NOW + 3650 * DAY}};
    ret->roles[KEYS_ROOT_ROLE_ROOT] = role_of(1, 1, 1);
    ret->roles[KEYS_ROOT_ROLE_BUNDLE] = role_of(0, 1, 1);
    ret->roles[KEYS_ROOT_ROLE_DIRECTOR] = role_of(5, 1, 1);
    ret->roles[KEYS_ROOT_ROLE_TARGETS] = role_of(2, 1, 1);
    ret->roles[KEYS_ROOT_ROLE_SNAPSHOT] = role_of(3, 1, 1);
    ret->roles[KEYS_ROOT_ROLE_TIMESTAMP] = role_of(4, 1, 1);
}

static inline void root_sign(const struct keys_root_content *content, uint64_t keys,
                             struct buf *ret) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(ret, KEYS_ROOT_MAX_BYTES);
    must(keys_root_format_content(content, &part, &e));
    sign_by(buf_slice(&part), keys, ret);
}

// A targets file of this content, signed by these keys.
static inline void targets_sign(const json_t *content, uint64_t version, uint64_t keys,
                                struct buf *ret) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    struct keys_header header = {version, NOW, NOW + 365 * DAY};
    buf_init(&part, REPO_TARGETS_MAX_BYTES);
    buf_init(ret, REPO_TARGETS_MAX_BYTES + 100);
    must(repo_targets_format(content, &header, &part, &e));
    sign_by(buf_slice(&part), keys, ret);
}

static inline void place_open(struct place *p) {
    struct err e = ERR_NONE;
    struct keys_root_content content;
    OWN(buf) struct buf root;
    root_content(1, &content);
    root_sign(&content, 1 << 1, &root);
    must(repo_folder_open(p->dir.fd, buf_slice(&root), &p->folder, &e));
}

static inline void place_reopen(struct place *p) {
    repo_folder_free(p->folder);
    p->folder = NULL;
    place_open(p);
}

// Without any targets yet.
static inline void place_make(struct place *p) {
    struct err e = ERR_NONE;
    struct keys_root_content content;
    OWN(buf) struct buf root;
    must(keys_secret_init(&e));
    *p = (struct place){.dir = tmp_dir_make()};
    root_content(1, &content);
    root_sign(&content, 1 << 1, &root);
    must(repo_folder_make(p->dir.fd, buf_slice(&root), &e));
    must(repo_folder_make(p->dir.fd, buf_slice(&root), &e)); // again changes nothing
    place_open(p);
    p->snapshot = forge_signer(3);
    p->timestamp = forge_signer(4);
    p->online = (struct repo_folder_online){
        .snapshot = p->snapshot, .timestamp = p->timestamp, .now_s = NOW};
}

static inline void place_free(struct place *p) {
    repo_folder_free(p->folder);
    sign_signer_free(p->snapshot);
    sign_signer_free(p->timestamp);
    tmp_dir_remove(&p->dir);
}
#define own_drop_place place_free

// A target of this canonical text; its file is put into place.
static inline struct repo_target place_target_of(struct place *p, const char *name,
                                                 const char *release, const char *text) {
    struct err e = ERR_NONE;
    struct repo_target t = {.length = strlen(text)};
    struct keys_digest id;
    (void)snprintf(t.bundle.name, sizeof t.bundle.name, "%s", name);
    (void)snprintf(t.bundle.release, sizeof t.bundle.release, "%s", release);
    keys_digest_of(text, t.length, &id);
    (void)keys_digest_hex(&id, t.bundle.id);
    (void)keys_digest_hex(&id, t.digest);
    (void)keys_digest_sha256(text, t.length, t.sha256);
    struct slice part = {(const uint8_t *)text, t.length};
    must(repo_folder_put_target(p->folder, &t, part, &e));
    cr_assert_eq(repo_folder_put_target(p->folder, &t, part, &e), REPO_FOLDER_SAME);
    return t;
}

static inline struct repo_target place_target(struct place *p, const char *name,
                                              const char *release) {
    char text[200];
    (void)snprintf(text, sizeof text, "{\"of\":\"%s %s\"}", name, release);
    return place_target_of(p, name, release, text);
}

static inline json_t *targets_of(const struct repo_target *list, size_t n) {
    struct err e = ERR_NONE;
    json_t *targets = NULL;
    must(repo_targets_new(&targets, &e));
    for (size_t i = 0; i < n; i++)
        must(repo_targets_add(targets, &list[i], &e));
    return targets;
}

// NULL: accepted; an error's kind otherwise. *ret_same may be NULL.
static inline const struct err_kind *place_accept(struct place *p, const char *role,
                                                  struct slice raw) {
    struct err e = ERR_NONE;
    return repo_folder_accept(p->folder, role, raw, &p->online, &e) < 0 ? e.kind : NULL;
}

static inline const struct err_kind *place_targets(struct place *p, const char *role,
                                                   const json_t *content, uint64_t version,
                                                   uint64_t keys) {
    OWN(buf) struct buf raw;
    targets_sign(content, version, keys, &raw);
    return place_accept(p, role, buf_slice(&raw));
}

static inline json_t *place_json(const struct place *p, const char *file) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf raw;
    char path[300];
    buf_init(&raw, REPO_TARGETS_MAX_BYTES + 100);
    (void)snprintf(path, sizeof path, "metadata/%s", file);
    must(fs_read_file(p->dir.fd, path, REPO_TARGETS_MAX_BYTES, &raw, &e));
    json_t *json = json_loadb((const char *)raw.data, raw.len, 0, NULL);
    cr_assert_not_null(json);
    return json;
}

static inline uint64_t version_of(const struct place *p, const char *role) {
    const struct repo_folder_state *state = repo_folder_find(p->folder, role);
    cr_assert_not_null(state, "%s", role);
    return state->header.version;
}

static inline bool is_valid(const struct place *p, const char *role) {
    const struct repo_folder_state *state = repo_folder_find(p->folder, role);
    return state && state->valid;
}

static inline bool is_named(const struct place *p, const struct repo_target *target) {
    struct err e = ERR_NONE;
    int found = repo_folder_admits(p->folder, &target->bundle, &e);
    // What is found without the client has to be the same.
    struct repo_target named = {.bundle = target->bundle};
    cr_assert_eq(repo_folder_names(p->folder, &named), found == 0 ? 0 : REPO_FOLDER_ABSENT);
    cr_assert(found != 0 || memcmp(&named, target, sizeof named) == 0);
    return found == 0;
}

// Targets of one release, published.
static inline struct repo_target begin(struct place *p) {
    place_make(p);
    struct repo_target t = place_target(p, "app", "1.0");
    OWN(json) json_t *targets = targets_of(&t, 1);
    cr_assert_null(place_targets(p, "targets", targets, 1, 1 << 2));
    return t;
}
