// SPDX-License-Identifier: Apache-2.0
//
// The exact interval against published tables and against sums of the distribution itself.
#include <criterion/criterion.h>

#include "ctl/rollout/evidence/binomial.h"

static void expect(uint64_t n, uint64_t k, uint32_t alpha_ppm, double lower, double upper) {
    uint32_t low = 0, high = 0;
    evidence_binomial_bounds(n, k, alpha_ppm, &low, &high);
    cr_expect_float_eq(low / 1e6, lower, 6e-5, "%d of %d: %.6f", (int)k, (int)n, low / 1e6);
    cr_expect_float_eq(high / 1e6, upper, 6e-5, "%d of %d: %.6f", (int)k, (int)n, high / 1e6);
}

// Documenta Geigy, Scientific Tables, 7th ed.: 95 %.
Test(evidence_binomial, agrees_with_the_tables) {
    expect(10, 0, 50000, 0, 0.3085);
    expect(10, 1, 50000, 0.0025, 0.4450);
    expect(10, 5, 50000, 0.1871, 0.8129);
    expect(10, 10, 50000, 0.6915, 1);
    expect(20, 1, 50000, 0.0013, 0.2487);
    expect(100, 10, 50000, 0.0490, 0.1762);
    expect(1, 0, 50000, 0, 0.9750);
    expect(1, 1, 50000, 0.0250, 1);
}

// P(X <= k).
static double below(unsigned n, unsigned k, double p) {
    double term = 1, sum = 0;
    for (unsigned i = 0; i < n; i++)
        term *= 1 - p;
    for (unsigned i = 0; i <= k; i++) {
        sum += term;
        term *= (double)(n - i) / (i + 1) * p / (1 - p);
    }
    return sum;
}

Test(evidence_binomial, is_as_wide_as_the_promise_asks_and_no_wider) {
    for (unsigned n = 1; n <= 40; n++)
        for (unsigned k = 0; k <= n; k++) {
            uint32_t low = 0, high = 0;
            evidence_binomial_bounds(n, k, 50000, &low, &high);
            cr_assert(low <= high && low / 1e6 <= (double)k / n && high / 1e6 >= (double)k / n);
            if (k < n)
                cr_assert(below(n, k, high / 1e6) <= 0.025 && below(n, k, (high - 2) / 1e6) > 0.025,
                          "%u of %u: %u", k, n, high);
            if (k > 0)
                cr_assert(1 - below(n, k - 1, low / 1e6) <= 0.025 &&
                              1 - below(n, k - 1, (low + 2) / 1e6) > 0.025,
                          "%u of %u: %u", k, n, low);
        }
}
