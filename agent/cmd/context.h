// SPDX-License-Identifier: Apache-2.0
//
// What the commands of edge-agent share: the configuration that --config names, and the way to ask
// a running agent. One function for each command in the files beside; the tables are in
// agent/main.c.
#pragma once

#include "agent/config.h"
#include "base/opt.h"

#define CMD_CONTEXT_CONFIG EDGE_SYSCONFDIR "/edge-agent/agent.json"

struct cmd_context {
    int exit_status; // of a command that ended without an error of ours (verify hands on another's)
};

// Reads what --config names (default CMD_CONTEXT_CONFIG); warnings go to stderr in lenient mode.
int cmd_context_config(const struct opt_args *args, enum agent_config_mode mode,
                       struct agent_config *ret, struct err *e) __attribute__((nonnull));
// What this device finds out about itself. *ret is the caller's.
int cmd_context_facts(const struct agent_config *config, json_t **ret, struct err *e)
    __attribute__((nonnull));
// Asks the running agent {"cmd":cmd}. AGENT_TALK_NOBODY when none runs.
int cmd_context_ask(const struct agent_config *config, const char *cmd, json_t **ret, struct err *e)
    __attribute__((nonnull));
