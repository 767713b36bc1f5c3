// SPDX-License-Identifier: Apache-2.0
//
// Trusted time: a lower bound of what time it is, from dates that somebody signed. Pure; the boot
// clock adds to it in memory, and no wall clock enters, so that none can move it.
//
// A date counts for what its signer is trusted with. Each source keeps the largest date it gave,
// cut when it is learned to the expiry of what vouches for the source, and loses it when a new root
// gives the source's role to other keys:
//
//   source    dates of                              at most the expiry of       forgotten with
//   ROOT      root.json                             –                           a next root that
//                                                                               is dated earlier
//   TARGETS   top-level targets                     root                        role targets
//   BUNDLE    manifests of bundles                  root, targets               role bundle
//   ONLINE    timestamp, snapshot, instructions     root, targets, snapshot     timestamp, snapshot
//                                                                               or director
//
// So a stolen online key that dates 2099 moves the time to the snapshot's expiry and no further:
// what expires before that is refused until then, and a root that takes the key away undoes it at
// once. A root that was signed by a clock ahead is undone by the next one, whose signers say
// otherwise: it is followed although by that clock it may have expired. What is durable is the
// dates; a restart begins from them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum fsm_trusted_source {
    FSM_TRUSTED_ROOT,
    FSM_TRUSTED_TARGETS,
    FSM_TRUSTED_BUNDLE,
    FSM_TRUSTED_ONLINE,
    FSM_TRUSTED_SOURCES
};
extern const char *const fsm_trusted_names[FSM_TRUSTED_SOURCES];

struct fsm_trusted_date {
    int64_t signed_s; // durable: the largest date that was not cut; 0 none
    int64_t held_s;   // durable: the largest that was, cut; 0 none
    int64_t at_s;     // memory: the time it was at boot_ms, by this source
    int64_t boot_ms;
};

struct fsm_trusted {
    struct fsm_trusted_date dates[FSM_TRUSTED_SOURCES];
};

// Expiries of what is trusted now, in seconds since 1970; 0 where nothing is known.
struct fsm_trusted_bounds {
    int64_t root_s, targets_s, snapshot_s;
};

// After a start: counts from the durable dates, at this boot clock.
void fsm_trusted_start(struct fsm_trusted *trusted, int64_t boot_ms) __attribute__((nonnull));
// Takes over a date. True when something durable changed.
bool fsm_trusted_learn(struct fsm_trusted *trusted, enum fsm_trusted_source source,
                       int64_t signed_s, const struct fsm_trusted_bounds *bounds, int64_t boot_ms)
    __attribute__((nonnull));
// The source's keys are others now. True when something durable changed.
bool fsm_trusted_forget(struct fsm_trusted *trusted, enum fsm_trusted_source source)
    __attribute__((nonnull));
// Seconds since 1970, 0 when nobody gave a date yet.
int64_t fsm_trusted_now_s(const struct fsm_trusted *trusted, int64_t boot_ms)
    __attribute__((nonnull));
// The largest durable date, cut ones included.
int64_t fsm_trusted_signed_s(const struct fsm_trusted *trusted) __attribute__((nonnull));
