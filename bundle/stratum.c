// SPDX-License-Identifier: Apache-2.0
//
// The name of a device's stratum.
#include "bundle/stratum.h"

#include "base/own.h"
#include "keys/canon.h"

int bundle_stratum_key(const char (*names)[BUNDLE_FACT_NAME_MAX + 1], size_t n,
                       const struct bundle_facts *facts, struct buf *ret, struct err *e) {
    OWN(json) json_t *key = json_object();
    for (size_t i = 0; i < n; i++) {
        const json_t *value = bundle_facts_find(facts, names[i]);
        json_t *copy = value == NULL ? json_null() : json_copy((json_t *)(uintptr_t)value);
        if (json_object_set_new(key, names[i], copy) < 0)
            return err_set(e, &err_memory, "naming a stratum: out of memory");
    }
    return keys_canon_format(key, ret, e);
}
