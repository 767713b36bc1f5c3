// SPDX-License-Identifier: Apache-2.0
//
// The job "judge" (agent/job.h): the same client workflow once more, over what the refresh left, in
// a process that never had a network and cannot get one. What it says is the verdict
// (agent/trust/verdict.h).
#pragma once

#include "agent/worker/voice.h"

#define WORKER_JUDGE_INCOMING_FD AGENT_JOB_FIRST_FD
#define WORKER_JUDGE_TRUSTED_FD  (AGENT_JOB_FIRST_FD + 1)
#define WORKER_JUDGE_VERDICT_FD  (AGENT_JOB_FIRST_FD + 2)

int worker_judge(struct worker_voice *v, struct err *e) __attribute__((nonnull));
