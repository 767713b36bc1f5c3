// SPDX-License-Identifier: Apache-2.0
//
// Facts about kernel, operating system, memory and processor.
#pragma once

#include <jansson.h>

void facts_system_add(json_t *facts) __attribute__((nonnull));
