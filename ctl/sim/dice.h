// SPDX-License-Identifier: Apache-2.0
//
// Random numbers of the simulator: from a seed, by integers alone, so that a seed gives the same run
// on every machine. One stream for each device and purpose (sim_dice_make), so that what one
// device draws does not depend on how many others drew before it.
//
// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SIM_DICE_WHOLE (INT64_C(1) << 32) // one, in the units of sim_dice_normal
#define SIM_DICE_PPM   1000000U

struct sim_dice {
    uint64_t state;
};

// A stream of its own for each (seed, subject, purpose).
struct sim_dice sim_dice_make(uint64_t seed, uint64_t subject, uint64_t purpose);
// 64 random bits.
uint64_t sim_dice_bits(struct sim_dice *dice) __attribute__((nonnull));
// Uniform in 0 … n - 1; 0 for n == 0.
uint64_t sim_dice_below(struct sim_dice *dice, uint64_t n) __attribute__((nonnull));
// True with ppm parts in a million.
bool sim_dice_chance(struct sim_dice *dice, uint32_t ppm) __attribute__((nonnull));
// Mean 0 and standard deviation 1 in units of 1 / SIM_DICE_WHOLE: the sum of twelve uniform numbers,
// normal but for its far tails (none beyond six deviations).
int64_t sim_dice_normal(struct sim_dice *dice) __attribute__((nonnull));
// The same scale, with tails so heavy that there is no mean: a normal number through a uniform one,
// cut at a million deviations.
int64_t sim_dice_wild(struct sim_dice *dice) __attribute__((nonnull));
