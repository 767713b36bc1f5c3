// SPDX-License-Identifier: Apache-2.0
//
// What a device trusts, on its disk:
//
//   <state>/private/
//     tuf/root.json        the newest trusted root; first the provisioned one
//     tuf/timestamp.json   and snapshot.json, targets.json, <role>.json: what the judge accepted
//                          last, byte for byte as it was signed
//     trust                what the judge said of it, and why the last refresh failed
//                          (agent/pair.h)
//     incoming/            of one refresh: unjudged, written by the worker, removed after it
//
// Files of private/tuf are world-readable below a directory that nobody else reaches: the worker
// gets a descriptor of it, to read.
//
// Only what was judged is ever written below private/tuf, each file whole (fs_replace), in the
// order in which the judge accepted it; so after a power cut there is a prefix of that order, from
// which the next refresh goes on. The provisioned root takes the place of the stored one when its
// version is higher, when it is another file of the same version, and when the stored one cannot be
// opened. Removing private/tuf begins anew from the provisioned root.
#pragma once

#include <stdint.h>

#include "agent/fsm/record.h"
#include "agent/fsm/trusted.h"
#include "keys/root.h"

#define TRUST_STORE_DIR      "tuf"
#define TRUST_STORE_INCOMING "incoming"
#define TRUST_STORE_ROOT     "root.json"

// Of the roles beside root, in the order in which they are refreshed.
enum trust_store_role {
    TRUST_STORE_TIMESTAMP,
    TRUST_STORE_SNAPSHOT,
    TRUST_STORE_TARGETS,
    TRUST_STORE_ROLES
};
extern const char *const trust_store_names[TRUST_STORE_ROLES];

struct trust_store_file {
    uint64_t version; // 0: none trusted yet
    int64_t expires_s;
};

// That say what the targets are; 0 unknown.
struct trust_store_versions {
    uint64_t root, snapshot;
};

struct trust_store {
    int dir; // private/tuf
    uint64_t serial;
    struct trust_store_file files[TRUST_STORE_ROLES];
    struct fsm_why why;                 // of the last refresh; "" all is well
    struct trust_store_versions hinted; // what the controller said last; in memory only
};

// Opens below private/, made where absent. *ret_root is the root that counts, the caller's. Where
// that is not the stored one, TRUST_STORE_SEED: dates of sources whose keys it changed are
// forgotten in *trusted, and once that is durable trust_store_seed puts *seed, its bytes, in place.
enum { TRUST_STORE_SEED = 1 };
int trust_store_open(int private_dir, const char *provisioned, struct trust_store *ret,
                     struct keys_root **ret_root, struct fsm_trusted *trusted, struct buf *seed,
                     struct err *e) __attribute__((nonnull));
int trust_store_seed(const struct trust_store *store, const struct buf *seed, struct err *e)
    __attribute__((nonnull));
// Only what private/trust says, for a look without the agent. Absence is all zero.
int trust_store_look(int private_dir, struct trust_store *ret, struct err *e)
    __attribute__((nonnull));
void trust_store_close(struct trust_store *store) __attribute__((nonnull));

// Makes files[] and why durable.
int trust_store_save(int private_dir, struct trust_store *store, struct err *e)
    __attribute__((nonnull));

// Forgets the dates of every source that `after` gives to other keys or another threshold than
// `before`, and that of `before` itself where `after` is dated earlier. True when something durable
// changed.
bool trust_store_forget(const struct keys_root *before, const struct keys_root *after,
                        struct fsm_trusted *trusted) __attribute__((nonnull));
// What dates are cut to now.
struct fsm_trusted_bounds trust_store_bounds(const struct trust_store *store,
                                             const struct keys_root *root) __attribute__((nonnull));
// Those of what is trusted.
struct trust_store_versions trust_store_versions(const struct trust_store *store,
                                                 const struct keys_root *root)
    __attribute__((nonnull));

// An empty private/incoming that belongs to uid and gid when they are not (uid_t)-1.
int trust_store_open_incoming(int private_dir, uid_t uid, gid_t gid, int *ret, struct err *e)
    __attribute__((nonnull));
int trust_store_drop_incoming(int private_dir, struct err *e) __attribute__((nonnull));
