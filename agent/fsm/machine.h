// SPDX-License-Identifier: Apache-2.0
//
// The machine that decides what a device does next. Pure: a record and an event give a new record,
// the work to do and the report to make; no clock, no file, no random number. The same table runs
// in the agent, under the unit tests, which walk every pair of state and event, and in the
// simulator.
//
//   idle → offered → fetching → staged → waiting → activating → [rebooting] → probation → committed
//                                                                    └────────────┴──→ reverting →
//                                                                    idle
//
//   idle → sham_waiting → sham_restarting → sham_probation → idle
//
// A sham goes through what an activation does, with the generation that is committed, and changes
// none: what an update would go back for ends it as failed, and what runs goes on. Restarts count
// alike. An update does not come in between; a sham that still waits gives way to one.
//
// Whoever carries the work out first makes the new record durable (agent/journal.h), then begins.
// So after a power cut FSM_RESTARTED on the record that was read gives the work to do again, and
// all work can be done twice.
#pragma once

#include "agent/fsm/record.h"

// X(name, when)
// clang-format off
#define FSM_EVENTS(X)                                                                              \
    X(RESTARTED,   "the agent started and read its journal")                                       \
    X(OFFER,       "an update was taken: an instruction, or a file at hand")                       \
    X(FETCH_BEGUN, "the worker runs")                                                              \
    X(HICCUP,      "the download broke; it is tried again later")                                  \
    X(OVERWRITES,  "an image goes over that of the previous generation, which is given up")        \
    X(FETCHED,     "all contents are written")                                                     \
    X(UNSEALED,    "some contents came from a damaged generation; they are taken from the bundle") \
    X(GATED,       "read back, sealed, and every probe before the swap passed")                    \
    X(REFUSED,     "not to be installed, nothing changed yet")                                     \
    X(GO,          "last look, window and inhibit allow the swap")                                 \
    X(UNSWAPPED,   "interrupted before the swap; what allowed it is to be asked anew")             \
    X(ACTIVATED,   "swapped, the application was told")                                            \
    X(REBOOT,      "swapped, the machine has to restart")                                          \
    X(BOOTED,      "the machine restarted into the new generation")                                \
    X(HEALTHY,     "probation is over and every probe held; probation_done_s says so")             \
    X(UNHEALTHY,   "a probe failed, telling the application failed, too many restarts")            \
    X(CLEANED,     "what the commit made superfluous is gone")                                     \
    X(REVERTED,    "the generation gone back to runs")                                             \
    X(UNMOVED,     "the previous generation is damaged; the committed one never stopped running")  \
    X(STUCK,       "the generation to go back to is damaged or cannot be put back")                \
    X(ASK_COMMIT,  "an operator ends the probation")                                               \
    X(ASK_REVERT,  "an operator or the controller wants the previous generation")                  \
    X(ASK_CANCEL,  "an operator or the controller gives the update up, or the sham")               \
    X(SHAM,        "a sham was taken")
// clang-format on

enum fsm_event {
#define FSM_EVENT_VALUE(name, when) FSM_##name,
    FSM_EVENTS(FSM_EVENT_VALUE)
#undef FSM_EVENT_VALUE
        FSM_EVENTS_COUNT
};

// Work, as a set of bits.
enum {
    FSM_DO_FETCH = 1 << 0,    // begin or continue the download
    FSM_DO_LATER = 1 << 1,    // begin it again after a back-off
    FSM_DO_GATE = 1 << 2,     // seal, probe the staged generation
    FSM_DO_WAIT = 1 << 3,     // watch for the last look, the window, an inhibit
    FSM_DO_ACTIVATE = 1 << 4, // re-verify, swap, tell
    FSM_DO_REBOOT = 1 << 5,
    FSM_DO_WATCH = 1 << 6,   // probes of the probation
    FSM_DO_CLEAN = 1 << 7,   // remove every generation but the committed and the previous one
    FSM_DO_REVERT = 1 << 8,  // re-verify, swap back, tell
    FSM_DO_STOP = 1 << 9,    // end whatever runs for the update
    FSM_DO_CHECKIN = 1 << 10 // tell the controller soon
};

extern const char *const fsm_machine_state_names[FSM_STATES];
extern const char *const fsm_machine_event_names[FSM_EVENTS_COUNT];

struct fsm_input {
    enum fsm_event event;
    const struct fsm_update *offer; // OFFER, SHAM: target, counters are set by the machine
    struct fsm_why why;             // of GATED (what an offer waits for), REFUSED, HICCUP,
                                    // OVERWRITES, UNHEALTHY, UNMOVED, STUCK, ASK_REVERT, _CANCEL;
                                    // else ""
    bool final;                     // REFUSED: the bundle failed here for good (I4)
};

struct fsm_outcome {
    uint32_t work;
    bool has_report;
    enum bundle_event report;
    struct fsm_why why;       // of the report
    struct fsm_update update; // that the report is about
};

// Applies one event. 0 done; FSM_MACHINE_IGNORED when it means nothing in this state (late news of
// work that was stopped); FSM_MACHINE_WRONG_STATE when somebody asked for what cannot be done now.
// In both cases neither record nor *ret changes.
enum { FSM_MACHINE_IGNORED = 1, FSM_MACHINE_WRONG_STATE = 2 };
int fsm_machine_step(struct fsm_record *record, const struct fsm_input *in, struct fsm_outcome *ret)
    __attribute__((nonnull));

// A device that never installed anything: idle on generation `committed`.
void fsm_machine_init(struct fsm_record *ret, uint64_t committed, uint64_t next)
    __attribute__((nonnull));

// Whether a generation must not be removed in this state (I2): the committed one, the previous one,
// the update's own while it may still run, and the one being gone back to.
bool fsm_machine_needs(const struct fsm_record *record, uint64_t generation)
    __attribute__((nonnull));

// Whether what `current` may name in this state is this generation.
bool fsm_machine_may_run(const struct fsm_record *record, uint64_t generation)
    __attribute__((nonnull));

// Whether there is no answer to why in a state that must have one (I10): waiting, unless for
// nothing as an update from a file at hand does, and everything on the way back. Never of a record
// the machine made; an older agent's journal may be so.
bool fsm_machine_wants_reason(const struct fsm_record *record) __attribute__((nonnull));

// Whether the state is one of a sham.
bool fsm_machine_is_sham(enum fsm_state state);

// Asserts what must hold of every record the machine made, by the numbers of the invariants.
void fsm_machine_assert(const struct fsm_record *record) __attribute__((nonnull));
