// SPDX-License-Identifier: Apache-2.0
//
// Eight sites of three devices, and what they say.
#pragma once

#include <criterion/criterion.h>
#include <string.h>

#include "ctl/rollout/score_member.h"
#include "tests/unit/ctl/rollout/gates_bench.h"

#define UNITS 8
#define EACH  3

struct bench {
    struct rollout_policy policy;
    struct rollout_score score;
    struct rollout_score_device u[UNITS];
    struct rollout_score_member m[UNITS][EACH];
    struct rollout_score_news news;
    int64_t now_s;
};

static inline struct rollout_gates *gates_of(struct bench *b) {
    return &b->policy.gates;
}

// Eight counted sites of three devices, of one stratum; nothing was heard of them.
static inline struct bench *bench(void) {
    static struct bench b;
    memset(&b, 0, sizeof b);
    bench_policy_init(&b.policy);
    b.policy.gates.unit = ROLLOUT_UNIT_SITE;
    b.now_s = T0;
    cr_assert(rollout_score_follow(1, 1, &b.score));
    for (size_t i = 0; i < UNITS; i++) {
        rollout_score_device_init(&b.score, 0, 0, i, true, &b.u[i]);
        for (size_t k = 0; k < EACH; k++)
            b.m[i][k].seen.fits = true;
    }
    return &b;
}

struct said {
    bool admitted, has_counter, has_metric;
    int64_t counter, metric;
};

static const struct said nothing, admitted = {.admitted = true};

static inline struct said counts(int64_t n) {
    return (struct said){.has_counter = true, .counter = n};
}

static inline struct said reads(int64_t whole) {
    return (struct said){.has_metric = true, .metric = whole * NUM_DECIMAL_SCALE};
}

static inline bool hear(struct bench *b, size_t u, size_t i, struct said said) {
    struct rollout_score_checkin checkin = {.now_s = b->now_s, .admitted = said.admitted};
    checkin.given = (said.has_counter ? 1U << COUNTER : 0) | (said.has_metric ? 1U << METRIC : 0);
    checkin.nano[COUNTER] = said.counter;
    checkin.nano[METRIC] = said.metric;
    return rollout_score_member_heard(&b->score, gates_of(b), &checkin, &b->m[u][i], &b->u[u],
                                      &b->news);
}

static inline void offer(struct bench *b, size_t u, size_t i) {
    rollout_score_member_offered(&b->score, gates_of(b), &b->m[u][i], &b->u[u], &b->news);
}

static inline void become(struct bench *b, size_t u, size_t i, enum rollout_outcome outcome) {
    rollout_score_member_moved(&b->score, gates_of(b), outcome, b->now_s, &b->m[u][i], &b->u[u],
                               &b->news);
}

static inline void hear_all(struct bench *b, size_t treated, struct said said) {
    for (size_t u = 0; u < UNITS; u++)
        for (size_t i = 0; i < EACH; i++) {
            said.admitted = u < treated;
            (void)hear(b, u, i, said);
        }
}

// The first sites are offered the release and activate it at once; all are at risk.
static inline void settle(struct bench *b, size_t treated) {
    hear_all(b, treated, counts(0));
    for (size_t u = 0; u < treated; u++)
        for (size_t i = 0; i < EACH; i++) {
            offer(b, u, i);
            become(b, u, i, ROLLOUT_OUTCOME_NONE);
        }
    b->now_s += 901;
    hear_all(b, treated, counts(0));
}
