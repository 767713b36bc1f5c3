// SPDX-License-Identifier: Apache-2.0
//
// How many devices of a rollout there are by what became of them (task.h). A tally is moved as news
// arrives, in the same transaction as the news, so reading it costs the same for any fleet.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ctl/rollout/task.h"

struct rollout_tally {
    uint64_t planned;            // known devices that the stage admits first
    uint64_t now[ROLLOUT_TASKS]; // devices by what became of them; NONE is not counted
};

// A device goes from one to another.
void rollout_tally_move(struct rollout_tally *tally, enum rollout_task from, enum rollout_task to)
    __attribute__((nonnull));
void rollout_tally_add(struct rollout_tally *sum, const struct rollout_tally *tally)
    __attribute__((nonnull));
uint64_t rollout_tally_unresolved(const struct rollout_tally *tally) __attribute__((nonnull));
uint64_t rollout_tally_took(const struct rollout_tally *tally) __attribute__((nonnull));
// Were offered it: at work on it, or with an outcome of it.
uint64_t rollout_tally_offered(const struct rollout_tally *tally) __attribute__((nonnull));
// Outcomes that count for a gate: committed; and failed, reverted, lost.
uint64_t rollout_tally_good(const struct rollout_tally *tally) __attribute__((nonnull));
uint64_t rollout_tally_bad(const struct rollout_tally *tally) __attribute__((nonnull));
// Were offered it, or need not be; who was cancelled is both, and counts once.
uint64_t rollout_tally_reached(const struct rollout_tally *tally) __attribute__((nonnull));
// Devices of the plan from which no outcome is to be expected: cancelled, already there, skipped.
uint64_t rollout_tally_moot(const struct rollout_tally *tally) __attribute__((nonnull));
