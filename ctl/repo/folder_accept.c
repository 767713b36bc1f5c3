// SPDX-License-Identifier: Apache-2.0
//
// Taking in what people signed: a root, the targets, a delegated role. It is believed only after
// all that devices will check holds; nothing is written before.
#include <string.h>

#include "base/chrono.h"
#include "base/fs.h"
#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/repo/folder_parts.h"
#include "keys/kind.h"

static bool is_same(struct slice a, const struct buf *b) {
    return a.len == b->len && memcmp(a.data, b->data, a.len) == 0;
}

static int check_dates(const char *what, const struct keys_header *header, int64_t now_s,
                       struct err *e) {
    char issued[CHRONO_TEXT_BYTES];
    if (keys_envelope_check_expiry(header, what, now_s, e) < 0)
        return -1;
    if (header->issued_s > now_s + REPO_FOLDER_AHEAD_MAX_S)
        return err_set(e, &err_limit,
                       "%s: issued at %s, which is to come: devices take this date for the time; "
                       "set the clock of the machine that signs",
                       what, chrono_format(header->issued_s, issued));
    return 0;
}

// ── Root ─────────────────────────────────────────────────────────────────────────────────────────

// A new timestamp even where the old one holds: it is how devices notice.
static int announce_root(struct repo_folder *folder, const struct repo_folder_online *online,
                         struct err *e) {
    if (folder->roles[FOLDER_TARGETS].bytes == 0)
        return 0;
    return repo_folder_publish(folder, REPO_FOLDER_SNAPSHOT_TOO, online, e);
}

// Whoever wrote the root may have been killed before its timestamp. Who has not the online keys
// could not have written it, and leaves the timestamp to those who have.
static int announce_again(struct repo_folder *folder, const struct repo_folder_online *online,
                          struct err *e) {
    struct err ignored = ERR_NONE;
    if (repo_folder_check_online(folder->root, online, &ignored) == 0 &&
        announce_root(folder, online, e) < 0)
        return -1;
    return REPO_FOLDER_SAME;
}

static int accept_root(struct repo_folder *folder, struct slice raw,
                       const struct repo_folder_online *online, struct err *e) {
    char file[REPO_FOLDER_FILE_BYTES];
    OWN(root) struct keys_root *next = NULL;
    OWN(buf) struct buf kept;
    buf_init(&kept, KEYS_ROOT_MAX_BYTES);
    if (is_same(raw, &folder->root_raw))
        return announce_again(folder, online, e);
    if (keys_root_advance(folder->root, raw, &next, e) < 0 ||
        check_dates("the root", keys_root_header(next), online->now_s, e) < 0 ||
        repo_folder_rehearse(folder, &folder->roles[FOLDER_ROOT], raw, e) < 0 ||
        repo_folder_check_online(next, online, e) < 0 || buf_add(&kept, raw.data, raw.len, e) < 0)
        return -1;
    (void)repo_folder_file("root", keys_root_header(next)->version, file);
    if (fs_replace(folder->metadata, file, raw.data, raw.len, REPO_FOLDER_FILE_MODE, e) < 0)
        return -1;
    keys_root_free(folder->root);
    folder->root = own_take(&next);
    buf_clear(&folder->root_raw);
    folder->root_raw = kept;
    buf_init(&kept, KEYS_ROOT_MAX_BYTES); // handed over
    if (repo_folder_load(folder, e) < 0)
        return -1;
    return announce_root(folder, online, e);
}

// ── Targets ──────────────────────────────────────────────────────────────────────────────────────

static int check_version(const struct folder_role *role, uint64_t version, int64_t now_s,
                         struct err *e) {
    uint64_t now = role->state.header.version;
    uint64_t ahead = now_s > 0 ? (uint64_t)now_s + REPO_FOLDER_AHEAD_MAX_S : 1;
    if (version <= now)
        return err_set(e, &err_rollback,
                       "%s: version %llu is there already; the next one has to be higher than "
                       "that, not %llu",
                       role->state.name, (unsigned long long)now, (unsigned long long)version);
    // Whoever could jump to the last version would leave no room for the next.
    if (version > now + 1 && version > ahead)
        return err_set(e, &err_limit, "%s: version %llu is too far ahead of %llu", role->state.name,
                       (unsigned long long)version, (unsigned long long)now);
    return 0;
}

// Two who start from one version and sign in the same second: the later one, if only its number is
// higher, would silently undo the other. `previous` says what it was made from. A higher one than
// ours comes from before a backup was put back, and brings the lost versions with it.
static int check_previous(const struct folder_role *role, const json_t *content, struct err *e) {
    const json_t *member = json_object_get(content, "previous");
    uint64_t now = role->state.header.version;
    json_int_t previous = json_integer_value(member);
    if (!member || (previous >= 0 && (uint64_t)previous >= now))
        return 0;
    return err_set(e, &err_conflict,
                   "%s: made from version %lld, and version %llu is current: somebody published in "
                   "between; make the change again",
                   role->state.name, (long long)previous, (unsigned long long)now);
}

static int not_uploaded(const struct bundle_target *target, struct err *e) {
    if (bundle_target_is_delta(target))
        return err_set(e, &err_not_found,
                       "the targets name a delta from %.8s to %s %s (%.8s), which was not "
                       "uploaded; publish the delta first",
                       target->base, target->name, target->release, target->id);
    return err_set(e, &err_not_found,
                   "the targets name %s %s (%.8s), which was not uploaded; publish the bundle "
                   "first",
                   target->name, target->release, target->id);
}

// Devices would be offered what nobody can give them.
static int check_at_hand(const struct repo_folder *folder, const json_t *before,
                         const json_t *after, struct err *e) {
    const json_t *known = json_object_get(before, "targets");
    const char *path = NULL;
    json_t *entry = NULL;
    json_object_foreach (json_object_get(after, "targets"), path, entry) {
        struct repo_target target;
        if (json_equal(json_object_get(known, path), entry))
            continue;
        if (repo_target_read(path, entry, &target, e) < 0)
            return -1;
        int found = repo_folder_has_target(folder, &target, e);
        if (found == REPO_FOLDER_ABSENT)
            return not_uploaded(&target.bundle, e);
        if (found < 0)
            return -1;
    }
    return 0;
}

static int check_targets(const struct repo_folder *folder, const struct folder_role *role,
                         struct slice raw, const struct repo_folder_online *online,
                         uint64_t *ret_version, struct err *e) {
    const char *name = role->state.name;
    struct keys_envelope_candidate candidate;
    struct keys_envelope verified;
    struct keys_header header;
    OWN(json) json_t *content = NULL;
    if (raw.len > REPO_TARGETS_MAX_BYTES)
        return err_set(e, &err_limit, "%s: %zu bytes; devices take at most %d", name, raw.len,
                       REPO_TARGETS_MAX_BYTES);
    if (keys_envelope_split(raw, name, &candidate, e) < 0 ||
        keys_envelope_verify(&candidate, name, &role->signers, &verified, e) < 0 ||
        repo_targets_parse(verified.signed_part, name, &content, &header, e) < 0 ||
        check_dates(name, &header, online->now_s, e) < 0 ||
        check_version(role, header.version, online->now_s, e) < 0 ||
        check_previous(role, content, e) < 0 ||
        check_at_hand(folder, role->content, content, e) < 0 ||
        repo_folder_rehearse(folder, role, raw, e) < 0)
        return -1;
    *ret_version = header.version;
    return 0;
}

static int accept_targets(struct repo_folder *folder, struct folder_role *role, struct slice raw,
                          const struct repo_folder_online *online, struct err *e) {
    char file[REPO_FOLDER_FILE_BYTES];
    char sha256[KEYS_DIGEST_HEX];
    uint64_t version = 0;
    if (role->state.valid && role->bytes == raw.len &&
        strcmp(keys_digest_sha256(raw.data, raw.len, sha256), role->sha256) == 0)
        return REPO_FOLDER_SAME;
    if (repo_folder_check_online(folder->root, online, e) < 0 ||
        check_targets(folder, role, raw, online, &version, e) < 0)
        return -1;
    (void)repo_folder_file(role->state.name, version, file);
    if (fs_replace(folder->metadata, file, raw.data, raw.len, REPO_FOLDER_FILE_MODE, e) < 0)
        return -1;
    // What the next snapshot names; a failure from here on leaves the old state whole.
    role->state.header.version = version;
    role->bytes = raw.len;
    (void)keys_digest_sha256(raw.data, raw.len, role->sha256);
    if (repo_folder_publish(folder, REPO_FOLDER_SNAPSHOT_TOO, online, e) == 0)
        return 0;
    struct err ignored = ERR_NONE;
    (void)repo_folder_load(folder, &ignored);
    return -1;
}

int repo_folder_accept(struct repo_folder *folder, const char *role, struct slice raw,
                       const struct repo_folder_online *online, struct err *e) {
    struct folder_role *at = repo_folder_at(folder, role);
    if (!at)
        return err_set(e, &err_not_found,
                       "the repository has no role \"%.80s\": nothing delegates "
                       "to it",
                       role);
    if (at == &folder->roles[FOLDER_ROOT])
        return accept_root(folder, raw, online, e);
    if (at < &folder->roles[FOLDER_TARGETS])
        return err_set(e, &err_usage, "the %s is made where its key is, not taken in", role);
    return accept_targets(folder, at, raw, online, e);
}
