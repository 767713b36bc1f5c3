// SPDX-License-Identifier: Apache-2.0
//
// A repository of The Update Framework as a folder that any web server can serve:
//
//     metadata/N.root.json  N.targets.json  N.ROLE.json  N.snapshot.json  timestamp.json
//     targets/NAME/RELEASE/HASH.ID.json, targets/NAME/RELEASE/ID/HASH.BASE.json
//                                              (ctl/repo/target.h)
//
// All files are canonical and carry `issued`. Snapshots are consistent: what a timestamp leads to
// is never written again, so a reader sees one whole state at any instant, the old one until
// timestamp.json is replaced and the new one after. Each file is durable before the one that names
// it is written: targets, then snapshot, then timestamp.
//
// Versions: root the one before + 1; all other roles the larger of that and the Unix time, so that
// a folder restored from a backup does not go back in what its online keys sign.
//
// Opening believes the root it is given, and what follows from it by signatures: the chain of roots
// in the folder, then timestamp, snapshot, targets, delegated targets. What does not hold is no
// failure (a key was rotated, a file is gone): repo_folder_state says what and why, and the role's
// version still counts for the next. Nothing that does not hold is named in a new snapshot as held.
//
// Not thread-safe. One process at a time writes: whoever does holds the folder (ctl/lock.h).
#pragma once

#include "ctl/repo/targets.h"
#include "keys/root.h"

#define REPO_FOLDER_SNAPSHOT_EXPIRES_DEFAULT_S  (14LL * 86400)
#define REPO_FOLDER_TIMESTAMP_EXPIRES_DEFAULT_S (3LL * 86400)
#define REPO_FOLDER_EXPIRES_MIN_S               2
#define REPO_FOLDER_KEPT                        16 // versions of snapshot and of each targets file; roots: all
#define REPO_FOLDER_ROLES_MAX                   1024 // targets files of one repository
#define REPO_FOLDER_DEPTH_MAX                   16   // delegations on the way to a role
#define REPO_FOLDER_AHEAD_MAX_S                 86400 // how far `issued` and versions may run ahead of the clock

struct repo_folder;
struct sign_signer;

// Who signs for the online roles, until when, and what time it is.
struct repo_folder_online {
    const struct sign_signer *snapshot;
    const struct sign_signer *timestamp;
    int64_t snapshot_s; // lifetimes; 0: the defaults
    int64_t timestamp_s;
    int64_t now_s;
};

// One role's file as it is now.
struct repo_folder_state {
    // "root", "timestamp", "snapshot", "targets", or a delegated role's
    char name[REPO_TARGETS_NAME_MAX + 1];
    struct keys_header header; // version 0: there is none
    bool valid;                // it holds by the keys of the role
    struct err why;            // when it does not
};

// Makes metadata/ and targets/ in a folder and puts the root there as N.root.json; what is there
// already stays. Kinds: those of keys_root_open; exists when another root of that version lies
// there.
int repo_folder_make(int dir, struct slice root, struct err *e) __attribute__((nonnull));
// Opens a folder by a root that is trusted, to write in it: temporaries of writers that were killed
// are removed. dir is not needed afterwards. Kinds: those of keys_root_open, root_chain (a later root in the folder does not follow), memory, io.
int repo_folder_open(int dir, struct slice root, struct repo_folder **ret, struct err *e)
    __attribute__((nonnull));
void repo_folder_free(struct repo_folder *folder);
static inline void own_drop_repo_folder(struct repo_folder **folder) {
    repo_folder_free(*folder);
    *folder = NULL;
}

// The newest root of the chain, and its bytes. Borrowed until the next accept.
const struct keys_root *repo_folder_root(const struct repo_folder *folder) __attribute__((nonnull));
struct slice repo_folder_root_raw(const struct repo_folder *folder) __attribute__((nonnull));
// All roles: root, timestamp, snapshot, targets, then the delegated ones that are reachable.
// Borrowed until the next change.
size_t repo_folder_n_states(const struct repo_folder *folder) __attribute__((nonnull));
const struct repo_folder_state *repo_folder_state(const struct repo_folder *folder, size_t n)
    __attribute__((nonnull));
// NULL when nobody delegates to such a role.
const struct repo_folder_state *repo_folder_find(const struct repo_folder *folder, const char *role)
    __attribute__((nonnull));

// The version that the next file of a role must have at least.
uint64_t repo_folder_next_version(const struct repo_folder *folder, const char *role, int64_t now_s)
    __attribute__((nonnull));
// The current file of targets or a delegated role, appended. 0, or REPO_FOLDER_ABSENT.
enum { REPO_FOLDER_ABSENT = 1 };
int repo_folder_read(const struct repo_folder *folder, const char *role, struct buf *ret,
                     struct err *e) __attribute__((nonnull));
// What a targets file that holds says; borrowed until the next change. NULL when none holds.
const json_t *repo_folder_targets(const struct repo_folder *folder, const char *role)
    __attribute__((nonnull));

// Whether a device that takes the current metadata finds this target, and may install the
// components it has: the search of keys/tuf/client.h, and every delegation on its way. A delta has
// no components of its own; whether it may be named is a question of paths. Dates are not looked
// at. 0, or REPO_FOLDER_ABSENT when nobody names it. Kinds: delegation (found, and not allowed); those of tuf_client_refresh, tuf_client_find and keys_canon_parse, io.
int repo_folder_admits(const struct repo_folder *folder, const struct bundle_target *target,
                       struct err *e) __attribute__((nonnull));
// What the current metadata say of the target io->bundle: the rest of *io is set. The same search
// in what was read when the folder was opened or changed, for who asks often: no file is read. 0,
// or REPO_FOLDER_ABSENT, also where a role on the way does not hold.
int repo_folder_names(const struct repo_folder *folder, struct repo_target *io)
    __attribute__((nonnull));
// Puts a target's file into its place, durably. REPO_FOLDER_SAME when it is there. Kind
// digest_mismatch when the bytes are not that target.
enum { REPO_FOLDER_SAME = 1 };
int repo_folder_put_target(const struct repo_folder *folder, const struct repo_target *target,
                           struct slice signed_part, struct err *e) __attribute__((nonnull));
// 0, or REPO_FOLDER_ABSENT.
int repo_folder_has_target(const struct repo_folder *folder, const struct repo_target *target,
                           struct err *e) __attribute__((nonnull));

// Takes a signed file of `role` ("root", "targets" or delegated): verified by the keys that may
// sign it, not expired, its version the next (targets: at most a day ahead of the clock), every
// target it adds at hand; then written, and new snapshot and timestamp with it. REPO_FOLDER_SAME
// when it is the current one already; then a root gets a new snapshot and timestamp all the same, for
// whoever was killed before it could write these: they are how devices notice a root. A new root
// may leave other files without enough signatures: they are to be signed anew, and
// repo_folder_state tells which. Kinds: those of envelope, root and
// repo_targets_parse, rollback (version), conflict (made from a version before the current one),
// expired, not_found (a target's file, the role), usage (a role that is made here), those of
// repo_folder_renew.
int repo_folder_accept(struct repo_folder *folder, const char *role, struct slice raw,
                       const struct repo_folder_online *online, struct err *e)
    __attribute__((nonnull));
// Signs snapshot and timestamp anew where half of their life is over, they do not hold, or hold for
// longer than they should (the lifetime was made shorter, the clock ran ahead); otherwise
// REPO_FOLDER_SAME. Kinds: not_found (nothing to sign for: no targets yet), below_threshold or
// bad_key (a signer is missing, or not in the role), io.
int repo_folder_renew(struct repo_folder *folder, const struct repo_folder_online *online,
                      struct err *e) __attribute__((nonnull));
// The same whatever their age: for whoever cannot know whether the folder is the latest, or a
// backup that was put back. Clients that saw later ones take these.
int repo_folder_renew_all(struct repo_folder *folder, const struct repo_folder_online *online,
                          struct err *e) __attribute__((nonnull));
