// SPDX-License-Identifier: Apache-2.0
//
// Canonical JSON (OLPC, as TUF uses it): no white space, keys sorted by bytes, strings in UTF-8
// with only `"` and `\` escaped, integers without leading zeros, no floating point. The same value
// always gives the same bytes. Control characters in a string stand for themselves, a line feed
// too, as canonical JSON wants and JSON forbids; NUL has no form at all.
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/doc.h"
#include "base/err.h"

// Appends the canonical form of a value nested at most DOC_DEPTH_MAX deep. Kinds: limit, memory,
// not_canonical (a real number, a NUL in a string).
int keys_canon_format(const json_t *value, struct buf *ret, struct err *e) __attribute__((nonnull));

// Parses text (an object or an array) that must already be canonical: the value is parsed strictly,
// formatted again and compared byte for byte. *ret is the caller's. Kinds: syntax, limit,
// not_canonical, memory.
int keys_canon_parse(struct slice text, const char *what, const struct doc_limits *limits,
                     json_t **ret, struct err *e) __attribute__((nonnull));
