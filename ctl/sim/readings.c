// SPDX-License-Identifier: Apache-2.0
//
// Metrics of one check-in.
#include "ctl/sim/readings.h"

// What a liar of the good kind sends is as if nothing had changed.
static uint32_t shown_faults(const struct sim_fleet *fleet, const struct sim_device *d) {
    for (size_t i = 0; i < fleet->n_faults; i++)
        if (d->faults >> i & 1 && fleet->faults[i].kind == SIM_FLEET_LIAR &&
            !fleet->faults[i].says_bad)
            return 0;
    return d->faults;
}

// The gate before this one that reads the same metric, or this one.
static size_t same_before(const struct sim_score *score, size_t gate, uint32_t given) {
    size_t same = 0;
    while (same < gate && (score->metric[same] != score->metric[gate] || !(given >> same & 1)))
        same++;
    return same;
}

void sim_readings_take(const struct sim_world_luck *luck, const struct sim_score *score,
                       struct sim_device *d, uint32_t *counters, int64_t now_s,
                       struct sim_device_checkin *io) {
    const struct sim_fleet *fleet = luck->world->fleet;
    const struct rollout_gates *gates = &luck->world->policy->gates;
    uint32_t faults = shown_faults(fleet, d), *own = &counters[d->index * gates->n];
    for (size_t g = 0; g < gates->n && score != NULL; g++) {
        size_t m = score->metric[g];
        if (gates->gate[g].metric[0] == '\0' || m >= fleet->n_metrics)
            continue;
        // One reading serves all gates of a metric.
        size_t same = same_before(score, g, io->given);
        bool fresh = same == g;
        if (fresh && fleet->metrics[m].is_counter)
            own[g] +=
                sim_world_count(luck, m, d->counted_s, now_s, d->running_s, faults, &d->readings);
        if (!fresh)
            io->nano[g] = io->nano[same];
        else if (fleet->metrics[m].is_counter)
            io->nano[g] = (int64_t)own[g] * NUM_DECIMAL_SCALE;
        else
            io->nano[g] =
                sim_world_read(luck, d->index, m, now_s, d->running_s, faults, &d->readings);
        io->given |= 1U << g;
    }
    d->counted_s = now_s;
}
