// SPDX-License-Identifier: Apache-2.0
//
// edge-agent status, enroll, inhibit: short questions to the running agent.
#pragma once

#include "base/opt.h"

int cmd_ask_status(void *context, const struct opt_args *args, struct err *e);
int cmd_ask_enroll(void *context, const struct opt_args *args, struct err *e);
int cmd_ask_inhibit(void *context, const struct opt_args *args, struct err *e);
