// SPDX-License-Identifier: Apache-2.0
//
// The table of trust's error kinds.
#include <criterion/criterion.h>

#include "keys/kind.h"

Test(kind, every_row_is_found_by_its_name_and_has_its_own_exit_status) {
    size_t n = 0;
    for (; keys_kinds[n]; n++) {
        cr_assert_eq(err_find(keys_kinds, keys_kinds[n]->name), keys_kinds[n]);
        cr_assert(keys_kinds[n]->exit_status >= 20 && keys_kinds[n]->exit_status <= 39);
        for (size_t i = 0; i < n; i++)
            cr_assert_neq(keys_kinds[i]->exit_status, keys_kinds[n]->exit_status);
    }
    cr_assert_eq(n, 12);
    cr_assert_eq(err_find(keys_kinds, "below_threshold"), &err_below_threshold);
    cr_assert_eq(err_below_threshold.exit_status, 21);
    cr_assert(err_signer_failed.retry);
    cr_assert_not(err_bad_signature.retry);
}
