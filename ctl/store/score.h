// SPDX-License-Identifier: Apache-2.0
//
// What the gates of a rollout know: one line of text for each gate and run (ctl/rollout/score.h has
// the form), one for what they share, under the gate STORE_SCORE_SHARED, and one for each block of
// cells of sites, from STORE_SCORE_SITES down. A line is written in
// the transaction of what changed it. Lines stay when the rollout has ended: they are what its
// status shows.
#pragma once

#include "ctl/store/db.h"

#define STORE_SCORE_SHARED (-1)
#define STORE_SCORE_SITES  (-2)

// Adds or replaces.
int store_score_put(struct store_db *db, const char *rollout, uint64_t run, int gate,
                    const char *state, struct err *e) __attribute__((nonnull));
// Of one run, by gate; visit < 0 fails, > 0 ends early. state is borrowed for the call.
int store_score_list(struct store_db *db, const char *rollout, uint64_t run,
                     int (*visit)(void *context, int gate, const char *state, struct err *e),
                     void *context, struct err *e) __attribute__((nonnull(1, 2, 4, 6)));
// The last run that has lines; 0 when there is none.
int store_score_run(struct store_db *db, const char *rollout, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
