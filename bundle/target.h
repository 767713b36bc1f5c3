// SPDX-License-Identifier: Apache-2.0
//
// Under which name a repository's targets list a bundle, and a delta that leads to it:
//
//     NAME/RELEASE/ID.json         bundle name, release, manifest id in lower-case hex
//     NAME/RELEASE/ID/BASE.json    the delta to that bundle for who holds the contents of bundle
//                                  BASE (its manifest id)
//
// The id is the BLAKE2b-256 of the canonical signed part of the manifest, so one path never means
// two contents, and the variants of a release stand side by side. A delta's path says what it is
// for; what it is, the canonical signed part of its head (FORMAT.md 8.1), is what the entry's
// hashes say. The publisher writes these paths, the controller asks for them before a rollout, and
// a device before a download.
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "bundle/limits.h"
#include "keys/digest.h"

#define BUNDLE_TARGET_SUFFIX ".json"
// The longest, of a delta, with its NUL: KEYS_DIGEST_HEX counts one in each id, of which the first
// stands for a slash; the two other slashes are added.
#define BUNDLE_TARGET_PATH_BYTES                                                                   \
    (BUNDLE_NAME_MAX + BUNDLE_RELEASE_MAX + 2 + 2 * KEYS_DIGEST_HEX +                              \
     sizeof BUNDLE_TARGET_SUFFIX - 1)

struct bundle_target {
    char name[BUNDLE_NAME_MAX + 1];
    char release[BUNDLE_RELEASE_MAX + 1];
    char id[KEYS_DIGEST_HEX];   // of the bundle
    char base[KEYS_DIGEST_HEX]; // of the bundle that the delta starts from; "": the bundle itself
};

// Name and release are names (text_is_name) of at most BUNDLE_NAME_MAX and BUNDLE_RELEASE_MAX
// bytes, as verified messages and manifests have them. Returns ret.
struct bundle_target *bundle_target_set(struct bundle_target *ret, const char *name,
                                        const char *release, const struct keys_digest *id)
    __attribute__((nonnull));
// As bundle_target_set, of the delta from base to that bundle. Returns ret.
struct bundle_target *bundle_target_set_delta(struct bundle_target *ret, const char *name,
                                              const char *release, const struct keys_digest *id,
                                              const struct keys_digest *base)
    __attribute__((nonnull));
// Whether it names a delta; else it names a bundle.
bool bundle_target_is_delta(const struct bundle_target *target) __attribute__((nonnull));
// The path, into ret, which is returned.
char *bundle_target_path(const struct bundle_target *target,
                         char ret[static BUNDLE_TARGET_PATH_BYTES]) __attribute__((nonnull));
// Takes a path of either form apart. Kind syntax.
int bundle_target_parse(const char *path, struct bundle_target *ret, struct err *e)
    __attribute__((nonnull));
