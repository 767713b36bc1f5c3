// SPDX-License-Identifier: Apache-2.0
//
// Rollouts: policy, progress, strata, tallies.
#pragma once

#include "bundle/rank.h"
#include "bundle/stratum.h"
#include "ctl/rollout/advance.h"
#include "ctl/rollout/strata.h"
#include "ctl/store/db.h"

struct store_rollout {
    char scope[BUNDLE_PREDICATE_MAX + 1]; // selector of the token that applied it; "" none
    char actor[BUNDLE_NAME_MAX + 1];
    int64_t created_s;
    uint8_t seed[BUNDLE_RANK_SEED_BYTES];
    uint64_t members; // devices known when the bounds were found
    struct rollout_policy policy;
    struct rollout_progress progress;
};

// Adds it; kind exists when there is one by its name.
int store_rollout_add(struct store_db *db, const struct store_rollout *rollout, struct err *e)
    __attribute__((nonnull));
// Writes progress and members.
int store_rollout_put(struct store_db *db, const struct store_rollout *rollout, struct err *e)
    __attribute__((nonnull));
// Oldest first.
int store_rollout_list(struct store_db *db,
                       int (*visit)(void *context, const struct store_rollout *rollout,
                                    struct err *e),
                       void *context, struct err *e) __attribute__((nonnull(1, 2, 4)));

// Strata of a rollout, numbered from 0. key as bundle_stratum_key makes it.
int store_rollout_put_stratum(struct store_db *db, const char *rollout, uint64_t stratum,
                              const char *key, const struct rollout_stratum_plan *plan,
                              struct err *e) __attribute__((nonnull));
int store_rollout_list_strata(struct store_db *db, const char *rollout,
                              int (*visit)(void *context, uint64_t stratum, const char *key,
                                           const struct rollout_stratum_plan *plan, struct err *e),
                              void *context, struct err *e) __attribute__((nonnull(1, 2, 3, 5)));

// Moves one device of a bucket; NONE is not counted.
struct store_rollout_move {
    unsigned bucket;
    const char *rollout;
    uint64_t stage, stratum;
    enum rollout_task from, to;
};
int store_rollout_move(struct store_db *db, const struct store_rollout_move *move, struct err *e)
    __attribute__((nonnull));
// Forgets the outcomes failed, reverted and lost of all stages: a new attempt.
int store_rollout_forget_bad(struct store_db *db, const char *rollout, struct err *e)
    __attribute__((nonnull));
// The sums over all buckets.
int store_rollout_list_tallies(struct store_db *db, const char *rollout,
                               int (*visit)(void *context, uint64_t stage, uint64_t stratum,
                                            enum rollout_task task, uint64_t n, struct err *e),
                               void *context, struct err *e) __attribute__((nonnull(1, 2, 3, 5)));
