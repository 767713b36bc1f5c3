// SPDX-License-Identifier: Apache-2.0
//
// What the windows of a policy add to a stage. Where its devices are, and when the stage will begin, is
// not known: so it is reckoned that it begins when a window has just closed, and waits for each of the
// two for as long as that is ever shut; and that batches follow one another only while the one that is
// open less is open. Coarse, and longer than it takes more often than shorter. Within
// ctl/rollout/plan*.
#pragma once

#include <stdint.h>

#include "bundle/window.h"

// Seconds more, of a stage whose batches take calls_s; 0 without windows.
uint64_t plan_hours_find(const struct bundle_windows *windows, uint64_t calls_s)
    __attribute__((nonnull));
