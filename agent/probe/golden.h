// SPDX-License-Identifier: Apache-2.0
//
// Judging a golden probe: what to write to the runner, and what its answers mean.
//
//   agent   INPUT PATH \n              for each case
//   runner  OUTPUT PATH \t LATENCY_US \n   in the same order; the output lies in EDGE_SCRATCH
//
// The outputs are read only from that directory, as regular files, without following links.
#pragma once

#include "agent/probe/command.h"
#include "agent/task.h"

#define PROBE_GOLDEN_OUTPUT_MAX (16 * 1024 * 1024) // bytes of one output

// Appends the lines for the runner.
int probe_golden_input(const struct bundle_probe *probe, const struct probe_command *command,
                       struct buf *ret, struct err *e) __attribute__((nonnull));
// Compares all outputs, the 95th percentile of latency and the peak of memory. Kind probe_failed.
int probe_golden_judge(const struct bundle_probe *probe, const struct probe_command *command,
                       int state_dir, const struct agent_task_result *result, struct err *e)
    __attribute__((nonnull));
