// SPDX-License-Identifier: Apache-2.0
//
// Everything that may concern a device, put together for one decision (ctl/rollout/decide.h).
#pragma once

#include "ctl/serve/fleet.h"

// What a candidate has beside what the decision asks, and the texts that it borrows.
struct serve_fleet_beside {
    struct serve_engine_rollout *rollout;
    size_t stratum;
    size_t bounds; // the stratum whose bounds it is held against
    uint64_t rank;
    bool shams; // asked for, it knows how, and the candidate's sham_bundle is what it runs
    char code[ERR_NAME_BYTES];
    char stone[BUNDLE_NAME_MAX + BUNDLE_RELEASE_MAX + 2];
};

// What is looked up for one decision; freed with it.
struct serve_fleet_view {
    struct bundle_facts *facts;
    const json_t *components;
    struct rollout_candidate *candidates;
    struct serve_fleet_beside *beside; // of each candidate
    struct rollout_target *baselines;
    struct rollout_target pin;
    size_t n_candidates, n_baselines;
    char (*reasons)[BUNDLE_PREDICATE_REASON_BYTES];
    size_t n_reasons;
};

// Whether the selector and the scope hold.
bool serve_fleet_selects(const struct serve_engine_rollout *rollout,
                         const struct serve_fleet_view *view) __attribute__((nonnull));
// Whether a release fits the device, and runs on it.
void serve_fleet_fit(const struct serve_fleet *fleet, struct serve_fleet_view *view,
                     const char *name, const char *version, struct rollout_fit *ret)
    __attribute__((nonnull));
// Adds what the rollout means for the device.
int serve_fleet_candidate(const struct serve_fleet *fleet, const struct store_device *device,
                          struct serve_engine_rollout *rollout, bool selected,
                          struct serve_fleet_view *view, struct err *e) __attribute__((nonnull));
