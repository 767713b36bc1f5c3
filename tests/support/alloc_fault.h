// SPDX-License-Identifier: Apache-2.0
//
// Makes the n-th allocation of this thread fail, ours and the libraries'. Linking it puts malloc,
// calloc and realloc of the whole program behind a counter. The usual loop is the one of
// fs_fault.h.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// The at-th allocation from now (0 is the next) returns NULL; with for_ever all that follow as
// well.
void alloc_fault_begin(size_t at, bool for_ever);
// Ends it. Returns whether an allocation was refused.
bool alloc_fault_end(void);
