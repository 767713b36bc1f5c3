// SPDX-License-Identifier: Apache-2.0
//
// The rows of ctl/kind.h as objects, and the table of them.
#include "ctl/kind.h"

#include <stddef.h>

#define KIND_DEFINE(name_, status_, retry_, text_)                                                 \
    const struct err_kind err_##name_ = {                                                          \
        .name = #name_, .exit_status = (status_), .retry = (retry_), .text = (text_)};
CTL_KINDS(KIND_DEFINE)

#define KIND_ROW(name_, status_, retry_, text_) &err_##name_,
const struct err_kind *const ctl_kinds[] = {CTL_KINDS(KIND_ROW) NULL};
