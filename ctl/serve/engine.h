// SPDX-License-Identifier: Apache-2.0
//
// The rollouts and releases in memory, ready to decide with: parsed selectors, bounds, tallies. The
// store is the truth; this is read from it at the start and again after any job that failed
// (serve_engine_doubt), and is changed together with it by the jobs. The store's thread only.
#pragma once

#include "bundle/facts.h"
#include "bundle/predicate.h"
#include "ctl/rollout/bucket.h"
#include "ctl/rollout/decide.h"
#include "ctl/rollout/downtime.h"
#include "ctl/rollout/pulse.h"
#include "ctl/serve/pace.h"
#include "ctl/store/device.h"
#include "ctl/store/event.h"
#include "ctl/store/release.h"
#include "ctl/store/rollout.h"

#define SERVE_ENGINE_BASELINE_PER_MINUTE 600 // offers of baselines, over the whole fleet

// Kept among the controller's own small facts: struct rollout_downtime, and the pulse of each rollout.
#define SERVE_ENGINE_DOWN_META  "listened"
#define SERVE_ENGINE_PULSE_META "pulse/" // and its name

#define SERVE_SPENT_KINDS 6

struct serve_engine_stratum {
    char *key;
    struct rollout_stratum_plan plan;
};

struct serve_engine_rollout {
    struct store_rollout row;
    struct bundle_predicate *selector, *scope;
    size_t n_strata;
    struct serve_engine_stratum *strata;
    struct rollout_tally *tallies;     // [stage * n_strata + stratum]
    uint64_t bytes[SERVE_SPENT_KINDS]; // what it cost its devices (ctl/serve/spent.h)
    struct rollout_bucket reverts;     // telling devices to go back (policy's revert_rate)
    struct rollout_bucket offers;      // policy's offer_rate
    // Gates of evidence (ctl/serve/evidence.h).
    struct rollout_score *score; // NULL: the policy has none
    bool stale;                  // the score changed since it was judged
    struct rollout_judgement judged;
    int64_t verdict_s; // when the verdict was found; 0: there is none
    struct rollout_verdict verdict;
    char cluster[BUNDLE_FACT_NAME_MAX + 1]; // name of the verdict's; "" none
    enum rollout_silence silence;           // as it was found last
    struct rollout_pulse pulse;             // with gates of evidence
    int64_t silent_until_s;                 // it is not looked for before
    bool forgotten;                         // it has ended, and its cohort is gone
};

struct serve_engine_bundle {
    struct store_bundle row;
    struct keys_digest id;
    struct bundle_predicate *requires;
};

struct serve_engine {
    bool doubted; // to be read anew before use
    bool
        devices_judge; // devices install nothing that people did not sign for (ctl/serve/mandate.h)
    size_t n_rollouts;
    struct serve_engine_rollout **rollouts; // oldest first
    size_t n_bundles;
    struct serve_engine_bundle *bundles;
    struct rollout_bucket baselines; // offers of them
    struct rollout_downtime down;    // when nobody could be heard
    int64_t down_kept_s;             // its last tick that is in the store
    struct serve_pace pace;          // of check-ins
    uint64_t news;                   // events added since the start: those who wait look at it
    uint64_t fleet_changes;          // devices accepted or relabelled since the start
    uint64_t planned_changes;        // as many of them the rollouts without devices have seen
    int64_t dry_until_s;             // when the last request for dry probes ends; 0 there is none
};

int serve_engine_open(struct serve_engine **ret, struct err *e) __attribute__((nonnull));
void serve_engine_close(struct serve_engine *engine);
// Something that changed memory was undone in the store.
void serve_engine_doubt(struct serve_engine *engine) __attribute__((nonnull));
// Reads the store when in doubt.
int serve_engine_load(struct serve_engine *engine, struct store_db *db, struct err *e)
    __attribute__((nonnull));

// NULL when there is none. Borrowed until the next load.
struct serve_engine_rollout *serve_engine_find(struct serve_engine *engine, const char *name)
    __attribute__((nonnull));
// Takes a rollout that was just added to the store: the caller has filled row.
int serve_engine_add(struct serve_engine *engine, const struct store_rollout *row,
                     struct serve_engine_rollout **ret, struct err *e) __attribute__((nonnull));
// Makes room for n strata, empty; tallies are cleared.
int serve_engine_set_strata(struct serve_engine_rollout *rollout, size_t n, struct err *e)
    __attribute__((nonnull));
// The stratum of a key; a new one gets bounds as for newcomers. Above the ceiling the last is
// shared.
int serve_engine_stratum(struct store_db *db, struct serve_engine_rollout *rollout, const char *key,
                         size_t *ret, struct err *e) __attribute__((nonnull));

struct rollout_tally *serve_engine_tally(struct serve_engine_rollout *rollout, size_t stage,
                                         size_t stratum) __attribute__((nonnull));
// The sum over a stage; over all stages with stage == n_stages.
struct rollout_tally serve_engine_sum(const struct serve_engine_rollout *rollout, size_t stage)
    __attribute__((nonnull));

// Facts and labels of a device, for predicates; what cannot be read counts as no facts.
int serve_engine_facts(const struct store_device *device, struct bundle_facts **ret, struct err *e)
    __attribute__((nonnull));
// Whether the release is published, fits, and runs on the device.
void serve_engine_fit(const struct serve_engine *engine, const char *name, const char *version,
                      const struct bundle_facts *facts, const json_t *components,
                      char reason[static BUNDLE_PREDICATE_REASON_BYTES], struct rollout_fit *ret)
    __attribute__((nonnull(1, 2, 3, 4, 6, 7)));
// Whether every component of the bundle is said to come from it; components as of a check-in, NULL
// none.
bool serve_engine_runs(const struct serve_engine_bundle *bundle, const json_t *components)
    __attribute__((nonnull(1)));
// NULL when it is not published (any more).
const struct serve_engine_bundle *serve_engine_bundle(const struct serve_engine *engine,
                                                      const struct keys_digest *id)
    __attribute__((nonnull));

// News. text may be "".
int serve_engine_tell(struct serve_engine *engine, struct store_db *db, int64_t now_ms,
                      struct store_event *event, struct err *e) __attribute__((nonnull));
