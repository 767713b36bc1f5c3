// SPDX-License-Identifier: Apache-2.0
//
// All that a device knows durably, opened together and locked against a second agent: the journal,
// the report queue, the floors, the identity, the trusted root, the generations. And the one way to
// change what the device is doing: agent_state_step.
//
// agent_state_step applies an event to a copy of the record (agent/fsm), writes the journal with
// the report of the change, queues the report, and only then lets the caller do the new work. When
// writing fails, memory keeps the old record and the step fails as a whole; the caller starts over
// from disk.
//
// Trusted time is agent/fsm/trusted.h over the dates in the journal; the boot clock adds to it in
// memory, and nobody's wall clock moves it. The root is the newest trusted one
// (agent/trust/store.h).
#pragma once

#include "agent/anchor.h"
#include "agent/config.h"
#include "agent/floors.h"
#include "agent/fsm/machine.h"
#include "agent/identity.h"
#include "agent/journal.h"
#include "agent/queue.h"
#include "agent/store.h"
#include "agent/trust/store.h"
#include "base/chrono.h"
#include "keys/root.h"

struct agent_state {
    const struct agent_config *config; // borrowed
    const struct chrono *clock;        // borrowed
    struct agent_store store;
    int private_dir;
    int lock;
    struct agent_journal journal;
    struct agent_queue queue;
    struct agent_floors floors;
    struct agent_anchor anchor;
    char *counter; // owned: the program that asks the TPM; NULL without one
    struct agent_identity identity;
    struct trust_store trust;
    struct keys_root *root; // owned
};

// Opens or makes everything and takes the lock. A new device adopts its image's generation. Kind
// busy when another agent holds the state directory.
int agent_state_open(const struct agent_config *config, const struct chrono *clock,
                     struct agent_state *ret, struct err *e) __attribute__((nonnull));
void agent_state_close(struct agent_state *state) __attribute__((nonnull));

// 0, FSM_MACHINE_IGNORED or FSM_MACHINE_WRONG_STATE. `detail` (or NULL) is a failed probe's last
// output, for the report.
int agent_state_step(struct agent_state *state, const struct fsm_input *in, const char *detail,
                     struct fsm_outcome *ret, struct err *e) __attribute__((nonnull(1, 2, 4, 5)));
// Makes counters of the update durable (probation time, downloads begun, the look); not a change of
// state.
int agent_state_save(struct agent_state *state, struct err *e) __attribute__((nonnull));
// Says why nothing moves without changing the state; a new code is reported as `waiting`.
int agent_state_wait(struct agent_state *state, const struct err_kind *kind, const char *text,
                     struct err *e) __attribute__((nonnull));

// Seconds since 1970 that signed words vouch for, 0 when there are none yet. A lower bound.
int64_t agent_state_trusted_s(const struct agent_state *state) __attribute__((nonnull));
// Takes over the date of what was verified by a source's keys, in memory; durable with the next
// journal. True when there is something to make durable.
bool agent_state_learn_time(struct agent_state *state, enum fsm_trusted_source source,
                            int64_t issued_s) __attribute__((nonnull));
// A refresh brought what is signed now: where the anchor said that this state was restored or
// nobody knew, it is this device's again.
int agent_state_renew(struct agent_state *state, struct err *e) __attribute__((nonnull));
// For windows and TLS: trusted time, or the wall clock where that is later.
int64_t agent_state_best_s(const struct agent_state *state) __attribute__((nonnull));

// The kind with this name in any room that a device has; NULL when there is none.
const struct err_kind *agent_state_kind(const char *name) __attribute__((nonnull));
// An error as a reason: code and sentence, made safe for JSON and terminals.
struct fsm_why agent_state_why(const struct err *e) __attribute__((nonnull));
