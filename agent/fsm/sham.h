// SPDX-License-Identifier: Apache-2.0
//
// Which shams a device takes (bundle/instruction.h): each one restarts what runs on it, and who asks is
// the controller alone. So the device has its own word: one for each rollout and attempt, and no more
// than FSM_SHAMS_MAX within FSM_SHAMS_PERIOD_S of trusted time, whoever signs them. What is
// remembered is durable before anything is done. Pure.
#pragma once

#include "agent/fsm/record.h"

// 0; KNOWN: one of this rollout and attempt, or of a later one, was taken; OFTEN: as many as may be
// were taken lately. Trusted time never falls, so that what is remembered lies in the past.
enum { FSM_SHAM_KNOWN = 1, FSM_SHAM_OFTEN = 2 };
int fsm_sham_admits(const struct fsm_record *record, const char *rollout, uint64_t attempt,
                    int64_t now_s) __attribute__((nonnull));
// Remembers one; the oldest goes when there are too many.
void fsm_sham_note(struct fsm_record *record, const char *rollout, uint64_t attempt, int64_t now_s)
    __attribute__((nonnull));
