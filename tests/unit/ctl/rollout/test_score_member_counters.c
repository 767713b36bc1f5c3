// SPDX-License-Identifier: Apache-2.0
//
// Sites as units: whose counters are the site's.
#include "tests/unit/ctl/rollout/sites_bench.h"

Test(rollout_score_member_counters, the_first_device_whose_counter_rises_is_the_sites_event) {
    struct bench *b = bench();
    settle(b, 2);
    cr_assert_eq(b->score.risk[COUNTER][0].treated, 2);
    cr_assert_eq(b->score.risk[COUNTER][0].comparison, 6);
    b->now_s += 60;
    (void)hear(b, 0, 1, (struct said){.admitted = true, .has_counter = true, .counter = 1});
    cr_expect_eq(b->news.gates, 1U << COUNTER);
    cr_expect_eq(b->news.n_units, 1);
    cr_expect_eq(b->news.units[0].a, 6);
    cr_expect_eq(b->news.units[0].b, 2);
    cr_expect_eq(b->news.units[0].c, 1);
    (void)hear(b, 0, 2, (struct said){.admitted = true, .has_counter = true, .counter = 1});
    cr_expect_eq(b->news.gates, 0, "a site counts once");
    cr_expect_eq(b->score.gate[COUNTER].events.scored, 1);
    (void)hear(b, 7, 0, counts(3)); // readings of two devices are not compared with one another
    cr_expect_eq(b->news.gates, 1U << COUNTER);
    (void)hear(b, 6, 0, counts(0));
    (void)hear(b, 6, 1, counts(0));
    cr_expect_eq(b->news.gates, 0);
}

Test(rollout_score_member_counters,
     an_increase_counts_when_the_site_was_at_risk_at_both_check_ins) {
    struct bench *b = bench();
    (void)hear(b, 5, 0, counts(0));
    (void)hear(b, 5, 1, counts(0));
    b->now_s += 901;
    (void)hear(b, 5, 0, counts(0)); // the site enters
    cr_assert_neq(b->u[5].at_risk & 1U << COUNTER, 0);
    (void)hear(b, 5, 1, counts(4)); // since before that
    cr_expect_eq(b->news.gates, 0);
    (void)hear(b, 5, 1, counts(5));
    cr_expect_eq(b->news.gates, 1U << COUNTER);
}

Test(rollout_score_member_counters,
     a_treated_site_is_at_risk_of_counters_when_all_its_devices_restarted) {
    struct bench *b = bench();
    hear_all(b, 1, counts(0));
    for (size_t i = 0; i < EACH; i++)
        offer(b, 0, i);
    become(b, 0, 0, ROLLOUT_OUTCOME_NONE);
    become(b, 0, 1, ROLLOUT_OUTCOME_NONE);
    b->now_s += 901;
    struct said one = {.admitted = true, .has_counter = true, .counter = 1};
    (void)hear(b, 0, 0, one);
    cr_expect_eq(b->u[0].at_risk, 1U << LOST, "one has not activated it");
    become(b, 0, 2, ROLLOUT_OUTCOME_BAD); // nor will it, and that is known
    b->now_s += 900;
    (void)hear(b, 0, 0, one);
    cr_expect_eq(b->u[0].at_risk, 1U << LOST, "the settling time is not over");
    b->now_s += 1;
    (void)hear(b, 0, 0, one);
    cr_expect_eq(b->u[0].at_risk, 1U << LOST | 1U << COUNTER);
    (void)hear(b, 0, 2, one);
    one.counter = 2;
    (void)hear(b, 0, 2, one);
    cr_expect_eq(b->news.gates, 1U << COUNTER);
}

// Sites of the comparison have such devices as well, and are at risk with them.
Test(rollout_score_member_counters, nobody_waits_for_a_device_that_the_release_is_nothing_for) {
    struct bench *b = bench();
    struct said one = {.admitted = true, .has_counter = true, .counter = 1};
    for (size_t u = 0; u < UNITS; u++)
        b->m[u][2].seen.fits = false;
    hear_all(b, 1, counts(0));
    for (size_t i = 0; i < 2; i++) {
        offer(b, 0, i);
        become(b, 0, i, ROLLOUT_OUTCOME_NONE);
    }
    cr_expect_eq(b->u[0].crowd.based, EACH);
    b->now_s += 901;
    hear_all(b, 1, counts(0));
    cr_assert_eq(b->score.risk[COUNTER][0].treated, 1);
    cr_assert_eq(b->score.risk[COUNTER][0].comparison, UNITS - 1);
    (void)hear(b, 0, 2, one);
    cr_expect_eq(b->news.gates, 1U << COUNTER, "where the release is");
    (void)hear(b, 1, 2, counts(1));
    cr_expect_eq(b->news.gates, 1U << COUNTER, "and where it is not");
    offer(b, 0, 2); // a bundle fits it by now
    cr_expect_eq(b->u[0].crowd.based, EACH - 1);
    become(b, 0, 2, ROLLOUT_OUTCOME_GOOD);
    cr_expect_eq(b->u[0].crowd.based, EACH);
    rollout_score_member_leave(&b->score, &b->m[0][2], &b->u[0], &b->news);
    rollout_score_member_leave(&b->score, &b->m[1][2], &b->u[1], &b->news);
    cr_expect_eq(b->u[0].crowd.based, EACH - 1);
    cr_expect_eq(b->u[1].crowd.based, 0);
}
