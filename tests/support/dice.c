// SPDX-License-Identifier: Apache-2.0
//
// Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (SplitMix64).
#include "tests/support/dice.h"

uint64_t dice_bits(struct dice *dice) {
    uint64_t z = dice->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

double dice_share(struct dice *dice) {
    return ((double)(dice_bits(dice) >> 12) + 0.5) * 0x1p-52;
}

uint64_t dice_below(struct dice *dice, uint64_t n) {
    return (uint64_t)(((unsigned __int128)dice_bits(dice) * n) >> 64);
}

bool dice_chance(struct dice *dice, double probability) {
    return dice_share(dice) < probability;
}

double dice_normal(struct dice *dice) {
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += dice_share(dice);
    return sum;
}

double dice_wild(struct dice *dice) {
    return dice_normal(dice) / dice_share(dice);
}
