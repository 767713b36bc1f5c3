// SPDX-License-Identifier: Apache-2.0
//
// `edgectl rollout failures`: of a rollout that goes back, or went, the devices that did not.
#pragma once

#include "ctl/cmd/rollout.h"

extern const struct opt cmd_rollout_behind_options[];
int cmd_rollout_behind(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
