// SPDX-License-Identifier: Apache-2.0
//
// Random numbers for simulations: from a seed, the same on every machine, without libm.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

// 64 random bits.
uint64_t dice_bits(struct dice *dice) __attribute__((nonnull));
// Uniform in (0, 1).
double dice_share(struct dice *dice) __attribute__((nonnull));
// Uniform in 0 … n - 1, n > 0.
uint64_t dice_below(struct dice *dice, uint64_t n) __attribute__((nonnull));
// True with this probability.
bool dice_chance(struct dice *dice, double probability) __attribute__((nonnull));
// Mean 0, standard deviation 1: the sum of twelve uniform numbers, normal but for its far tails.
double dice_normal(struct dice *dice) __attribute__((nonnull));
// Tails so heavy that there is no mean: the ratio of a normal and a uniform number.
double dice_wild(struct dice *dice) __attribute__((nonnull));
