// SPDX-License-Identifier: Apache-2.0
//
// The unit of a rollout's evidence: what is drawn, admitted and compared. A device, or, where devices
// influence their neighbours (a gateway, a load, a line that they share), the whole site:
// `"evidence": {"unit": "site", "site": FACT}`.
//
// Why whole sites. The gates' promise rests on arms dealt by the keyed hash alone. Devices of one site
// fail together, and what one of them runs is felt by the others: dealt one by one, a site's devices
// are no independent draws (the variance of a difference grows by 1 + (m - 1) ρ, of m devices a site
// with the intra-cluster correlation ρ), and the comparison arm is no picture of what would be without
// the release. Dealt and counted as a whole, a site is one draw, whatever goes on inside of it: the
// unit of randomisation is the unit of analysis, and every test stays what it is, with sites for devices.
// It costs power, for a site counts once however many devices it has: plan says how many sites there are
// and what they can see.
// Sources: Donner & Klar, Design and Analysis of Cluster Randomization Trials in Health Research, 2000,
// chapters 1 and 5 (design effect; analysis of one summary a cluster); Hayes & Moulton, Cluster
// Randomised Trials, 2nd ed. 2017, chapters 2 and 10 (the same; few clusters a stratum).
//
// In sites: ranks, bounds, the hold-back, stages by percent and by count, strata (all devices of a site
// are of one), what gates count, sight. In devices: stages that name devices (named ones are never
// evidence), how many may be without an outcome, batches, rates. A batch that ends within a site is
// none: a rank is admitted or it is not.
//
// Names are bundle/unit.h's. Labels are the controller's word and no device can check them: where people
// sign mandates (bundle/mandate.h) a rollout by sites needs a fact that devices report. A device whose
// site changes is of the site that it says at the moment; what was counted stays where it was.
//
// Pure.
#pragma once

#include "bundle/facts.h"
#include "bundle/rank.h"
#include "bundle/unit.h"
#include "ctl/rollout/gates.h"

#define ROLLOUT_UNIT_ID_MAX BUNDLE_UNIT_MAX

// Whether whole sites are what is drawn. Without gates devices are.
static inline bool rollout_unit_is_site(const struct rollout_gates *gates) {
    return gates->n > 0 && gates->unit == ROLLOUT_UNIT_SITE;
}

// The device's unit; facts with its labels. ROLLOUT_UNIT_ALONE when the unit is the device, ret its id,
// else 0. Never fails.
enum { ROLLOUT_UNIT_ALONE = BUNDLE_UNIT_ALONE };
int rollout_unit_of(const struct rollout_gates *gates, const char *device,
                    const struct bundle_facts *facts, char ret[static ROLLOUT_UNIT_ID_MAX + 1])
    __attribute__((nonnull));

// The unit's place in the rollout's order, which is that of all its devices.
uint64_t rollout_unit_rank(const struct rollout_gates *gates, const char *device,
                           const struct bundle_facts *facts,
                           const uint8_t seed[static BUNDLE_RANK_SEED_BYTES])
    __attribute__((nonnull));
