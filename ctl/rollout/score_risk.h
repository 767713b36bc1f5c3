// SPDX-License-Identifier: Apache-2.0
//
// Risk sets, inside score.h: who is counted in and out of them at a check-in, and what an event takes
// from them. Shared by score.c (check-ins, offers), score_silence.c (losses) and score_member.c
// (check-ins of a site's devices).
#pragma once

#include "ctl/rollout/score.h"

// n rhythms, of the default when the policy names none.
uint64_t rollout_score_risk_rhythms_s(const struct rollout_gates *gates, uint64_t n)
    __attribute__((nonnull));

// A check-in's instant, to the grid of heard_s.
int64_t rollout_score_risk_grid_s(const struct rollout_gates *gates, int64_t now_s)
    __attribute__((nonnull));

// Counted out of the risk sets of these gates (bits).
#define ROLLOUT_SCORE_RISK_ALL UINT32_MAX
void rollout_score_risk_leave(struct rollout_score *score, uint32_t gates,
                              struct rollout_score_device *device, struct rollout_score_news *ret)
    __attribute__((nonnull));
// At risk of being lost since an epoch before, and not heard of since.
bool rollout_score_risk_is_late(const struct rollout_score *score,
                                const struct rollout_score_device *device) __attribute__((nonnull));
// Counted out of those.
void rollout_score_risk_leave_late(struct rollout_score *score, struct rollout_score_device *device,
                                   struct rollout_score_news *ret) __attribute__((nonnull));
// What an earlier run noted is spent; who has the release still has it, and readings go on.
void rollout_score_risk_follow_run(const struct rollout_score *score,
                                   struct rollout_score_device *device) __attribute__((nonnull));

// A treated device whose activation is not known, or too new: what a counter reads may be the restart.
// Of a site: that is so for one of its devices.
bool rollout_score_risk_is_new(const struct rollout_gates *gates,
                               const struct rollout_score_device *device, int64_t now_s)
    __attribute__((nonnull));
// A check-in but for its readings: arm, epoch, risk sets. Returns the gates that it was at risk of before.
uint32_t rollout_score_risk_hear(struct rollout_score *score, const struct rollout_gates *gates,
                                 const struct rollout_score_checkin *checkin,
                                 struct rollout_score_device *device,
                                 struct rollout_score_news *ret) __attribute__((nonnull));

// The unit of an event, with the numbers at risk before it.
void rollout_score_risk_note(struct rollout_score_news *ret, size_t gate,
                             const struct evidence_risk *before, bool treated)
    __attribute__((nonnull));
// What a treated device's event rests on.
void rollout_score_risk_mark(struct rollout_score_device *device, size_t gate, uint64_t a,
                             uint64_t b) __attribute__((nonnull));
// An event of a device at risk.
void rollout_score_risk_event(struct rollout_score *score, struct rollout_score_device *device,
                              size_t gate, struct rollout_score_news *ret) __attribute__((nonnull));
