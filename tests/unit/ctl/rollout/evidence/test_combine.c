// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/evidence/combine.h"

#include <criterion/criterion.h>

#define ALPHA EVIDENCE_COMBINE_ALPHA_DEFAULT_PPM

static int64_t ln_of(double e) {
    return evidence_num_down(evidence_num_ln(e), 0);
}

Test(evidence_combine, one_gate_alone_stops_at_one_over_alpha) {
    struct evidence_gate gate = {EVIDENCE_LINE_EVENTS, EVIDENCE_PPM, ln_of(39.99)};
    struct evidence_sum sum;
    evidence_combine(&gate, 1, ALPHA, &sum);
    cr_expect(!sum.stop && sum.gate == 0);
    gate.worse = ln_of(40.01);
    evidence_combine(&gate, 1, ALPHA, &sum);
    cr_expect(sum.stop);
}

Test(evidence_combine, gates_of_one_time_line_add_up) {
    struct evidence_gate gates[] = {{EVIDENCE_LINE_METRICS, 250000, ln_of(70)},
                                    {EVIDENCE_LINE_METRICS, 250000, ln_of(50)},
                                    {EVIDENCE_LINE_METRICS, 500000, ln_of(20.01)}};
    struct evidence_sum sum;
    evidence_combine(gates, 3, ALPHA, &sum);
    cr_expect(sum.stop && sum.gate == 0, "%f", evidence_num_value(sum.total));
    gates[2].worse = ln_of(19.99);
    evidence_combine(gates, 3, ALPHA, &sum);
    cr_expect(!sum.stop);
    cr_expect(evidence_num_value(sum.total) > 39.99 && evidence_num_value(sum.total) < 40);
}

Test(evidence_combine, across_time_lines_each_has_to_reach_the_level) {
    struct evidence_gate gates[] = {{EVIDENCE_LINE_EVENTS, 400000, ln_of(99)},
                                    {EVIDENCE_LINE_METRICS, 300000, ln_of(130)},
                                    {EVIDENCE_LINE_INSTALL, 300000, ln_of(100)}};
    struct evidence_sum sum;
    evidence_combine(gates, 3, ALPHA, &sum);
    cr_expect(!sum.stop && sum.gate == 0);
    cr_expect_gt(evidence_num_value(sum.total), 108);
    gates[1].worse = ln_of(134);
    evidence_combine(gates, 3, ALPHA, &sum);
    cr_expect(sum.stop && sum.gate == 1);
}

Test(evidence_combine, a_gate_without_weight_or_evidence_decides_nothing) {
    struct evidence_gate gates[] = {{EVIDENCE_LINE_EVENTS, 0, EVIDENCE_LOG_MAX},
                                    {EVIDENCE_LINE_METRICS, EVIDENCE_PPM, EVIDENCE_LOG_ZERO}};
    struct evidence_sum sum;
    evidence_combine(gates, 2, ALPHA, &sum);
    cr_expect(!sum.stop && sum.total == EVIDENCE_LOG_ZERO);
}

Test(evidence_combine, shares_sum_to_one) {
    for (size_t n = 1; n <= EVIDENCE_COMBINE_GATES_MAX; n++) {
        uint32_t weights[EVIDENCE_COMBINE_GATES_MAX];
        uint64_t sum = 0;
        evidence_combine_share(n, weights);
        for (size_t i = 0; i < n; i++) {
            sum += weights[i];
            cr_expect(weights[i] >= weights[n - 1] && weights[i] <= weights[n - 1] + 1);
        }
        cr_expect_eq(sum, EVIDENCE_PPM);
    }
}

Test(evidence_combine, a_gate_fails_passes_or_says_nothing) {
    struct evidence_gate gate = {EVIDENCE_LINE_METRICS, 100000, ln_of(399)};
    cr_expect_eq(evidence_combine_judge(&gate, ln_of(19), ALPHA, 50000),
                 EVIDENCE_VERDICT_INCONCLUSIVE);
    cr_expect_eq(evidence_combine_judge(&gate, ln_of(20.01), ALPHA, 50000), EVIDENCE_VERDICT_PASS);
    gate.worse = ln_of(401);
    cr_expect_eq(evidence_combine_judge(&gate, ln_of(20.01), ALPHA, 50000), EVIDENCE_VERDICT_FAIL);
}

Test(evidence_combine, resuming_spends_new_alpha_until_there_is_none) {
    struct evidence_spend spend = {.runs = 0};
    cr_expect_eq(evidence_combine_begin(&spend, ALPHA), 0);
    cr_expect_eq(evidence_combine_begin(&spend, 2 * ALPHA), 0);
    cr_expect(spend.runs == 2 && spend.alpha_ppm == 2 * ALPHA && spend.total_ppm == 3 * ALPHA);
    struct evidence_spend before = spend;
    cr_expect_eq(evidence_combine_begin(&spend, EVIDENCE_COMBINE_SPEND_MAX_PPM),
                 EVIDENCE_COMBINE_SPENT);
    cr_expect_eq(evidence_combine_begin(&spend, UINT32_MAX), EVIDENCE_COMBINE_SPENT);
    cr_expect_arr_eq(&spend, &before, sizeof spend);
    cr_expect_eq(evidence_combine_begin(&spend, EVIDENCE_COMBINE_SPEND_MAX_PPM - 3 * ALPHA), 0);
    cr_expect_eq(evidence_combine_begin(&spend, 1), EVIDENCE_COMBINE_SPENT);
}
