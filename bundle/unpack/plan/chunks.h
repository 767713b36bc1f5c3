// SPDX-License-Identifier: Apache-2.0
//
// Where the chunks of a content come from: looked for one after another, each either noted or its frame marked.
#pragma once

#include "bundle/unpack/plan.h"

// Plans the content that is the stream's next one. fd: what an earlier try left of it, or -1.
int plan_chunks_take(struct unpack_plan *plan, uint64_t size, int fd, struct err *e) __attribute__((nonnull));
// No more are coming: the last runs go to their tables.
int plan_chunks_end(struct unpack_plan *plan, struct err *e) __attribute__((nonnull));
