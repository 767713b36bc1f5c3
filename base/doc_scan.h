// SPDX-License-Identifier: Apache-2.0
//
// Inside base/doc only: the whole JSON grammar (RFC 8259) checked in the bytes, without recursion
// and without memory, before anything is built from them. What passes is what the JSON library
// takes as well, but for duplicate keys and real numbers too large for a double, which only it
// refuses; and it takes a NUL behind a number, which is refused here. A fuzz target holds the two
// against each other.
#pragma once

#include "base/doc.h"

// Kinds: syntax, limit. The error begins with `what` and names line and column.
int doc_scan(struct slice text, const char *what, const struct doc_limits *limits, struct err *e)
    __attribute__((nonnull));
