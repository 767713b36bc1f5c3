// SPDX-License-Identifier: Apache-2.0
//
// Arrays of weights as the difference from older ones, or on their own; what bundle/tensor/decode.h
// undoes. Only builders link this. What is made is one *section*; a tensor frame is any number of
// sections, one after the other, whose outputs join without a gap.
#pragma once

#include "base/buf.h"
#include "bundle/tensor/shape.h"

// Least room for a section: below this nothing is tried.
#define TENSOR_ENCODE_MIN_BYTES (64 * 1024)

// Appends one section to *ret, at most max_bytes long (>= TENSOR_ENCODE_MIN_BYTES), that makes the
// first *ret_taken bytes of `new` again: all of them, or as many as the room allows, a multiple of
// an element's size and at least one element. The rest is for a section in the next frame (with
// first_column moved on).
//
// old: as many bytes as `new`, which the device reads from old_address on; or none (len 0), and the
// array is coded on its own. new.len is a multiple of the element's size and not 0. A section that
// came out larger than what it makes is still right; who calls compares. Deterministic.
// Kinds: usage (sizes that break these rules), memory, limit (ret's ceiling).
int tensor_encode(const struct tensor_shape *what, struct slice old, uint64_t old_address,
                  struct slice new, size_t max_bytes, struct buf *ret, size_t *ret_taken,
                  struct err *e) __attribute__((nonnull, warn_unused_result));
