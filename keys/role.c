// SPDX-License-Identifier: Apache-2.0
//
// Keys of roles, compared by their ids.
#include "keys/role.h"

#include <string.h>

bool keys_role_has(const struct keys_role *role, const char *keyid) {
    for (size_t i = 0; i < role->n_keys; i++)
        if (strcmp(role->keys[i].id, keyid) == 0)
            return true;
    return false;
}

bool keys_role_same(const struct keys_role *a, const struct keys_role *b) {
    bool same = a->threshold == b->threshold && a->n_keys == b->n_keys;
    for (size_t i = 0; i < a->n_keys && same; i++)
        same = keys_role_has(b, a->keys[i].id);
    return same;
}
