// SPDX-License-Identifier: Apache-2.0
//
// An open repository: opened, asked, and the files of its targets.
#include "ctl/repo/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "ctl/repo/folder_parts.h"
#include "keys/kind.h"

// ── Names ────────────────────────────────────────────────────────────────────────────────────────

char *repo_folder_file(const char *role, uint64_t version,
                       char ret[static REPO_FOLDER_FILE_BYTES]) {
    if (strcmp(role, "timestamp") == 0)
        (void)snprintf(ret, REPO_FOLDER_FILE_BYTES, "timestamp.json");
    else
        (void)snprintf(ret, REPO_FOLDER_FILE_BYTES, "%llu.%s.json", (unsigned long long)version,
                       role);
    return ret;
}

bool repo_folder_parse_file(const char *file, char ret_role[static REPO_TARGETS_NAME_MAX + 1],
                            uint64_t *ret_version) {
    char digits[24];
    struct err ignored = ERR_NONE;
    size_t len = strlen(file);
    size_t head = strcspn(file, ".");
    if (head == 0 || head >= sizeof digits || len < head + 1 + 1 + strlen(".json") ||
        strcmp(file + len - strlen(".json"), ".json") != 0)
        return false;
    memcpy(digits, file, head);
    digits[head] = '\0';
    size_t name = len - head - 1 - strlen(".json");
    if (name > REPO_TARGETS_NAME_MAX ||
        num_parse_u64(digits, "version", 1, KEYS_VERSION_MAX, ret_version, &ignored) < 0)
        return false;
    memcpy(ret_role, file + head + 1, name);
    ret_role[name] = '\0';
    return true;
}

// ── Opening ──────────────────────────────────────────────────────────────────────────────────────

static int put_root(int metadata, const struct keys_root *root, struct slice raw, struct err *e) {
    char name[REPO_FOLDER_FILE_BYTES];
    struct stat st;
    OWN(buf) struct buf there;
    buf_init(&there, KEYS_ROOT_MAX_BYTES);
    (void)repo_folder_file("root", keys_root_header(root)->version, name);
    int found = fs_stat(metadata, name, &st, e);
    if (found < 0)
        return -1;
    if (found == FS_ABSENT)
        return fs_replace(metadata, name, raw.data, raw.len, REPO_FOLDER_FILE_MODE, e);
    if (fs_read_file(metadata, name, KEYS_ROOT_MAX_BYTES, &there, e) < 0)
        return -1;
    if (there.len != raw.len || memcmp(there.data, raw.data, raw.len) != 0)
        return err_set(e, &err_exists, "metadata/%s is another root of the same version", name);
    return 0;
}

int repo_folder_make(int dir, struct slice root_raw, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    OWN(fd) int metadata = -1;
    if (keys_root_open(root_raw, &root, e) < 0)
        return -1;
    if (fs_make_dir(dir, "metadata", REPO_FOLDER_DIR_MODE, e) < 0 ||
        fs_make_dir(dir, "targets", REPO_FOLDER_DIR_MODE, e) < 0 || fs_sync(dir, e) < 0 ||
        fs_open_dir(dir, "metadata", &metadata, e) < 0 || put_root(metadata, root, root_raw, e) < 0)
        return err_prefix(e, "making the repository");
    return 0;
}

// The roots that follow in the folder, each by the one before.
static int follow(struct repo_folder *folder, struct err *e) {
    for (;;) {
        char name[REPO_FOLDER_FILE_BYTES];
        struct stat st;
        OWN(buf) struct buf raw;
        OWN(root) struct keys_root *next = NULL;
        buf_init(&raw, KEYS_ROOT_MAX_BYTES);
        (void)repo_folder_file("root", keys_root_header(folder->root)->version + 1, name);
        int found = fs_stat(folder->metadata, name, &st, e);
        if (found != 0)
            return found < 0 ? -1 : 0;
        if (fs_read_file(folder->metadata, name, KEYS_ROOT_MAX_BYTES, &raw, e) < 0 ||
            keys_root_advance(folder->root, buf_slice(&raw), &next, e) < 0)
            return err_prefix(e, "metadata/%s", name);
        keys_root_free(folder->root);
        folder->root = own_take(&next);
        buf_clear(&folder->root_raw);
        folder->root_raw = raw;
        buf_init(&raw, KEYS_ROOT_MAX_BYTES); // handed over
    }
}

static int open_into(struct repo_folder *folder, int dir, struct slice root, struct err *e) {
    if (keys_root_open(root, &folder->root, e) < 0 ||
        buf_add(&folder->root_raw, root.data, root.len, e) < 0 ||
        fs_open_dir(dir, "metadata", &folder->metadata, e) < 0 ||
        fs_open_dir(dir, "targets", &folder->targets, e) < 0 || repo_folder_tidy(folder, e) < 0 ||
        follow(folder, e) < 0)
        return -1;
    return repo_folder_load(folder, e);
}

int repo_folder_open(int dir, struct slice root, struct repo_folder **ret, struct err *e) {
    OWN(repo_folder) struct repo_folder *folder = calloc(1, sizeof *folder);
    if (!folder)
        return err_set(e, &err_memory, "opening the repository: out of memory");
    folder->metadata = folder->targets = -1;
    buf_init(&folder->root_raw, KEYS_ROOT_MAX_BYTES);
    if (open_into(folder, dir, root, e) < 0)
        return err_prefix(e, "opening the repository");
    *ret = own_take(&folder);
    return 0;
}

void repo_folder_free(struct repo_folder *folder) {
    if (!folder)
        return;
    for (size_t i = 0; i < folder->n_roles; i++)
        json_decref(folder->roles[i].content);
    free(folder->roles);
    keys_root_free(folder->root);
    buf_clear(&folder->root_raw);
    own_drop_fd(&folder->metadata);
    own_drop_fd(&folder->targets);
    free(folder);
}

// ── Asking ───────────────────────────────────────────────────────────────────────────────────────

const struct keys_root *repo_folder_root(const struct repo_folder *folder) {
    return folder->root;
}

struct slice repo_folder_root_raw(const struct repo_folder *folder) {
    return buf_slice(&folder->root_raw);
}

size_t repo_folder_n_states(const struct repo_folder *folder) {
    return folder->n_roles;
}

const struct repo_folder_state *repo_folder_state(const struct repo_folder *folder, size_t n) {
    return &folder->roles[n].state;
}

struct folder_role *repo_folder_at(const struct repo_folder *folder, const char *role) {
    for (size_t i = 0; i < folder->n_roles; i++)
        if (strcmp(folder->roles[i].state.name, role) == 0)
            return &folder->roles[i];
    return NULL;
}

const struct repo_folder_state *repo_folder_find(const struct repo_folder *folder,
                                                 const char *role) {
    const struct folder_role *at = repo_folder_at(folder, role);
    return at ? &at->state : NULL;
}

uint64_t repo_folder_next_version(const struct repo_folder *folder, const char *role,
                                  int64_t now_s) {
    const struct folder_role *at = repo_folder_at(folder, role);
    uint64_t next = (at ? at->state.header.version : 0) + 1;
    if (strcmp(role, "root") == 0 || now_s < 0 || (uint64_t)now_s < next)
        return next;
    return (uint64_t)now_s;
}

int repo_folder_read(const struct repo_folder *folder, const char *role, struct buf *ret,
                     struct err *e) {
    char name[REPO_FOLDER_FILE_BYTES];
    const struct folder_role *at = repo_folder_at(folder, role);
    if (!at || at->bytes == 0)
        return REPO_FOLDER_ABSENT;
    return fs_read_file(folder->metadata, repo_folder_file(role, at->state.header.version, name),
                        REPO_TARGETS_MAX_BYTES, ret, e);
}

const json_t *repo_folder_targets(const struct repo_folder *folder, const char *role) {
    const struct folder_role *at = repo_folder_at(folder, role);
    return at && at >= folder->roles + FOLDER_TARGETS && at->state.valid ? at->content : NULL;
}

// ── Files of targets ─────────────────────────────────────────────────────────────────────────────

static int has_file(const struct repo_folder *folder, const struct repo_target *target,
                    const char *hash, struct err *e) {
    char file[REPO_TARGET_FILE_BYTES];
    struct stat st;
    int found = fs_stat(folder->targets, repo_target_file(&target->bundle, hash, file), &st, e);
    if (found < 0 && err_is(e, &err_not_found)) { // a folder on the way is missing
        err_clear(e);
        found = FS_ABSENT;
    }
    if (found < 0)
        return -1;
    return found == FS_ABSENT || (uint64_t)st.st_size != target->length ? REPO_FOLDER_ABSENT : 0;
}

int repo_folder_has_target(const struct repo_folder *folder, const struct repo_target *target,
                           struct err *e) {
    int found = has_file(folder, target, target->digest, e);
    return found == 0 ? has_file(folder, target, target->sha256, e) : found;
}

// Each level durable before there is something in it.
static int make_dirs(const struct repo_folder *folder, const struct repo_target *target,
                     struct err *e) {
    char path[REPO_TARGET_FILE_BYTES];
    (void)repo_target_file(&target->bundle, target->digest, path);
    for (char *end = strchr(path, '/'), *last = NULL; end; end = strchr(end + 1, '/')) {
        OWN(fd) int parent = -1;
        if (last)
            *last = '\0';
        if (fs_open_dir(folder->targets, last ? path : ".", &parent, e) < 0)
            return -1;
        if (last)
            *last = '/';
        *end = '\0';
        if (fs_make_dir(folder->targets, path, REPO_FOLDER_DIR_MODE, e) < 0 ||
            fs_sync(parent, e) < 0)
            return -1;
        *end = '/';
        last = end;
    }
    return 0;
}

int repo_folder_put_target(const struct repo_folder *folder, const struct repo_target *target,
                           struct slice part, struct err *e) {
    const char *const hashes[] = {target->digest, target->sha256};
    struct keys_digest digest;
    char hex[KEYS_DIGEST_HEX];
    keys_digest_of(part.data, part.len, &digest);
    if (part.len != target->length || strcmp(keys_digest_hex(&digest, hex), target->digest) != 0 ||
        strcmp(keys_digest_sha256(part.data, part.len, hex), target->sha256) != 0)
        return err_set(e, &err_digest_mismatch, "%s %s: not the bytes of this target",
                       target->bundle.name, target->bundle.release);
    int there = repo_folder_has_target(folder, target, e);
    if (there <= 0)
        return there < 0 ? -1 : REPO_FOLDER_SAME;
    if (make_dirs(folder, target, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++) {
        char path[REPO_TARGET_FILE_BYTES];
        if (fs_replace(folder->targets, repo_target_file(&target->bundle, hashes[i], path),
                       part.data, part.len, REPO_FOLDER_FILE_MODE, e) < 0)
            return -1;
    }
    return 0;
}
