// SPDX-License-Identifier: Apache-2.0
//
// edge-agent verify: a whole bundle, read and checked by the worker (which has the decoder),
// nothing written. Exit status and error line are the worker's own.
#pragma once

#include "base/opt.h"

int cmd_verify_file(void *context, const struct opt_args *args, struct err *e);
