// SPDX-License-Identifier: Apache-2.0
//
// Units by site.
#include "bundle/unit.h"

#include <stdio.h>

_Static_assert(BUNDLE_DEVICE_ID_MAX <= BUNDLE_UNIT_MAX, "a device's id is a unit's name");

int bundle_unit_by(const char *device, const char *site, char ret[static BUNDLE_UNIT_MAX + 1]) {
    if (site == NULL || site[0] == '\0') {
        (void)snprintf(ret, BUNDLE_UNIT_MAX + 1, "%s", device);
        return BUNDLE_UNIT_ALONE;
    }
    (void)snprintf(ret, BUNDLE_UNIT_MAX + 1, "%s%s", BUNDLE_UNIT_SITE, site);
    return 0;
}

int bundle_unit(const char *device, const char *fact, const struct bundle_facts *facts,
                char ret[static BUNDLE_UNIT_MAX + 1]) {
    return bundle_unit_by(device, json_string_value(bundle_facts_find(facts, fact)), ret);
}
