// SPDX-License-Identifier: Apache-2.0
//
// Where sites are units: what their devices have beside the rows of their sites
// (ctl/rollout/score_member.h). Within ctl/sim/score*.
#pragma once

#include "ctl/sim/score.h"

int sim_score_units_open(struct sim_score *s, struct err *e) __attribute__((nonnull));
void sim_score_units_close(struct sim_score *s) __attribute__((nonnull));
// The row of the device's unit: the device's own, or that of the first device of its site.
static inline size_t sim_score_unit(const struct sim_score *s, size_t device) {
    return s->world->devices[device].unit;
}
// The same as those of score.h, where sites are units.
void sim_score_units_heard(struct sim_score *s, size_t device, const struct sim_score_seen *seen,
                           struct rollout_score_news *ret) __attribute__((nonnull));
void sim_score_units_offered(struct sim_score *s, size_t device, struct rollout_score_news *ret)
    __attribute__((nonnull));
int64_t sim_score_units_deadline_s(const struct sim_score *s, size_t device)
    __attribute__((nonnull));
// Puts the units whose event it is that these devices are silent in their place; how many.
size_t sim_score_units_lost(struct sim_score *s, uint32_t *io, size_t n)
    __attribute__((nonnull(1)));
// Which device each unit's number is of, from the rows.
void sim_score_units_index(struct sim_score *s) __attribute__((nonnull));
