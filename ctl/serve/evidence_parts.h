// SPDX-License-Identifier: Apache-2.0
//
// What the files of ctl/serve/evidence.h share.
#pragma once

#include "ctl/serve/evidence.h"
#include "ctl/store/cohort.h"

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
// Sets whose trials are over, in their order (ctl/rollout/trial.h).
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
