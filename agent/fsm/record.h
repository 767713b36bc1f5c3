// SPDX-License-Identifier: Apache-2.0
//
// What the state machine remembers: all of it is in the journal, and nothing else decides what
// happens after a power cut. Plain data without pointers, so that a copy is a copy.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "bundle/instruction.h"
#include "bundle/limits.h"
#include "bundle/report.h"
#include "keys/digest.h"

#define FSM_FAILURES_MAX         16 // bundles that failed here and are remembered; the oldest goes
#define FSM_RESTARTS_DEFAULT     3
#define FSM_RESTARTS_STAGING_MAX 10 // restarts before the swap, after which an update is given up
#define FSM_PROBATION_DEFAULT_S  600
#define FSM_SHAMS_MAX            4 // that are remembered, and that are begun in a day
#define FSM_SHAMS_PERIOD_S       86400

enum fsm_state {
    FSM_IDLE,       // the committed generation runs, nothing else is wanted
    FSM_OFFERED,    // an update was taken
    FSM_FETCHING,   // the worker writes <n>.partial
    FSM_STAGED,     // written; being sealed and tried before the swap
    FSM_WAITING,    // sealed; waits for the last look, the window, an inhibit
    FSM_ACTIVATING, // re-verified, swapped, the application told
    FSM_REBOOTING,  // the swap takes a restart of the machine
    FSM_PROBATION,  // runs, watched by probes
    FSM_COMMITTED,  // decided for good; what is no longer needed is being removed
    FSM_REVERTING,  // going back to `revert_to`
    FSM_FAILED,     // could not even go back; needs a person
    // A sham: what the committed generation goes through as if it had just been activated.
    FSM_SHAM_WAITING,    // for the window, an inhibit
    FSM_SHAM_RESTARTING, // the application is told
    FSM_SHAM_PROBATION,  // watched by probes
    FSM_STATES
};

// Which packing of a bundle the contents staged so far came from.
enum fsm_packing { FSM_PACKING_NONE, FSM_PACKING_DELTA, FSM_PACKING_BUNDLE };

// The update under way (or, in fsm_record.last, the one that was committed last). Of a sham target is the
// committed generation, and bundle, name and release are what a part of it came from.
struct fsm_update {
    bool local;      // from a file at hand: no last look, no window, no inhibit
    uint64_t target; // its generation
    char rollout[BUNDLE_NAME_MAX + 1];
    uint64_t attempt;
    bool has_bundle; // false until the manifest of a file at hand was verified
    struct keys_digest bundle;
    char name[BUNDLE_NAME_MAX + 1];
    char release[BUNDLE_RELEASE_MAX + 1];
    char url[BUNDLE_URL_MAX + 1]; // "" for a file at hand
    uint64_t size;                // of the bundle file; 0 unknown
    bool looked;                  // the last look said yes (I11)
    uint64_t tries;               // downloads begun
    uint64_t restarts;            // of the agent in the present part of the way
    uint64_t restarts_max;        // allowed in probation
    uint64_t probation_s;
    uint64_t probation_done_s;               // powered-on time that counts already
    struct bundle_instruction_budget budget; // the offer's
    struct bundle_windows windows;           // of the last word on it
    struct bundle_report_bytes spent;        // over all tries
    uint64_t packing;                        // enum fsm_packing of what is staged
    uint64_t staged_bytes;                   // of that packing, fetched for what is staged
    bool no_delta;                           // a delta was tried and found wrong
    uint64_t until_s; // a sham that was not begun by then, in trusted time, is none any more
};

struct fsm_failure {
    struct keys_digest bundle;
    uint64_t attempt;
};

// A sham that was taken.
struct fsm_sham_taken {
    char rollout[BUNDLE_NAME_MAX + 1];
    uint64_t attempt;
    int64_t at_s; // trusted time
};

struct fsm_why {
    char code[ERR_NAME_BYTES]; // "" all is well
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
};

struct fsm_record {
    enum fsm_state state;
    uint64_t committed; // generation
    bool has_previous;
    uint64_t previous;     // kept whole (I2)
    uint64_t next;         // number of the next generation; never used twice
    uint64_t revert_to;    // reverting, failed
    bool revert_committed; // what is reverted was committed: `previous` takes its place
    bool has_update;
    struct fsm_update update;
    bool has_last;
    struct fsm_update last;
    struct fsm_why why;
    size_t n_failures;
    struct fsm_failure failures[FSM_FAILURES_MAX];
    size_t n_shams; // oldest first
    struct fsm_sham_taken shams[FSM_SHAMS_MAX];
};
