// SPDX-License-Identifier: Apache-2.0
//
// Slots of images as the worker has them: to read, by descriptors, and to be written by the scribe
// (agent/scribe.h). What was written is there to be read when the scribe says so, which
// is asked only where something of it may still be on its way.
#pragma once

#include "agent/job.h"
#include "agent/worker/hand.h"
#include "bundle/image.h"

struct worker_slots {
    struct bundle_image_places to, old; // to be written; what runs
    struct worker_hand hand;            // without a scribe `to` is empty
    struct bundle_image_writer writer;
};

// Nothing is there yet.
void worker_slots_init(struct worker_slots *slots) __attribute__((nonnull));
// Shares the descriptors of a PROCEED out; they are its own from now on, also after a failure. Kind
// worker_failed when the agent made a mistake: a component named twice in a list, or no scribe.
int worker_slots_take(struct worker_slots *slots, const struct agent_job_proceed *p, const int *fds,
                      struct err *e) __attribute__((nonnull));
// What was written is on its way to the scribe, as far as it may still be here.
int worker_slots_finish(struct worker_slots *slots, struct err *e) __attribute__((nonnull));
void worker_slots_clear(struct worker_slots *slots) __attribute__((nonnull));
