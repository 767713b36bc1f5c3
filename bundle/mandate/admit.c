// SPDX-License-Identifier: Apache-2.0
//
// What a mandate allows. The same code judges on the device, which does not know its own labels, and
// at the controller, which does.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/mandate/parts.h"
#include "bundle/predicate.h"
#include "bundle/unit.h"

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
                                   : bundle_predicate_may_hold(selector, ask->facts,
                                                               BUNDLE_MANDATE_LABEL, reason);
    return holds ? 0
                 : err_set(e, &err_outside_mandate, "the mandate does not select this device: %s",
                           reason);
}

// The bounds of its stratum: of the stage, and of the one before.
struct span {
    uint64_t low, high;
};

static void take_span(const uint64_t *bounds, uint64_t stage, struct span *ret) {
    *ret = (struct span){.low = stage ? bounds[stage - 1] : 0, .high = bounds[stage]};
}

static int find_span(const struct bundle_mandate *m, const struct bundle_mandate_ask *ask,
                     struct span *ret, struct err *e) {
    const struct bundle_mandate_content *c = &m->content;
    struct bundle_mandate_stratum stratum;
    OWN(buf) struct buf key;
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    if (bundle_stratum_key(c->stratify, c->n_stratify, ask->facts, &key, e) < 0)
        return -1;
    take_span(c->newcomer_bounds, ask->stage, ret);
    for (size_t i = 0; i < c->n_strata; i++) {
        bundle_mandate_stratum(m, i, &stratum);
        if (strcmp(stratum.key, buf_text(&key)) == 0)
            take_span(stratum.bounds, ask->stage, ret);
    }
    return 0;
}

// The highest rank that is open with so much of the stage; without numbers of 128 bits.
static uint64_t open_to(const struct span *span, uint64_t share) {
    uint64_t all = span->high - span->low;
    return span->low + (all >> 32) * share + ((all & UINT32_MAX) * share >> 32);
}

// Of the device, or of its whole site.
static uint64_t rank_of(const struct bundle_mandate_content *c,
                        const struct bundle_mandate_ask *ask,
                        char ret_unit[static BUNDLE_UNIT_MAX + 1]) {
    if (c->site[0])
        (void)bundle_unit(ask->device, c->site, ask->facts, ret_unit);
    else
        (void)snprintf(ret_unit, BUNDLE_UNIT_MAX + 1, "%s", ask->device);
    return bundle_rank(ret_unit, c->seed);
}

static int check_place(const struct bundle_mandate *m, const struct bundle_mandate_ask *ask,
                       int64_t *ret_from_s, struct err *e) {
    const struct bundle_mandate_stage *stage = &m->content.stages[ask->stage];
    struct span span;
    struct bundle_mandate_step step;
    char unit[BUNDLE_UNIT_MAX + 1];
    uint64_t rank = rank_of(&m->content, ask, unit);
    for (size_t i = 0; i < json_array_size(stage->devices); i++)
        if (strcmp(json_string_value(json_array_get(stage->devices, i)), ask->device) == 0)
            return 0;
    if (stage->devices)
        return err_set(e, &err_outside_mandate,
                       "stage %s is of devices that are named, and not of %s", stage->name,
                       ask->device);
    if (find_span(m, ask, &span, e) < 0)
        return -1;
    if (rank > span.high)
        return err_set(e, &err_rank_beyond,
                       "the rank of %s is %016" PRIx64 "; stage %s admits up to %016" PRIx64, unit,
                       rank, stage->name, span.high);
    size_t n = 0;
    do
        step = bundle_mandate_step(stage, n++);
    while (rank > open_to(&span, step.share));
    *ret_from_s = step.from_s;
    return 0;
}

static int check_time(const struct bundle_mandate_content *c, const struct bundle_mandate_ask *ask,
                      bool baseline, int64_t from_s, struct err *e) {
    char from[CHRONO_TEXT_BYTES], now[CHRONO_TEXT_BYTES];
    int64_t now_s = ask->trusted_s;
    if (ask->wall_s >= c->header.issued_s && ask->wall_s < now_s)
        now_s = ask->wall_s;
    if (now_s >= from_s)
        return 0;
    return err_set(e, &err_too_early, "%s %s begins at %s for %s; it is %s",
                   baseline ? "the baseline behind stage" : "stage",
                   c->stages[baseline ? c->n_stages - 1 : (size_t)ask->stage].name,
                   chrono_format(from_s, from), ask->device, chrono_format(now_s, now));
}

static int64_t baseline_from(const struct bundle_mandate_content *c) {
    int64_t last_s = c->stages[c->n_stages - 1].not_before_s;
    return last_s > c->baseline_not_before_s ? last_s : c->baseline_not_before_s;
}

int bundle_mandate_admits(const struct bundle_mandate *mandate,
                          const struct bundle_mandate_ask *ask, struct err *e) {
    const struct bundle_mandate_content *c = &mandate->content;
    char at[CHRONO_TEXT_BYTES];
    if (ask->trusted_s >= c->header.expires_s)
        return err_set(e, &err_mandate_expired, "the mandate expired at %s",
                       chrono_format(c->header.expires_s, at));
    if (check_rollout(c, ask, e) < 0 || check_bundle(c, ask, e) < 0 ||
        check_selector(c, ask, e) < 0)
        return -1;
    bool baseline = is_baseline(c, ask);
    int64_t from_s = baseline ? baseline_from(c) : c->stages[ask->stage].not_before_s;
    if (!baseline && check_place(mandate, ask, &from_s, e) < 0)
        return -1;
    return check_time(c, ask, baseline, from_s, e);
}
