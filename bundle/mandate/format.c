// SPDX-License-Identifier: Apache-2.0
//
// Mandates written. What is written is read back by the rules of reading before it is handed out.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/mandate/parts.h"
#include "keys/canon.h"

#define BOUNDS_CHARS (BUNDLE_MANDATE_STAGES_MAX * MANDATE_BOUND_CHARS + 1)

static char *format_bounds(const uint64_t *bounds, size_t n, char ret[static BOUNDS_CHARS]) {
    for (size_t i = 0; i < n; i++)
        (void)snprintf(ret + i * MANDATE_BOUND_CHARS, MANDATE_BOUND_CHARS + 1, "%016llx",
                       (unsigned long long)bounds[i]);
    return ret;
}

static json_t *whole(json_t *list, bool ok) {
    if (ok)
        return list;
    json_decref(list);
    return NULL;
}

// Takes the value over; a NULL one is want of memory, and so is what cannot be added.
static bool append(json_t *list, json_t *value) {
    return json_array_append_new(list, value) == 0;
}

static json_t *format_bundles(const struct bundle_mandate_content *c) {
    json_t *list = json_array();
    char hex[KEYS_DIGEST_HEX];
    bool ok = list;
    for (size_t i = 0; ok && i < c->n_bundles; i++)
        ok = append(list, json_string(keys_digest_hex(&c->bundles[i], hex)));
    return whole(list, ok);
}

static json_t *format_stages(const struct bundle_mandate_content *c) {
    json_t *list = json_array();
    char at[CHRONO_TEXT_BYTES];
    bool ok = list;
    for (size_t i = 0; ok && i < c->n_stages; i++) {
        const struct bundle_mandate_stage *stage = &c->stages[i];
        json_t *one = json_pack("{s:s}", "name", stage->name);
        ok = append(list, one);
        if (ok && stage->not_before_s > 0)
            ok = json_object_set_new(one, "not_before",
                                     json_string(chrono_format(stage->not_before_s, at))) == 0;
        if (ok && stage->approve)
            ok = json_object_set_new(one, "approve", json_true()) == 0;
        if (ok && stage->devices)
            ok = json_object_set_new(one, "devices", json_deep_copy(stage->devices)) == 0;
        if (ok && stage->steps)
            ok = json_object_set_new(one, "steps", json_deep_copy(stage->steps)) == 0;
    }
    return whole(list, ok);
}

static int by_key(const void *left, const void *right) {
    const struct bundle_mandate_stratum *const *a = left, *const *b = right;
    return strcmp((*a)->key, (*b)->key);
}

static json_t *format_strata(const struct bundle_mandate_content *c,
                             const struct bundle_mandate_stratum *strata) {
    char bounds[BOUNDS_CHARS];
    OWN(mem) const struct bundle_mandate_stratum **sorted = calloc(c->n_strata + 1, sizeof *sorted);
    json_t *list = sorted ? json_array() : NULL;
    bool ok = list;
    for (size_t i = 0; ok && i < c->n_strata; i++)
        sorted[i] = &strata[i];
    if (ok)
        qsort(sorted, c->n_strata, sizeof *sorted, by_key);
    for (size_t i = 0; ok && i < c->n_strata; i++)
        ok = append(list, json_pack("{s:s, s:s}", "bounds",
                                    format_bounds(sorted[i]->bounds, c->n_stages, bounds), "key",
                                    sorted[i]->key));
    return whole(list, ok);
}

static json_t *format_stratify(const struct bundle_mandate_content *c) {
    json_t *list = json_array();
    bool ok = list;
    for (size_t i = 0; ok && i < c->n_stratify; i++)
        ok = append(list, json_string(c->stratify[i]));
    return whole(list, ok);
}

_Static_assert(MANDATE_BY_SITE == 2, "as it is written");
static const char spec_by_site[] = "2.0";

static json_t *format_all(const struct bundle_mandate_content *c,
                          const struct bundle_mandate_stratum *strata) {
    char issued[CHRONO_TEXT_BYTES], expires[CHRONO_TEXT_BYTES], bounds[BOUNDS_CHARS];
    char seed[2 * BUNDLE_RANK_SEED_BYTES + 1], late[CHRONO_TEXT_BYTES];
    text_hex(c->seed, sizeof c->seed, seed);
    return json_pack(
        "{s:s, s:I, s:b, s:s*, s:s, s:s, s:s, s:{s:o, s:s, s:s}, s:s, s:s, s:s, s:I, "
        "s:s*, s:s, s:o, s:o, s:o, "
        "s:I}",
        "_type", MANDATE_TYPE, "attempt_max", (json_int_t)c->attempt_max, "baseline",
        (int)c->baseline, "baseline_not_before",
        c->baseline_not_before_s > 0 ? chrono_format(c->baseline_not_before_s, late) : NULL,
        "expires", chrono_format(c->header.expires_s, expires), "issued",
        chrono_format(c->header.issued_s, issued), "newcomer_bounds",
        format_bounds(c->newcomer_bounds, c->n_stages, bounds), "release", "bundles",
        format_bundles(c), "name", c->name, "version", c->release, "rollout", c->rollout, "seed",
        seed, "selector", c->selector, "signed_stages", (json_int_t)c->signed_stages, "site",
        c->site[0] ? c->site : NULL, "spec_version", c->site[0] ? spec_by_site : KEYS_SPEC_VERSION,
        "stages", format_stages(c), "strata", format_strata(c, strata), "stratify",
        format_stratify(c), "version", (json_int_t)c->header.version);
}

int bundle_mandate_format(const struct bundle_mandate_content *content,
                          const struct bundle_mandate_stratum *strata, struct buf *ret,
                          struct err *e) {
    if (content->n_stages == 0 || content->n_stages > BUNDLE_MANDATE_STAGES_MAX ||
        content->n_bundles > BUNDLE_MANDATE_BUNDLES_MAX ||
        content->n_stratify > BUNDLE_MANDATE_STRATIFY_MAX || content->n_strata > BUNDLE_STRATA_MAX)
        return err_set(e, &err_limit,
                       "a mandate has 1 to %d stages, at most %d bundles, %d strata by %d facts",
                       BUNDLE_MANDATE_STAGES_MAX, BUNDLE_MANDATE_BUNDLES_MAX, BUNDLE_STRATA_MAX,
                       BUNDLE_MANDATE_STRATIFY_MAX);
    OWN(mandate) struct bundle_mandate *again = calloc(1, sizeof *again);
    if (again)
        again->document = format_all(content, strata);
    if (!again || !again->document)
        return err_set(e, &err_memory,
                       "writing a mandate: out of memory, or a name that is not "
                       "UTF-8");
    return bundle_mandate_read(again, e) < 0 ? -1 : keys_canon_format(again->document, ret, e);
}
