// SPDX-License-Identifier: Apache-2.0
//
// `edgectl root`: what its verbs, in several files, share.
#pragma once

#include "ctl/cmd/nouns.h"

// ctl/cmd/root_status.c
extern const struct opt cmd_root_status_options[];
int cmd_root_status(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
