// SPDX-License-Identifier: Apache-2.0
//
// The job `probe`: reads a loopback URL or a metrics file and tells the agent the status or the
// value. The agent judges.
#pragma once

#include "agent/worker/voice.h"

#define WORKER_PROBE_TEXT_MAX_BYTES (1024 * 1024)

int worker_probe(struct worker_voice *v, struct err *e) __attribute__((nonnull));
