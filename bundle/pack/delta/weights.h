// SPDX-License-Identifier: Apache-2.0
//
// Contents that hold weights (bundle/pack/model/find.h): arrays that stayed are copied, others are
// coded as the numbers they are where that is smaller on a sample, from the old array of the same
// name or on their own; what lies between them is matched like other bytes.
#pragma once

#include "bundle/pack/delta/frame.h"
#include "bundle/pack/delta/match.h"

// Appends records that make the whole content; PACK_DELTA_WEIGHTS_NONE, and nothing, when it has no
// array that is better coded as numbers. Kinds: memory, the siblings'.
enum { PACK_DELTA_WEIGHTS_NONE = 1 };
int pack_delta_weights(const struct pack_delta_item *item, struct pack_delta_match_records *ret,
                       struct err *e) __attribute__((nonnull));

// Makes one tensor frame of as many bytes as fit into max_bytes, from position *at of spans[*next]
// on, which all are weights; both say afterwards where the next frame begins. Appends the stored
// bytes. Kinds: memory, limit.
int pack_delta_weights_frame(struct slice old, const struct pack_delta_span *spans, size_t n,
                             size_t max_bytes, size_t *next, uint64_t *at, struct buf *ret,
                             struct err *e) __attribute__((nonnull));
