// SPDX-License-Identifier: Apache-2.0
//
// What the files of ctl/serve/evidence.h share.
#pragma once

#include "ctl/serve/evidence.h"
#include "ctl/store/cohort.h"
#include "ctl/store/member.h"

// Sets that one call scores: each reads and writes up to EVIDENCE_RANK_COMPARED_MAX + 1 rows, while
// whoever checks in waits. The rest are the next tick's.
#define SERVE_EVIDENCE_SETS_MAX 16

struct store_cohort serve_evidence_cohort(const struct serve_fleet *fleet,
                                          const struct serve_engine_rollout *rollout)
    __attribute__((nonnull));
// Where its open stage is.
struct rollout_batch_place serve_evidence_open(const struct serve_engine_rollout *rollout)
    __attribute__((nonnull));

// What ties: the unit of the first event of this instant, by gate; 0 none yet.
struct serve_evidence_ties {
    uint64_t unit[ROLLOUT_GATES_MAX];
};
// Writes what news says of the score, its units and, with the row, the device. ties NULL: each
// event is one by itself.
int serve_evidence_keep(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                        const char *device, const struct rollout_score_device *row,
                        const struct rollout_score_news *news, struct serve_evidence_ties *ties,
                        struct err *e) __attribute__((nonnull(1, 2, 3, 5, 7)));
// What the store has of a device for the rollout's gates. The unit is the device, or its site
// (ctl/rollout/unit.h); of a site the device has a row of its own.
struct serve_evidence_rows {
    char unit[ROLLOUT_UNIT_ID_MAX + 1];
    struct rollout_score_device row;
    bool of_site;
    bool moved; // it names another site than when its row was made
    bool counted_again;
    bool member_changed;
    struct rollout_score_member member;
};
// *ret is the caller's to free. STORE_ABSENT when there are none.
int serve_evidence_rows_get(const struct serve_fleet *fleet,
                            const struct serve_engine_rollout *rollout, const char *device,
                            struct serve_evidence_rows **ret, struct err *e)
    __attribute__((nonnull));
// The same at its check-in: what there is none of is made, and whether the unit is counted asked where it
// is time to. What changed is written by serve_evidence_rows_keep, a new row of the unit at once.
int serve_evidence_rows_open(const struct serve_fleet *fleet,
                             const struct serve_engine_rollout *rollout,
                             const struct store_device *device,
                             const struct serve_evidence_place *place,
                             struct serve_evidence_rows **ret, struct err *e)
    __attribute__((nonnull));
// serve_evidence_keep, with the device's own row when that changed.
int serve_evidence_rows_keep(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                             const char *device, const struct serve_evidence_rows *rows,
                             const struct rollout_score_news *news, struct err *e)
    __attribute__((nonnull));
// Feeds the install gate from the prefix on, as far as outcomes are known.
int serve_evidence_drain(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                         struct err *e) __attribute__((nonnull));
// The set of a treated device whose activation, or failing, is known.
int serve_evidence_begin_set(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                             const char *device, struct rollout_score_device *row, struct err *e)
    __attribute__((nonnull));
// Sets that are due: a slice.
int serve_evidence_score_sets(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                              struct err *e) __attribute__((nonnull));
int serve_evidence_load_pulse(struct store_db *db, struct serve_engine_rollout *rollout,
                              struct err *e) __attribute__((nonnull));
// Sets whose trials are over, in their order (ctl/rollout/trial.h): a slice. One that took long lets all
// behind it wait, of a large stage thousands.
int serve_evidence_score_trials(const struct serve_fleet *fleet,
                                struct serve_engine_rollout *rollout, struct err *e)
    __attribute__((nonnull));
// Devices that fell silent: a slice.
int serve_evidence_lose(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                        struct err *e) __attribute__((nonnull));
// The device that the install gate waits for failed, has a try left, and does not return for it.
int serve_evidence_give_up(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                           struct err *e) __attribute__((nonnull));
// What a device came to: activated, or an outcome: committed, failed, reverted or lost.
int serve_evidence_note(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                        const char *device, enum rollout_task task, struct err *e)
    __attribute__((nonnull));
// What a stop rests on.
int serve_evidence_verdict(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                           struct rollout_verdict *ret, struct err *e) __attribute__((nonnull));
