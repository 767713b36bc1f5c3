// SPDX-License-Identifier: Apache-2.0
//
// The rows of agent/kind.h as objects, and the table of them.
#include "agent/kind.h"

#include <stddef.h>

#define KIND_DEFINE(name_, status_, retry_, text_)                                                 \
    const struct err_kind err_##name_ = {                                                          \
        .name = #name_, .exit_status = (status_), .retry = (retry_), .text = (text_)};
AGENT_KINDS(KIND_DEFINE)

#define KIND_ROW(name_, status_, retry_, text_) &err_##name_,
const struct err_kind *const agent_kinds[] = {AGENT_KINDS(KIND_ROW) NULL};
