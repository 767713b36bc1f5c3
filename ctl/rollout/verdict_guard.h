// SPDX-License-Identifier: Apache-2.0
//
// What a guard that is exceeded rests on. A guard needs no statistics, but it is a mean: a single
// device that lies, or one in a heavy tail, moves it. So it is asked like every stop how many devices
// it rests on, the worst first, and whether it is one cluster's. Pure.
#pragma once

#include "ctl/rollout/verdict.h"

// Sets what a verdict says of the guard of judgement->guard_gate: guard_exceeded, or as a doubt
// one_cluster or fragile. Kind: memory.
int rollout_verdict_guard(const struct rollout_verdict_case *of, struct rollout_verdict *ret,
                          struct err *e) __attribute__((nonnull));
