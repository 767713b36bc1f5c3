// SPDX-License-Identifier: Apache-2.0
//
// What an offer says beside the bundle: a delta that the device may take instead, and what the
// update may cost its link. Hints both: what a delta is stands in the targets, and a device may
// have a smaller budget of its own. The store's thread.
#pragma once

#include "bundle/instruction.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/server.h"

// Fills delta and budget of an instruction to install, whose bundle and rollout are set. A delta is
// offered to a device whose components, as `components` (of the check-in) has them, are all of the
// bundle that it starts from; it must be named by the current targets, and the smallest counts.
int serve_offer_fill(const struct serve_fleet *fleet, const struct serve_server *server,
                     const json_t *components, struct bundle_instruction *io, struct err *e)
    __attribute__((nonnull(1, 2, 4, 5)));
