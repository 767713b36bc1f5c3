// SPDX-License-Identifier: Apache-2.0
//
// Facts about inference runtimes, by the presence of their libraries: no package manager is asked,
// so that it works on images without one. The version is the longest one that a file name carries.
#pragma once

#include <jansson.h>

void facts_runtime_add(json_t *facts) __attribute__((nonnull));
