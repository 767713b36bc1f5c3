// SPDX-License-Identifier: Apache-2.0
//
// What a target of this repository is: the canonical signed part of one bundle's manifest, so that
// signatures which are added, and other packings of the same contents, change nothing; or that of
// one delta's head, which says what its frames are.
//
//     path    NAME/RELEASE/ID.json               bundle/target.h
//             NAME/RELEASE/ID/BASE.json          of a delta
//     files   NAME/RELEASE/HASH.ID.json          below targets/, once by each hash: consistent
//             NAME/RELEASE/ID/HASH.BASE.json     snapshots put one in front, and the client
//                                                chooses which
//     entry   {"hashes":{"blake2b-256":DIGEST,"sha256":…},"length":…}; a bundle's DIGEST is its ID
#pragma once

#include <jansson.h>

#include "bundle/manifest.h"
#include "bundle/target.h"

#define REPO_TARGET_FILE_BYTES (BUNDLE_TARGET_PATH_BYTES + KEYS_DIGEST_HEX)

struct repo_target {
    struct bundle_target bundle;
    char digest[KEYS_DIGEST_HEX]; // blake2b-256 of its contents; of a bundle the same as the id
    char sha256[KEYS_DIGEST_HEX];
    uint64_t length;
};

// Of a manifest: the raw bytes of its envelope, padded or not, and what was read in it (verified or
// not: a target says what may be installed, never that it was). *ret_part borrows from raw. Kinds:
// those of keys_envelope_split.
int repo_target_of(struct slice raw, const struct bundle_manifest_view *view,
                   struct repo_target *ret, struct slice *ret_part, struct err *e)
    __attribute__((nonnull));
// Of a delta: the raw bytes of its head's envelope, and what was read in the manifest beside it.
// That the head is one for this manifest is the caller's to check. Kinds: those of
// keys_envelope_split and bundle_delta_parse.
int repo_target_of_delta(struct slice raw_head, const struct bundle_manifest_view *view,
                         struct repo_target *ret, struct slice *ret_part, struct err *e)
    __attribute__((nonnull));
// The same of a delta of which nothing was read: raw_manifest are the bytes of that manifest's
// envelope, padded or not, and nothing in it is verified. Also kinds of bundle_manifest_peek.
int repo_target_peek_delta(struct slice raw_manifest, struct slice raw_head,
                           struct repo_target *ret, struct slice *ret_part, struct err *e)
    __attribute__((nonnull));
// The file below targets/ by one hash, the target's digest or its sha256. Returns ret.
char *repo_target_file(const struct bundle_target *target, const char *hash,
                       char ret[static REPO_TARGET_FILE_BYTES]) __attribute__((nonnull));
// The entry of a targets file; the caller's, NULL without memory.
json_t *repo_target_entry(const struct repo_target *target) __attribute__((nonnull));
// Reads an entry: length and both hashes, of which a bundle's blake2b-256 must be the path's id.
// Kinds: syntax, digest_mismatch.
int repo_target_read(const char *path, const json_t *entry, struct repo_target *ret, struct err *e)
    __attribute__((nonnull(1, 3, 4)));
