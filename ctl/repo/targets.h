// SPDX-License-Identifier: Apache-2.0
//
// The content of a targets file, top-level or delegated, while it is edited: a JSON object, the
// signed part, without the header that every version gets anew (repo_targets_format). Members that
// are not known here stay as they are.
//
//     {"_type":"targets","delegations":{"keys":{…},"roles":[…]},"floors":{COMPONENT:N},"targets":{PATH:ENTRY}}
//
// Each change can be repeated: one that changes nothing is REPO_TARGETS_SAME.
#pragma once

#include <jansson.h>

#include "ctl/repo/target.h"
#include "keys/envelope.h"
#include "keys/tuf/delegation.h"

#define REPO_TARGETS_MAX_BYTES    TUF_TARGETS_MAX_BYTES // what devices take
#define REPO_TARGETS_PATTERNS_MAX 64                    // of one delegation made here
#define REPO_TARGETS_NAME_MAX     64                    // bytes of a delegated role's name

#define REPO_TARGETS_EXPIRES_DEFAULT_S (365LL * 86400)

// The role that a controller may name deltas by, with a key of its own: these paths, and no
// component at all, so that it can never name a bundle.
#define REPO_TARGETS_DELTAS_ROLE  "deltas"
#define REPO_TARGETS_DELTAS_PATHS "*/*/*/*.json"

enum { REPO_TARGETS_SAME = 1 };

// An empty one; the caller's. Kind memory.
int repo_targets_new(json_t **ret, struct err *e) __attribute__((nonnull));
// Reads the canonical signed part of a targets file and checks its form: its header, targets that
// repo_target_read takes, floors, delegations. *ret is the caller's. Kinds: syntax, limit,
// not_canonical, wrong_type, newer_format, bad_key, memory.
int repo_targets_parse(struct slice signed_part, const char *what, json_t **ret,
                       struct keys_header *ret_header, struct err *e) __attribute__((nonnull));

// Names a target. A delta takes the place of another one on the same path; a bundle's path with
// other contents is kind exists.
int repo_targets_add(json_t *targets, const struct repo_target *target, struct err *e)
    __attribute__((nonnull));
// Takes all targets of a release out, the deltas that lead to its bundles too; *ret_n says how
// many there were. Kind not_found when none was.
int repo_targets_withdraw(json_t *targets, const char *name, const char *release, size_t *ret_n,
                          struct err *e) __attribute__((nonnull));
// Raises the floor of a component; devices never go back below, so lowering is refused (rollback).
// Top-level targets only: nobody else's floors count.
int repo_targets_floor(json_t *targets, const char *component, uint64_t floor, struct err *e)
    __attribute__((nonnull));

struct repo_targets_delegation {
    const char *name; // letters, digits, '.', '_', '-'; not the name of a top-level role
    const struct keys_role *role;
    size_t n_paths;
    const char *const *paths; // patterns: "vibration/*/*", one '*' never matches a '/'
    bool any_component;       // no list of components
    size_t n_components;      // 0: no bundle at all, only deltas
    const char *const *components;
    bool executable; // may name bundles with executables
    bool terminating;
};
// Adds a delegation behind the others, or puts it in the place of the one by that name. Keys that
// no delegation names any more go. Kinds: usage (names, patterns), bad_key, limit, memory.
int repo_targets_delegate(json_t *targets, const struct repo_targets_delegation *delegation,
                          struct err *e) __attribute__((nonnull));
// Kind not_found.
int repo_targets_undelegate(json_t *targets, const char *name, struct err *e)
    __attribute__((nonnull));

// How many delegations; the name of the n-th, borrowed.
size_t repo_targets_n_delegations(const json_t *targets) __attribute__((nonnull));
const char *repo_targets_delegation_name(const json_t *targets, size_t n) __attribute__((nonnull));
// Whether a delegation is for this path, by its patterns or its hash prefixes.
bool repo_targets_matches(const json_t *delegation, const char *path) __attribute__((nonnull(2)));
// Whether a delegation lets its role name bundles with this component, as keys/tuf/delegation.h has
// it for devices. An image counts as executable. Kind delegation.
int repo_targets_allows(const json_t *delegation, const char *component, bool executable,
                        struct err *e) __attribute__((nonnull(2, 4)));
// The keys of a delegation; those that are not Ed25519 are passed over. 0, or REPO_TARGETS_ABSENT.
// Kinds: syntax, bad_key.
enum { REPO_TARGETS_ABSENT = 2 };
int repo_targets_role(const json_t *targets, const char *name, struct keys_role *ret, struct err *e)
    __attribute__((nonnull));

// Appends the canonical signed part with this header. Kinds: limit, memory.
int repo_targets_format(const json_t *targets, const struct keys_header *header, struct buf *ret,
                        struct err *e) __attribute__((nonnull));
