// SPDX-License-Identifier: Apache-2.0
//
// Fetching over the network: which packing of the update is taken (agent/worker/way.h), what is done
// when a delta proves wrong, and what all of it may cost (agent/worker/spend.h).
#pragma once

#include "agent/worker/staging.h"

// s->spend is set here. Kinds of worker_staging and of downloads; budget when nothing that is on
// offer fits.
int worker_haul(struct worker_staging *s, struct err *e) __attribute__((nonnull));
