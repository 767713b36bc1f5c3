// SPDX-License-Identifier: Apache-2.0
//
// See dice.h.
#include "ctl/sim/dice.h"

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct sim_dice sim_dice_make(uint64_t seed, uint64_t subject, uint64_t purpose) {
    uint64_t state = mix(seed + GOLDEN);
    state = mix(state ^ (subject * GOLDEN + 1));
    state = mix(state ^ (purpose * GOLDEN + 2));
    return (struct sim_dice){.state = state};
}

uint64_t sim_dice_bits(struct sim_dice *dice) {
    dice->state += GOLDEN;
    return mix(dice->state);
}

uint64_t sim_dice_below(struct sim_dice *dice, uint64_t n) {
    return (uint64_t)(((unsigned __int128)sim_dice_bits(dice) * n) >> 64);
}

bool sim_dice_chance(struct sim_dice *dice, uint32_t ppm) {
    return sim_dice_below(dice, SIM_DICE_PPM) < ppm;
}

int64_t sim_dice_normal(struct sim_dice *dice) {
    int64_t sum = -6 * SIM_DICE_WHOLE;
    for (int i = 0; i < 6; i++) {
        uint64_t bits = sim_dice_bits(dice);
        sum += (int64_t)(bits & UINT32_MAX) + (int64_t)(bits >> 32);
    }
    return sum;
}

int64_t sim_dice_wild(struct sim_dice *dice) {
    const int64_t most = 1000000 * SIM_DICE_WHOLE;
    int64_t normal = sim_dice_normal(dice);
    int64_t share = (int64_t)(sim_dice_bits(dice) >> 32) + 1; // of SIM_DICE_WHOLE
    __int128 ratio = (__int128)normal * SIM_DICE_WHOLE / share;
    if (ratio > most)
        return most;
    return ratio < -most ? -most : (int64_t)ratio;
}
