// SPDX-License-Identifier: Apache-2.0
//
// `edgectl key`: what its verbs, in several files, share.
#pragma once

#include "ctl/cmd/nouns.h"

extern const struct opt cmd_key_rotate_options[], cmd_key_revoke_options[], cmd_key_add_options[];
// The verbs that make a next root: ctl/cmd/key_change.c.
int cmd_key_rotate(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_key_revoke(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_key_add(void *context, const struct opt_args *args, struct err *e) __attribute__((nonnull));
