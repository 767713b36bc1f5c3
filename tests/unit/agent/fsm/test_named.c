// SPDX-License-Identifier: Apache-2.0
//
// Whether the repository is asked once more before a swap.
#include <criterion/criterion.h>

#include "agent/fsm/named.h"

static const struct fsm_named here = {.root = 3, .snapshot = 70};

static bool holds(struct fsm_named found, struct fsm_named hinted, bool asked) {
    struct fsm_named_facts facts = {
        .found = found, .trusted = here, .hinted = hinted, .asked = asked};
    return fsm_named_holds(&facts);
}

Test(named, what_nobody_changed_is_not_asked_for_again) {
    cr_expect(holds(here, here, false));
    cr_expect(holds(here, here, true));
}

Test(named, what_was_found_under_something_else_than_is_trusted_is_asked_for) {
    static const struct fsm_named others[] = {{3, 69}, {3, 71}, {2, 70}, {4, 70},
                                              {3, 0},  {0, 70}, {0, 0}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        cr_expect_not(holds(others[i], here, false), "case %zu", i);
        cr_expect_not(holds(others[i], here, true), "case %zu", i);
    }
    struct fsm_named_facts nothing = {.asked = true};
    cr_expect_not(fsm_named_holds(&nothing), "unknown is not the same as unknown");
}

Test(named, a_controller_that_says_another_or_nothing_makes_the_device_ask) {
    static const struct {
        struct fsm_named hinted;
        bool after; // whether it goes on once it asked
    } cases[] = {
        {{3, 71}, false}, {{4, 70}, false}, {{4, 69}, false}, {{2, 71}, false},
        {{3, 69}, true},  {{2, 70}, true},  {{0, 0}, true},   {{3, 0}, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_not(holds(here, cases[i].hinted, false), "case %zu", i);
        cr_expect_eq(holds(here, cases[i].hinted, true), cases[i].after, "case %zu", i);
        cr_expect_eq(fsm_named_is_old(&here, &cases[i].hinted), !cases[i].after, "case %zu", i);
    }
}
