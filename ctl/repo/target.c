// SPDX-License-Identifier: Apache-2.0
//
// Paths and entries of targets.
#include "ctl/repo/target.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "keys/envelope.h"
#include "keys/kind.h"

#define SUFFIX ".json"

int repo_target_of(struct slice raw, const struct bundle_manifest_view *view,
                   struct repo_target *ret, struct slice *ret_part, struct err *e) {
    struct keys_envelope_candidate candidate;
    struct keys_digest id;
    struct repo_target target = {.length = 0};
    if (keys_envelope_split(raw, "manifest", &candidate, e) < 0)
        return -1;
    const struct slice part = candidate.signed_part;
    keys_digest_of(part.data, part.len, &id);
    (void)keys_digest_hex(&id, target.id);
    (void)keys_digest_sha256(part.data, part.len, target.sha256);
    (void)snprintf(target.name, sizeof target.name, "%s", view->name);
    (void)snprintf(target.release, sizeof target.release, "%s", view->release);
    target.length = part.len;
    *ret = target;
    *ret_part = part;
    return 0;
}

// The next part of a path into ret, and the path behind its '/'.
static bool take_name(const char **path, char *ret, size_t max) {
    size_t len = strcspn(*path, "/");
    if (len > max || (*path)[len] != '/')
        return false;
    memcpy(ret, *path, len);
    ret[len] = '\0';
    *path += len + 1;
    return text_is_name(ret, max);
}

int repo_target_parse_path(const char *path, struct repo_target *ret, struct err *e) {
    char shown[128];
    struct repo_target target = {.length = 0};
    struct keys_digest id;
    struct err ignored = ERR_NONE;
    const char *at = path;
    if (take_name(&at, target.name, BUNDLE_NAME_MAX) &&
        take_name(&at, target.release, BUNDLE_RELEASE_MAX) &&
        strlen(at) == KEYS_DIGEST_HEX - 1 + strlen(SUFFIX) &&
        strcmp(at + KEYS_DIGEST_HEX - 1, SUFFIX) == 0) {
        memcpy(target.id, at, KEYS_DIGEST_HEX - 1);
        if (keys_digest_parse(target.id, "id", &id, &ignored) == 0) {
            memcpy(ret->name, target.name, sizeof ret->name);
            memcpy(ret->release, target.release, sizeof ret->release);
            memcpy(ret->id, target.id, sizeof ret->id);
            return 0;
        }
    }
    return err_set(e, &err_syntax, "the target \"%s\" is not of the form NAME/RELEASE/ID.json",
                   text_safe(path, shown, sizeof shown));
}

char *repo_target_path(const struct repo_target *target, char ret[static REPO_TARGET_PATH_BYTES]) {
    (void)snprintf(ret, REPO_TARGET_PATH_BYTES, "%s/%s/%s" SUFFIX, target->name, target->release,
                   target->id);
    return ret;
}

char *repo_target_file(const struct repo_target *target, const char *hash,
                       char ret[static REPO_TARGET_FILE_BYTES]) {
    (void)snprintf(ret, REPO_TARGET_FILE_BYTES, "%s/%s/%s.%s" SUFFIX, target->name, target->release,
                   hash, target->id);
    return ret;
}

json_t *repo_target_entry(const struct repo_target *target) {
    return json_pack("{s:{s:s, s:s}, s:I}", "hashes", "blake2b-256", target->id, "sha256",
                     target->sha256, "length", (json_int_t)target->length);
}

int repo_target_read(const char *path, const json_t *entry, struct repo_target *ret,
                     struct err *e) {
    struct repo_target target = {.length = 0};
    struct keys_digest digest;
    if (repo_target_parse_path(path, &target, e) < 0)
        return -1;
    const json_t *hashes = json_object_get(entry, "hashes");
    const char *id = json_string_value(json_object_get(hashes, "blake2b-256"));
    const char *sha256 = json_string_value(json_object_get(hashes, "sha256"));
    const json_t *length = json_object_get(entry, "length");
    if (!id || !sha256 || !json_is_integer(length) || json_integer_value(length) < 0)
        return err_set(e, &err_syntax,
                       "the target %s: expected a length, and hashes with blake2b-256 and sha256",
                       path);
    if (strcmp(id, target.id) != 0)
        return err_set(e, &err_digest_mismatch, "the target %s: blake2b-256 is not its id", path);
    if (keys_digest_parse(sha256, "sha256", &digest, e) < 0)
        return err_prefix(e, "the target %s", path);
    (void)keys_digest_hex(&digest, target.sha256);
    target.length = (uint64_t)json_integer_value(length);
    *ret = target;
    return 0;
}
