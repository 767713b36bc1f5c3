// SPDX-License-Identifier: Apache-2.0
//
// What is asked of all gates together.
#include "ctl/rollout/policy/evidence.h"

#include "base/text.h"
#include "ctl/rollout/evidence/rank.h"
#include "ctl/rollout/policy.h"
#include "ctl/rollout/policy/read.h"

const char *const policy_evidence_members[] = {"alpha",
                                               "alpha_pass",
                                               "compared",
                                               "horizon_s",
                                               "horizon",
                                               "window_s",
                                               "window",
                                               "grace_s",
                                               "grace",
                                               "settle_s",
                                               "settle",
                                               "newcomer_s",
                                               "newcomer",
                                               "rhythm_s",
                                               "rhythm",
                                               "drift_pct",
                                               "min_fragility",
                                               "reach_pct",
                                               "holdback_pct",
                                               "holdback_release_s",
                                               "holdback_release",
                                               "max_soak_s",
                                               "max_soak",
                                               "on_max_soak",
                                               "unit",
                                               "site",
                                               "sham",
                                               NULL};

static const char *const on_max_soak_names[] = {"pause", "advance"};
static const char *const unit_names[] = {"device", "site"}; // by rollout_unit_kind

static int read_alpha(const struct doc_at *at, const char *key, uint32_t *io, struct err *e) {
    static const struct policy_read_range range = {1, ROLLOUT_GATES_ALPHA_MAX_PPM,
                                                   "a probability from 0.000001 to 0.5"};
    uint64_t ppm = *io;
    if (policy_read_ratio(at, key, &range, &ppm, e) < 0)
        return -1;
    *io = (uint32_t)ppm;
    return 0;
}

static int read_shares(const struct doc_at *at, struct rollout_gates *io, struct err *e) {
    static const struct policy_read_range
        drift = {1, ROLLOUT_GATES_DRIFT_MAX_PPM, "a percentage of 0.0001 at least and below 50"},
        reach = {1, ROLLOUT_PPM, "a percentage of 0.0001 at least and 100 at most"},
        holdback = {0, ROLLOUT_GATES_HOLDBACK_MAX_PPM, "a percentage from 0 to 50"};
    uint64_t compared = io->compared, fragility = io->min_fragility;
    if (read_alpha(at, "alpha", &io->alpha_ppm, e) < 0 ||
        read_alpha(at, "alpha_pass", &io->alpha_pass_ppm, e) < 0 ||
        policy_read_percent(at, "drift_pct", &drift, &io->drift_ppm, e) < 0 ||
        policy_read_percent(at, "reach_pct", &reach, &io->reach_ppm, e) < 0 ||
        policy_read_percent(at, "holdback_pct", &holdback, &io->holdback_ppm, e) < 0)
        return -1;
    if (doc_u64_opt(at, "compared", EVIDENCE_RANK_COMPARED_MIN, EVIDENCE_RANK_COMPARED_MAX,
                    &compared, e) < 0 ||
        doc_u64_opt(at, "min_fragility", 0, ROLLOUT_GATES_FRAGILITY_MAX, &fragility, e) < 0)
        return policy_read_config(e);
    io->compared = (unsigned)compared;
    io->min_fragility = (uint32_t)fragility;
    return 0;
}

static int read_times(const struct doc_at *at, struct rollout_gates *io, struct err *e) {
    if (policy_read_duration(at, "horizon_s", 1, &io->horizon_s, e) < 0)
        return -1;
    if (io->window_s > io->horizon_s)
        io->window_s = io->horizon_s; // of a horizon that is shorter than the default window
    if (policy_read_duration(at, "window_s", 1, &io->window_s, e) < 0 ||
        policy_read_duration(at, "grace_s", 0, &io->grace_s, e) < 0 ||
        policy_read_duration(at, "settle_s", 0, &io->settle_s, e) < 0 ||
        policy_read_duration(at, "newcomer_s", 0, &io->newcomer_s, e) < 0 ||
        policy_read_duration(at, "rhythm_s", 1, &io->rhythm_s, e) < 0 ||
        policy_read_duration(at, "holdback_release_s", 0, &io->holdback_release_s, e) < 0 ||
        policy_read_duration(at, "max_soak_s", 1, &io->max_soak_s, e) < 0)
        return -1;
    if (io->window_s > io->horizon_s)
        return policy_read_wrong(at, "window_s", "at most horizon_s, at whose end it ends", e);
    return 0;
}

static int read_choices(const struct doc_at *at, struct rollout_gates *io, struct err *e) {
    unsigned on_max_soak = 0, unit = 0;
    const char *site = NULL;
    if (policy_read_choice(at, "on_max_soak", on_max_soak_names, 2, "\"pause\" or \"advance\"",
                           &on_max_soak, e) < 0 ||
        policy_read_choice(at, "unit", unit_names, 2, "\"device\" or \"site\"", &unit, e) < 0)
        return -1;
    io->unit = (enum rollout_unit_kind)unit;
    io->advance_on_max_soak = on_max_soak == 1;
    if (doc_bool_opt(at, "sham", &io->sham, e) < 0)
        return policy_read_config(e);
    int found = doc_string_opt(at, "site", BUNDLE_FACT_NAME_MAX, &site, e);
    if (found < 0)
        return policy_read_config(e);
    if (found == 0 && !text_is_name(site, BUNDLE_FACT_NAME_MAX))
        return policy_read_wrong(at, "site", "the name of a fact, like \"label.site\"", e);
    if (found == 0)
        policy_read_copy(io->site, sizeof io->site, site);
    return 0;
}

int policy_evidence_parse(const struct doc_at *root, struct rollout_gates *io, struct err *e) {
    struct doc_at at;
    io->alpha_ppm = ROLLOUT_GATES_ALPHA_DEFAULT_PPM;
    io->alpha_pass_ppm = ROLLOUT_GATES_ALPHA_PASS_DEFAULT_PPM;
    io->compared = ROLLOUT_GATES_COMPARED_DEFAULT;
    io->horizon_s = ROLLOUT_GATES_HORIZON_DEFAULT_S;
    io->window_s = ROLLOUT_GATES_WINDOW_DEFAULT_S;
    io->grace_s = ROLLOUT_GATES_GRACE_DEFAULT_S;
    io->settle_s = ROLLOUT_GATES_SETTLE_DEFAULT_S;
    io->newcomer_s = ROLLOUT_GATES_NEWCOMER_DEFAULT_S;
    io->rhythm_s = ROLLOUT_GATES_RHYTHM_DEFAULT_S;
    io->drift_ppm = ROLLOUT_GATES_DRIFT_DEFAULT_PPM;
    io->min_fragility = ROLLOUT_GATES_FRAGILITY_DEFAULT;
    io->reach_ppm = ROLLOUT_GATES_REACH_DEFAULT_PPM;
    io->max_soak_s = ROLLOUT_GATES_MAX_SOAK_DEFAULT_S;
    policy_read_copy(io->site, sizeof io->site, ROLLOUT_GATES_SITE_DEFAULT);
    int found = doc_object_opt(root, "evidence", &at, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : 0;
    if (doc_no_unknown(&at, policy_evidence_members, e) < 0)
        return policy_read_config(e);
    if (read_shares(&at, io, e) < 0 || read_times(&at, io, e) < 0 || read_choices(&at, io, e) < 0)
        return -1;
    return 0;
}

json_t *policy_evidence_format(const struct rollout_gates *g) {
    if (g->n == 0)
        return json_null();
    json_t *shares =
        json_pack("{s:o, s:o, s:I, s:o, s:I, s:o, s:o}", "alpha",
                  policy_read_ratio_json(g->alpha_ppm), "alpha_pass",
                  policy_read_ratio_json(g->alpha_pass_ppm), "compared", (json_int_t)g->compared,
                  "drift_pct", policy_read_percent_json(g->drift_ppm), "min_fragility",
                  (json_int_t)g->min_fragility, "reach_pct", policy_read_percent_json(g->reach_ppm),
                  "holdback_pct", policy_read_percent_json(g->holdback_ppm));
    json_t *times = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:b}", "horizon_s",
        (json_int_t)g->horizon_s, "window_s", (json_int_t)g->window_s, "grace_s",
        (json_int_t)g->grace_s, "settle_s", (json_int_t)g->settle_s, "newcomer_s",
        (json_int_t)g->newcomer_s, "rhythm_s", (json_int_t)g->rhythm_s, "holdback_release_s",
        (json_int_t)g->holdback_release_s, "max_soak_s", (json_int_t)g->max_soak_s, "on_max_soak",
        on_max_soak_names[g->advance_on_max_soak], "unit", unit_names[g->unit], "site",
        json_string(g->site), "sham", (int)g->sham);
    if (shares == NULL || times == NULL || json_object_update(shares, times) < 0) {
        json_decref(shares);
        shares = NULL;
    }
    json_decref(times);
    return shares;
}
