// SPDX-License-Identifier: Apache-2.0
//
// Under which name a repository's targets list a bundle:
//
//     NAME/RELEASE/ID.json        bundle name, release, manifest id in lower-case hex
//
// The id is the BLAKE2b-256 of the canonical signed part of the manifest, so one path never means
// two contents, and the variants of a release stand side by side. The publisher writes this path,
// the controller asks for it before a rollout, and a device before a download.
#pragma once

#include "base/err.h"
#include "bundle/limits.h"
#include "keys/digest.h"

#define BUNDLE_TARGET_SUFFIX ".json"
// With its NUL, which KEYS_DIGEST_HEX counts, and two slashes.
#define BUNDLE_TARGET_PATH_BYTES                                                                   \
    (BUNDLE_NAME_MAX + BUNDLE_RELEASE_MAX + 2 + KEYS_DIGEST_HEX + sizeof BUNDLE_TARGET_SUFFIX - 1)

struct bundle_target {
    char name[BUNDLE_NAME_MAX + 1];
    char release[BUNDLE_RELEASE_MAX + 1];
    char id[KEYS_DIGEST_HEX];
};

// Name and release are names (text_is_name) of at most BUNDLE_NAME_MAX and BUNDLE_RELEASE_MAX
// bytes, as verified messages and manifests have them. Returns ret.
struct bundle_target *bundle_target_set(struct bundle_target *ret, const char *name,
                                        const char *release, const struct keys_digest *id)
    __attribute__((nonnull));
// The path, into ret, which is returned.
char *bundle_target_path(const struct bundle_target *target,
                         char ret[static BUNDLE_TARGET_PATH_BYTES]) __attribute__((nonnull));
// Takes a path apart. Kind syntax.
int bundle_target_parse(const char *path, struct bundle_target *ret, struct err *e)
    __attribute__((nonnull));
