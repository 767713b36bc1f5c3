// SPDX-License-Identifier: Apache-2.0
//
// root.json: which keys may do what. The device is provisioned with it; it changes only by a chain
// of roots, each signed by the old and the new threshold. Signed part:
//
//     {"_type":"root","consistent_snapshot":true,
//      "edge_roles":{"bundle":{"keyids":[…],"threshold":1},
//                    "bundle/models":{"components":["detector"],"executable":false,
//                                     "keyids":[…],"threshold":1},
//                    "director":{…},"mandate":{…}},
//      "expires":"…","issued":"…",
//      "keys":{"<keyid>":{"keytype":"ed25519","keyval":{"public":"…"},"scheme":"ed25519"},…},
//      "roles":{"root":{…},"snapshot":{…},"targets":{…},"timestamp":{…}},
//      "spec_version":"1.0","version":1}
//
// `roles` are TUF's, whose clients accept these four and no other there; ours stand beside them. In
// roots made before there was a repository, bundle and director stand in `roles` and the last three
// of TUF's are absent: such a role has no keys, so that nothing can be signed by it.
//
// A root may have the role mandate. Where it does, a device takes no install without a mandate that
// this role signed (bundle/mandate.h); where it does not, devices ask for none.
//
// bundle/NAME is a delegation of the role bundle: its keys sign manifests too, of bundles all of
// whose components are named in `components` (absent: any), and in which nothing is executable
// unless `executable` says so (absent: true). It holds offline, without any metadata. One that has
// members not known here is passed over as a whole: it may be a limit that was not understood.
//
// Other members and roles beyond the known ones are ignored, and so are keys of another keytype,
// which only such roles may name. A key may stand under several roles, but once in each, and under
// its own id alone, so that no two key ids hold the same public key.
#pragma once

#include "keys/envelope.h"

#define KEYS_ROOT_MAX_BYTES         (64 * 1024)
#define KEYS_ROOT_EXPIRES_DEFAULT_S (3650LL * 86400)
#define KEYS_ROOT_NAME_MAX          64 // bytes of NAME in bundle/NAME, and of a component's name
#define KEYS_ROOT_BUNDLE_ROLES_MAX  32 // delegations of the role bundle
#define KEYS_ROOT_COMPONENTS_MAX    32 // components of one of them

enum keys_root_role {
    KEYS_ROOT_ROLE_ROOT,
    KEYS_ROOT_ROLE_BUNDLE,
    KEYS_ROOT_ROLE_DIRECTOR,
    KEYS_ROOT_ROLE_TARGETS,
    KEYS_ROOT_ROLE_SNAPSHOT,
    KEYS_ROOT_ROLE_TIMESTAMP,
    KEYS_ROOT_ROLE_MANDATE,
    KEYS_ROOT_ROLES
};

extern const char *const keys_root_role_names[KEYS_ROOT_ROLES];

// A delegation of the role bundle.
struct keys_root_bundle_role {
    char name[KEYS_ROOT_NAME_MAX + 1]; // what stands behind "bundle/"
    bool any_component;                // no list of components
    bool executable;                   // what it signs may hold executables
    size_t n_components;
    char components[KEYS_ROOT_COMPONENTS_MAX][KEYS_ROOT_NAME_MAX + 1];
    struct keys_role role;
};

// All that a root says. A role without keys (n_keys 0) is absent; root, bundle and director never
// are.
struct keys_root_content {
    struct keys_header header;
    struct keys_role roles[KEYS_ROOT_ROLES]; // by enum keys_root_role
    size_t n_bundle_roles;
    const struct keys_root_bundle_role *bundle_roles; // in the order of their names when read
};

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
const struct keys_root_content *keys_root_content(const struct keys_root *root)
    __attribute__((nonnull));
// The delegation bundle/NAME, or NULL. Borrowed.
const struct keys_root_bundle_role *keys_root_bundle_role(const struct keys_root *root,
                                                          const char *name)
    __attribute__((nonnull));

// Appends the canonical signed part of a root. Kinds: bad_key (a threshold that cannot be met, a
// key twice, root, bundle or director without keys), syntax (a name that is none, or twice), limit,
// memory.
int keys_root_format_content(const struct keys_root_content *content, struct buf *ret,
                             struct err *e) __attribute__((nonnull));
// The same for a root without delegations; roles[] is indexed by enum keys_root_role.
int keys_root_format(const struct keys_role roles[static KEYS_ROOT_ROLES],
                     const struct keys_header *header, struct buf *ret, struct err *e)
    __attribute__((nonnull));
