// SPDX-License-Identifier: Apache-2.0
//
// Gates of evidence: what a rollout's policy asks of the fleet before it goes on. Members "gates"
// and "evidence" of the policy (policy.h):
//
//   "gates": [{"name": "install", "kind": "install", "baseline_pct": 2, "intolerable_pct": 10},
//             {"name": "lost", "kind": "lost"},
//             {"name": "crashes", "kind": "counter", "metric": "app_crashes", "weight": 2,
//              "tolerable_ratio": 1, "intolerable_ratio": 2},
//             {"name": "latency", "kind": "metric", "metric": "p95_ms", "worse": "higher",
//              "tolerable": 0, "intolerable": "5.5", "guard": 200}],
//   "evidence": {"alpha": "0.025", "alpha_pass": "0.05", "compared": 4, "horizon_s": "1d",
//                "window_s": "6h", "grace_s": "1h", "settle_s": "15m", "newcomer_s": "7d",
//                "rhythm_s": "30m", "drift_pct": 20, "min_fragility": 2, "reach_pct": 80,
//                "holdback_pct": 0, "holdback_release_s": 0, "max_soak_s": "7d",
//                "on_max_soak": "pause", "unit": "device", "site": "label.site", "sham": false}
//
// What each promises is in ctl/rollout/evidence/: install.h (installs that fail, against a stated
// share), events.h (lost, revert, counter: hazard ratio of treated and comparison devices; a revert
// within the set, trial.h), rank.h
// (metric: rank of the treated device among those compared with it). man/edgectl-policy.5 says it
// for people.
//
// A counter that an orderly restart raises says that the release was activated, and nothing else: it
// should not be a gate (app_crashes, not app_restarts), with a sham or without. At risk of a counter's
// event is a treated device from its activation and the settling time on.
//
// "sham": devices that a treated one is compared with are told to restart as it did, and run the probes of what
// they run (bundle/instruction.h); a gate of kind revert needs it, and metrics are then compared among devices
// that all restarted. Devices whose agent does not know how are not counted, in either arm.
//
// Weights are relative when read (1 each when not given) and are kept as parts per million that sum
// to ROLLOUT_PPM. "worse": "both" is two gates, NAME.up and NAME.down, with half of the weight
// each. Margins of metrics are magnitudes: by how much worse, in the metric's unit.
//
// Plain data without pointers. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "bundle/limits.h"

#define ROLLOUT_GATES_MAX 16

#define ROLLOUT_GATES_ALPHA_DEFAULT_PPM       25000
#define ROLLOUT_GATES_ALPHA_PASS_DEFAULT_PPM  50000
#define ROLLOUT_GATES_ALPHA_MAX_PPM           500000
#define ROLLOUT_GATES_COMPARED_DEFAULT        4
#define ROLLOUT_GATES_HORIZON_DEFAULT_S       86400
#define ROLLOUT_GATES_WINDOW_DEFAULT_S        21600
#define ROLLOUT_GATES_GRACE_DEFAULT_S         3600
#define ROLLOUT_GATES_SETTLE_DEFAULT_S        900
#define ROLLOUT_GATES_NEWCOMER_DEFAULT_S      (7 * 86400)
#define ROLLOUT_GATES_RHYTHM_DEFAULT_S        1800
#define ROLLOUT_GATES_DRIFT_DEFAULT_PPM       200000
#define ROLLOUT_GATES_DRIFT_MAX_PPM           499999 // beyond it nothing would be a drift
#define ROLLOUT_GATES_FRAGILITY_DEFAULT       2
#define ROLLOUT_GATES_FRAGILITY_MAX           1000
#define ROLLOUT_GATES_REACH_DEFAULT_PPM       800000
#define ROLLOUT_GATES_HOLDBACK_MAX_PPM        500000
#define ROLLOUT_GATES_MAX_SOAK_DEFAULT_S      (7 * 86400)
#define ROLLOUT_GATES_BASELINE_DEFAULT_PPM    20000
#define ROLLOUT_GATES_INTOLERABLE_DEFAULT_PPM 100000
#define ROLLOUT_GATES_RATIO_OK_DEFAULT_PPM    1000000
#define ROLLOUT_GATES_RATIO_BAD_DEFAULT_PPM   2000000
#define ROLLOUT_GATES_RATIO_MIN_PPM           125000 // the ends of the grid of events.h
#define ROLLOUT_GATES_RATIO_MAX_PPM           128000000
#define ROLLOUT_GATES_SITE_DEFAULT            "label.site"
#define ROLLOUT_GATES_WEIGHT_MAX              1000000               // relative, of one gate
#define ROLLOUT_GATES_BOTH_NAME_MAX           (BUNDLE_NAME_MAX - 5) // ".down" fits behind it

// What is drawn, admitted and compared (unit.h).
enum rollout_unit_kind { ROLLOUT_UNIT_DEVICE, ROLLOUT_UNIT_SITE };

enum rollout_gate_kind {
    ROLLOUT_GATE_INSTALL,
    ROLLOUT_GATE_LOST,
    ROLLOUT_GATE_REVERT, // with sham alone: else its comparison cannot revert
    ROLLOUT_GATE_COUNTER,
    ROLLOUT_GATE_METRIC,
    ROLLOUT_GATE_KINDS
};

struct rollout_gate_policy {
    char name[BUNDLE_NAME_MAX + 1];
    enum rollout_gate_kind kind;
    char metric[BUNDLE_NAME_MAX + 1]; // COUNTER, METRIC: as devices name it; else ""
    bool lower_worse;                 // METRIC
    uint32_t weight_ppm;
    uint32_t baseline_ppm;    // INSTALL: share that may fail; METRIC: share that has none
    uint32_t intolerable_ppm; // INSTALL
    uint64_t ratio_ok_ppm, ratio_bad_ppm;  // LOST, REVERT, COUNTER: hazard ratios
    struct decimal tolerable, intolerable; // METRIC: by how much worse, in its unit
    bool has_guard;                        // METRIC: the mean of the treated beyond it is failure,
    struct decimal guard;                  // without statistics
};

struct rollout_gates {
    size_t n; // 0: no evidence is asked for, and the rest means nothing
    struct rollout_gate_policy gate[ROLLOUT_GATES_MAX];
    uint32_t alpha_ppm, alpha_pass_ppm;
    unsigned compared;           // devices compared with each treated one, for all metrics
    uint64_t horizon_s;          // when a metric is read, after activation
    uint64_t window_s;           // the span that it is the mean of, and of the span before
    uint64_t grace_s;            // for reports that come late
    uint64_t settle_s;           // between two check-ins of a device after an opening, at least
    uint64_t newcomer_s;         // devices that enrolled later are admitted, and not counted
    uint64_t rhythm_s;           // between two check-ins, as expected
    uint32_t drift_ppm;          // of its own past, at which the comparison is suspect
    uint32_t min_fragility;      // devices that a verdict has to rest on
    uint32_t reach_ppm;          // share of the admitted that a stage has to reach
    uint32_t holdback_ppm;       // share that is not admitted before its release
    uint64_t holdback_release_s; // after the last stage opened; 0: when its gates have passed
    uint64_t max_soak_s;         // after a stage is complete, without a verdict
    bool advance_on_max_soak;    // else it pauses
    bool sham;                   // members of sets restart as the treated device did (trial.h)
    enum rollout_unit_kind unit;
    char site[BUNDLE_FACT_NAME_MAX + 1]; // the fact that names a device's site: whose a verdict is
};
