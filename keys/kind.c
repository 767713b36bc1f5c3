// SPDX-License-Identifier: Apache-2.0
//
// The rows of keys/kind.h as objects, and the table of them.
#include "keys/kind.h"

#include <stddef.h>

#define KIND_DEFINE(name_, status_, retry_, text_)                                                 \
    const struct err_kind err_##name_ = {                                                          \
        .name = #name_, .exit_status = (status_), .retry = (retry_), .text = (text_)};
KEYS_KINDS(KIND_DEFINE)

#define KIND_ROW(name_, status_, retry_, text_) &err_##name_,
const struct err_kind *const keys_kinds[] = {KEYS_KINDS(KIND_ROW) NULL};
