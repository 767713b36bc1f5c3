// SPDX-License-Identifier: Apache-2.0
//
// Who may sign: so many of these keys. The order of the keys means nothing.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "keys/pub.h"

#define KEYS_ROLE_KEYS_MAX 32

struct keys_role {
    size_t threshold; // 1..n_keys
    size_t n_keys;
    struct keys_pub keys[KEYS_ROLE_KEYS_MAX];
};

// Whether the role has the key of this id.
bool keys_role_has(const struct keys_role *role, const char *keyid) __attribute__((nonnull));
// Whether both ask for as many of the same keys. Each role's keys are different ones.
bool keys_role_same(const struct keys_role *a, const struct keys_role *b) __attribute__((nonnull));
