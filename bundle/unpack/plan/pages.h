// SPDX-License-Identifier: Apache-2.0
//
// Which pages of the index a plan needs: marked one by one, fetched in runs.
#pragma once

#include "bundle/unpack/plan.h"

// A page by its number behind the head.
void plan_pages_mark(struct unpack_plan *plan, uint64_t page) __attribute__((nonnull));
// Those with the rows of a content: of its chunks, and of the frames that these may lie in.
int plan_pages_mark_content(struct unpack_plan *plan, uint64_t stream, uint64_t bytes, struct err *e)
    __attribute__((nonnull));
// Fetches what is marked and is not there; then nothing is marked.
int plan_pages_fetch(struct unpack_plan *plan, struct err *e) __attribute__((nonnull));
