// SPDX-License-Identifier: Apache-2.0
//
// What an instruction of the director does on this device.
#pragma once

#include "agent/state.h"
#include "agent/update.h"
#include "base/buf.h"

// Verifies and carries out one. Kinds: those of bundle_instruction_verify, of agent_update_offer
// and agent_update_ask; what could not be done is also queued as a report when it named an update.
int checkin_instruction_obey(struct agent_state *state, struct agent_update *update,
                             struct slice raw, struct err *e) __attribute__((nonnull));
