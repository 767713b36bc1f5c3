// SPDX-License-Identifier: Apache-2.0
//
// edge-agent run, check, inventory.
#pragma once

#include "base/opt.h"

int cmd_serve_run(void *context, const struct opt_args *args, struct err *e);
int cmd_serve_check(void *context, const struct opt_args *args, struct err *e);
int cmd_serve_inventory(void *context, const struct opt_args *args, struct err *e);
