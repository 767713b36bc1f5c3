// SPDX-License-Identifier: Apache-2.0
//
// One simulated rollout as a picture: how many devices were offered the release, committed it and
// failed over time, in which stage; and, where the policy has gates of evidence, how the evidence
// went against the level at which it stops. As SVG, and in characters for a terminal.
#pragma once

#include "base/buf.h"
#include "ctl/sim/run.h"

#define SIM_DRAW_SVG_MAX_BYTES (2 * 1024 * 1024)

// Appends a picture of a run whose samples were kept. Kinds: limit, memory.
int sim_draw_svg(const struct sim_world *world, const struct sim_run_result *result,
                 struct buf *ret, struct err *e) __attribute__((nonnull));
// The same in lines of `columns` characters at most (40 and more).
int sim_draw_text(const struct sim_world *world, const struct sim_run_result *result,
                  unsigned columns, struct buf *ret, struct err *e) __attribute__((nonnull));
