// SPDX-License-Identifier: Apache-2.0
//
// What this machine does not allow, said in a line of its own: "skipped: SUITE::TEST: why", which
// tests/run.sh counts and lists. Criterion itself counts a test that was skipped as passed and prints
// nothing of it. A lint sees that no test is skipped in another way.
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>

// A part of a test that is not tried; the rest goes on.
static inline void skip_part(const char *why) {
    (void)fprintf(stderr, "skipped: %s::%s: %s\n", criterion_current_test->category,
                  criterion_current_test->name, why);
}

// The whole test, from its .init too. It does not go on.
static inline void skip_test(const char *why) {
    skip_part(why);
    cr_skip("%s", why);
}
