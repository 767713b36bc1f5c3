// SPDX-License-Identifier: Apache-2.0
//
// The scribe: a process of the agent's own program that writes images into their slots while they come, for a worker
// that has no descriptor to do so. So what was read back behind it (bundle/seal/follow.h) cannot be changed by anybody
// who parses what came from the network, and the agent need not wait for the worker's end to begin with that.
//
// It takes four kinds of records of one size from a pipe, and judges nothing but their numbers: which image, that no
// byte is written behind its end, and that it lies in the memory that both have (agent/ring.h). A record that is not
// right is the end (worker_failed). It ends when the pipe does.
//
// That something is settled it says on to the agent, in steps. When a byte comes for what was settled, it takes that
// back before the byte is written: then the agent reads all of it when it is done.
//
// What is settled it begins to write to the medium at once, and lets no more than AGENT_SCRIBE_DIRTY_BYTES of it be on the
// way, so that a barrier is short and the page cache is left to others.
#pragma once

#include "base/err.h"

#define AGENT_SCRIBE_OPTION      "--scribe" // how it is started, by the agent
#define AGENT_SCRIBE_STEP_BYTES  (2ULL * 1024 * 1024)
#define AGENT_SCRIBE_DIRTY_BYTES (32ULL * 1024 * 1024)

// The whole process: with the descriptors of agent/job.h. Returns its exit status.
int agent_scribe_run(void);
