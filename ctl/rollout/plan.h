// SPDX-License-Identifier: Apache-2.0
//
// The plan of a rollout: what a policy would do to the fleet as it is known now, before anybody is
// exposed. Pure: from the policy, a census and what past rollouts came to, a document. It decides
// one thing, the bounds on ranks per stratum and stage (strata.h), which apply then takes as they
// stand and which people sign (bundle/mandate.h); all else in it is for people:
//
//   {"format":1, "made":TIME, "rollout":NAME, "release":{"name","version"}, "selector":TEXT,
//    "seed":"<64 hex>", "devices":N,                      of the selector; "accepted":N of the fleet
//    "stages":[{"name","approve","not_before":TIME,"adds":N,"total":N,"reach":N,
//               "steps":[{"at":TIME,"reach":N}],
//               "bytes":N,"calls_s":N,"waits_s":N,"windows_s":N,"expected_s":N,"batches":N,"inconclusive":bool,
//               "losses":{"by_s":N,"seen_after_s":N}|null,
//               "gates":[{"name","kind","weight_pct","n":N,"of":"devices"|"events"|"sets",
//                         "sees":TEXT|null,"passes":bool|null,"text":TEXT}]}],
//    "strata":[{"key":TEXT,"devices":N,"counted":N,"pooled":bool,"bounds":BOUNDS,"adds":[N per stage],
//               "held_back":N}],
//    "newcomer_bounds":BOUNDS, "pooled":[KEY], "held_back":N, "held_back_from":TIME|null,
//    "by_known_facts":bool,
//    "sites":{"units":N,"sites":N,"alone":N,"largest":N,"text":TEXT},  where sites are drawn
//    "variants":[{"bundle":ID,"variant":TEXT,"bytes":N,"devices":N,"had":N,"over_budget":bool}],
//    "nothing":[{"code","text","devices":N}],
//    "gates":[{"name","kind","weight_pct","level":"1 : N","needs":{"n":N|null,"of":…,"effect":TEXT},
//              "text":TEXT}],
//    "exposure":[{"failing_pct":TEXT,"median":N,"p95":N,"stopped":bool,"text":TEXT}],
//    "installs":{"rollouts":N,"good":N,"bad":N,"stated_pct":TEXT|null,"proposed_pct":TEXT,"text"},
//    "calls":{"devices":N,"never":N,"known":N,"silent":N,"half_s":N,"most_s":N,"nearly_all_s":N},
//    "expected":{"half_s":N,"p90_s":N,"silent":N,"text":TEXT}}
//
// Where sites are drawn (unit.h) stages and strata say beside their devices how many units they are
// ("units"), what gates see is in sites, and so is exposure until it is told in devices, of a site's mean
// size. A site is lost when the first of its devices is: as often as one of that many devices.
//
// BOUNDS are 16 hex digits per stage, one after the other. `bytes` is the most that the devices'
// links carry: a bundle for each; deltas and what a device holds make it less.
//
// When devices call. Of each the controller remembers how long it was silent between its check-ins
// (gaps.h): seen at any time, it calls after what is left of such a gap. Of one without a history, that
// calls as it always did, the time until it calls next is distributed like the time since it called
// last. The quantiles of both together are what a batch waits for: calls_s is when 95 % have called, but
// no longer than two rhythms. Who was not heard of for a week is not expected, and counted by itself.
// waits_s is soak, and with a metric the horizon and the grace, with a gate of losses the time after which
// one is seen (the longer of the two). `losses`: a device is seen seen_after_s after it fell silent, by this
// stage when that was at most by_s after the last batch opened. windows_s is what
// windows add (plan/hours.h says how it is reckoned). With offer_rate calls_s is no less than all offers
// take. Downloads and probation come on top, and are not known here. `expected` is when half of the devices that are expected can have the
// release, and when 90 %: a stage's batches follow each other evenly, and in a stage of one batch so many
// have called as the quantiles say.
//
// What people sign bounds a controller that was taken over (bundle/mandate.h): `reach` is how many
// devices it could bring the release to before the next stage's time, `steps` how many before each
// batch of the stage (the last step is all of it; none where it opens at once): the fastest that the
// batches of the policy can be is one in each rhythm. The
// hold-back opens when all stages can be over (or as the policy says), and has steps as well.
// Devices do not know their labels. Where they judge by themselves strata that differ in labels alone
// have the same bounds, those of all their devices together.
//
// What a gate sees is power.h's answer at 80 %: of installs by how many devices the stage ends with;
// of events by how many are to be expected at the rate at which devices fell silent in the past
// week (lost), or not at all (counters: their past is not kept; `needs` says how many events it
// takes); of metrics by how many sets there can be: devices counted of a stratum over k + 1.
//
// Whether a gate passes is power.h's answer for a release that is at the tolerable margin: more often
// than not, or not; null where it depends on what is not known. A stage with a gate that does not is
// inconclusive, and waits_s is max_soak_s.
//
// Exposure is by the install gate alone: the devices whose outcome is known when it stops a release
// that fails on that share of the devices, and those of the batches that are open then when each was
// clean. Without gates it is by the thresholds: the first stage whose expected failures are more.
#pragma once

#include <jansson.h>

#include "bundle/rank.h"
#include "ctl/rollout/gaps.h"
#include "ctl/rollout/sites.h"
#include "ctl/rollout/strata.h"
#include "keys/digest.h"

#define ROLLOUT_PLAN_FORMAT       1
#define ROLLOUT_PLAN_VARIANTS_MAX 32
#define ROLLOUT_PLAN_NOTHINGS_MAX 16
#define ROLLOUT_PLAN_POWER_PPM    800000
#define ROLLOUT_PLAN_AGE_BUCKETS  416 // sixteen to each doubling of seconds
#define ROLLOUT_PLAN_BOUNDS_BYTES (16 * ROLLOUT_POLICY_STAGES_MAX + 1)
#define ROLLOUT_PLAN_BASELINE_PPM 1000 // the least share of failing installs that is proposed

// How long ago devices called, all zero at the start.
struct rollout_plan_ages {
    uint64_t n, never;
    uint64_t lost_week; // silent for longer than the timeout, by less than a week
    uint64_t bucket[ROLLOUT_PLAN_AGE_BUCKETS];
};
void rollout_plan_age_add(struct rollout_plan_ages *ages, uint64_t age_s) __attribute__((nonnull));
// The age that this share of those that ever called does not exceed, rounded up by at most a
// twentieth; 0 of none.
uint64_t rollout_plan_age_at(const struct rollout_plan_ages *ages, uint32_t ppm)
    __attribute__((nonnull));

// When devices are to be expected: of each that was heard of within a week ROLLOUT_PLAN_CALL parts, spread
// over the time until it calls by its history (gaps.h), or, without one, all at the age of its silence.
#define ROLLOUT_PLAN_CALL 256
struct rollout_plan_calls {
    struct rollout_plan_ages until;
    uint64_t known;  // devices with a history
    uint64_t silent; // devices that are not expected: never heard of, or not for a week
    uint64_t gaps[ROLLOUT_GAPS_CLASSES]; // parts that are not spread
};
// seen: false is never.
void rollout_plan_call_add(struct rollout_plan_calls *calls, const struct rollout_gaps *gaps,
                           bool seen, uint64_t age_s) __attribute__((nonnull));
// Once all are added, before anything is asked of it.
void rollout_plan_call_spread(struct rollout_plan_calls *calls) __attribute__((nonnull));

struct rollout_plan_variant {
    struct keys_digest bundle; // manifest id
    char variant[BUNDLE_NAME_MAX + 1];
    uint64_t bytes, devices, had; // had: of the devices, those that run it already
};

// Devices that get nothing, for one reason.
struct rollout_plan_nothing {
    char code[ERR_NAME_BYTES];
    char text[BUNDLE_REPORT_TEXT_MAX + 1]; // of one of them
    uint64_t devices;
};

// Outcomes of finished rollouts.
struct rollout_plan_past {
    uint64_t rollouts, good, bad;
};

// The fleet as it was counted. Pointers are the caller's.
struct rollout_plan_census {
    uint64_t accepted; // devices of the fleet, or of the scope of whoever asks
    size_t n_strata;
    const char *const *keys;        // [n_strata], as bundle_stratum_key makes them
    const uint64_t *counted;        // [n_strata]: units that can be counted as evidence
    struct rollout_sites_sum sites; // where sites are drawn
    // Where devices hold to the bounds, and a stratum is more than they know of themselves: which of
    // them are one to them (rollout_strata_group); else NULL.
    const uint32_t *groups; // [n_strata]
    size_t n_groups;
    struct rollout_member *members; // of the selector; sorted here
    size_t n_members;
    size_t n_variants;
    const struct rollout_plan_variant *variants;
    size_t n_nothings;
    const struct rollout_plan_nothing *nothings;
    struct rollout_plan_ages ages;   // of the members
    struct rollout_plan_calls calls; // of the members; without any `ages` stands for it
    struct rollout_plan_past past;
};

// How a stage opens at the fastest: a share of it (of ROLLOUT_BATCH_WHOLE) from so long after its
// beginning on, and all of it whole_s after that.
#define ROLLOUT_PLAN_STEPS_MAX 16
struct rollout_plan_ramp {
    size_t n;
    struct {
        uint64_t after_s, share;
        uint64_t reach; // devices, those of the stages before included
    } steps[ROLLOUT_PLAN_STEPS_MAX];
    uint64_t whole_s; // 0: at once
};

struct rollout_plan {
    uint8_t seed[BUNDLE_RANK_SEED_BYTES];
    int64_t made_s;
    size_t n_strata;
    struct rollout_stratum_plan strata[BUNDLE_STRATA_MAX];
    uint64_t sizes[BUNDLE_STRATA_MAX];
    // What is drawn, devices or sites: all of them, those of a stratum, and those that a stage admits.
    uint64_t units, unit_sizes[BUNDLE_STRATA_MAX];
    uint64_t unit_adds[BUNDLE_STRATA_MAX][ROLLOUT_POLICY_STAGES_MAX];
    struct rollout_stratum_plan newcomers;
    uint64_t adds[ROLLOUT_POLICY_STAGES_MAX]; // devices that a stage admits first
    uint64_t held_back;
    uint64_t reach[ROLLOUT_POLICY_STAGES_MAX]; // that what is signed lets through up to a stage
    // [n_stages]: what is held back.
    int64_t not_before_s[ROLLOUT_POLICY_STAGES_MAX + 1];
    struct rollout_plan_ramp ramp[ROLLOUT_POLICY_STAGES_MAX + 1];
    int64_t over_s; // when all of it can be over
};

// Finds the bounds. seed and made_s of *io are the caller's.
void rollout_plan_make(const struct rollout_policy *policy, struct rollout_plan_census *census,
                       struct rollout_plan *io) __attribute__((nonnull));
// The document; *ret is the caller's. Kind memory.
int rollout_plan_format(const struct rollout_policy *policy,
                        const struct rollout_plan_census *census, const struct rollout_plan *plan,
                        json_t **ret, struct err *e) __attribute__((nonnull));

// What apply takes of a plan document. Strata are read one by one: apply knows their keys.
struct rollout_plan_read {
    uint8_t seed[BUNDLE_RANK_SEED_BYTES];
    uint64_t devices, units;
    json_t *strata; // borrowed array
    size_t n_strata;
};
// Reads a plan of this policy. Kinds: config (names the place), newer_format, conflict is the
// caller's to find.
int rollout_plan_read(const struct rollout_policy *policy, json_t *document,
                      struct rollout_plan_read *ret, struct err *e) __attribute__((nonnull));
struct rollout_plan_read_size {
    uint64_t devices, units;
};
// The n-th stratum: key is borrowed; of *ret only the bounds are filled. Kind config.
int rollout_plan_read_stratum(const struct rollout_policy *policy,
                              const struct rollout_plan_read *plan, size_t n, const char **ret_key,
                              struct rollout_plan_read_size *ret_size, bool *ret_pooled,
                              struct rollout_stratum_plan *ret, struct err *e)
    __attribute__((nonnull));

// 16 hex digits for each stage.
void rollout_plan_bounds(const struct rollout_policy *policy,
                         const struct rollout_stratum_plan *plan,
                         char ret[static ROLLOUT_PLAN_BOUNDS_BYTES]) __attribute__((nonnull));
