// SPDX-License-Identifier: Apache-2.0
//
// Bounds, and that something arrives everywhere.

#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"

Test(random, results_stay_below_their_bound) {
    cr_assert_eq(random_below(0), 0);
    cr_assert_eq(random_below(1), 0);
    const uint64_t bounds[] = {2, 3, 1000, UINT64_C(1) << 63, (UINT64_C(1) << 63) + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        for (int n = 0; n < 200; n++)
            cr_assert_lt(random_below(bounds[i]), bounds[i]);
    }
}

Test(random, every_result_of_a_small_bound_comes_up) {
    unsigned seen = 0;
    // Missing one of eight in 1000 draws has a probability below 1e-56.
    for (int n = 0; n < 1000; n++)
        seen |= 1U << random_below(8);
    cr_assert_eq(seen, 0xFF);
}

Test(random, the_whole_array_is_filled_and_nothing_behind_it) {
    unsigned char data[601];
    unsigned char changed[600] = {0};
    for (int n = 0; n < 20; n++) {
        memset(data, 0, sizeof data);
        random_fill(data, 600);
        cr_assert_eq(data[600], 0);
        for (size_t i = 0; i < 600; i++)
            changed[i] |= data[i];
    }
    for (size_t i = 0; i < 600; i++)
        cr_assert_neq(changed[i], 0, "byte %zu was zero twenty times", i);
}
