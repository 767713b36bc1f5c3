// SPDX-License-Identifier: Apache-2.0
//
// root.json: which keys may do what. The device is provisioned with it; it changes only by a chain
// of roots, each signed by the old and the new threshold. Signed part:
//
//     {"_type":"root","consistent_snapshot":true,"expires":"…","issued":"…",
//      "keys":{"<keyid>":{"keytype":"ed25519","keyval":{"public":"…"},"scheme":"ed25519"},…},
//      "roles":{"bundle":{"keyids":[…],"threshold":1},"director":{…},"root":{…}},"spec_version":"1.0","version":1}
//
// Members and roles beyond the known ones are ignored, and so are keys of another keytype, which
// only such roles may name. A key may stand under several roles, but once in each, and under its
// own id alone, so that no two key ids hold the same public key.
#pragma once

#include "keys/envelope.h"

#define KEYS_ROOT_MAX_BYTES         (64 * 1024)
#define KEYS_ROOT_EXPIRES_DEFAULT_S (3650LL * 86400)

enum keys_root_role {
    KEYS_ROOT_ROLE_ROOT,
    KEYS_ROOT_ROLE_BUNDLE,
    KEYS_ROOT_ROLE_DIRECTOR,
    KEYS_ROOT_ROLES
};

extern const char *const keys_root_role_names[KEYS_ROOT_ROLES];

struct keys_root; // a root whose signatures held; immutable

// Verifies a root against its own root role and returns it; this is how a provisioned (trusted by
// place) root is opened. Kinds: those of the envelope, syntax, wrong_type, bad_key.
int keys_root_open(struct slice raw, struct keys_root **ret, struct err *e)
    __attribute__((nonnull));
// Verifies the next root: signed by the threshold of `trusted` (checked before anything in it is
// read) and by its own, version exactly one higher. Kinds: root_chain for one of these;
// bad_signature and the others as for keys_root_open.
int keys_root_advance(const struct keys_root *trusted, struct slice raw, struct keys_root **ret,
                      struct err *e) __attribute__((nonnull));
void keys_root_free(struct keys_root *root);
static inline void own_drop_root(struct keys_root **root) {
    keys_root_free(*root);
    *root = NULL;
}

// Borrowed until free.
const struct keys_role *keys_root_role(const struct keys_root *root, enum keys_root_role role)
    __attribute__((nonnull));
const struct keys_header *keys_root_header(const struct keys_root *root) __attribute__((nonnull));

// Appends the canonical signed part of a root. roles[] is indexed by enum keys_root_role. Kinds:
// bad_key (a threshold that cannot be met, a key twice), limit, memory.
int keys_root_format(const struct keys_role roles[static KEYS_ROOT_ROLES],
                     const struct keys_header *header, struct buf *ret, struct err *e)
    __attribute__((nonnull));
