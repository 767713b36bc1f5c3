// SPDX-License-Identifier: Apache-2.0
//
// What a rollout draws: the device, or its whole site. A unit's rank (rank.h) is the keyed hash of its
// name, so that all devices of a site have the same one and a bound admits whole sites.
//
//   the device    its id
//   the site      "site:" and the device's value of the fact that names sites. Only text that is not
//                 empty is a name; a device that has no such fact is a unit of its own, by its id
//
// A device's id has no ':' in it (base/text.h, text_is_name): names of the two kinds differ. The
// controller and the device find the same one from the same facts (FORMAT.md §20).
#pragma once

#include "bundle/facts.h"

#define BUNDLE_UNIT_SITE "site:" // how the names of sites begin
#define BUNDLE_UNIT_MAX  (sizeof BUNDLE_UNIT_SITE - 1 + BUNDLE_FACT_VALUE_MAX)

enum { BUNDLE_UNIT_ALONE = 1 };

// The name of the device's unit, by its site (NULL: it has none), or by its value of this fact.
// BUNDLE_UNIT_ALONE when it has none: then the name is its id. Never fails; a longer site is cut.
int bundle_unit_by(const char *device, const char *site, char ret[static BUNDLE_UNIT_MAX + 1])
    __attribute__((nonnull(1, 3)));
int bundle_unit(const char *device, const char *fact, const struct bundle_facts *facts,
                char ret[static BUNDLE_UNIT_MAX + 1]) __attribute__((nonnull));
