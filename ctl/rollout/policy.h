// SPDX-License-Identifier: Apache-2.0
//
// A rollout's policy: which release goes to which devices, in which stages, and what must hold
// before the next. A document (JSON, or YAML read into the same values):
//
//   {"name": "vibration-1.1",
//    "release": {"name": "vibration", "version": "1.1"},     or "vibration 1.1"
//    "selector": "label.site == \"b\"",                       default "": every device
//    "stratify": ["arch", "label.line"],                      default none
//    "stages": [{"name": "canary", "count": 2, "soak_s": "10m"},
//               {"name": "half", "percent": 50, "approve": true, "gate": {"failure_pct": 2}},
//               {"name": "all", "percent": 100}],             default one stage of 100 percent
//    "gate": {"success_pct": 95, "failure_pct": 5, "min_sample": 1},
//    "gates": […], "evidence": {…},                           gates.h; default none
//    "timeout_s": "1h", "timeouts": {"offered_s": "6h", "staged_s": "1h", "activated_s": "30m", "stuck_s": "8d"},
//    "max_unresolved": 100,
//    "batch": {"start": 10, "factor": 2, "max": 0, "on": "succeeded"},
//    "retries": {"max": 2, "delay_s": "1h", "backoff": 2, "codes": ["unreachable"]},
//    "windows": {"download": ["22:00-06:00"],
//                "install": [{"start": "02:00", "end": "04:00", "days": ["sat", "sun"]}]},
//    "offer_rate": 600,
//    "priority": 0, "stepping_stones": ["vibration 1.0"],
//    "on_failure": "revert", "revert_scope": "all", "revert_rate": 1000,
//    "byte_budget": {"bytes": 50000000, "metered_bytes": 0},  default none: as much as it takes
//    "not_before": "2026-11-22T00:00:00Z", "until": "2026-12-01T00:00:00Z", "baseline": true}
//
// Durations are seconds or text with a unit ("90", "15m", "2h", "3d"). Percents and other numbers
// with a fraction are integers, decimals in text ("0.5"), or real numbers. Stages are cumulative:
// "percent": 50 means that half of the fleet has it, those of the stages before included; so each
// stage is larger than the one before (a count after a percent, or a percent after a count, is
// compared when the fleet is known). A stage may name its devices instead ("devices": [IDS]). A
// byte budget is what the update may cost one device's link in all, over all tries; on a metered
// link the second one, where 0 means that nothing is fetched there. Batches bound how many are at
// work at once, beside max_unresolved; a policy with gates has them. Windows are of the device's
// local day. With gates the thresholds of "gate" are judged only where the policy gives them.
//
// The struct holds everything by value, has no pointers and needs no clearing. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "bundle/limits.h"
#include "bundle/window.h"
#include "ctl/rollout/gates.h"

#define ROLLOUT_POLICY_MAX_BYTES    (64 * 1024)
#define ROLLOUT_POLICY_STAGES_MAX   16
#define ROLLOUT_POLICY_STRATIFY_MAX 4
#define ROLLOUT_POLICY_COUNT_MAX    100000000ULL
#define ROLLOUT_POLICY_TIME_MAX_S   (366ULL * 86400)

#define ROLLOUT_POLICY_BUDGET_MAX (1ULL << 50)

#define ROLLOUT_POLICY_STAGE_DEVICES_MAX 64  // named by one stage
#define ROLLOUT_POLICY_DEVICES_MAX       256 // by all of them
#define ROLLOUT_POLICY_CODES_MAX         8
#define ROLLOUT_POLICY_RETRIES_MAX       100
#define ROLLOUT_POLICY_BACKOFF_MAX_PPM   10000000
#define ROLLOUT_POLICY_FACTOR_MAX_PPM    10000000
#define ROLLOUT_POLICY_STONES_MAX        4
#define ROLLOUT_POLICY_PRIORITY_MAX      1000 // and its negative
#define ROLLOUT_POLICY_REVERT_RATE_MAX   1000000
#define ROLLOUT_POLICY_OFFER_RATE_MAX    1000000

#define ROLLOUT_POLICY_BATCH_START_DEFAULT       10
#define ROLLOUT_POLICY_BATCH_FACTOR_DEFAULT_PPM  2000000
#define ROLLOUT_POLICY_RETRY_DELAY_DEFAULT_S     3600
#define ROLLOUT_POLICY_RETRY_BACKOFF_DEFAULT_PPM 2000000
#define ROLLOUT_POLICY_REVERT_RATE_DEFAULT       1000

#define ROLLOUT_POLICY_TIMEOUT_DEFAULT_S   86400
#define ROLLOUT_POLICY_STUCK_DEFAULT_S     (8 * 86400) // windows repeat weekly
#define ROLLOUT_POLICY_SUCCESS_DEFAULT_PPM 900000
#define ROLLOUT_POLICY_FAILURE_DEFAULT_PPM 100000
#define ROLLOUT_POLICY_SAMPLE_DEFAULT      1

#define ROLLOUT_PPM 1000000U // a whole, in parts per million

enum rollout_on_failure { ROLLOUT_ON_FAILURE_PAUSE, ROLLOUT_ON_FAILURE_REVERT };

// What must hold in a stage: of the devices whose outcome is known, at least success_ppm committed
// and at most failure_ppm did not; nothing is concluded from fewer than min_sample of them (or all,
// when the stage has fewer).
struct rollout_gate_bounds {
    uint32_t success_ppm;
    uint32_t failure_ppm;
    uint64_t min_sample;
};

struct rollout_stage_policy {
    char name[BUNDLE_NAME_MAX + 1];
    bool by_count;
    bool
        by_device; // named ones: n_devices of the policy's, from first_device on; no share of ranks
    size_t first_device, n_devices;
    uint64_t count; // by_count: devices that have it when the stage is done, this stage's included
    uint32_t ppm;   // else: their share; 0 by_device
    uint64_t soak_s;
    bool approve;  // waits for a person before it starts
    bool has_gate; // the policy gives one for it: with evidence it is judged by it only then
    struct rollout_gate_bounds gate;
};

// How many are at work at once: it rises batch by batch. start 0: no batches.
struct rollout_batch_policy {
    uint64_t start;      // devices of the first batch
    uint32_t factor_ppm; // how much larger the next one is, after a clean one; 1,000,000 or more
    uint64_t max;        // no batch is larger; 0: as large as the stage
    bool on_notified;    // the next one opens when all were offered; else when all have an outcome
};

// A device that failed with one of the codes (any, when none is given) gets another attempt.
struct rollout_retries {
    uint32_t max;         // attempts beside the first; 0: none
    uint64_t delay_s;     // before the first of them
    uint32_t backoff_ppm; // how much longer before each further one; 1,000,000 or more
    size_t n_codes;
    char codes[ROLLOUT_POLICY_CODES_MAX][ERR_NAME_BYTES];
};

// Silence after which a device counts as lost, by what it was last heard of as; 0: timeout_s.
struct rollout_timeouts {
    uint64_t offered_s, staged_s, activated_s;
    uint64_t
        stuck_s; // in one of them, though the device calls; 0: eight days, or the longest of these
};

// A release that a device must have run before.
struct rollout_stone {
    char name[BUNDLE_NAME_MAX + 1];
    char version[BUNDLE_RELEASE_MAX + 1];
};

// Which devices a revert takes back: all that took the release, or those alone that activated it
// and have not committed it.
enum rollout_revert_scope { ROLLOUT_REVERT_ALL, ROLLOUT_REVERT_ACTIVATED };

struct rollout_policy {
    char name[BUNDLE_NAME_MAX + 1];
    char release_name[BUNDLE_NAME_MAX + 1];
    char release_version[BUNDLE_RELEASE_MAX + 1];
    char selector[BUNDLE_PREDICATE_MAX + 1]; // parses as a predicate
    size_t n_stratify;
    char stratify[ROLLOUT_POLICY_STRATIFY_MAX][BUNDLE_FACT_NAME_MAX + 1];
    size_t n_stages; // 1..
    struct rollout_stage_policy stages[ROLLOUT_POLICY_STAGES_MAX];
    uint64_t timeout_s;      // an offered device that is silent for longer counts as lost
    uint64_t max_unresolved; // offered and without outcome at the same time; 0: no limit
    enum rollout_on_failure on_failure;
    bool has_budget_bytes, has_budget_metered_bytes;
    uint64_t budget_bytes; // 1 or more
    uint64_t budget_metered_bytes;
    int64_t not_before_s; // 0: at once
    int64_t until_s;      // 0: no end; after it nothing is offered
    bool baseline;        // once finished, what devices of the selector should have
    size_t n_devices;     // named by stages
    char devices[ROLLOUT_POLICY_DEVICES_MAX][BUNDLE_DEVICE_ID_MAX + 1];
    struct rollout_gates gates;
    struct rollout_batch_policy batch;
    struct bundle_windows windows; // in which its devices may download and activate
    struct rollout_retries retries;
    struct rollout_timeouts timeouts;
    int priority; // of two rollouts the higher one goes first, then the older one
    size_t n_stones;
    struct rollout_stone stones[ROLLOUT_POLICY_STONES_MAX];
    enum rollout_revert_scope revert_scope;
    uint32_t revert_rate; // devices told to go back in a minute; 0: no limit
    uint32_t offer_rate;  // devices offered it in a minute; 0: no limit
};

// What a policy may have, for whoever describes it (the schema, a test): a place, "" the document
// itself, "stages[]" one of the stages, and the names of its members up to NULL. Ends with a path
// that is NULL.
struct rollout_policy_place {
    const char *path;
    const char *const *members;
};
extern const struct rollout_policy_place rollout_policy_places[];

// The first stage that names this device; n_stages when none does. Such a device is admitted from
// that stage on whatever its rank is, and is not counted as evidence: nobody drew it.
size_t rollout_policy_named(const struct rollout_policy *policy, const char *device)
    __attribute__((nonnull));

// Whether it stratifies by labels, which devices do not know.
bool rollout_policy_by_label(const struct rollout_policy *policy) __attribute__((nonnull));

// Reads a document; `what` (the file's name) leads the errors. Kinds: config (names the place and
// what was expected), limit, bad_predicate.
int rollout_policy_parse(json_t *document, const char *what, struct rollout_policy *ret,
                         struct err *e) __attribute__((nonnull));
// The normal form, a new object that is the caller's: defaults written out, durations in seconds,
// percents as decimals in text. Two policies are the same when their normal forms are equal.
int rollout_policy_format(const struct rollout_policy *policy, json_t **ret, struct err *e)
    __attribute__((nonnull));
