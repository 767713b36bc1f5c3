// SPDX-License-Identifier: Apache-2.0
//
// A score (score.h) as lines of text, for columns of a store. In the way of evidence/state.h: what
// is parsed is exactly what was formatted, or it is refused, so that two states are equal when their
// lines are.
//
//   gate        the line of its evidence (evidence/state.h)
//   shared      "score 2 RUN EPOCH …": all else of the score, the numbers at risk included; 1 is
//               without trials
//   sites       "sites 1 EPOCH (AT SITE STRATUM …)*": cells of one block that are in use
//   device      "device 2 RUN ARM …": one device's row; 1 is without a site
//               and trials
//               With sites as units (unit.h) both end with what the site's devices come to.
//   member      "member 1 RUN …": one device of a site (score_state_member.c)
//   progress    "progress 2 …": what advance.h keeps for evidence beside the stages; 1 is without
//               pauses
#pragma once

#include "base/buf.h"
#include "ctl/rollout/advance.h"
#include "ctl/rollout/line.h"
#include "ctl/rollout/score.h"
#include "ctl/rollout/score_member.h"

#define ROLLOUT_SCORE_LINE_MAX_BYTES ROLLOUT_LINE_MAX_BYTES

// Each appends a line. Kinds: limit, memory.
int rollout_score_state_format_gate(const struct rollout_score *score,
                                    const struct rollout_gates *gates, size_t gate, struct buf *ret,
                                    struct err *e) __attribute__((nonnull));
int rollout_score_state_format_shared(const struct rollout_score *score,
                                      const struct rollout_gates *gates, struct buf *ret,
                                      struct err *e) __attribute__((nonnull));
// block: below ROLLOUT_SCORE_SITE_BLOCKS.
int rollout_score_state_format_sites(const struct rollout_score *score, size_t block,
                                     struct buf *ret, struct err *e) __attribute__((nonnull));
int rollout_score_state_format_device(const struct rollout_score_device *device,
                                      const struct rollout_gates *gates, struct buf *ret,
                                      struct err *e) __attribute__((nonnull));
int rollout_score_state_format_member(const struct rollout_score_member *member,
                                      const struct rollout_gates *gates, struct buf *ret,
                                      struct err *e) __attribute__((nonnull));
int rollout_score_state_format_progress(const struct rollout_progress *progress, struct buf *ret,
                                        struct err *e) __attribute__((nonnull));

// Each reads one whole line into the part of *io that it is about; on failure *io is untouched. The
// lines may be read in any order: those of sites are taken in an epoch that is not before what was
// read, and dropped when another one is. Kinds: syntax, newer_format.
int rollout_score_state_parse_gate(const char *text, const struct rollout_gates *gates, size_t gate,
                                   struct rollout_score *io, struct err *e)
    __attribute__((nonnull));
int rollout_score_state_parse_shared(const char *text, const struct rollout_gates *gates,
                                     struct rollout_score *io, struct err *e)
    __attribute__((nonnull));
int rollout_score_state_parse_sites(const char *text, struct rollout_score *io, struct err *e)
    __attribute__((nonnull));
int rollout_score_state_parse_device(const char *text, const struct rollout_gates *gates,
                                     struct rollout_score_device *ret, struct err *e)
    __attribute__((nonnull));
int rollout_score_state_parse_member(const char *text, const struct rollout_gates *gates,
                                     struct rollout_score_member *ret, struct err *e)
    __attribute__((nonnull));
int rollout_score_state_parse_progress(const char *text, struct rollout_progress *io, struct err *e)
    __attribute__((nonnull));
