// SPDX-License-Identifier: Apache-2.0
//
// `edgectl device`: what its verbs that only look (device_show.c) give to the table in device.c.
#pragma once

#include "ctl/cmd/nouns.h"

extern const struct opt cmd_device_list_options[], cmd_device_show_options[];
int cmd_device_list(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_device_show(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_device_why(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
