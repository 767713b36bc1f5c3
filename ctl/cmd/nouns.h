// SPDX-License-Identifier: Apache-2.0
//
// The nouns of edgectl. Each has a file of its own, ctl/cmd/NOUN.c, and of each file one table is
// seen: its commands with their options, their help, and what they do. cmd_table joins them.
#pragma once

#include "base/chrono.h"
#include "base/opt.h"

// What a command gets beside its arguments.
struct cmd_context {
    const struct chrono *clock;
};

// Each ends with a row whose name is NULL.
extern const struct opt_command cmd_init[], cmd_key[], cmd_bundle[], cmd_image[];
extern const struct opt_command cmd_serve[], cmd_completion[];
extern const struct opt_command cmd_release[], cmd_device[], cmd_token[], cmd_rollout[];
extern const struct opt_command cmd_fleet[], cmd_events[], cmd_root[], cmd_sign[];
extern const struct opt_command cmd_simulate[];

// Options that several commands have.
#define CMD_OPTION_END                                                                             \
    { .name = NULL }
#define CMD_OPTION_JSON                                                                            \
    { .name = "json", .help = "Print JSON" }
