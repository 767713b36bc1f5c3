// SPDX-License-Identifier: Apache-2.0
//
// A runner's command line, user, limits, environment and scratch directory.
#pragma once

#include "agent/config.h"
#include "base/fs.h"
#include "base/proc.h"
#include "bundle/probe.h"

#define PROBE_COMMAND_ARGV_MAX (AGENT_CONFIG_ARGV_MAX + BUNDLE_PROBE_ARGS_MAX)
#define PROBE_COMMAND_ENV_MAX  8

struct probe_command {
    char *text; // owned: every string below lies in it
    const char *argv[PROBE_COMMAND_ARGV_MAX + 1];
    const char *env[PROBE_COMMAND_ENV_MAX + 1];
    struct proc_limits limits;
    char component[FS_PATH_BYTES]; // directory of the component
    char scratch_name[64];         // below the state directory; "" before it was made
    char scratch[FS_PATH_BYTES];   // its absolute path
};

// Kinds: runner_missing, config (no such user), permission (root without allow_root), limit.
int probe_command_make(const struct agent_config *config, const struct bundle_probe *probe,
                       int state_dir, uint64_t generation, struct probe_command *ret, struct err *e)
    __attribute__((nonnull));
// Removes the scratch directory and frees.
void probe_command_clear(struct probe_command *command, int state_dir) __attribute__((nonnull));
