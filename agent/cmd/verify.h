// SPDX-License-Identifier: Apache-2.0
//
// edge-agent verify: a whole bundle, read and checked by the worker (which has the decoder),
// nothing written. Exit status and error line are the worker's own. And how commands have the
// worker do such a thing.
#pragma once

#include "agent/cmd/context.h"

// Runs the worker with these arguments, of which the first is its place, and its stdout there; it
// says itself what is wrong. *ret_status is its exit status. Kind worker_failed, those of
// proc_start.
int cmd_verify_run(const struct agent_config *config, const char **argv, int stdout_fd,
                   int *ret_status, struct err *e) __attribute__((nonnull));
int cmd_verify_file(void *context, const struct opt_args *args, struct err *e);
