// SPDX-License-Identifier: Apache-2.0
//
// What the online keys sign: the snapshot, which says what belongs together, and the timestamp,
// which says which snapshot is current. Written in this order, so that a reader at any instant sees
// a whole state.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/fs.h"
#include "base/own.h"
#include "ctl/repo/folder_parts.h"
#include "keys/canon.h"
#include "keys/kind.h"
#include "keys/sign/signer.h"

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "publishing metadata: out of memory");
}

// ── Signing ──────────────────────────────────────────────────────────────────────────────────────

static int check_signer(const struct keys_root *root, enum keys_root_role role,
                        const struct sign_signer *signer, struct err *e) {
    const struct keys_role *keys = keys_root_role(root, role);
    const char *name = keys_root_role_names[role];
    if (!signer)
        return err_set(e, &err_below_threshold,
                       "there is no key at hand for the role %s; version %llu of the root needs it",
                       name, (unsigned long long)keys_root_header(root)->version);
    if (keys->threshold > 1)
        return err_set(e, &err_below_threshold,
                       "the role %s asks for %zu signatures, and online there is one", name,
                       keys->threshold);
    if (keys_role_has(keys, sign_signer_pub(signer)->id))
        return 0;
    return err_set(
        e, &err_bad_key, "key %.8s is not one of the role %s in version %llu of the root",
        sign_signer_pub(signer)->id, name, (unsigned long long)keys_root_header(root)->version);
}

int repo_folder_check_online(const struct keys_root *root, const struct repo_folder_online *online,
                             struct err *e) {
    if (check_signer(root, KEYS_ROOT_ROLE_SNAPSHOT, online->snapshot, e) < 0)
        return -1;
    return check_signer(root, KEYS_ROOT_ROLE_TIMESTAMP, online->timestamp, e);
}

// The whole file of a role: its `meta` (borrowed), a header, one signature.
static int format(const char *type, const json_t *meta, const struct keys_header *header,
                  const struct sign_signer *signer, struct buf *ret, struct err *e) {
    char issued[CHRONO_TEXT_BYTES];
    char expires[CHRONO_TEXT_BYTES];
    struct sign_signer *signers[] = {(struct sign_signer *)(uintptr_t)signer};
    OWN(buf) struct buf part;
    OWN(json)
    json_t *content =
        json_pack("{s:s, s:s, s:s, s:O, s:s, s:I}", "_type", type, "expires",
                  chrono_format(header->expires_s, expires), "issued",
                  chrono_format(header->issued_s, issued), "meta", meta, "spec_version",
                  KEYS_SPEC_VERSION, "version", (json_int_t)header->version);
    buf_init(&part, REPO_TARGETS_MAX_BYTES);
    if (!content)
        return no_memory(e);
    if (keys_canon_format(content, &part, e) < 0)
        return -1;
    return sign_signer_envelope(buf_slice(&part), signers, 1, ret, e);
}

static int64_t snapshot_s(const struct repo_folder_online *online) {
    return online->snapshot_s ? online->snapshot_s : REPO_FOLDER_SNAPSHOT_EXPIRES_DEFAULT_S;
}

static int64_t timestamp_s(const struct repo_folder_online *online) {
    return online->timestamp_s ? online->timestamp_s : REPO_FOLDER_TIMESTAMP_EXPIRES_DEFAULT_S;
}

static int next_header(const struct repo_folder *folder, const char *role,
                       const struct repo_folder_online *online, int64_t lifetime_s,
                       struct keys_header *ret, struct err *e) {
    *ret = (struct keys_header){.version = repo_folder_next_version(folder, role, online->now_s),
                                .issued_s = online->now_s,
                                .expires_s = online->now_s + lifetime_s};
    if (ret->version > KEYS_VERSION_MAX)
        return err_set(e, &err_limit, "%s: there is no version after the last", role);
    if (lifetime_s < REPO_FOLDER_EXPIRES_MIN_S || online->now_s < 0 ||
        ret->expires_s > CHRONO_MAX_S)
        return err_set(e, &err_limit, "%s: it would expire at once, or never", role);
    return 0;
}

static json_t *entry_of(uint64_t version, uint64_t bytes, const char *sha256) {
    return json_pack("{s:{s:s}, s:I, s:I}", "hashes", "sha256", sha256, "length", (json_int_t)bytes,
                     "version", (json_int_t)version);
}

// ── Snapshot ─────────────────────────────────────────────────────────────────────────────────────

// All targets files that lie there, and those that nobody delegates to any more: clients refuse a
// snapshot in which a role has vanished.
static json_t *list_files(const struct repo_folder *folder) {
    const struct folder_role *last = &folder->roles[FOLDER_SNAPSHOT];
    json_t *meta =
        last->state.valid ? json_deep_copy(json_object_get(last->content, "meta")) : json_object();
    for (size_t i = FOLDER_TARGETS; meta && i < folder->n_roles; i++) {
        const struct folder_role *role = &folder->roles[i];
        char member[REPO_FOLDER_FILE_BYTES];
        (void)snprintf(member, sizeof member, "%s.json", role->state.name);
        if (role->bytes > 0 && json_object_set_new(meta, member,
                                                   entry_of(role->state.header.version, role->bytes,
                                                            role->sha256)) < 0) {
            json_decref(meta);
            return NULL;
        }
    }
    return meta;
}

// Writes the snapshot; its place in the timestamp through *ret_entry, the caller's.
static int write_snapshot(const struct repo_folder *folder, const struct repo_folder_online *online,
                          json_t **ret_entry, struct err *e) {
    struct keys_header header;
    char file[REPO_FOLDER_FILE_BYTES];
    char sha256[KEYS_DIGEST_HEX];
    OWN(buf) struct buf raw;
    OWN(json) json_t *meta = list_files(folder);
    buf_init(&raw, TUF_SNAPSHOT_MAX_BYTES); // what devices take
    if (!meta)
        return no_memory(e);
    if (next_header(folder, "snapshot", online, snapshot_s(online), &header, e) < 0 ||
        format("snapshot", meta, &header, online->snapshot, &raw, e) < 0)
        return -1;
    json_t *entry =
        entry_of(header.version, raw.len, keys_digest_sha256(raw.data, raw.len, sha256));
    if (!entry)
        return no_memory(e);
    if (fs_replace(folder->metadata, repo_folder_file("snapshot", header.version, file), raw.data,
                   raw.len, REPO_FOLDER_FILE_MODE, e) < 0) {
        json_decref(entry);
        return -1;
    }
    *ret_entry = entry;
    return 0;
}

// ── Timestamp ────────────────────────────────────────────────────────────────────────────────────

static int write_timestamp(const struct repo_folder *folder,
                           const struct repo_folder_online *online, json_t *snapshot,
                           struct err *e) {
    struct keys_header header;
    OWN(buf) struct buf raw;
    OWN(json) json_t *meta = json_pack("{s:O}", "snapshot.json", snapshot);
    buf_init(&raw, TUF_TIMESTAMP_MAX_BYTES);
    if (!meta)
        return no_memory(e);
    if (next_header(folder, "timestamp", online, timestamp_s(online), &header, e) < 0 ||
        format("timestamp", meta, &header, online->timestamp, &raw, e) < 0)
        return -1;
    return fs_replace(folder->metadata, "timestamp.json", raw.data, raw.len, REPO_FOLDER_FILE_MODE,
                      e);
}

int repo_folder_publish(struct repo_folder *folder, enum repo_folder_extent extent,
                        const struct repo_folder_online *online, struct err *e) {
    const struct folder_role *snapshot = &folder->roles[FOLDER_SNAPSHOT];
    OWN(json) json_t *entry = NULL;
    if (repo_folder_check_online(folder->root, online, e) < 0)
        return -1;
    if (extent == REPO_FOLDER_TIMESTAMP_ALONE)
        entry = entry_of(snapshot->state.header.version, snapshot->bytes, snapshot->sha256);
    else if (write_snapshot(folder, online, &entry, e) < 0)
        return err_prefix(e, "the snapshot");
    if (!entry)
        return no_memory(e);
    if (write_timestamp(folder, online, entry, e) < 0)
        return err_prefix(e, "the timestamp");
    if (repo_folder_load(folder, e) < 0)
        return -1;
    return repo_folder_prune(folder, e);
}

// Half of its life is over; or it would hold for longer than it should, because the lifetime was
// made shorter, or it was signed under a clock that ran ahead.
static bool is_due(const struct folder_role *role, int64_t lifetime_s, int64_t now_s) {
    const struct keys_header *h = &role->state.header;
    return !role->state.valid || now_s >= h->issued_s + (h->expires_s - h->issued_s) / 2 ||
           h->expires_s > now_s + lifetime_s;
}

static int check_targets(const struct repo_folder *folder, struct err *e) {
    if (folder->roles[FOLDER_TARGETS].bytes > 0)
        return 0;
    return err_set(
        e, &err_not_found,
        "there are no targets to sign a snapshot of; the first are made by edgectl init, "
        "or by edgectl release publish");
}

int repo_folder_renew(struct repo_folder *folder, const struct repo_folder_online *online,
                      struct err *e) {
    if (check_targets(folder, e) < 0)
        return -1;
    if (is_due(&folder->roles[FOLDER_SNAPSHOT], snapshot_s(online), online->now_s))
        return repo_folder_publish(folder, REPO_FOLDER_SNAPSHOT_TOO, online, e);
    if (is_due(&folder->roles[FOLDER_TIMESTAMP], timestamp_s(online), online->now_s))
        return repo_folder_publish(folder, REPO_FOLDER_TIMESTAMP_ALONE, online, e);
    return REPO_FOLDER_SAME;
}

int repo_folder_renew_all(struct repo_folder *folder, const struct repo_folder_online *online,
                          struct err *e) {
    if (check_targets(folder, e) < 0)
        return -1;
    return repo_folder_publish(folder, REPO_FOLDER_SNAPSHOT_TOO, online, e);
}
