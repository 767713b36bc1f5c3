// SPDX-License-Identifier: Apache-2.0
//
// Facts about the board and its accelerators, from sysfs alone: no device is opened.
#pragma once

#include <jansson.h>

void facts_hardware_add(json_t *facts) __attribute__((nonnull));
