// SPDX-License-Identifier: Apache-2.0
//
// Which unit a device is of.
#include "ctl/rollout/unit.h"

#include <stdio.h>

int rollout_unit_of(const struct rollout_gates *gates, const char *device,
                    const struct bundle_facts *facts, char ret[static ROLLOUT_UNIT_ID_MAX + 1]) {
    // A policy that was kept by an older controller names no fact.
    const char *fact = gates->site[0] == '\0' ? ROLLOUT_GATES_SITE_DEFAULT : gates->site;
    if (rollout_unit_is_site(gates))
        return bundle_unit(device, fact, facts, ret);
    (void)snprintf(ret, ROLLOUT_UNIT_ID_MAX + 1, "%s", device);
    return ROLLOUT_UNIT_ALONE;
}

uint64_t rollout_unit_rank(const struct rollout_gates *gates, const char *device,
                           const struct bundle_facts *facts,
                           const uint8_t seed[static BUNDLE_RANK_SEED_BYTES]) {
    char unit[ROLLOUT_UNIT_ID_MAX + 1];
    (void)rollout_unit_of(gates, device, facts, unit);
    return bundle_rank(unit, seed);
}
