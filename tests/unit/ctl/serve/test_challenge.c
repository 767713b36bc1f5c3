// SPDX-License-Identifier: Apache-2.0
//
// Challenges: good once, for two minutes, and for as many as are remembered; a flood of them does
// not make a use dearer.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/serve/challenge.h"
#include "keys/secret.h"

#define EXPIRY_MS (SERVE_CHALLENGE_S * 1000LL)

static struct serve_challenges *all;

static void set_up(void) {
    struct err e = ERR_NONE;
    cr_assert_eq(keys_secret_init(&e), 0);
    cr_assert_eq(serve_challenge_open(&all, &e), 0);
}

static void tear_down(void) {
    serve_challenge_close(all);
}

TestSuite(challenge, .init = set_up, .fini = tear_down, .timeout = 1200);

static const char *use(const char *challenge, int64_t now_ms) {
    struct err e = ERR_NONE;
    return serve_challenge_use(all, challenge, now_ms, &e) == 0 ? "used" : e.kind->name;
}

static const char *use_new(int64_t now_ms) {
    char challenge[BUNDLE_CHALLENGE_HEX];
    serve_challenge_make(all, now_ms, challenge);
    return use(challenge, now_ms);
}

Test(challenge, is_good_once_and_until_it_expires) {
    char challenge[BUNDLE_CHALLENGE_HEX], late[BUNDLE_CHALLENGE_HEX];
    serve_challenge_make(all, 1000, challenge);
    serve_challenge_make(all, 1000, late);
    cr_expect_str_eq(use(challenge, 1000), "used");
    cr_expect_str_eq(use(challenge, 1000), "unauthorized");
    cr_expect_str_eq(use(challenge, 1000 + EXPIRY_MS), "unauthorized", "remembered to the end");
    cr_expect_str_eq(use(challenge, 1000 + EXPIRY_MS + 1), "unauthorized", "and expired after it");
    cr_expect_str_eq(use(late, 1000 + EXPIRY_MS + 1), "unauthorized");
    cr_expect_str_eq(use(late, 999), "unauthorized", "made later than now");
    cr_expect_str_eq(use(late, 1000 + EXPIRY_MS), "used");
    late[0] = late[0] == '0' ? '1' : '0';
    cr_expect_str_eq(use(late, 1000), "unauthorized", "not one of ours");
}

// Every one that is remembered is known as used, whatever was forgotten before it.
Test(challenge, those_of_a_moment_ago_are_remembered_while_older_ones_are_forgotten) {
    enum { N = 3000, AHEAD = 700 };
    static char made[N][BUNDLE_CHALLENGE_HEX];
    int64_t step_ms = EXPIRY_MS / AHEAD;
    for (int i = 0; i < N; i++) {
        int64_t now_ms = 1 + i * step_ms;
        serve_challenge_make(all, now_ms, made[i]);
        cr_assert_str_eq(use(made[i], now_ms), "used", "%d", i);
        for (int back = 0; back <= AHEAD && back <= i; back += 97)
            cr_assert_str_eq(use(made[i - back], now_ms), "unauthorized", "%d before %d", back, i);
    }
}

Test(challenge, below_at_and_above_what_is_remembered) {
    static char first[BUNDLE_CHALLENGE_HEX];
    serve_challenge_make(all, 5, first);
    cr_assert_str_eq(use(first, 5), "used");
    for (int i = 2; i <= SERVE_CHALLENGE_USED_MAX; i++)
        cr_assert_str_eq(use_new(6), "used", "the %d. of %d", i, SERVE_CHALLENGE_USED_MAX);
    cr_expect_str_eq(use_new(6), "overloaded");
    cr_expect_str_eq(use(first, 6), "unauthorized", "a full memory knows it still");
    cr_expect_str_eq(use_new(5 + EXPIRY_MS), "overloaded");
    cr_expect_str_eq(use_new(6 + EXPIRY_MS), "used", "the first is forgotten");
    cr_expect_str_eq(use_new(6 + EXPIRY_MS), "overloaded");
    cr_expect_str_eq(use_new(7 + EXPIRY_MS), "used", "all are");
}

Test(challenge, a_flood_does_not_make_each_use_dearer) {
    enum { N = 100000 };
    char one[BUNDLE_CHALLENGE_HEX];
    unsigned used = 0, refused = 0;
    for (unsigned i = 0; i < N; i++) {
        serve_challenge_make(all, 1, one);
        used += strcmp(use(one, 1), "used") == 0;
        refused += strcmp(use(one, 1), "used") != 0;
    }
    cr_expect_eq(used, SERVE_CHALLENGE_USED_MAX);
    cr_expect_eq(refused, N);
    // Going through them all would be thousands of millions.
    cr_expect_lt(serve_challenge_compared(all), 4 * N);
}
