// SPDX-License-Identifier: Apache-2.0
//
// `edgectl rollout plan --dry-probes`: asks a sample of the fleet what the release's own `after` probes
// say of it today, waits for answers, and shows what the plan has of them.
#pragma once

#include "ctl/cmd/rollout.h"

#define CMD_ROLLOUT_DRY_OPTIONS                                                                    \
    {.name = "dry-probes", .help = "Ask devices what the release's own probes say of them today"}, \
        {.name = "sample",                                                                         \
         .value = "N",                                                                             \
         .help = "With --dry-probes: of how many devices (default 100)"},                          \
    {                                                                                              \
        .name = "wait", .value = "TIME",                                                           \
        .help = "With --dry-probes: for how long answers are waited for (default 10m)"             \
    }

// Whether the options go together. Kind usage.
int cmd_rollout_dry_check(const struct opt_args *args, struct err *e) __attribute__((nonnull));
// Asks about the release of the policy in *io, {"policy": …}, the body of a plan's request; waits until
// all who were chosen answered, or the time is over; and names what came in it. Nothing without
// --dry-probes.
int cmd_rollout_dry_ask(const struct cmd_context *context, const struct opt_args *args,
                        struct net_client *client, json_t *io, struct err *e)
    __attribute__((nonnull));
// What a plan says of them, in lines for people; nothing when nobody was asked.
void cmd_rollout_dry_show(FILE *out, const json_t *plan) __attribute__((nonnull));
