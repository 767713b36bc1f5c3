// SPDX-License-Identifier: Apache-2.0
//
// Dry probes: before a release goes anywhere, devices are asked what its own `after` probes say of what
// they run today (bundle/FORMAT.md 13.3). Whoever plans makes a request; a sample of the devices that
// would get the release is chosen by rank, with a seed of the request's own, and kept with it. Each is
// told once, and once more when it did not answer, at a check-in that has nothing else for it; it
// answers with a later one. Nobody is asked after the request's end. What rollouts decide knows nothing of
// this, and nothing here changes what a device counts as. But probes are work, and while a rollout of the
// release goes by evidence those that would be asked are those that the others are compared with, so
// that their metrics and counters alone would show it: then no request is taken, and of one that was nobody
// is asked. The store's thread only.
#pragma once

#include "ctl/serve/call.h"
#include "ctl/serve/fleet.h"
#include "ctl/store/dry.h"

#define SERVE_DRY_SAMPLE_MAX     1000
#define SERVE_DRY_SAMPLE_DEFAULT 100
#define SERVE_DRY_WAIT_MAX_S     86400
#define SERVE_DRY_LIVE_MAX       8 // requests at a time
// When a device is told once more; what an agent takes at most is less.
#define SERVE_DRY_AGAIN_S 1200
#define SERVE_DRY_ASKS    2

// Takes what a device says its probes came to; sequence 0 is nothing.
int serve_dry_heard(const struct serve_fleet *fleet, const struct store_device *device,
                    const struct bundle_checkin_probed *probed, struct err *e)
    __attribute__((nonnull));
// Whether the device, for which nothing was decided, is to be asked now: 0 and what; SERVE_DRY_NOTHING.
enum { SERVE_DRY_NOTHING = 1 };
struct serve_dry_due {
    char request[STORE_DRY_ID_BYTES];
    struct keys_digest bundle; // published
};
int serve_dry_due(const struct serve_fleet *fleet, const struct store_device *device,
                  const struct bundle_checkin *said, struct serve_dry_due *ret, struct err *e)
    __attribute__((nonnull));
// How a request stands, as the plan and GET show it; *ret is the caller's. Kind not_found, also for one
// of another scope.
int serve_dry_show(struct store_db *db, const struct serve_call *call, const char *id, json_t **ret,
                   struct err *e) __attribute__((nonnull));

// POST /rollouts/plan/probes: {"policy": POLICY, "sample": N, "wait_s": N}.
int serve_dry_ask(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
// GET /rollouts/plan/probes/{id}.
int serve_dry_get(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
