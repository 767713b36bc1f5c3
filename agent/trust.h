// SPDX-License-Identifier: Apache-2.0
//
// Refreshing what the repository says (The Update Framework), on the loop. One run is two jobs of a
// worker, one after the other: `refresh` has the network and leaves what it got in
// private/incoming; `judge` has no network and goes through the same once more, over the trusted
// files; what it accepted is taken over here (agent/trust/adopt.h). So nothing that was not judged
// away from the network ever lies where trusted metadata lies, and the agent itself parses the
// judge's verdict and its own roots alone.
//
// A run is begun for an update, before its download and before it is activated, and when a check-in
// hints at another root or snapshot than the trusted ones.
// What fails leaves everything as it was, but for what was accepted before the failure; the next
// honest repository is followed from there. A failure is kept as the reason (I10) until a run
// succeeds.
#pragma once

#include "agent/job.h"
#include "agent/loop.h"
#include "agent/state.h"
#include "agent/trust/verdict.h"

struct agent_trust;

struct agent_trust_host {
    struct agent_loop *loop;
    struct agent_state *state;
    void (*fill_net)(void *context, struct agent_job_net *ret); // network settings for a job
    void *context;
};

// How a run ended. Everything is borrowed and ends with the call-back, but the verdict may be taken
// (and cleared in its place).
struct agent_trust_outcome {
    // kind NULL: all is current, and the wanted target is named. Kinds: stale_repository (expired
    // or incomplete, or older than the controller says), not_in_targets, those of the network, of
    // the metadata, and of files.
    struct err why;
    struct trust_verdict *verdict;
    // The mandate that was wanted, as it came: nobody has looked at it. Empty when none was.
    struct slice mandate;
    uint64_t retry_after_s;
};

int agent_trust_open(const struct agent_trust_host *host, struct agent_trust **ret, struct err *e)
    __attribute__((nonnull));
void agent_trust_close(struct agent_trust *trust);

// What a run wants to be named. Paths of bundle/target.h; "" nothing.
struct agent_trust_wanted {
    const char *path;
    const char *delta; // may be absent, and is not looked for without the other
    // What people signed for, from outside of the repository; NULL or "" none is fetched.
    const char *mandate_url; // absolute
    uint64_t mandate_bytes;
};

// Begins a run that wants these; a run under way is dropped. done is called once, from the loop or
// from within the call, unless stopped before.
void agent_trust_begin(struct agent_trust *trust, const struct agent_trust_wanted *wanted,
                       void (*done)(void *context, struct agent_trust_outcome *outcome),
                       void *context) __attribute__((nonnull(1, 2, 3)));
// Ends a run that was begun with this context, without a call-back.
void agent_trust_stop(struct agent_trust *trust, const void *context) __attribute__((nonnull(1)));
// What the controller says the repository has (0: nothing). Begins a run when that is not what is
// trusted, when the last run failed, or when the state was restored (agent/anchor.h), and none is
// under way.
void agent_trust_hint(struct agent_trust *trust, uint64_t root, uint64_t snapshot)
    __attribute__((nonnull));

// Whether what is trusted is no older than what the controller knows. Kind stale_repository.
int agent_trust_check_newest(const struct agent_state *state, struct err *e)
    __attribute__((nonnull));

// {"root":{"version","expires"},…,"trusted_time":…|null,"why":{"code","text"}} for the status; NULL
// without memory.
json_t *agent_trust_describe(const struct agent_state *state) __attribute__((nonnull));
