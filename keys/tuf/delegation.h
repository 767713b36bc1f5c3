// SPDX-License-Identifier: Apache-2.0
//
// Delegations of a targets file: an ordered list of roles, each trusted for some paths. Pure.
//
// A pattern and a path match when they have the same number of parts between '/' and each part
// matches shell-style: `*` any bytes, `?` one byte, `[…]` a set (`[!…]` its complement); never '/'.
// A hash prefix matches when the hex SHA-256 of the path begins with it (case does not matter).
//
// Beyond TUF, a delegation may bind its keys further, in members that other clients pass over and
// that are signed all the same:
//     "components": ["detector", …]   only bundles all of whose components are named here
//     "executable": false             only bundles that contain nothing executable
// Absent means no such limit. Both add up along the path of delegations: every one of them must
// allow.
#pragma once

#include "keys/tuf/metadata.h"

#define TUF_DELEGATIONS_MAX      1024 // in one targets file
#define TUF_DELEGATION_PATHS_MAX 1024 // patterns or prefixes of one delegation

struct tuf_delegation {
    const char *name; // borrowed
    struct tuf_role role;
    bool terminating;
    struct tuf_json_at object; // the delegation itself, for its further members
};

// The form of a targets file's `delegations`, part of its verification: names are not empty, not
// those of top-level roles and not twice; exactly one of paths and path_hash_prefixes. Kinds:
// syntax, limit.
int tuf_delegation_check(struct tuf_json_at delegations, const char *what, struct err *e)
    __attribute__((nonnull));
// How many; and the n-th, in order.
size_t tuf_delegation_count(const struct tuf_metadata *targets) __attribute__((nonnull));
void tuf_delegation_get(const struct tuf_metadata *targets, size_t n, struct tuf_delegation *ret)
    __attribute__((nonnull));
bool tuf_delegation_matches(const struct tuf_delegation *delegation, const char *path)
    __attribute__((nonnull));
bool tuf_delegation_glob(const char *pattern, const char *path) __attribute__((nonnull));
// What further members allow. A member of the wrong type allows nothing.
bool tuf_delegation_allows_component(const struct tuf_delegation *delegation, const char *component)
    __attribute__((nonnull));
bool tuf_delegation_allows_executable(const struct tuf_delegation *delegation)
    __attribute__((nonnull));
