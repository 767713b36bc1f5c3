// SPDX-License-Identifier: Apache-2.0
//
// The rows of bundle/kind.h, as data.
#include "bundle/kind.h"

#include <stddef.h>

#define KIND_DEFINE(name_, status_, retry_, text_)                                                 \
    const struct err_kind err_##name_ = {                                                          \
        .name = #name_, .exit_status = (status_), .retry = (retry_), .text = (text_)};
BUNDLE_KINDS(KIND_DEFINE)

#define KIND_POINTER(name_, status_, retry_, text_) &err_##name_,
const struct err_kind *const bundle_kinds[] = {BUNDLE_KINDS(KIND_POINTER) NULL};
