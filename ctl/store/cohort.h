// SPDX-License-Identifier: Apache-2.0
//
// The cohort of a rollout with gates of evidence: a row for each device that it selects and that was
// heard of since it began (struct rollout_score_device, ctl/rollout/score.h). The whole row is kept
// as its line (ctl/rollout/score_state.h); what is searched by has columns beside it, written from
// the same struct. Nothing here walks the fleet: each search has an index that holds just those it
// may find, and a limit.
//
// Where the policy counts sites (ctl/rollout/unit.h) a row is a site's, under its unit's name, and
// "device" below means the unit; the site's devices are in ctl/store/member.h.
//
// Ranks are 64-bit unsigned, columns signed: they are kept less 2^63, so that their order is that
// of the unsigned numbers.
//
// Rows stay until the rollout has ended and its verdict is archived; then store_cohort_forget takes
// them away in slices. A device that is removed stays in the cohort: its outcome counted.
#pragma once

#include "ctl/rollout/score.h"
#include "ctl/rollout/unit.h"
#include "ctl/store/db.h"
#include "ctl/store/token.h"

// Of one rollout.
struct store_cohort {
    struct store_db *db;
    const char *rollout;
    const struct rollout_gates *gates;
};

// What clusters are found by when a gate has failed; known when the row is made.
struct store_cohort_origin {
    char site[BUNDLE_FACT_NAME_MAX + 1]; // "" none
    char token[STORE_TOKEN_ID_BYTES];    // it enrolled with; "" none
    int64_t enrolled_s;
};

// STORE_ABSENT when there is none.
int store_cohort_get(const struct store_cohort *of, const char *device,
                     struct rollout_score_device *ret, struct err *e) __attribute__((nonnull));
// Adds it. Kind exists.
int store_cohort_add(const struct store_cohort *of, const char *device,
                     const struct store_cohort_origin *origin,
                     const struct rollout_score_device *row, struct err *e)
    __attribute__((nonnull));
// Writes it, but for its origin. It is there.
int store_cohort_put(const struct store_cohort *of, const char *device,
                     const struct rollout_score_device *row, struct err *e)
    __attribute__((nonnull));

// Rows as searches give them; visit < 0 fails, > 0 ends early. What visit is given is borrowed for
// the call; it must not write to the cohort.
typedef int (*store_cohort_visit)(void *context, const char *device,
                                  const struct rollout_score_device *row, struct err *e);

// Those of the comparison that are counted, in no set, beyond the rank `above` and heard of since
// heard_s; highest rank first.
struct store_cohort_draw {
    uint32_t stratum;
    bool has_above; // else every rank
    uint64_t above;
    int64_t heard_s;
};
int store_cohort_draw(const struct store_cohort *of, const struct store_cohort_draw *draw,
                      store_cohort_visit visit, void *context, struct err *e)
    __attribute__((nonnull(1, 2, 3, 5)));
// The treated devices whose open sets are due at now_s, longest due first, at most max.
int store_cohort_due(const struct store_cohort *of, int64_t now_s, uint64_t max,
                     store_cohort_visit visit, void *context, struct err *e)
    __attribute__((nonnull(1, 4, 6)));
// The members of a set in the order of their places, the treated one first.
int store_cohort_set(const struct store_cohort *of, uint64_t set_no, store_cohort_visit visit,
                     void *context, struct err *e) __attribute__((nonnull(1, 3, 5)));
// What became of the device with this number; STORE_ABSENT when there is none.
int store_cohort_number(const struct store_cohort *of, uint64_t number, enum rollout_outcome *ret,
                        struct err *e) __attribute__((nonnull));

// Which device has this number; STORE_ABSENT when there is none.
int store_cohort_holder(const struct store_cohort *of, uint64_t number,
                        char ret[static ROLLOUT_UNIT_ID_MAX + 1], struct err *e)
    __attribute__((nonnull));

// Devices at risk of one of these gates in this epoch, or a later one, that were not heard of since
// before_s.
struct store_cohort_silence {
    uint64_t epoch;
    uint32_t gates; // bits
    int64_t before_s;
};
// How many there are; counts no further than max.
int store_cohort_count_silent(const struct store_cohort *of,
                              const struct store_cohort_silence *silence, uint64_t max,
                              uint64_t *ret, struct err *e) __attribute__((nonnull));
// Longest silent first, at most max.
int store_cohort_silent(const struct store_cohort *of, const struct store_cohort_silence *silence,
                        uint64_t max, store_cohort_visit visit, void *context, struct err *e)
    __attribute__((nonnull(1, 2, 4, 6)));

// The clock was set back: who was heard of after now_s, and is at risk, is searched for as one that was
// heard of at now_s.
int store_cohort_set_back(const struct store_cohort *of, int64_t now_s, struct err *e)
    __attribute__((nonnull));

// Those with a number from `first` on, by number: the treated ones that count.
typedef int (*store_cohort_visit_treated)(void *context, const struct rollout_score_device *row,
                                          const struct store_cohort_origin *origin, struct err *e);
int store_cohort_treated(const struct store_cohort *of, uint64_t first,
                         store_cohort_visit_treated visit, void *context, struct err *e)
    __attribute__((nonnull(1, 3, 5)));

// Every row by device, for recounts. The caller does not ask for this where a device waits.
int store_cohort_list(const struct store_cohort *of, store_cohort_visit visit, void *context,
                      struct err *e) __attribute__((nonnull(1, 2, 4)));

// Forgets up to max rows of a rollout; *ret how many.
int store_cohort_forget(struct store_db *db, const char *rollout, uint64_t max, uint64_t *ret,
                        struct err *e) __attribute__((nonnull));
