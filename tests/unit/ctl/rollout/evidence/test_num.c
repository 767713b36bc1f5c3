// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/evidence/num.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "tests/support/dice.h"

// Reference values: 40 digits of another implementation, rounded.
struct value {
    double x, y;
    uint64_t bits; // of what is computed: the same everywhere
};

static void check(double (*of)(double), const struct value *values, size_t n, double relative) {
    for (size_t i = 0; i < n; i++) {
        double y = of(values[i].x), off = (y - values[i].y) / values[i].y;
        uint64_t bits;
        memcpy(&bits, &y, sizeof bits);
        cr_expect(off < relative && off > -relative, "at %g: %.17g, not %.17g", values[i].x, y,
                  values[i].y);
        cr_expect_eq(bits, values[i].bits, "at %g: 0x%016" PRIx64, values[i].x, bits);
    }
}

Test(evidence_num, logarithms_are_right_and_have_the_same_bits_everywhere) {
    static const struct value values[] = {
        {3, 1.098612288668109691395, 0x3ff193ea7aad030b},
        {0.1, -2.302585092994045628507, 0xc0026bb1bbb55515},
        {1e-310, -713.8013788281541651006, 0xc0864e69394d9508},
        {1.0000001, 9.999999505838704517752e-8, 0x3e7ad7f2847b6491},
        {6.02e23, 54.75454439818378039541, 0x404b6094e92cca28},
        {0.7071067811865475, -0.3465735902799727433598, 0xbfd62e42fefa39f1}};
    check(evidence_num_ln, values, sizeof values / sizeof *values, 1e-15);
}

Test(evidence_num, exponentials_are_right_and_have_the_same_bits_everywhere) {
    static const struct value values[] = {
        {1, 2.71828182845904523536, 0x4005bf0a8b14576a},
        {-0.3, 0.7408182206817178742916, 0x3fe7b4c869c37c05},
        {-700.5, 5.980196118639791206412e-305, 0x00c4ff475c68ca02},
        {650.25, 2.511810419161990486577e+282, 0x7a914c0882aea6e2},
        {1e-9, 1.0000000010000000005, 0x3ff000000044b830}};
    check(evidence_num_exp, values, sizeof values / sizeof *values, 1e-15);
    cr_expect_eq(evidence_num_exp(-1e6), 0);
    cr_expect_eq(evidence_num_exp(1e6), DBL_MAX);
    cr_expect_gt(evidence_num_exp(-740), 0);
}

Test(evidence_num, ln_gamma_is_right_and_has_the_same_bits_everywhere) {
    static const struct value values[] = {{0.5, 0.5723649429247000870717, 0x3fe250d048e7a1c0},
                                          {1.5, -0.1207822376352452223455, 0xbfbeeb95b094c100},
                                          {19.55, 38.00837994283944228798, 0x40430112980e3809},
                                          {1000000.5, 12815511.47690276564211, 0x41687192ef42c997},
                                          {1e-3, 6.907178885383853661684, 0x401ba0f3807161a4},
                                          {1e8, 1742068066.103834709276, 0x41d9f5765886a53b},
                                          {7, 6.57925121201010099506, 0x401a51273acf01cc}};
    check(evidence_num_ln_gamma, values, sizeof values / sizeof *values, 1e-13);
}

Test(evidence_num, the_normal_distribution_is_right_in_both_tails) {
    static const struct value values[] = {{-8, 6.2209605742717841235e-16, 0x3cc669d2c90d55c6},
                                          {-6.5, 4.0160005838591178083e-11, 0x3dc61404b2da0189},
                                          {-3, 0.0013498980316300945267, 0x3f561de1f985bb00},
                                          {-1, 0.15865525393145705141, 0x3fc44ed0bb7cb20a},
                                          {0.5, 0.69146246127401310364, 0x3fe62075e232ac76},
                                          {1.96, 0.97500210485177956379, 0x3fef33379d3bd368},
                                          {5, 0.99999971334842812081, 0x3fefffff661ae873}};
    check(evidence_num_normal_below, values, sizeof values / sizeof *values, 1e-12);
    cr_expect_eq(evidence_num_normal_below(0), 0.5);
    cr_expect_eq(evidence_num_normal_below(-100), 0);
    cr_expect_eq(evidence_num_normal_below(100), 1);
}

Test(evidence_num, the_incomplete_beta_function_is_right_within_what_it_says) {
    static const double values[][4] = {
        {3, 9, 0.02, -6.205728628733107731},       {1, 1, 0.02, -0.020202707317519448833},
        {301, 9701, 0.02, -1352.8762439624573254}, {101, 9901, 0.02, -599.75609213565252986},
        {1, 1001, 0.05, -58.253342461253307469},   {2.5, 0.5, 0.3, 0.14479209805016318095},
        {5001, 5001, 0.5, -6936.5444066083567784}, {40, 2, 0.3, -7.4024515208182441068}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double error = 0;
        double y = evidence_num_ln_beta_above(values[i][0], values[i][1], values[i][2], &error);
        double off = y - values[i][3];
        cr_expect(off <= error && off >= -error && error < 1e-9, "case %zu: %.17g ± %g", i, y,
                  error);
    }
}

Test(evidence_num, rounding_is_against_the_claim_and_no_further_than_needed) {
    struct dice dice = {1};
    for (int i = 0; i < 20000; i++) {
        double nats = dice_wild(&dice);
        int64_t down = evidence_num_down(nats, 1e-12), up = evidence_num_up(nats, 1e-12);
        cr_assert_lt(evidence_num_nats(down), nats);
        cr_assert_gt(evidence_num_nats(up), nats);
        cr_assert_lt(up - down, 16 + (int64_t)((nats < 0 ? -nats : nats) / 1e3));
    }
}

Test(evidence_num, nothing_becomes_infinite_or_no_number) {
    double none = 0.0 / (DBL_MIN - DBL_MIN);
    cr_expect_eq(evidence_num_down(none, 0), EVIDENCE_LOG_ZERO);
    cr_expect_eq(evidence_num_up(none, 0), EVIDENCE_LOG_MAX);
    cr_expect_eq(evidence_num_down(1e300, 0), EVIDENCE_LOG_MAX);
    cr_expect_eq(evidence_num_down(-1e300, 0), EVIDENCE_LOG_ZERO);
    cr_expect_eq(evidence_num_product(EVIDENCE_LOG_MAX, EVIDENCE_LOG_MAX), EVIDENCE_LOG_MAX);
    cr_expect_eq(evidence_num_value(EVIDENCE_LOG_MAX), DBL_MAX);
    cr_expect_eq(evidence_num_value(EVIDENCE_LOG_ZERO), 0);
}

Test(evidence_num, who_lost_everything_stays_there) {
    int64_t log = evidence_num_product(EVIDENCE_LOG_ZERO / 2, EVIDENCE_LOG_ZERO / 2);
    cr_expect_eq(log, EVIDENCE_LOG_ZERO);
    cr_expect_eq(evidence_num_product(log, EVIDENCE_LOG_MAX), EVIDENCE_LOG_ZERO);
    cr_expect_eq(evidence_num_product(EVIDENCE_LOG_MAX, log), EVIDENCE_LOG_ZERO);
}

Test(evidence_num, a_sum_is_the_sum_rounded_down) {
    int64_t logs[] = {0, EVIDENCE_NAT, EVIDENCE_LOG_ZERO, -EVIDENCE_NAT};
    double sum = evidence_num_value(evidence_num_sum(logs, 4));
    double exact = 1 + 2.718281828459045 + 0.36787944117144233;
    cr_expect_lt(sum, exact);
    cr_expect_gt(sum, exact - 1e-8);
    cr_expect_eq(evidence_num_sum(logs, 0), EVIDENCE_LOG_ZERO);
    cr_expect_eq(evidence_num_sum(&logs[2], 1), EVIDENCE_LOG_ZERO);
    // One huge term among small ones.
    int64_t far[] = {EVIDENCE_LOG_MAX / 2, -EVIDENCE_LOG_MAX / 2};
    cr_expect_leq(evidence_num_sum(far, 2), far[0]);
    cr_expect_gt(evidence_num_sum(far, 2), far[0] - 8);
}

Test(evidence_num, levels_are_not_reached_too_early) {
    int64_t level = evidence_num_level(25000);
    cr_expect_gt(evidence_num_value(level), 40);
    cr_expect_lt(evidence_num_value(level), 40.000001);
    cr_expect_leq(evidence_num_level(EVIDENCE_PPM), 8);
    cr_expect_geq(evidence_num_level(EVIDENCE_PPM), 0);
    cr_expect_eq(evidence_num_part(EVIDENCE_PPM), 0);
    cr_expect_lt(evidence_num_value(evidence_num_part(250000)), 0.25);
    cr_expect_gt(evidence_num_value(evidence_num_part(250000)), 0.2499999);
    cr_expect_lt(evidence_num_value(evidence_num_share(5)), 0.2);
}
