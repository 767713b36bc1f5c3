// SPDX-License-Identifier: Apache-2.0
//
// An anchor outside the disk: a counter in a TPM 2.0 that only rises (agent/counter). The number it
// had is kept in private/anchor; when the two disagree, the state directory is not the one that
// this device wrote last: somebody put an old copy back, with old floors and an old sequence.
//
// The number is raised with what must not be lost: a floor that rises, a generation that is
// committed. First the file gets the next number, durably, then the counter is raised; so a power
// cut between the two leaves the file one ahead, which is mended at the start.
//
//     file       counter     what it is
//     absent     absent      first start with an anchor: both begin
//     n          n           held
//     n + 1      n           cut between the two: held, the counter is raised
//     less       n           restored: an old copy
//     absent     n           restored: a copy from before, or without its anchor
//     more       n           restored, too: another TPM
//     n          absent      restored, too
//
// While restored, neither a bundle from a stick nor a revert is admitted (state_restored): the
// floors that would judge them may be old. The next refresh of the repository brings the floors
// from signed metadata; then the anchor is set again. What runs goes on running; network installs
// need that refresh anyway. A TPM that cannot be asked (unknown) refuses sticks alone: a broken
// part must not keep a device from going back. Without a TPM configured there is no anchor, and a
// restored copy is not noticed; SECURITY.md says so.
//
// Only a refresh that got everything counts, and none that is older than what the controller said
// since the start that there is (agent/trust/run.c): a copy of the repository as old as that of the
// state has old floors as well. That word is as good as the way it came: over TLS the controller's.
// Whoever can speak for the controller can renew an anchor by a repository as old as the copy;
// SECURITY.md says so.
//
// The program is waited for, and the loop with it: what follows a raise relies on the counter, and
// a file that is ahead of it for longer than an instant would be a third thing for everybody to
// know. A TPM takes a fraction of a second; one that takes longer than AGENT_ANCHOR_TIMEOUT_MS
// counts as one that cannot be asked, as it would if it were broken.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/config.h"
#include "base/chrono.h"
#include "base/err.h"

#define AGENT_ANCHOR_TIMEOUT_MS 10000
#define AGENT_ANCHOR_PROGRAM    "edge-agent-counter"

enum agent_anchor_verdict {
    AGENT_ANCHOR_NONE, // not configured
    AGENT_ANCHOR_HELD,
    AGENT_ANCHOR_CUT,
    AGENT_ANCHOR_RESTORED,
    AGENT_ANCHOR_UNKNOWN, // the TPM cannot be asked
    AGENT_ANCHOR_VERDICTS
};
extern const char *const agent_anchor_names[AGENT_ANCHOR_VERDICTS]; // "none", "held", …

struct agent_anchor_config {
    char tcti[AGENT_CONFIG_TCTI_MAX + 1]; // "": no anchor
    uint32_t index;
    const char *program; // edge-agent-counter; borrowed
};

struct agent_anchor {
    struct agent_anchor_config config;
    const struct chrono *clock; // borrowed
    enum agent_anchor_verdict verdict;
    uint64_t serial; // of the pair
    uint64_t number; // in the file
};

// The table above, where there is a counter. Pure.
enum agent_anchor_verdict agent_anchor_judge(bool has_number, uint64_t number, uint64_t counter);

// Asks the TPM and judges. A TPM that fails is a verdict, not an error; *why says
// what. Kinds: bad_journal, io.
int agent_anchor_open(const struct agent_anchor_config *config, int private_dir,
                      const struct chrono *clock, struct agent_anchor *ret, struct err *why,
                      struct err *e) __attribute__((nonnull));
// After what must not be lost became durable. Does nothing unless held. A TPM that fails makes it
// unknown.
int agent_anchor_raise(struct agent_anchor *anchor, int private_dir, struct err *e)
    __attribute__((nonnull));
// A refresh brought signed floors: from now on the state is this device's again.
int agent_anchor_renew(struct agent_anchor *anchor, int private_dir, struct err *e)
    __attribute__((nonnull));
// Kind state_restored.
int agent_anchor_admits_revert(const struct agent_anchor *anchor, struct err *e)
    __attribute__((nonnull));
int agent_anchor_admits_stick(const struct agent_anchor *anchor, struct err *e)
    __attribute__((nonnull));
