// SPDX-License-Identifier: Apache-2.0
//
// What an offer says beside the bundle: a delta that the device may take instead, what the update may
// cost its link, and in which hours of its day it may fetch and install it. What a delta is stands in
// the targets; budget and windows count beside those that a device has of its own. The store's
// thread.
#pragma once

#include "bundle/instruction.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/server.h"

// Fills an instruction whose action, bundle and rollout are set: windows (what is not of its action is
// left out when it is written), and of one to install delta and budget. A delta is
// offered to a device whose components, as `components` (of the check-in) has them, are all of the
// bundle that it starts from; it must be named by the current targets, and the smallest counts.
int serve_offer_fill(const struct serve_fleet *fleet, const struct serve_server *server,
                     const json_t *components, struct bundle_instruction *io, struct err *e)
    __attribute__((nonnull(1, 2, 4, 5)));
