// SPDX-License-Identifier: Apache-2.0
//
// What holds a rollout, and what its gates of evidence say.
#pragma once

#include <stdio.h>

#include <jansson.h>

#include "ctl/cmd/nouns.h"

// How far the open stage is open, and what the gates say: a line for each. Nothing when it has
// neither batches nor gates.
void cmd_rollout_show_evidence(FILE *out, const json_t *rollout) __attribute__((nonnull));
// `edgectl rollout why NAME`.
int cmd_rollout_why(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
