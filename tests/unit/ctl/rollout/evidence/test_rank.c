// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/evidence/rank.h"

#include <criterion/criterion.h>

#include "tests/support/dice.h"

#define ONE NUM_DECIMAL_SCALE

static const struct evidence_rank_design plain = {.intolerable = {ONE}};

static struct evidence_rank_value at(double change) {
    return (struct evidence_rank_value){.change_nano = (int64_t)(change * ONE)};
}

static const struct evidence_rank_value lost = {.worst = true};

Test(evidence_rank, every_bet_has_mean_one_and_never_falls) {
    double bets[EVIDENCE_RANK_BETS][EVIDENCE_RANK_COMPARED_MAX + 1];
    for (unsigned k = EVIDENCE_RANK_COMPARED_MIN; k <= EVIDENCE_RANK_COMPARED_MAX; k++) {
        evidence_rank_bets(k, bets);
        for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS; bet++) {
            double sum = 0;
            for (unsigned i = 0; i <= k; i++) {
                sum += bets[bet][i];
                cr_expect(i == 0 || bets[bet][i] >= bets[bet][i - 1]);
                cr_expect_gt(bets[bet][i], 0);
            }
            cr_expect(sum > (k + 1) * (1 - 1e-14) && sum < (k + 1) * (1 + 1e-14));
        }
    }
}

// Lehmann 1953: with X ~ F^2 and k = 4 others, P(rank r) = 2 r / ((k+1)(k+2)).
Test(evidence_rank, lehmanns_alternative_has_his_rank_distribution) {
    double bets[EVIDENCE_RANK_BETS][EVIDENCE_RANK_COMPARED_MAX + 1];
    evidence_rank_bets(4, bets);
    for (unsigned r = 1; r <= 5; r++) {
        double off = bets[2][r - 1] / 5 - r / 15.0;
        cr_expect(off < 1e-15 && off > -1e-15, "rank %u: %g", r, bets[2][r - 1]);
    }
    cr_expect(bets[5][0] == 0.75 && bets[5][3] == 0.75 && bets[5][4] == 2);
}

Test(evidence_rank, a_place_counts_better_and_equal_devices) {
    const struct evidence_rank_value others[] = {at(1), at(2), at(2), at(3), lost};
    struct evidence_rank_value two = at(2), four = at(4);
    struct evidence_rank_place place;
    evidence_rank_find(&two, others, 5, 0, &place);
    cr_expect(place.compared == 5 && place.better == 1 && place.equal == 2);
    evidence_rank_find(&four, others, 5, 0, &place);
    cr_expect(place.better == 4 && place.equal == 0);
    evidence_rank_find(&four, others, 5, 2 * ONE, &place);
    cr_expect(place.better == 1 && place.equal == 2);
    evidence_rank_find(&lost, others, 5, 0, &place);
    cr_expect(place.better == 4 && place.equal == 1);
}

Test(evidence_rank, who_has_no_value_is_worst_whatever_the_shift) {
    const struct evidence_rank_value others[] = {{.change_nano = EVIDENCE_RANK_CHANGE_MAX},
                                                 {.change_nano = INT64_MAX},
                                                 at(2),
                                                 {.change_nano = INT64_MIN}};
    const struct evidence_rank_value least = {.change_nano = INT64_MIN};
    struct evidence_rank_place place;
    evidence_rank_find(&lost, others, 4, EVIDENCE_RANK_CHANGE_MAX, &place);
    cr_expect(place.better == 4 && place.equal == 0);
    // Beyond the range all are alike.
    evidence_rank_find(&others[1], others, 4, 0, &place);
    cr_expect(place.better == 2 && place.equal == 2);
    evidence_rank_find(&least, others, 4, 0, &place);
    cr_expect(place.better == 0 && place.equal == 1);
    evidence_rank_find(&least, others, 4, EVIDENCE_RANK_CHANGE_MAX, &place);
    cr_expect(place.better == 0 && place.equal == 0);
}

// Tenths are no doubles: 0.3 - 0.2 is 0.1 here.
Test(evidence_rank, a_shift_is_taken_exactly) {
    const struct evidence_rank_value others[] = {
        {100000000, false}, {100000000, false}, {0, false}, {200000000, false}};
    const struct evidence_rank_value treated = {300000000, false};
    struct evidence_rank_place place;
    evidence_rank_find(&treated, others, 4, 200000000, &place);
    cr_expect(place.better == 1 && place.equal == 2);
}

// Every multiset of ties: the treated device is each of the k + 1 with the same probability.
Test(evidence_rank, with_ties_the_score_has_mean_one_exactly) {
    for (unsigned pattern = 0; pattern < 243; pattern++) { // values 0, 1, lost for 5 devices
        struct evidence_rank_value all[5], others[4];
        double mean[EVIDENCE_RANK_BETS] = {0};
        for (unsigned i = 0, p = pattern; i < 5; i++, p /= 3)
            all[i] = p % 3 == 2 ? lost : at(p % 3);
        for (unsigned treated = 0; treated < 5; treated++) {
            struct evidence_rank_place place;
            int64_t score[EVIDENCE_RANK_BETS];
            for (unsigned i = 0, n = 0; i < 5; i++)
                if (i != treated)
                    others[n++] = all[i];
            evidence_rank_find(&all[treated], others, 4, 0, &place);
            evidence_rank_score(&place, 0, score);
            for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS; bet++)
                mean[bet] += evidence_num_value(score[bet]) / 5;
        }
        for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS; bet++)
            cr_expect(mean[bet] <= 1 && mean[bet] > 1 - 1e-8, "pattern %u: %.12f", pattern,
                      mean[bet]);
    }
}

// Whichever ranks the failed installs would have had otherwise.
Test(evidence_rank, with_failed_installs_the_mean_is_at_most_one_whomever_they_hit) {
    const uint32_t baselines[] = {1000, 20000, 50000, 200000};
    int64_t score[EVIDENCE_RANK_BETS];
    double factor[EVIDENCE_RANK_BETS][5];
    for (unsigned i = 0; i < 4; i++) {
        double q = baselines[i] / 1e6;
        for (unsigned rank = 0; rank < 5; rank++) {
            struct evidence_rank_place place = {.compared = 4, .better = rank};
            evidence_rank_score(&place, baselines[i], score);
            for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS; bet++)
                factor[bet][rank] = evidence_num_value(score[bet]);
        }
        for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS; bet++) {
            const double *f = factor[bet];
            double mean = (f[0] + f[1] + f[2] + f[3] + f[4]) / 5;
            // Only devices that would have been best (at most a fifth of them) fail.
            double worst = mean + (q < 0.2 ? q : 0.2) * (f[4] - f[0]);
            cr_expect(worst <= 1 && worst > 1 - 1e-6, "bet %u: %.9f", bet, worst);
        }
    }
}

Test(evidence_rank, the_order_of_sets_does_not_matter_to_the_last_bit) {
    struct dice dice = {3};
    struct evidence_rank forth = {.sets = 0}, back = {.sets = 0};
    struct evidence_rank_value sets[100][6];
    for (int i = 0; i < 100; i++)
        for (int j = 0; j < 6; j++)
            sets[i][j] = dice_chance(&dice, 0.05) ? lost : at(dice_normal(&dice));
    for (int i = 0; i < 100; i++) {
        evidence_rank_add(&forth, &plain, &sets[i][0], &sets[i][1], 5);
        evidence_rank_add(&back, &plain, &sets[99 - i][0], &sets[99 - i][1], 5);
    }
    cr_expect_arr_eq(&forth, &back, sizeof forth);
}

Test(evidence_rank, worse_values_speak_against_the_release_and_better_ones_for_it) {
    struct evidence_rank state = {.sets = 0};
    const struct evidence_rank_value others[] = {at(0), at(0.1), at(0.2), at(0.3)};
    int64_t before = -100;
    struct evidence_rank_value bad = at(5), good = at(-5);
    for (int i = 0; i < 60; i++) {
        evidence_rank_add(&state, &plain, &bad, others, 4);
        int64_t now = evidence_rank_worse(&state, EVIDENCE_RANK_TOLERABLE);
        cr_assert_gt(now, before);
        before = now;
    }
    cr_expect_gt(before, evidence_num_level(100));
    cr_expect_lt(evidence_rank_better(&state, EVIDENCE_RANK_INTOLERABLE), 0);
    state = (struct evidence_rank){.sets = 0};
    for (int i = 0; i < 60; i++)
        evidence_rank_add(&state, &plain, &good, others, 4);
    cr_expect_gt(evidence_rank_better(&state, EVIDENCE_RANK_INTOLERABLE), evidence_num_level(100));
    cr_expect_lt(evidence_rank_worse(&state, EVIDENCE_RANK_TOLERABLE), 0);
}

Test(evidence_rank, evidence_falls_with_the_shift_that_is_tolerated) {
    struct dice dice = {9};
    struct evidence_rank state = {.sets = 0};
    for (int i = 0; i < 200; i++) {
        struct evidence_rank_value set[6];
        for (int j = 0; j < 6; j++)
            set[j] = at(dice_normal(&dice) + (j == 0 ? 0.5 : 0));
        evidence_rank_add(&state, &plain, &set[0], &set[1], 5);
        for (unsigned node = 1; node < EVIDENCE_RANK_NODES; node++) {
            cr_assert_leq(evidence_rank_worse(&state, node), evidence_rank_worse(&state, node - 1));
            cr_assert_geq(evidence_rank_better(&state, node),
                          evidence_rank_better(&state, node - 1));
        }
    }
    int lower = 0, upper = 0;
    evidence_rank_bounds(&state, evidence_num_level(50000), &lower, &upper);
    // The true shift, 0.5, is node 6.
    cr_expect(lower >= EVIDENCE_RANK_TOLERABLE - 1 && lower < 6 && upper > 6 && upper <= 10,
              "%d %d", lower, upper);
}

Test(evidence_rank, the_nodes_hold_both_margins_and_rise) {
    const int64_t most = NUM_DECIMAL_MAX * NUM_DECIMAL_SCALE;
    const struct evidence_rank_design designs[] = {
        {{100000000}, {700000000}, 0}, {{-3}, {4}, 0}, {{0}, {4}, 0}, {{-most}, {most}, 0}};
    for (unsigned d = 0; d < 4; d++) {
        const struct evidence_rank_design *design = &designs[d];
        cr_expect_eq(evidence_rank_shift(design, EVIDENCE_RANK_TOLERABLE).nano,
                     design->tolerable.nano);
        cr_expect_eq(evidence_rank_shift(design, EVIDENCE_RANK_INTOLERABLE).nano,
                     design->intolerable.nano);
        for (unsigned i = 1; i < EVIDENCE_RANK_NODES; i++)
            cr_expect_gt(evidence_rank_shift(design, i).nano,
                         evidence_rank_shift(design, i - 1).nano);
    }
}

Test(evidence_rank, the_scale_of_a_metric_does_not_matter) {
    struct evidence_rank small = {.sets = 0}, large = {.sets = 0};
    struct evidence_rank_design scaled = {.intolerable = {1024 * ONE}};
    struct dice dice = {4};
    for (int i = 0; i < 50; i++) {
        struct evidence_rank_value one[5], other[5];
        for (int j = 0; j < 5; j++) {
            one[j] = at(dice_normal(&dice));
            other[j] = (struct evidence_rank_value){.change_nano = one[j].change_nano * 1024};
        }
        evidence_rank_add(&small, &plain, &one[0], &one[1], 4);
        evidence_rank_add(&large, &scaled, &other[0], &other[1], 4);
    }
    cr_expect_arr_eq(&small, &large, sizeof small);
}
