// SPDX-License-Identifier: Apache-2.0
//
// What a mandate allows. The same code judges on the device, which does not know its own labels, and
// at the controller, which does.
#include <inttypes.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/mandate/parts.h"
#include "bundle/predicate.h"

#define LABEL "label."

static const struct doc_limits key_limits = {
    .bytes = BUNDLE_STRATUM_KEY_MAX_BYTES, .depth = 4, .values = 512};

// Outside of the rollout: for whoever the selector holds.
static bool is_baseline(const struct bundle_mandate_content *c,
                        const struct bundle_mandate_ask *ask) {
    return ask->rollout[0] == '\0' && c->rollout[0] != '\0' && c->baseline;
}

static int check_rollout(const struct bundle_mandate_content *c,
                         const struct bundle_mandate_ask *ask, struct err *e) {
    if (strcmp(c->rollout, ask->rollout) != 0 && !is_baseline(c, ask))
        return err_set(e, &err_outside_mandate,
                       "the mandate is for %s%s, and this install is part of %s%s",
                       c->rollout[0] ? "the rollout " : "pinned devices", c->rollout,
                       ask->rollout[0] ? "the rollout " : "none", ask->rollout);
    if (ask->attempt > c->attempt_max)
        return err_set(e, &err_outside_mandate, "attempt %" PRIu64 "; the mandate allows %" PRIu64,
                       ask->attempt, c->attempt_max);
    if (!is_baseline(c, ask) && ask->stage >= c->signed_stages)
        return err_set(e, &err_outside_mandate,
                       "stage %" PRIu64 "; the mandate is signed for the first %zu", ask->stage + 1,
                       c->signed_stages);
    return 0;
}

static int check_bundle(const struct bundle_mandate_content *c,
                        const struct bundle_mandate_ask *ask, struct err *e) {
    char hex[KEYS_DIGEST_HEX];
    for (size_t i = 0; i < c->n_bundles; i++)
        if (keys_digest_equal(&c->bundles[i], ask->bundle))
            return 0;
    return err_set(e, &err_outside_mandate, "the mandate is for %s %s, and %s is none of it",
                   c->name, c->release, keys_digest_hex(ask->bundle, hex));
}

static int check_selector(const struct bundle_mandate_content *c,
                          const struct bundle_mandate_ask *ask, struct err *e) {
    OWN(predicate) struct bundle_predicate *selector = NULL;
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    if (bundle_predicate_parse(c->selector, &selector, e) < 0)
        return -1;
    bool holds = ask->knows_labels ? bundle_predicate_holds(selector, ask->facts, reason)
                                   : bundle_predicate_may_hold(selector, ask->facts, LABEL, reason);
    return holds ? 0
                 : err_set(e, &err_outside_mandate, "the mandate does not select this device: %s",
                           reason);
}

static bool is_label(const char *name) {
    return strncmp(name, LABEL, strlen(LABEL)) == 0;
}

// Whether a stratum of that name may be the device's, whatever its labels are.
static int may_be_in(const char *key, const json_t *own, bool *ret, struct err *e) {
    OWN(json) json_t *named = NULL;
    const struct slice text = {.data = (const uint8_t *)key, .len = strlen(key)};
    const char *name;
    json_t *value;
    if (doc_parse(text, "a stratum's key", &key_limits, &named, e) < 0)
        return -1;
    *ret = json_is_object(named);
    json_object_foreach (named, name, value)
        *ret = *ret && (is_label(name) || json_equal(value, json_object_get(own, name)));
    return 0;
}

static bool has_labels(const struct bundle_mandate_content *c) {
    bool any = false;
    for (size_t i = 0; i < c->n_stratify; i++)
        any = any || is_label(c->stratify[i]);
    return any;
}

// The highest bound of the strata that a device which does not know its labels may be in; one that
// nobody counted is among them.
static int widest_bound(const struct bundle_mandate *m, const char *key, size_t stage,
                        uint64_t *ret, struct err *e) {
    OWN(json) json_t *own = NULL;
    const struct slice text = {.data = (const uint8_t *)key, .len = strlen(key)};
    struct bundle_mandate_stratum stratum;
    uint64_t bound = m->content.newcomer_bounds[stage];
    bool fits = false;
    if (doc_parse(text, "the device's stratum", &key_limits, &own, e) < 0)
        return -1;
    for (size_t i = 0; i < m->content.n_strata; i++) {
        bundle_mandate_stratum(m, i, &stratum);
        if (stratum.bounds[stage] <= bound)
            continue;
        if (may_be_in(stratum.key, own, &fits, e) < 0)
            return -1;
        bound = fits ? stratum.bounds[stage] : bound;
    }
    *ret = bound;
    return 0;
}

static int find_bound(const struct bundle_mandate *m, const struct bundle_mandate_ask *ask,
                      uint64_t *ret, struct err *e) {
    const struct bundle_mandate_content *c = &m->content;
    struct bundle_mandate_stratum stratum;
    OWN(buf) struct buf key;
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    if (bundle_stratum_key(c->stratify, c->n_stratify, ask->facts, &key, e) < 0)
        return -1;
    if (!ask->knows_labels && has_labels(c))
        return widest_bound(m, buf_text(&key), ask->stage, ret, e);
    *ret = c->newcomer_bounds[ask->stage];
    for (size_t i = 0; i < c->n_strata; i++) {
        bundle_mandate_stratum(m, i, &stratum);
        if (strcmp(stratum.key, buf_text(&key)) == 0)
            *ret = stratum.bounds[ask->stage];
    }
    return 0;
}

static int check_place(const struct bundle_mandate *m, const struct bundle_mandate_ask *ask,
                       struct err *e) {
    const struct bundle_mandate_stage *stage = &m->content.stages[ask->stage];
    uint64_t bound = 0, rank = bundle_rank(ask->device, m->content.seed);
    for (size_t i = 0; i < json_array_size(stage->devices); i++)
        if (strcmp(json_string_value(json_array_get(stage->devices, i)), ask->device) == 0)
            return 0;
    if (stage->devices)
        return err_set(e, &err_outside_mandate,
                       "stage %s is of devices that are named, and not of %s", stage->name,
                       ask->device);
    if (find_bound(m, ask, &bound, e) < 0)
        return -1;
    return rank <= bound
               ? 0
               : err_set(e, &err_rank_beyond,
                         "the rank of %s is %016" PRIx64 "; stage %s admits up to %016" PRIx64,
                         ask->device, rank, stage->name, bound);
}

static int check_time(const struct bundle_mandate_content *c, const struct bundle_mandate_ask *ask,
                      bool baseline, struct err *e) {
    const struct bundle_mandate_stage *stage =
        &c->stages[baseline ? c->n_stages - 1 : (size_t)ask->stage];
    int64_t from_s = stage->not_before_s;
    if (baseline && from_s < c->baseline_not_before_s)
        from_s = c->baseline_not_before_s;
    char from[CHRONO_TEXT_BYTES], now[CHRONO_TEXT_BYTES];
    int64_t now_s = ask->trusted_s;
    if (ask->wall_s >= c->header.issued_s && ask->wall_s < now_s)
        now_s = ask->wall_s;
    if (now_s >= from_s)
        return 0;
    return err_set(e, &err_too_early, "%s %s begins at %s; it is %s",
                   baseline ? "the baseline behind stage" : "stage", stage->name,
                   chrono_format(from_s, from), chrono_format(now_s, now));
}

int bundle_mandate_admits(const struct bundle_mandate *mandate,
                          const struct bundle_mandate_ask *ask, struct err *e) {
    const struct bundle_mandate_content *c = &mandate->content;
    char at[CHRONO_TEXT_BYTES];
    if (ask->trusted_s >= c->header.expires_s)
        return err_set(e, &err_mandate_expired, "the mandate expired at %s",
                       chrono_format(c->header.expires_s, at));
    bool baseline = is_baseline(c, ask);
    if (check_rollout(c, ask, e) < 0 || check_bundle(c, ask, e) < 0 ||
        check_selector(c, ask, e) < 0 || (!baseline && check_place(mandate, ask, e) < 0))
        return -1;
    return check_time(c, ask, baseline, e);
}
