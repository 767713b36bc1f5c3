// SPDX-License-Identifier: Apache-2.0
//
// Roles, compared.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "keys/role.h"

// A role of the keys whose ids end with these letters.
static struct keys_role role_of(const char *letters, size_t threshold) {
    struct keys_role role = {.threshold = threshold, .n_keys = strlen(letters)};
    for (size_t i = 0; i < role.n_keys; i++)
        (void)snprintf(role.keys[i].id, sizeof role.keys[i].id, "%063d%c", 0, letters[i]);
    return role;
}

Test(role, a_key_is_found_by_its_whole_id) {
    const struct keys_role role = role_of("ab", 1), other = role_of("c", 1), none = role_of("", 0);
    cr_assert(keys_role_has(&role, role.keys[0].id));
    cr_assert(keys_role_has(&role, role.keys[1].id));
    cr_assert_not(keys_role_has(&role, other.keys[0].id));
    cr_assert_not(keys_role_has(&role, "0"));
    cr_assert_not(keys_role_has(&none, other.keys[0].id));
}

Test(role, roles_are_the_same_whatever_the_order_of_their_keys) {
    static const struct {
        const char *a, *b;
        size_t threshold_a, threshold_b;
        bool same;
    } rows[] = {
        {"abc", "abc", 2, 2, true},  {"abc", "cab", 2, 2, true}, {"abc", "abc", 2, 1, false},
        {"abc", "abd", 2, 2, false}, {"abc", "ab", 2, 2, false}, {"ab", "abc", 2, 2, false},
        {"", "", 0, 0, true},        {"", "a", 1, 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct keys_role a = role_of(rows[i].a, rows[i].threshold_a);
        const struct keys_role b = role_of(rows[i].b, rows[i].threshold_b);
        cr_assert_eq(keys_role_same(&a, &b), rows[i].same, "row %zu", i);
    }
}
