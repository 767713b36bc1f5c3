// SPDX-License-Identifier: Apache-2.0
//
// Plans of rollouts on the controller: the fleet counted as it is now, and the document that
// ctl/rollout/plan.h makes of it. Nothing changes. One pass over the store's rows; a million
// devices take seconds, in which check-ins wait.
#pragma once

#include "ctl/rollout/plan.h"
#include "ctl/serve/call.h"
#include "ctl/serve/engine.h"

// A plan is asked of the fleet that the policy's selector and a scope ("" the whole fleet) hold
// for.
struct serve_plan_ask {
    struct serve_engine *engine;
    struct store_db *db;
    const struct rollout_policy *policy;
    const char *scope;
    int64_t now_s;
    int64_t expires_s; // of the mandate
    const uint8_t *seed;
    bool devices_judge; // devices hold to what people sign: bounds are by what they know
};

// The fleet as it was counted, for ctl/rollout/plan.h.
struct serve_plan_count;
int serve_plan_count(const struct serve_plan_ask *ask, struct serve_plan_count **ret, struct err *e)
    __attribute__((nonnull));
void serve_plan_count_free(struct serve_plan_count *count);
static inline void own_drop_plan_count(struct serve_plan_count **count) {
    serve_plan_count_free(*count);
    *count = NULL;
}
// Borrowed until free; its members may be sorted.
struct rollout_plan_census *serve_plan_count_census(struct serve_plan_count *count)
    __attribute__((nonnull));

// {"plan", "policy", "mandate"}; *ret is the caller's. The mandate is an envelope that nobody has
// signed; null, and "mandate_why", where there cannot be one.
int serve_plan_make(const struct serve_plan_ask *ask, json_t **ret, struct err *e)
    __attribute__((nonnull));
// The envelope's signed part, in canonical JSON.
int serve_plan_mandate(const struct serve_plan_ask *ask, const struct rollout_plan_census *census,
                       const struct rollout_plan *plan, struct buf *ret, struct err *e)
    __attribute__((nonnull));

// Gives a rollout that was just added the bounds of a plan, which has its name and seed, in place
// of bounds found now. Who is planned for which stage is counted anew. Kinds: fleet_drifted (the
// fleet differs from the plan's by more than the tolerance), config (the plan is no plan of the
// policy).
struct serve_fleet;
struct serve_plan_given {
    struct rollout_plan_read read;
    uint32_t drift_ppm; // of the plan's devices: those that came to a stratum, or left it
};
int serve_plan_take(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                    const struct serve_plan_given *given, struct err *e) __attribute__((nonnull));

// The member "policy" of a request to plan.
int serve_plan_policy(const struct doc_at *at, struct rollout_policy *ret, struct err *e)
    __attribute__((nonnull));
// POST /rollouts/plan: {"policy": POLICY, "expires": TIME or null, "dry_probes": ID of ctl/serve/dry.h or
// null}.
int serve_plan_run(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
