// SPDX-License-Identifier: Apache-2.0
//
// Mandates at the controller (bundle/mandate.h): taken in with a plan, with an approval, with a pin;
// handed out with what devices are told. The controller judges by them as devices do, so that what
// they would refuse is refused here, where a person sees it; it signs none. Where the root has no
// role mandate none of this is called for, and what is given is passed over. The store's thread.
#pragma once

#include "bundle/instruction.h"
#include "ctl/serve/call.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/server.h"

// Whether devices of this root install nothing without one.
bool serve_mandate_is_called_for(const struct serve_server *server) __attribute__((nonnull));

// Tells the engine so, at the start and when the root is another one.
void serve_mandate_know(const struct serve_server *server) __attribute__((nonnull));
// Until when a mandate that was looked for (found: what the store said) holds, as decide.h has it.
struct store_mandate;
int64_t serve_mandate_ends(const struct serve_engine *engine, int found,
                           const struct store_mandate *mandate) __attribute__((nonnull));

// Whether the rollout's mandate has a stage more than the policy, that of those held back.
struct rollout_policy;
bool serve_mandate_holds_back(const struct rollout_policy *policy) __attribute__((nonnull));
// A stratum's bounds as they are signed, of as many stages as the mandate has: nothing of what is held
// back is admitted before the last of them.
void serve_mandate_bounds(const struct rollout_policy *policy, const uint64_t *bounds,
                          uint64_t *ret) __attribute__((nonnull));

// Takes in what came with a rollout that is being applied, whose bounds are found: `envelope` is the
// member of the request, NULL or null when there is none. It has to be of this rollout, its seed and
// release, to allow no less than the rollout's bounds, and to be signed through the stages before
// the first approval at least. No stage of the rollout begins sooner than it says. Kinds: no_mandate, outside_mandate, mandate_expired, those of
// bundle_mandate_verify.
int serve_mandate_apply(struct store_db *db, struct serve_call *call, const json_t *envelope,
                        struct serve_engine_rollout *rollout, struct err *e)
    __attribute__((nonnull(1, 2, 4, 5)));
// Before a stage is approved: takes in a further mandate, when one comes along, and sees to it that the
// stage that waits, and those up to the next approval, are signed for. Kinds as above.
int serve_mandate_approve(struct store_db *db, struct serve_call *call, const json_t *envelope,
                          struct serve_engine_rollout *rollout, struct err *e)
    __attribute__((nonnull(1, 2, 4, 5)));
// For what a finished rollout leaves behind, its baseline: takes in a further mandate. Kinds as above.
int serve_mandate_renew(struct store_db *db, struct serve_call *call, const json_t *envelope,
                        struct serve_engine_rollout *rollout, struct err *e)
    __attribute__((nonnull(1, 2, 4, 5)));
// With a device that is pinned to a release. Kinds as above.
struct serve_mandate_pin {
    const char *device, *name, *release;
};
int serve_mandate_pin(struct store_db *db, struct serve_call *call, const json_t *envelope,
                      const struct serve_mandate_pin *pin, struct err *e)
    __attribute__((nonnull(1, 2, 4, 5)));

// Adds "mandate" to a rollout that is shown: what people signed for it, null when there is nothing.
int serve_mandate_show(struct store_db *db, const struct serve_server *server,
                       const struct serve_engine_rollout *rollout, json_t *io, struct err *e)
    __attribute__((nonnull));

// The stage of the mandate that a device is brought the release in: that of its task, or, when it is held
// back, the one behind all others.
int serve_mandate_stage(const struct serve_engine_rollout *rollout,
                        const struct store_device *device, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
// Says in an instruction to install or activate which mandate it goes by, and which stage it is.
// Nothing is said where none is called for, or there is none: the device refuses then.
int serve_mandate_fill(struct store_db *db, const struct serve_server *server,
                       const struct store_device *device, struct bundle_instruction *io,
                       struct err *e) __attribute__((nonnull));

// GET /mandates/ID.json.
