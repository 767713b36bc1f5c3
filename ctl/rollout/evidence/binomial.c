// SPDX-License-Identifier: Apache-2.0
//
// By the incomplete beta function, of which the tails of the binomial distribution are values.
#include "ctl/rollout/evidence/binomial.h"

#include <assert.h>
#include <stdbool.h>

// Whether k or fewer of n are so seldom at a share of p that p is too high. *error is on the side of
// keeping p.
static bool is_too_high(uint64_t n, uint64_t k, uint32_t p_ppm, double ln_tail) {
    double a = (double)k + 1, b = (double)(n - k), error = 0;
    double above = evidence_num_ln_beta_above(a, b, p_ppm / 1e6, &error);
    double all = evidence_num_ln_gamma(a) + evidence_num_ln_gamma(b) - evidence_num_ln_gamma(a + b);
    return above - all + error < ln_tail;
}

// The least share that is too high, rounded up; all of them when none is.
static uint32_t upper_bound(uint64_t n, uint64_t k, uint32_t alpha_ppm) {
    uint32_t low = 0, high = EVIDENCE_PPM;
    double ln_tail = evidence_num_ln(alpha_ppm / 2e6);
    if (k == n)
        return EVIDENCE_PPM;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (is_too_high(n, k, middle, ln_tail))
            high = middle;
        else
            low = middle;
    }
    return high;
}

void evidence_binomial_bounds(uint64_t n, uint64_t k, uint32_t alpha_ppm, uint32_t *ret_lower_ppm,
                              uint32_t *ret_upper_ppm) {
    assert(n > 0 && k <= n && alpha_ppm > 0 && alpha_ppm < EVIDENCE_PPM);
    *ret_upper_ppm = upper_bound(n, k, alpha_ppm);
    *ret_lower_ppm = EVIDENCE_PPM - upper_bound(n, n - k, alpha_ppm);
}
