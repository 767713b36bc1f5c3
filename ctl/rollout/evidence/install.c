// SPDX-License-Identifier: Apache-2.0
//
// The beta-binomial mixture against a stated share.
#include "ctl/rollout/evidence/install.h"

#include <assert.h>

#define PRIOR 1 // uniform

void evidence_install_add(struct evidence_install *io, int has_failed) {
    io->scored++;
    io->failed += has_failed != 0;
}

double evidence_install_mixture(double a, double b, double share, uint64_t failed, uint64_t good,
                                double *ret_error) {
    double s = (double)failed, f = (double)good, error = 0;
    double after = evidence_num_ln_beta_above(a + s, b + f, share, &error);
    double before = evidence_num_ln_beta_above(a, b, share, &error);
    double likelihood = s * evidence_num_ln(share) + f * evidence_num_ln(1 - share);
    *ret_error = error + 4e-15 * (after * (after < 0 ? -1 : 1) - likelihood) + 1e-12;
    return after - before - likelihood;
}

static int64_t mixture(double share, uint64_t failed, uint64_t good) {
    double error = 0;
    double nats = evidence_install_mixture(PRIOR, PRIOR, share, failed, good, &error);
    return evidence_num_down(nats, error);
}

static double share_of(uint32_t ppm) {
    assert(ppm > 0 && ppm < EVIDENCE_PPM);
    return ppm / 1e6;
}

int64_t evidence_install_worse(const struct evidence_install *state,
                               const struct evidence_install_known *known, uint32_t share_ppm) {
    assert(state->failed <= state->scored);
    int64_t log = mixture(share_of(share_ppm), state->failed, state->scored - state->failed);
    if (known == NULL)
        return log;
    assert(known->failed <= known->activated);
    int64_t all = mixture(share_of(share_ppm), known->failed, known->activated - known->failed);
    return all > log ? all : log;
}

int64_t evidence_install_better(const struct evidence_install *state, uint32_t share_ppm) {
    assert(state->failed <= state->scored);
    return mixture(share_of(EVIDENCE_PPM - share_ppm), state->scored - state->failed,
                   state->failed);
}

// The largest share q below s/(n+1) that is rejected. There e falls as q rises, so that bisection
// finds it: d ln e / dq = (1 - 1/e)/(1-q) - s/q + (n-s)/(1-q) < ((n+1) q - s) / (q (1-q)).
static uint32_t lower_bound(const struct evidence_install *state, int64_t level) {
    uint32_t rejected = 0,
             open = (uint32_t)((double)state->failed / ((double)state->scored + 1) * 1e6) + 1;
    while (open - rejected > 1) {
        uint32_t middle = rejected + (open - rejected) / 2;
        if (evidence_install_worse(state, NULL, middle) >= level)
            rejected = middle;
        else
            open = middle;
    }
    return rejected;
}

void evidence_install_bounds(const struct evidence_install *state, int64_t level,
                             uint32_t *ret_lower_ppm, uint32_t *ret_upper_ppm) {
    struct evidence_install good = {.scored = state->scored,
                                    .failed = state->scored - state->failed};
    *ret_lower_ppm = lower_bound(state, level);
    *ret_upper_ppm = EVIDENCE_PPM - lower_bound(&good, level);
}
