// SPDX-License-Identifier: Apache-2.0
//
// The update under way: carries out what the state machine decides (agent/fsm), on the loop. Its
// parts are the files of agent/update/, one for each stretch of the way:
//
//   engine.c    events in, work out; the only caller of agent_state_step
//   hint.c      what the offer said of a delta and of the mandate
//   mandate.c   what people signed for
//   trust.c     what the repository says, before a download
//   fetch.c     the worker, the manifest and what is judged by it before the first byte
//   images.c    slots of images, and the generation that is given up for one
//   link.c      what the download may cost, and what it cost
//   window.c    when it may download and be activated
//   gate.c      sealing, probes before the swap
//   wait.c      inhibit, window, last look at the controller and at the targets
//   activate.c  re-verify, swap, tell the application; and the same on the way back
//   watch.c     probation
//   dry.c       probes of a bundle that is not installed
//   sham.c      the same of what runs already, as if it had just been activated
//
// Errors of the update itself become events and reasons. What stops the agent (its own state cannot
// be written) is kept in `fatal`: the daemon closes everything and begins again from disk.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/job.h"
#include "agent/loop.h"
#include "agent/state.h"
#include "bundle/checkin.h"
#include "bundle/instruction.h"

struct agent_trust;
struct agent_trust_wanted;
struct agent_update; // the engine

// What an engine needs of its surroundings.
struct agent_update_host {
    struct agent_loop *loop;
    struct agent_state *state;
    const json_t *facts;                          // of this device; borrowed
    void (*checkin_soon)(void *context);          // something to report, or the last look is wanted
    int (*breathe)(void *context, struct err *e); // called during long hashing; < 0 stops it
    struct agent_trust
        *trust; // the repository; borrowed. NULL: nothing is installed from the network
    void (*fill_net)(void *context, struct agent_job_net *ret); // network settings for a job
    const char *(*token)(void *context); // for downloads from the controller itself
    void *context;
    // Tests only: stands in for the download; fires FSM_FETCHED or fails itself. NULL: the worker.
    void (*fetch)(void *context);
    // Tests only: stands in for the repository; see update_trust_ask. NULL: `trust`.
    void (*ask)(void *context, const struct agent_trust_wanted *wanted);
};

int agent_update_open(const struct agent_update_host *host, struct agent_update **ret,
                      struct err *e) __attribute__((nonnull));
void agent_update_close(struct agent_update *update); // ends what runs; nothing durable changes
// After the start: goes on with what the journal says.
void agent_update_resume(struct agent_update *update) __attribute__((nonnull));

// Takes an update. file is the open bundle for a local one (taken over in every case), else -1.
// Kinds: wrong_state, failed_before, queue_full, busy (hashing), state_restored (agent/anchor.h).
int agent_update_offer(struct agent_update *update, const struct fsm_update *offer, int file,
                       struct err *e) __attribute__((nonnull));
// Keeps what an offer says of a delta and of the mandate, before it is taken; forgets what another one
// said. Of the update under way it may be said later too: made in the meantime.
int agent_update_hint(int private_dir, struct slice raw, const struct bundle_instruction *offer,
                      struct err *e) __attribute__((nonnull));
// Takes a sham of what runs (bundle/instruction.h). One that was taken before is done. Kinds: sham_unfit (another
// bundle runs, too many lately), wrong_state, queue_full, busy, state_restored; those after the first say that it may be
// asked for again.
int agent_update_sham(struct agent_update *update, const struct bundle_instruction *instruction,
                      struct err *e) __attribute__((nonnull));
// Whether an offer that is not taken yet lies within what people signed for, as far as that can be told
// without asking anybody: a mandate that is not held is fetched later, and looked at then. Where the
// root has no role mandate all do. Kinds: those of bundle_mandate_verify and bundle_mandate_admits.
int agent_update_check_mandate(struct agent_update *update, const struct bundle_instruction *offer,
                               struct err *e) __attribute__((nonnull));
// The last look said yes for this rollout and attempt (I11). The repository is asked next: the
// targets have to name the bundle still, or again.
void agent_update_looked(struct agent_update *update) __attribute__((nonnull));
// Kinds: wrong_state, no_previous, below_floor, busy (hashing), state_restored.
int agent_update_ask(struct agent_update *update, enum fsm_event ask, const struct err *why,
                     struct err *e) __attribute__((nonnull));
// Runs the bundle's probes of phase `after` on what runs now (FORMAT.md 13.3); what comes of it, a
// refusal too, is agent_update_probed's. Kind memory.
int agent_update_dry(struct agent_update *update, const struct bundle_instruction *probe,
                     struct err *e) __attribute__((nonnull));
// The application delays activation for at most so many seconds; 0 ends it.
void agent_update_inhibit(struct agent_update *update, uint64_t seconds, const char *reason)
    __attribute__((nonnull));

// For status and check-ins. Borrowed.
bool agent_update_wants_look(const struct agent_update *update) __attribute__((nonnull));
// Facts read anew: judges the next manifest. Borrowed until the next call.
void agent_update_set_facts(struct agent_update *update, const json_t *facts)
    __attribute__((nonnull));
bool agent_update_progress(const struct agent_update *update, uint64_t *ret_done,
                           uint64_t *ret_total) __attribute__((nonnull));
// What came of dry probes and was not told; NULL nothing. And: it was told, by its sequence.
const struct bundle_checkin_probed *agent_update_probed(const struct agent_update *update)
    __attribute__((nonnull));
void agent_update_told_probed(struct agent_update *update, uint64_t sequence)
    __attribute__((nonnull));
// Adds "probation", "probes", "inhibit" and "last" to a status object.
int agent_update_describe(const struct agent_update *update, json_t *status, struct err *e)
    __attribute__((nonnull));
// How the last update ended since the start: true and the event and reason.
bool agent_update_ended(const struct agent_update *update, enum bundle_event *ret,
                        struct fsm_why *ret_why) __attribute__((nonnull));
// Whether nothing that was decided is still to be carried out: the disk is cleaned up (I8).
bool agent_update_is_settled(const struct agent_update *update) __attribute__((nonnull));
const struct err *agent_update_fatal(const struct agent_update *update) __attribute__((nonnull));
