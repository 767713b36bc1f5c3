// SPDX-License-Identifier: Apache-2.0
//
// The job "refresh" (agent/job.h): The Update Framework's client workflow over the network. Each
// file has the ceiling of its role, the least rate of the configuration holds, and the whole has a
// deadline. The repository gets no token: anybody may read it, and any server may hold it.
#pragma once

#include "agent/worker/voice.h"

#define WORKER_REFRESH_INCOMING_FD AGENT_JOB_FIRST_FD
#define WORKER_REFRESH_TRUSTED_FD  (AGENT_JOB_FIRST_FD + 1)

int worker_refresh(struct worker_voice *v, struct err *e) __attribute__((nonnull));
