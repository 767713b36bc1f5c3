// SPDX-License-Identifier: Apache-2.0
//
// Silence by sites: whom a loss is compared with, when a site is dark, how much is kept.
#include "ctl/rollout/score_sites.h"

#include <criterion/criterion.h>
#include <string.h>

#include "ctl/rollout/score.h"

#define T0     1700000000
#define RHYTHM 1800

enum { LOST, COUNTER };

struct bench {
    struct rollout_gates gates;
    struct rollout_score score;
    struct rollout_score_device d[24];
    struct rollout_score_news news;
    int64_t now_s;
};

// 24 counted devices of one stratum, of a site each eight.
static struct bench *bench(void) {
    static struct bench b;
    memset(&b, 0, sizeof b);
    b.gates = (struct rollout_gates){.n = 2, .settle_s = 900, .rhythm_s = RHYTHM};
    b.gates.gate[LOST].kind = ROLLOUT_GATE_LOST;
    b.gates.gate[COUNTER].kind = ROLLOUT_GATE_COUNTER;
    b.now_s = T0;
    cr_assert(rollout_score_follow(1, 1, &b.score));
    for (size_t i = 0; i < 24; i++) {
        rollout_score_device_init(&b.score, 0, 0, i, true, &b.d[i]);
        b.d[i].site = 100 + i / 8;
    }
    return &b;
}

static void hear(struct bench *b, size_t i) {
    struct rollout_score_checkin checkin = {.now_s = b->now_s, .given = 1U << COUNTER};
    rollout_score_heard(&b->score, &b->gates, &checkin, &b->d[i], &b->news);
}

// Two of each site are offered the release, the others compared, and all are at risk.
static void settle(struct bench *b) {
    for (size_t i = 0; i < 24; i++) {
        hear(b, i);
        if (i % 8 < 2) {
            rollout_score_offered(&b->score, &b->gates, &b->d[i], &b->news);
            b->d[i].base_s = b->now_s;
        }
    }
    b->now_s += 901;
    for (size_t i = 0; i < 24; i++)
        hear(b, i);
}

// Those that are alive call; then devices first … end - 1, of one site, are declared lost.
static struct rollout_score_tie lose(struct bench *b, size_t first, size_t end, bool others) {
    struct rollout_score_tie tie = {.stratum = 0, .before_s = b->now_s};
    b->now_s += 3 * RHYTHM;
    for (size_t i = 0; i < 24 && others; i++)
        if (i < first || i >= end)
            hear(b, i);
    tie.site = rollout_score_tie_site(&b->score, &b->d[first]);
    for (size_t i = first; i < end; i++)
        *(b->d[i].arm == ROLLOUT_ARM_TREATED ? &tie.treated : &tie.comparison) += 1;
    rollout_score_lose(&b->score, &b->gates, &tie, &b->news);
    for (size_t i = first; i < end; i++)
        rollout_score_lost(&b->score, &b->gates, &tie, &b->d[i], &b->news);
    return tie;
}

Test(rollout_score_sites, a_loss_is_compared_with_those_of_its_site) {
    struct bench *b = bench();
    settle(b);
    struct rollout_score_tie tie = lose(b, 1, 3, true); // one of each arm
    cr_expect_eq(tie.site, 100);
    cr_expect_eq(tie.before.comparison, 6);
    cr_expect_eq(tie.before.treated, 2);
    struct evidence_events expected = {0};
    struct evidence_risk risk = {.comparison = 6, .treated = 2};
    evidence_events_add(&expected, &risk, 1, 1);
    cr_expect_eq(memcmp(&expected, &b->score.gate[LOST].events, sizeof expected), 0);
    const struct rollout_score_site *cell = rollout_score_sites_find(&b->score.sites, 0, 100);
    cr_expect_eq(cell->risk.comparison, 5);
    cr_expect_eq(cell->risk.treated, 1);
    cr_expect_eq(b->score.risk[LOST][0].comparison, 17);
    cr_expect_eq(b->score.risk[LOST][0].treated, 5);
    cr_expect_eq(b->score.risk[COUNTER][0].treated, 5, "at risk of nothing any more");
    cr_expect(b->d[1].had == 1U << LOST && b->d[1].history[LOST].has_mark);
    cr_expect_eq(b->d[1].history[LOST].mark[0], 5);
    cr_expect_eq(b->d[1].history[LOST].mark[1], 2);
}

Test(rollout_score_sites, a_whole_site_that_is_silent_says_nothing_and_comes_back) {
    struct bench *b = bench();
    settle(b);
    struct rollout_score_tie tie = lose(b, 8, 12, false); // the rest of it is as silent
    static const struct evidence_events none;
    cr_expect(tie.dark);
    cr_expect_eq(memcmp(&none, &b->score.gate[LOST].events, sizeof none), 0);
    cr_expect_eq(b->news.n_units, 0);
    cr_expect_eq(b->d[8].at_risk | b->d[8].had, 0);
    cr_expect_not(b->d[8].history[LOST].has_mark);
    cr_expect_eq(rollout_score_at_risk(&b->score, LOST).treated, 4);
    cr_expect_eq(rollout_score_at_risk(&b->score, LOST).comparison, 16);
    hear(b, 8); // it was there: counted in again, in both gates
    cr_expect_eq(b->d[8].at_risk, 1U << LOST | 1U << COUNTER);
    cr_expect_eq(rollout_score_at_risk(&b->score, LOST).treated, 5);
    for (size_t i = 9; i < 16; i++)
        hear(b, i);
    cr_expect_not(lose(b, 9, 10, true).dark, "the others were heard of");
}

Test(rollout_score_sites, one_device_heard_of_makes_it_a_loss_of_the_others) {
    struct bench *b = bench();
    settle(b);
    b->now_s += RHYTHM + 1; // after the first ones were, but for a rhythm
    hear(b, 15);
    b->now_s -= RHYTHM + 1;
    cr_expect_not(lose(b, 8, 9, false).dark);
    cr_expect_eq(b->score.gate[LOST].events.scored, 1);
}

Test(rollout_score_sites, within_the_last_rhythm_is_within_the_same_silence) {
    struct bench *b = bench();
    settle(b);
    b->now_s += RHYTHM;
    hear(b, 15);
    b->now_s -= RHYTHM;
    cr_expect(lose(b, 8, 9, false).dark);
}

Test(rollout_score_sites, small_sites_and_devices_of_none_are_compared_with_one_another) {
    struct bench *b = bench();
    for (size_t i = 8; i < 24; i++) // sites of four, and eight devices of none
        b->d[i].site = i < 16 ? 200 + i / 4 : 0;
    settle(b);
    cr_expect_eq(rollout_score_tie_site(&b->score, &b->d[0]), 100);
    cr_expect_eq(rollout_score_tie_site(&b->score, &b->d[8]), 0);
    struct rollout_score_tie tie = lose(b, 8, 9, false);
    cr_expect_not(tie.dark, "four devices that are silent are four devices");
    cr_expect_eq(tie.before.comparison, 12);
    cr_expect_eq(tie.before.treated, 4);
    cr_expect_eq(rollout_score_sites_find(&b->score.sites, 0, 202)->risk.treated, 1);
    cr_expect_eq(lose(b, 20, 21, true).before.comparison, 12);
    cr_expect_eq(lose(b, 0, 1, true).before.comparison, 6);
}

Test(rollout_score_sites, strata_of_a_site_are_compared_apart) {
    struct bench *b = bench();
    for (size_t i = 0; i < 24; i++) {
        b->d[i].stratum = i < 12;
        b->d[i].site = 7;
    }
    settle(b);
    cr_expect_eq(lose(b, 14, 15, true).before.comparison, 10);
    cr_expect_eq(b->score.sites.n, 2);
}

Test(rollout_score_sites, who_waits_over_an_opening_is_compared_within_the_site) {
    struct bench *b = bench();
    settle(b);
    rollout_score_leave(&b->score, &b->d[0], &b->news);
    cr_expect_neq(b->news.sites, 0);
    cr_expect_eq(rollout_score_sites_find(&b->score.sites, 0, 100)->risk.treated, 1);
    rollout_score_offered(&b->score, &b->gates, &b->d[5], &b->news);
    cr_expect_eq(rollout_score_sites_find(&b->score.sites, 0, 100)->risk.comparison, 5);
    cr_expect(rollout_score_follow(1, 2, &b->score));
    cr_expect_eq(b->score.sites.n, 3);
    cr_expect_eq(b->score.sites.epoch, 2);
    cr_expect_null(rollout_score_sites_find(&b->score.sites, 0, 100));
    const uint32_t late = ROLLOUT_SCORE_SITE_LATE;
    cr_expect_eq(rollout_score_sites_find(&b->score.sites, late, 100)->risk.comparison, 5);
    rollout_score_leave(&b->score, &b->d[1], &b->news);
    cr_expect_eq(rollout_score_sites_find(&b->score.sites, late, 100)->risk.treated, 0);
    cr_expect_eq(rollout_score_tie_site(&b->score, &b->d[3]), 100);
    hear(b, 2);
    cr_expect_not(b->d[2].sited);
    const struct rollout_score_site *waits = rollout_score_sites_find(&b->score.sites, late, 100);
    cr_expect_eq(waits->risk.comparison, 4);
    cr_expect_eq(waits->heard_s, b->now_s, "so it is not dark");
    b->now_s += 901;
    hear(b, 2);
    cr_expect_eq(rollout_score_sites_find(&b->score.sites, 0, 100)->risk.comparison, 1);
}

// ── Limits ──

Test(rollout_score_sites, a_million_devices_of_as_many_sites_take_no_more_room) {
    static struct rollout_score_sites sites;
    cr_expect_leq(sizeof sites, 200 * 1024U);
    rollout_score_sites_open(1, &sites);
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t bit = rollout_score_sites_enter(&sites, i % 256, i + 1, i % 10 == 0, T0);
        cr_assert_eq(bit != 0, i < ROLLOUT_SCORE_SITES, "site %u", i);
    }
    cr_expect_eq(sites.n, ROLLOUT_SCORE_SITES);
    cr_expect_neq(rollout_score_sites_enter(&sites, 1, 2, true, T0), 0, "one that has a cell");
    cr_expect_null(rollout_score_sites_find(&sites, 99999 % 256, 100000));
    cr_expect_eq(rollout_score_sites_group(&sites, 99999 % 256, 100000), 0);
    cr_expect_not_null(rollout_score_sites_find(&sites, 0, 1));
    cr_expect_null(rollout_score_sites_find(&sites, 3, 0));
}

Test(rollout_score_sites, what_has_no_cell_is_compared_within_its_stratum) {
    struct bench *b = bench();
    for (uint64_t i = 0; i < ROLLOUT_SCORE_SITES - 2; i++)
        (void)rollout_score_sites_enter(&b->score.sites, 9, 1000 + i, false, T0);
    settle(b); // there is room for two of the three
    cr_expect_not(b->d[16].sited);
    struct rollout_score_tie tie = lose(b, 16, 17, false);
    cr_expect_eq(tie.site, 0);
    cr_expect_not(tie.dark);
    cr_expect_eq(tie.before.comparison, 6);
    cr_expect_eq(lose(b, 0, 1, true).site, 100);
}

Test(rollout_score_sites, when_a_site_was_heard_of_is_written_so_many_times_a_rhythm) {
    static struct rollout_score_sites sites;
    rollout_score_sites_open(1, &sites);
    (void)rollout_score_sites_enter(&sites, 0, 5, false, T0);
    unsigned written = 0;
    for (int64_t s = 1; s <= RHYTHM; s++)
        written += rollout_score_sites_hear(&sites, 0, 5, RHYTHM, T0 + s) != 0;
    cr_expect_eq(written, ROLLOUT_SCORE_HEARD);
    cr_expect_eq(rollout_score_sites_find(&sites, 0, 5)->heard_s, T0 + RHYTHM);
}
