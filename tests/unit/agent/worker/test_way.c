// SPDX-License-Identifier: Apache-2.0
//
// The choice of a packing, as a table: what is so, and what is taken then.
#include <criterion/criterion.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/worker/way.h"
#include "bundle/kind.h"
#include "keys/kind.h"

#define NO_LIMIT WORKER_WAY_NO_LIMIT
#define MB       1000000ULL

static const struct row {
    const char *claim;
    struct worker_way_facts facts;
    enum worker_way way;
    uint64_t cost;
    const char *no_delta; // NULL: nothing is said
} rows[] = {
    {"without a delta the bundle is taken",
     {.bundle_bytes = 9, .left_bytes = NO_LIMIT},
     WORKER_WAY_BUNDLE,
     9,
     NULL},
    {"a cheaper delta is taken",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 3,
      .bundle_bytes = 9,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_DELTA,
     3,
     NULL},
    {"a delta that nobody named is not",
     {.delta_offered = true,
      .base_held = true,
      .delta_bytes = 3,
      .bundle_bytes = 9,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_BUNDLE,
     9,
     "targets"},
    {"one of another base is not",
     {.delta_offered = true,
      .delta_named = true,
      .delta_bytes = 3,
      .bundle_bytes = 9,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_BUNDLE,
     9,
     "starts from"},
    {"a dearer delta is not taken",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 10,
      .bundle_bytes = 9,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_BUNDLE,
     9,
     "less"},
    {"one of the same price neither: the bundle may cost less than it can",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 9,
      .bundle_bytes = 9,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_BUNDLE,
     9,
     "less"},
    {"but is gone on with",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 10,
      .bundle_bytes = 9,
      .begun = WORKER_WAY_DELTA,
      .begun_bytes = 1,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_DELTA,
     9,
     NULL},
    {"a bundle that is nearly there is gone on with",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 3,
      .bundle_bytes = 9,
      .begun = WORKER_WAY_BUNDLE,
      .begun_bytes = 7,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_BUNDLE,
     2,
     "less"},
    {"one that was hardly begun is left for a delta that is cheaper still",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 3,
      .bundle_bytes = 9,
      .begun = WORKER_WAY_BUNDLE,
      .begun_bytes = 1,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_DELTA,
     3,
     NULL},
    {"a delta that took more than its size costs nothing more than that",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 3,
      .bundle_bytes = 9,
      .begun = WORKER_WAY_DELTA,
      .begun_bytes = 5,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_DELTA,
     0,
     NULL},
    {"a bundle of unknown size is dearer than any delta",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 99,
      .left_bytes = NO_LIMIT},
     WORKER_WAY_DELTA,
     99,
     NULL},
    {"a delta that fits the budget exactly is taken",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 3,
      .bundle_bytes = 9,
      .holds_contents = true,
      .left_bytes = 3},
     WORKER_WAY_DELTA,
     3,
     NULL},
    {"where it does not, the bundle may, by what is held of it",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 3,
      .bundle_bytes = 9,
      .holds_contents = true,
      .left_bytes = 2},
     WORKER_WAY_BUNDLE,
     9,
     "budget"},
    {"a device that holds nothing knows what a bundle costs",
     {.bundle_bytes = 412 * MB, .left_bytes = 60 * MB},
     WORKER_WAY_NONE,
     412 * MB,
     NULL},
    {"and takes one that fits exactly",
     {.bundle_bytes = 60 * MB, .left_bytes = 60 * MB},
     WORKER_WAY_BUNDLE,
     60 * MB,
     NULL},
    {"of an unfinished one only the rest has to fit",
     {.bundle_bytes = 9, .begun = WORKER_WAY_BUNDLE, .begun_bytes = 5, .left_bytes = 4},
     WORKER_WAY_BUNDLE,
     4,
     NULL},
    {"a dearer delta is better than none",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 5,
      .bundle_bytes = 9,
      .begun = WORKER_WAY_BUNDLE,
      .begun_bytes = 0,
      .left_bytes = 6},
     WORKER_WAY_DELTA,
     5,
     NULL},
    {"nothing is begun when nothing is left, whatever is held",
     {.delta_offered = true,
      .delta_named = true,
      .base_held = true,
      .delta_bytes = 3,
      .bundle_bytes = 9,
      .holds_contents = true,
      .left_bytes = 0},
     WORKER_WAY_NONE,
     3,
     "budget"},
    {"not even what would cost nothing",
     {.bundle_bytes = 9,
      .begun = WORKER_WAY_BUNDLE,
      .begun_bytes = 9,
      .holds_contents = true,
      .left_bytes = 0},
     WORKER_WAY_NONE,
     0,
     NULL},
};

Test(way, is_chosen_by_cost_and_budget) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        struct worker_way_choice got = worker_way_choose(&r->facts);
        cr_expect_eq(got.way, r->way, "%s: %d", r->claim, (int)got.way);
        cr_expect_eq(got.cost_bytes, r->cost, "%s: %llu", r->claim,
                     (unsigned long long)got.cost_bytes);
        cr_expect_eq(got.no_delta != NULL, r->no_delta != NULL, "%s: %s", r->claim,
                     got.no_delta ? got.no_delta : "nothing said");
        cr_expect(!r->no_delta || (got.no_delta && strstr(got.no_delta, r->no_delta)), "%s: %s",
                  r->claim, got.no_delta ? got.no_delta : "nothing said");
    }
}

Test(way, what_is_chosen_fits_the_budget_whatever_is_so) {
    for (unsigned bits = 0; bits < 1U << 14; bits++) {
        struct worker_way_facts f = {.delta_offered = bits & 1,
                                     .delta_named = bits & 2,
                                     .base_held = bits & 4,
                                     .holds_contents = bits & 8,
                                     .delta_bytes = 1 + (bits >> 4 & 3) * 4,
                                     .bundle_bytes = (bits >> 6 & 3) * 4,
                                     .begun = (enum worker_way)((bits >> 8 & 3) % WORKER_WAYS),
                                     .begun_bytes = (bits >> 10 & 3) * 3,
                                     .left_bytes =
                                         (bits >> 12 & 3) == 3 ? NO_LIMIT : (bits >> 12 & 3) * 5};
        struct worker_way_choice got = worker_way_choose(&f);
        bool usable = f.delta_offered && f.delta_named && f.base_held;
        cr_assert(got.way != WORKER_WAY_DELTA || usable, "%u", bits);
        cr_assert(got.way != WORKER_WAY_DELTA || got.cost_bytes <= f.left_bytes, "%u", bits);
        cr_assert(got.way != WORKER_WAY_BUNDLE || f.holds_contents ||
                      got.cost_bytes <= f.left_bytes,
                  "%u", bits);
        cr_assert(f.left_bytes > 0 || got.way == WORKER_WAY_NONE, "%u", bits);
        cr_assert(f.left_bytes != NO_LIMIT || got.way != WORKER_WAY_NONE, "%u", bits);
        // Who was offered one is told why it is not taken.
        cr_assert(!f.delta_offered || got.way == WORKER_WAY_DELTA || got.no_delta, "%u", bits);
        cr_assert(got.no_delta == NULL || f.delta_offered, "%u", bits);
    }
}

Test(way, a_delta_that_failed_is_followed_by_what_helps) {
    static const struct {
        const struct err_kind *kind;
        bool asked_to_wait;
        uint64_t tries;
        enum worker_way_next next;
    } cases[] = {
        {&err_bad_delta, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_wrong_base, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_bad_generation, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_digest_mismatch, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_below_threshold, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_bad_skeleton, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_truncated, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_too_much, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_decode_memory, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_redirected, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_garbage, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_http, false, 1, WORKER_WAY_BUNDLE_NOW},
        {&err_http, true, 1, WORKER_WAY_AGAIN},
        {&err_unreachable, false, 1, WORKER_WAY_AGAIN},
        {&err_unreachable, false, WORKER_WAY_DELTA_TRIES - 1, WORKER_WAY_AGAIN},
        {&err_unreachable, false, WORKER_WAY_DELTA_TRIES, WORKER_WAY_BUNDLE_NOW},
        {&err_tls, false, 1, WORKER_WAY_AGAIN},
        {&err_too_slow, false, 1, WORKER_WAY_AGAIN},
        {&err_too_slow, false, 99, WORKER_WAY_BUNDLE_NOW},
        {&err_budget, false, 1, WORKER_WAY_END},
        {&err_no_space, false, 1, WORKER_WAY_END},
        {&err_io, false, 9, WORKER_WAY_END},
        {&err_worker_failed, false, 1, WORKER_WAY_END},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(worker_way_after(cases[i].kind, cases[i].asked_to_wait, cases[i].tries),
                     cases[i].next, "%s, try %llu", cases[i].kind->name,
                     (unsigned long long)cases[i].tries);
}
