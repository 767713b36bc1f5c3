// SPDX-License-Identifier: Apache-2.0
//
// YAML into the values that JSON would have given, by a small and predictable part of YAML 1.2:
//
//   - one document; mappings with scalar keys, sequences, scalars, in block or flow style;
//   - a plain scalar is true, false, null (or nothing, or ~), an integer in plain decimal, or text.
//     Everything else stays text as it was written: `version: 1.10` is "1.10", `approve: yes` is
//     "yes", 010 is "010". There is no floating point: decimals are text, which the readers of our
//     documents take;
//   - a quoted or block scalar is text.
//
// Refused: anchors and aliases (a few lines could stand for gigabytes), tags, keys that are not
// scalars or that stand twice, a second document, depth and number of values above the limits.
// Errors name line and column.
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

#define CTL_YAML_DEPTH_MAX  32
#define CTL_YAML_VALUES_MAX 16384
#define CTL_YAML_BYTES_MAX  (1024 * 1024)

// `what` (the file's name) leads the errors. *ret is the caller's. Kinds: syntax, limit, memory.
int ctl_yaml_parse(struct slice text, const char *what, json_t **ret, struct err *e)
    __attribute__((nonnull));
