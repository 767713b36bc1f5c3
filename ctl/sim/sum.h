// SPDX-License-Identifier: Apache-2.0
//
// Many runs of one fleet and policy, summed up: how many stopped, how many devices were exposed
// until then, how long the verdict took. Run number i has seed + i, so that each can be had again
// alone.
#pragma once

#include <jansson.h>

#include "ctl/sim/run.h"

#define SIM_SUM_RUNS_MAX   1000000
#define SIM_SUM_BROKEN_MAX 16 // runs with broken rules that are named

struct sim_sum_broken {
    uint64_t seed;
    char text[SIM_RUN_WHY_BYTES];
};

// Zeroed it is empty.
struct sim_sum {
    size_t runs, capacity;
    uint64_t ends[SIM_RUN_ENDS];
    uint64_t stopped;
    uint64_t whys[ROLLOUT_WHY_CODES];
    uint64_t checkins, sets_scored, sets_void;
    uint64_t digest; // of all decisions of all runs
    uint64_t broken; // rules, over all runs
    size_t n_broken; // runs with any
    struct sim_sum_broken list[SIM_SUM_BROKEN_MAX];
    // Of each run.
    uint64_t *exposed, *activated, *verdict_s;
};

// One run more. Kind memory.
int sim_sum_add(struct sim_sum *sum, uint64_t seed, const struct sim_run_result *result,
                struct err *e) __attribute__((nonnull));
void sim_sum_clear(struct sim_sum *sum) __attribute__((nonnull));
#define own_drop_sum sim_sum_clear

// The smallest value that at least `ppm` of n values do not exceed; 0 of none. Sorts them.
uint64_t sim_sum_quantile(uint64_t *values, size_t n, uint32_t ppm);
// A new object, the caller's: {"runs":N,"stopped":N,"reverted":N,"inconclusive":N,…,
// "exposed":{"median":N,"p95":N,"max":N},…}. Kind memory.
int sim_sum_json(struct sim_sum *sum, json_t **ret, struct err *e) __attribute__((nonnull));
