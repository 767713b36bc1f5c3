// SPDX-License-Identifier: Apache-2.0
//
// Reading a repository as it lies there: from the timestamp down, each file by the keys that may
// sign it. What does not hold keeps its version, so that the next one is higher, and says why.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/repo/folder_parts.h"
#include "keys/canon.h"
#include "keys/kind.h"

static const struct doc_limits online_limits = {
    .bytes = REPO_TARGETS_MAX_BYTES, .depth = 8, .values = 16384, .floats = false};

static int invalid(struct folder_role *role, const struct err *why) {
    role->state.valid = false;
    role->state.why = *why;
    return 0;
}

// The signed part and its header, by the type of the file.
static int read_part(struct slice part, enum tuf_type type, struct folder_role *role,
                     struct err *e) {
    const char *what = tuf_type_names[type];
    struct doc_at top;
    if (type == TUF_TARGETS)
        return repo_targets_parse(part, role->state.name, &role->content, &role->state.header, e);
    OWN(json) json_t *document = NULL;
    if (keys_canon_parse(part, what, &online_limits, &document, e) < 0 ||
        doc_root(document, what, &top, e) < 0 ||
        keys_envelope_header(&top, what, &role->state.header, e) < 0)
        return -1;
    role->content = own_take(&document);
    return 0;
}

// A file that is there. Whether it holds is in role->state; < 0 only when it could not be read.
static int read_file(const struct repo_folder *folder, const char *file, enum tuf_type type,
                     struct folder_role *role, struct err *e) {
    struct keys_envelope_candidate candidate;
    struct keys_envelope verified;
    struct err why = ERR_NONE;
    OWN(buf) struct buf raw;
    buf_init(&raw, REPO_TARGETS_MAX_BYTES);
    if (fs_read_file(folder->metadata, file, REPO_TARGETS_MAX_BYTES, &raw, &why) < 0) {
        if (err_is(&why, &err_not_found) || err_is(&why, &err_limit))
            return invalid(role, &why);
        return err_set(e, why.kind, "metadata/%s: %s", file, why.text);
    }
    role->bytes = raw.len;
    (void)keys_digest_sha256(raw.data, raw.len, role->sha256);
    if (keys_envelope_split(buf_slice(&raw), file, &candidate, &why) < 0)
        return invalid(role, &why);
    role->state.valid =
        keys_envelope_verify(&candidate, file, &role->signers, &verified, &why) == 0;
    struct err unread = ERR_NONE;
    if (read_part(candidate.signed_part, type, role, &unread) < 0)
        return invalid(role, role->state.valid ? &unread : &why);
    role->state.why = why;
    return 0;
}

// ── Versions ─────────────────────────────────────────────────────────────────────────────────────

struct highest {
    const char *role;
    uint64_t version;
};

static int look(void *context, const char *name, mode_t type, struct err *e) {
    struct highest *h = context;
    char role[REPO_TARGETS_NAME_MAX + 1];
    uint64_t version = 0;
    (void)type;
    (void)e;
    if (repo_folder_parse_file(name, role, &version) && strcmp(role, h->role) == 0 &&
        version > h->version)
        h->version = version;
    return 0;
}

// What `from` names, else the highest that lies there: where a timestamp or snapshot was lost, what
// they named must not come back lower.
static int version_of(const struct repo_folder *folder, const struct folder_role *from,
                      const char *role, uint64_t *ret, struct err *e) {
    char member[REPO_FOLDER_FILE_BYTES];
    struct highest h = {.role = role};
    if (from->content) {
        (void)snprintf(member, sizeof member, "%s.json", role);
        const json_t *meta = json_object_get(json_object_get(from->content, "meta"), member);
        json_int_t version = json_integer_value(json_object_get(meta, "version"));
        *ret = version > 0 ? (uint64_t)version : 0;
        return 0;
    }
    if (fs_list(folder->metadata, ".", look, &h, e) < 0)
        return -1;
    *ret = h.version;
    return 0;
}

// A file with a version: it must be that version, and the bytes that were named.
static int load_named(struct repo_folder *folder, const struct folder_role *from,
                      enum tuf_type type, struct folder_role *role, struct err *e) {
    char file[REPO_FOLDER_FILE_BYTES];
    uint64_t version = 0;
    if (version_of(folder, from, role->state.name, &version, e) < 0)
        return -1;
    if (version == 0) {
        struct err why = ERR_NONE;
        (void)err_set(&why, &err_not_found, "%s: there is none yet", role->state.name);
        return invalid(role, &why);
    }
    (void)repo_folder_file(role->state.name, version, file);
    if (read_file(folder, file, type, role, e) < 0)
        return -1;
    if (role->state.header.version != version) {
        struct err why = ERR_NONE;
        (void)err_set(&why, &err_digest_mismatch, "metadata/%s: says that it is version %llu", file,
                      (unsigned long long)role->state.header.version);
        if (role->state.valid)
            (void)invalid(role, &why);
        role->state.header.version = version;
    }
    return 0;
}

// ── Roles ────────────────────────────────────────────────────────────────────────────────────────

static struct folder_role *add_role(struct repo_folder *folder, const char *name,
                                    const struct keys_role *signers) {
    struct folder_role *role = &folder->roles[folder->n_roles++];
    *role = (struct folder_role){.signers = *signers};
    (void)snprintf(role->state.name, sizeof role->state.name, "%s", name);
    return role;
}

// Room for all that targets[index] delegates to and that is not known yet; roles met again by
// another delegator belong to the first.
static int add_delegations(struct repo_folder *folder, size_t index, struct err *e) {
    const json_t *content = folder->roles[index].content;
    size_t n = folder->roles[index].state.valid ? repo_targets_n_delegations(content) : 0;
    if (folder->n_roles + n > REPO_FOLDER_ROLES_MAX)
        return err_set(e, &err_limit, "the repository has more than %d targets files",
                       REPO_FOLDER_ROLES_MAX);
    if (n == 0)
        return 0;
    struct folder_role *room = realloc(folder->roles, (folder->n_roles + n) * sizeof *room);
    if (!room)
        return err_set(e, &err_memory, "reading the repository: out of memory");
    folder->roles = room;
    for (size_t i = 0; i < n; i++) {
        struct keys_role signers;
        const char *name = repo_targets_delegation_name(content, i);
        if (repo_folder_at(folder, name))
            continue;
        if (repo_targets_role(content, name, &signers, e) != 0)
            return -1;
        struct folder_role *role = add_role(folder, name, &signers);
        role->delegator = index;
        if (load_named(folder, &folder->roles[FOLDER_SNAPSHOT], TUF_TARGETS, role, e) < 0)
            return -1;
    }
    return 0;
}

static void clear(struct repo_folder *folder) {
    for (size_t i = 0; i < folder->n_roles; i++)
        json_decref(folder->roles[i].content);
    free(folder->roles);
    folder->roles = NULL;
    folder->n_roles = 0;
}

static int load_top(struct repo_folder *folder, struct err *e) {
    static const enum keys_root_role roles[FOLDER_DELEGATED] = {
        [FOLDER_ROOT] = KEYS_ROOT_ROLE_ROOT,
        [FOLDER_TIMESTAMP] = KEYS_ROOT_ROLE_TIMESTAMP,
        [FOLDER_SNAPSHOT] = KEYS_ROOT_ROLE_SNAPSHOT,
        [FOLDER_TARGETS] = KEYS_ROOT_ROLE_TARGETS};
    folder->roles = calloc(FOLDER_DELEGATED, sizeof *folder->roles);
    if (!folder->roles)
        return err_set(e, &err_memory, "reading the repository: out of memory");
    for (size_t i = 0; i < FOLDER_DELEGATED; i++)
        (void)add_role(folder, keys_root_role_names[roles[i]],
                       keys_root_role(folder->root, roles[i]));
    struct folder_role *role = folder->roles;
    role[FOLDER_ROOT].state.header = *keys_root_header(folder->root);
    role[FOLDER_ROOT].state.valid = true;
    if (read_file(folder, "timestamp.json", TUF_TIMESTAMP, &role[FOLDER_TIMESTAMP], e) < 0 ||
        load_named(folder, &role[FOLDER_TIMESTAMP], TUF_SNAPSHOT, &role[FOLDER_SNAPSHOT], e) < 0)
        return -1;
    return load_named(folder, &role[FOLDER_SNAPSHOT], TUF_TARGETS, &role[FOLDER_TARGETS], e);
}

static int load(struct repo_folder *folder, struct err *e) {
    if (load_top(folder, e) < 0)
        return -1;
    for (size_t i = FOLDER_TARGETS; i < folder->n_roles; i++)
        if (add_delegations(folder, i, e) < 0)
            return -1;
    return 0;
}

int repo_folder_load(struct repo_folder *folder, struct err *e) {
    struct repo_folder fresh = *folder;
    fresh.roles = NULL;
    fresh.n_roles = 0;
    if (load(&fresh, e) < 0) {
        clear(&fresh);
        return -1;
    }
    clear(folder);
    folder->roles = fresh.roles;
    folder->n_roles = fresh.n_roles;
    return 0;
}
