// SPDX-License-Identifier: Apache-2.0
//
// `edgectl rollout failures`: of a rollout that goes back, or went, the devices that did not.
#pragma once

#include "ctl/cmd/rollout.h"

extern const struct opt cmd_rollout_behind_options[];
int cmd_rollout_behind(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));

// For people, on standard output, below what was shown of a rollout in this state: that some of its
// devices did not go back, and what lists them. Nothing where all did, and where the controller does not
// answer: the rollout was shown.
void cmd_rollout_behind_note(const struct opt_args *args, const char *state)
    __attribute__((nonnull));
