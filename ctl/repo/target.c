// SPDX-License-Identifier: Apache-2.0
//
// Entries and files of targets.
#include "ctl/repo/target.h"

#include <stdio.h>
#include <string.h>

#include "bundle/delta.h"
#include "keys/envelope.h"
#include "keys/kind.h"

// What is counted and compared, of either kind.
static void measure(struct slice part, struct repo_target *io) {
    struct keys_digest digest;
    keys_digest_of(part.data, part.len, &digest);
    (void)keys_digest_hex(&digest, io->digest);
    (void)keys_digest_sha256(part.data, part.len, io->sha256);
    io->length = part.len;
}

int repo_target_of(struct slice raw, const struct bundle_manifest_view *view,
                   struct repo_target *ret, struct slice *ret_part, struct err *e) {
    struct keys_envelope_candidate candidate;
    struct keys_digest id;
    struct repo_target target = {.length = 0};
    if (keys_envelope_split(raw, "manifest", &candidate, e) < 0)
        return -1;
    keys_digest_of(candidate.signed_part.data, candidate.signed_part.len, &id);
    (void)bundle_target_set(&target.bundle, view->name, view->release, &id);
    measure(candidate.signed_part, &target);
    *ret = target;
    *ret_part = candidate.signed_part;
    return 0;
}

int repo_target_of_delta(struct slice raw_head, const struct bundle_manifest_view *view,
                         struct repo_target *ret, struct slice *ret_part, struct err *e) {
    struct keys_envelope_candidate candidate;
    struct bundle_delta_head head;
    struct repo_target target = {.length = 0};
    if (keys_envelope_split(raw_head, "delta.json", &candidate, e) < 0 ||
        bundle_delta_parse(candidate.signed_part, &head, e) < 0)
        return -1;
    (void)bundle_target_set_delta(&target.bundle, view->name, view->release, &head.bundle,
                                  &head.base);
    measure(candidate.signed_part, &target);
    *ret = target;
    *ret_part = candidate.signed_part;
    return 0;
}

int repo_target_peek_delta(struct slice raw_manifest, struct slice raw_head,
                           struct repo_target *ret, struct slice *ret_part, struct err *e) {
    struct bundle_manifest_unverified *manifest = NULL;
    if (bundle_manifest_peek(raw_manifest, &manifest, e) < 0)
        return -1;
    int r = repo_target_of_delta(raw_head, bundle_manifest_peek_view(manifest), ret, ret_part, e);
    bundle_manifest_peek_free(manifest);
    return r;
}

char *repo_target_file(const struct bundle_target *target, const char *hash,
                       char ret[static REPO_TARGET_FILE_BYTES]) {
    bool delta = bundle_target_is_delta(target);
    (void)snprintf(ret, REPO_TARGET_FILE_BYTES, "%s/%s/%s%s%s.%s" BUNDLE_TARGET_SUFFIX,
                   target->name, target->release, delta ? target->id : "", delta ? "/" : "", hash,
                   delta ? target->base : target->id);
    return ret;
}

json_t *repo_target_entry(const struct repo_target *target) {
    return json_pack("{s:{s:s, s:s}, s:I}", "hashes", "blake2b-256", target->digest, "sha256",
                     target->sha256, "length", (json_int_t)target->length);
}

int repo_target_read(const char *path, const json_t *entry, struct repo_target *ret,
                     struct err *e) {
    struct repo_target target = {.length = 0};
    struct keys_digest digest;
    if (bundle_target_parse(path, &target.bundle, e) < 0)
        return -1;
    const json_t *hashes = json_object_get(entry, "hashes");
    const char *own = json_string_value(json_object_get(hashes, "blake2b-256"));
    const char *sha256 = json_string_value(json_object_get(hashes, "sha256"));
    const json_t *length = json_object_get(entry, "length");
    if (!own || !sha256 || !json_is_integer(length) || json_integer_value(length) < 0)
        return err_set(e, &err_syntax,
                       "the target %s: expected a length, and hashes with blake2b-256 and sha256",
                       path);
    if (!bundle_target_is_delta(&target.bundle) && strcmp(own, target.bundle.id) != 0)
        return err_set(e, &err_digest_mismatch, "the target %s: blake2b-256 is not its id", path);
    if (keys_digest_parse(own, "blake2b-256", &digest, e) < 0)
        return err_prefix(e, "the target %s", path);
    (void)keys_digest_hex(&digest, target.digest);
    if (keys_digest_parse(sha256, "sha256", &digest, e) < 0)
        return err_prefix(e, "the target %s", path);
    (void)keys_digest_hex(&digest, target.sha256);
    target.length = (uint64_t)json_integer_value(length);
    *ret = target;
    return 0;
}
