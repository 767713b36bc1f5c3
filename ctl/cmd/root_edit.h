// SPDX-License-Identifier: Apache-2.0
//
// Changes to the content of a root (keys/root.h), as JSON, so that roles and members that this
// program does not know survive. A role is named as in the root: root, targets, snapshot,
// timestamp; bundle, director, mandate; bundle/NAME. Whether the result is a root is for keys_root_open to
// say.
#pragma once

#include <jansson.h>

#include "keys/root.h"

// Whether the name can be that of a role: one of keys_root_role_names or bundle/NAME. Kind usage.
int cmd_root_edit_check_role(const char *role, struct err *e) __attribute__((nonnull));
// Puts roles of our own where they stand today: roots made before had them among TUF's. Kind
// memory.
int cmd_root_edit_modernize(json_t *root, struct err *e) __attribute__((nonnull));

// The keys of a role of the content, verified or not; n_keys 0 when there is no such role. Kinds:
// syntax, bad_key.
int cmd_root_edit_role(json_t *root, const char *role, struct keys_role *ret, struct err *e)
    __attribute__((nonnull));

// That every role is one we know and can be met: what nobody should sign otherwise. Kinds: usage,
// syntax, bad_key.
int cmd_root_edit_check(json_t *root, struct err *e) __attribute__((nonnull));

// Each changes one thing, or nothing: CMD_ROOT_EDIT_SAME. Keys that no role names any more go.
enum { CMD_ROOT_EDIT_SAME = 1 };
// A role that is not there yet begins with threshold 1.
int cmd_root_edit_add(json_t *root, const char *role, const struct keys_pub *key, struct err *e)
    __attribute__((nonnull));
// Kind permission when the keys that stay could not meet the threshold. The last key of a
// bundle/NAME or of mandate takes the role with it.
int cmd_root_edit_remove(json_t *root, const char *role, const char *keyid, struct err *e)
    __attribute__((nonnull));
// Kinds: not_found (no such role), permission (more than the role has keys).
int cmd_root_edit_threshold(json_t *root, const char *role, size_t threshold, struct err *e)
    __attribute__((nonnull));
// What a bundle/NAME may sign: components (an array that is taken over, or NULL for any) and
// whether anything executable.
int cmd_root_edit_limits(json_t *root, const char *role, json_t *components, bool executable,
                         struct err *e) __attribute__((nonnull(1, 2, 5)));
