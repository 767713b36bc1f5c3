// SPDX-License-Identifier: Apache-2.0
//
// When nobody could be heard: the controller was not running, or its clock was set. A device that
// calls while nobody listens is not silent, so each time to wait for devices is one of listening:
// it is as much longer as the controller was down meanwhile, and no more. A controller that is
// restarted each night still finds out who is gone.
//
//     seen              down                down            now
//      │────listened────░░░░░░░───listened───░░░░░───listened──│      timeout: the sum of what is
//                                                                     listened
//
// Kept in the store with the time of the last tick (a downtime is what lies between that and the
// next start), so at most ROLLOUT_DOWNTIME_KEEP_S of each life of the process count as downtime
// although it listened. The oldest downtimes are moved together when there are too many: their sum
// stays. Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ROLLOUT_DOWNTIME_GAPS 32
// The time of the last tick is to be kept so often.
#define ROLLOUT_DOWNTIME_KEEP_S 10
// A tick that comes so much later than the one before: the machine slept.
#define ROLLOUT_DOWNTIME_SLEPT_S 120
// As it is kept: a version, the last tick, and the beginnings and ends, 8 bytes each, most
// significant first.
#define ROLLOUT_DOWNTIME_BYTES (8 * (3 + 2 * ROLLOUT_DOWNTIME_GAPS))

struct rollout_downtime_gap {
    int64_t from_s, to_s;
};
// All zero: nothing is known, and the whole past is a downtime at the first tick.
struct rollout_downtime {
    int64_t last_s; // tick
    uint64_t n;
    struct rollout_downtime_gap gap[ROLLOUT_DOWNTIME_GAPS]; // in order, apart
};

// The process has started: nobody was heard since the last tick.
void rollout_downtime_start(struct rollout_downtime *io, int64_t now_s) __attribute__((nonnull));
// The clock was set, and says so many seconds more (less: nothing is waited for that is past).
void rollout_downtime_jump(struct rollout_downtime *io, int64_t now_s, int64_t jump_s)
    __attribute__((nonnull));
// true when nobody was heard for a while.
bool rollout_downtime_tick(struct rollout_downtime *io, int64_t now_s) __attribute__((nonnull));

// Whoever was heard of last before this was silent for longer than so many seconds of listening.
int64_t rollout_downtime_before_s(const struct rollout_downtime *down, int64_t now_s,
                                  uint64_t timeout_s) __attribute__((nonnull));
// How long it was listened since then.
int64_t rollout_downtime_listened_s(const struct rollout_downtime *down, int64_t since_s,
                                    int64_t now_s) __attribute__((nonnull));

void rollout_downtime_format(const struct rollout_downtime *down,
                             uint8_t ret[static ROLLOUT_DOWNTIME_BYTES]) __attribute__((nonnull));
// What cannot be read is as if nothing were known.
void rollout_downtime_parse(const uint8_t bytes[static ROLLOUT_DOWNTIME_BYTES],
                            struct rollout_downtime *ret) __attribute__((nonnull));
