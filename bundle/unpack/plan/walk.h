// SPDX-License-Identifier: Apache-2.0
//
// The new trees beside the old ones, for a plan: once to see which pages of the index are needed, once to cut what is held and is not the same in
// both, once to plan. What the device has of an older generation beside it counts as held too.
#pragma once

#include "bundle/unpack/plan.h"

enum plan_walk { PLAN_WALK_MARK, PLAN_WALK_CUT, PLAN_WALK_PLAN };

// Walks all contents but the trees. Kinds: bad_tree, bad_path, those of what is done on the way.
int plan_walk(struct unpack_plan *plan, enum plan_walk what, const int *trees, struct err *e) __attribute__((nonnull));
