// SPDX-License-Identifier: Apache-2.0
//
// Challenges that devices sign: 32 bytes that are good for two minutes, once. A challenge carries
// its time and a MAC by a key that lives as long as the process, so that handing one out costs no
// memory; only those that were used are remembered, until they expire. What a use costs does not
// grow with how many are remembered. Thread-safe.
#pragma once

#include "base/err.h"
#include "bundle/checkin.h"

#define SERVE_CHALLENGE_S        120
#define SERVE_CHALLENGE_USED_MAX 65536 // in two minutes; more: overloaded

struct serve_challenges;

int serve_challenge_open(struct serve_challenges **ret, struct err *e) __attribute__((nonnull));
void serve_challenge_close(struct serve_challenges *challenges);
// now_ms: the boot clock, which nobody can set.
void serve_challenge_make(struct serve_challenges *challenges, int64_t now_ms,
                          char ret[static BUNDLE_CHALLENGE_HEX]) __attribute__((nonnull));
// Whether it is one of ours and not too old. Costs nothing that others could use up.
int serve_challenge_check(const struct serve_challenges *challenges, const char *challenge,
                          int64_t now_ms, struct err *e) __attribute__((nonnull));
// Uses it up: only for whom it let in, since what is noted is bounded. Kinds: unauthorized (not
// ours, expired, used), overloaded.
int serve_challenge_use(struct serve_challenges *challenges, const char *challenge, int64_t now_ms,
                        struct err *e) __attribute__((nonnull));
// How many remembered ones were looked at so far: the cost of all uses. For those who measure.
uint64_t serve_challenge_compared(struct serve_challenges *challenges) __attribute__((nonnull));
