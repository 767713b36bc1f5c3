// SPDX-License-Identifier: Apache-2.0
//
// The commands of edgectl: finds the one that was asked for, parses its options, runs it.
#pragma once

#include <stdio.h>

#include "base/err.h"
#include "base/opt.h"

// Runs `edgectl argv[0] argv[1] …` (the words after the program's name). Kinds: any.
int cmd_table_run(int argc, char *const *argv, struct err *e) __attribute__((nonnull));

// All commands, ended by a row without a name. Static.
const struct opt_command *cmd_table_get(void);
