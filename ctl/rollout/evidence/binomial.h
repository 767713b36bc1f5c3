// SPDX-License-Identifier: Apache-2.0
//
// A share of a sample, with what it says of all: the exact interval of Clopper and Pearson,
// "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26,
// 1934. Of a sample that is drawn by chance it holds the true share with at least the stated
// probability, of a sample of few as well. For one look; gates, at which one looks again and again,
// have bounds of their own (install.h).
#pragma once

#include "ctl/rollout/evidence/num.h"

// Of n, k are. Both bounds together err with a probability of at most alpha_ppm; rounded outwards.
// n is 1 or more, k at most n.
void evidence_binomial_bounds(uint64_t n, uint64_t k, uint32_t alpha_ppm, uint32_t *ret_lower_ppm,
                              uint32_t *ret_upper_ppm) __attribute__((nonnull));
