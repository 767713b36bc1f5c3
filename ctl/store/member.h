// SPDX-License-Identifier: Apache-2.0
//
// Devices of sites that are units of evidence (struct rollout_score_member, ctl/rollout/score_member.h):
// a row for each device of a cohort (ctl/store/cohort.h) whose rows are sites'. The whole row is kept as
// its line; what is searched by has columns beside it. Forgotten with the cohort.
#pragma once

#include "ctl/rollout/score_member.h"
#include "ctl/store/cohort.h"

// STORE_ABSENT when there is none. ret_unit: the unit that it was of when the row was made.
int store_member_get(const struct store_cohort *of, const char *device,
                     char ret_unit[static ROLLOUT_UNIT_ID_MAX + 1],
                     struct rollout_score_member *ret, struct err *e) __attribute__((nonnull));
// Adds or replaces it.
int store_member_put(const struct store_cohort *of, const char *device, const char *unit,
                     const struct rollout_score_member *row, struct err *e)
    __attribute__((nonnull));

// Rows as searches give them; visit < 0 fails, > 0 ends early. What visit is given is borrowed for the
// call; it must not write members.
typedef int (*store_member_visit)(void *context, const char *device, const char *unit,
                                  const struct rollout_score_member *row, struct err *e);
// The devices of a unit, by id.
int store_member_of(const struct store_cohort *of, const char *unit, store_member_visit visit,
                    void *context, struct err *e) __attribute__((nonnull(1, 2, 3, 5)));
// How many wait in this run and were not heard of since before_s; counts no further than max.
int store_member_count_silent(const struct store_cohort *of, uint32_t run, int64_t before_s,
                              uint64_t max, uint64_t *ret, struct err *e) __attribute__((nonnull));
// Those, longest silent first, at most max.
int store_member_silent(const struct store_cohort *of, uint32_t run, int64_t before_s, uint64_t max,
                        store_member_visit visit, void *context, struct err *e)
    __attribute__((nonnull(1, 5, 7)));

// The clock was set back: who waits, and was heard of after now_s, is searched for as one that was heard of
// at now_s (store_cohort_set_back).
int store_member_set_back(const struct store_cohort *of, int64_t now_s, struct err *e)
    __attribute__((nonnull));

// Forgets up to max rows of a rollout; *ret how many.
int store_member_forget(struct store_db *db, const char *rollout, uint64_t max, uint64_t *ret,
                        struct err *e) __attribute__((nonnull));
