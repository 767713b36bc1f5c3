// SPDX-License-Identifier: Apache-2.0
//
// edge-agent install, commit, rollback: through the running agent, or by itself where none runs.
#pragma once

#include "base/opt.h"

int cmd_install_bundle(void *context, const struct opt_args *args, struct err *e);
int cmd_install_commit(void *context, const struct opt_args *args, struct err *e);
int cmd_install_rollback(void *context, const struct opt_args *args, struct err *e);
