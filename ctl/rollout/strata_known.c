// SPDX-License-Identifier: Apache-2.0
//
// Strata as devices see them.
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/mandate.h"
#include "ctl/rollout/strata.h"
#include "keys/canon.h"

// A key that is not understood stays as it is.
char *rollout_strata_known(const char *key) {
    OWN(json) json_t *facts = json_loads(key, 0, NULL);
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    const char *name;
    json_t *value;
    void *next;
    buf_init(&text, BUNDLE_STRATUM_KEY_MAX_BYTES);
    json_object_foreach_safe (facts, next, name, value) {
        if (strncmp(name, BUNDLE_MANDATE_LABEL, strlen(BUNDLE_MANDATE_LABEL)) == 0)
            (void)json_object_del(facts, name);
    }
    if (!json_is_object(facts) || keys_canon_format(facts, &text, &e) < 0)
        return err_is(&e, &err_memory) ? NULL : strdup(key);
    return strdup(buf_text(&text));
}

int rollout_strata_group(const char *const *keys, size_t n, uint32_t *ret_groups,
                         size_t *ret_n_groups, struct err *e) {
    char *known[BUNDLE_STRATA_MAX];
    size_t n_known = 0;
    bool ok = n <= BUNDLE_STRATA_MAX;
    for (size_t s = 0; ok && s < n; s++) {
        char *one = rollout_strata_known(keys[s]);
        size_t g = 0;
        ok = one != NULL;
        while (ok && g < n_known && strcmp(known[g], one) != 0)
            g++;
        ret_groups[s] = (uint32_t)g;
        if (ok && g == n_known)
            known[n_known++] = own_take(&one);
        free(one);
    }
    for (size_t g = 0; g < n_known; g++)
        free(known[g]);
    if (!ok)
        return err_set(e, &err_memory, "telling strata apart: out of memory");
    *ret_n_groups = n_known;
    return 0;
}
