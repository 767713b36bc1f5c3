// SPDX-License-Identifier: Apache-2.0
//
// Looking at a delta as it is stored: for who keeps it and has not the contents that it starts
// from, like a controller that takes it in.
#pragma once

#include "bundle/unpack/delta.h"

// Compares every stored byte with the digest that the head and its frame table name; nothing is
// decoded. Kinds: bad_delta, bad_skeleton, truncated, trailing_data, memory, the source's.
int unpack_delta_check_stored(const struct unpack_delta *delta, const struct unpack_source *source,
                              struct err *e) __attribute__((nonnull));
