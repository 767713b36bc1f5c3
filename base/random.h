// SPDX-License-Identifier: Apache-2.0
//
// Unpredictable bytes from the kernel (getrandom), for nonces and jitter. Seeded, repeatable
// choices are made elsewhere.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Fills the array; blocks only before the kernel's pool is first seeded; aborts if the kernel
// cannot (nothing sane can follow).
void random_fill(void *ret, size_t len) __attribute__((nonnull));
// Uniform in [0, bound); bound 0 gives 0.
uint64_t random_below(uint64_t bound);
