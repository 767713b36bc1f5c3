// SPDX-License-Identifier: Apache-2.0
//
// The state of each e-process as one line of text, for a column of the store:
//
//     events 1 12 0 -8147483 …        kind, version, then every number of the struct in its order
//
// Decimal integers, separated by one blank, nothing else: what is parsed is exactly what was
// formatted, or it is refused. A line is at most EVIDENCE_STATE_MAX_BYTES.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "ctl/rollout/evidence/events.h"
#include "ctl/rollout/evidence/install.h"
#include "ctl/rollout/evidence/rank.h"

#define EVIDENCE_STATE_MAX_BYTES 4096

// Each appends the line of a state. Kinds: limit, memory.
int evidence_state_format_events(const struct evidence_events *state, struct buf *ret,
                                 struct err *e) __attribute__((nonnull));
int evidence_state_format_rank(const struct evidence_rank *state, struct buf *ret, struct err *e)
    __attribute__((nonnull));
int evidence_state_format_install(const struct evidence_install *state, struct buf *ret,
                                  struct err *e) __attribute__((nonnull));

// Each reads one whole line. Kinds: syntax, newer_format (a version this program does not know).
int evidence_state_parse_events(const char *text, struct evidence_events *ret, struct err *e)
    __attribute__((nonnull));
int evidence_state_parse_rank(const char *text, struct evidence_rank *ret, struct err *e)
    __attribute__((nonnull));
int evidence_state_parse_install(const char *text, struct evidence_install *ret, struct err *e)
    __attribute__((nonnull));
