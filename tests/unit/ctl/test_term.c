// SPDX-License-Identifier: Apache-2.0
//
// Bars: as wide as asked for at every fraction, full only when done.
#include "ctl/term.h"

#include <criterion/criterion.h>
#include <string.h>

static unsigned cells_of(const char *bar) {
    unsigned cells = 0;
    for (; *bar; bar++)
        cells += ((unsigned char)*bar & 0xC0) != 0x80;
    return cells;
}

Test(term, a_bar_is_as_wide_as_asked_for) {
    char bar[CTL_TERM_BAR_BYTES];
    for (uint64_t done = 0; done <= 1000; done++)
        cr_expect_eq(cells_of(ctl_term_bar(done, 1000, 20, bar)), 20, "%s", bar);
    cr_assert_eq(cells_of(ctl_term_bar(1, 2, CTL_TERM_BAR_MAX + 5, bar)), CTL_TERM_BAR_MAX);
    cr_assert_str_eq(ctl_term_bar(1, 2, 0, bar), "");
}

Test(term, a_bar_shows_eighths) {
    char bar[CTL_TERM_BAR_BYTES];
    cr_assert_str_eq(ctl_term_bar(0, 8, 1, bar), "░");
    cr_assert_str_eq(ctl_term_bar(1, 8, 1, bar), "▏");
    cr_assert_str_eq(ctl_term_bar(7, 8, 1, bar), "▉");
    cr_assert_str_eq(ctl_term_bar(8, 8, 1, bar), "█");
    cr_assert_str_eq(ctl_term_bar(5, 8, 2, bar), "█▎");
}

Test(term, nearly_done_is_not_done) {
    char bar[CTL_TERM_BAR_BYTES];
    cr_assert_str_neq(ctl_term_bar(999999, 1000000, 4, bar), "████");
}

Test(term, numbers_that_make_no_sense_are_harmless) {
    char bar[CTL_TERM_BAR_BYTES];
    cr_assert_str_eq(ctl_term_bar(5, 0, 2, bar), "░░");
    cr_assert_str_eq(ctl_term_bar(9, 3, 2, bar), "██");
    cr_assert_str_eq(ctl_term_bar(UINT64_MAX, UINT64_MAX, 2, bar), "██");
    cr_assert_eq(cells_of(ctl_term_bar(UINT64_MAX - 1, UINT64_MAX, 2, bar)), 2);
}
