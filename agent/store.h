// SPDX-License-Identifier: Apache-2.0
//
// The generations on disk and the link `current` (layout in bundle/generation.h). Nothing here
// decides: the record of the state machine says which generations are needed and which one runs.
//
// In what order things happen, so that a power cut anywhere leaves I1, I2 and I7:
//
//   what                       before it                        at the start after a cut behind it
//   N.partial made             journal: offered, target N       fetch goes on in N.partial
//   N.partial sealed (synced)  journal: staged                  sealed again from what is there
//   N.partial renamed to N     contents durable                 found as N: not sealed again
//   current -> N               journal: activating, N verified  swapped again, told
//   journal: probation         application was told             not told again, probes run
//   journal: committed         probes held                      the rest is removed
//   generations removed        journal no longer needs them     removed again
//   current -> old             journal: reverting, old verified swapped again, told
//
// A directory under generations/ that the record does not need is garbage whatever it holds; it is
// never looked into. The record is written before the first byte of a generation and forgets it
// before the first byte is removed.
#pragma once

#include <stdint.h>

#include "agent/config.h"
#include "agent/fsm/record.h"
#include "base/err.h"
#include "bundle/generation.h"
#include "bundle/manifest.h"

struct agent_store {
    int dir;                           // state directory
    int generations;                   // its generations/
    const struct agent_config *config; // whose slots images lie in; borrowed, NULL: there are none
};

// Opens below the state directory, made if absent (0755). `config` is the caller's to set.
int agent_store_open(const char *state_dir, struct agent_store *ret, struct err *e)
    __attribute__((nonnull));
void agent_store_close(struct agent_store *store) __attribute__((nonnull));

// The generation that `current` names. AGENT_STORE_ABSENT when there is no such link;
// bad_generation when it names something else.
enum { AGENT_STORE_ABSENT = 1 };
int agent_store_current(const struct agent_store *store, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
// The one instant of change: `current` names the generation, durably.
int agent_store_point(const struct agent_store *store, uint64_t generation, struct err *e)
    __attribute__((nonnull));

// Opens a complete generation's directory. AGENT_STORE_ABSENT when it is not there.
int agent_store_open_generation(const struct agent_store *store, uint64_t generation, int *ret,
                                struct err *e) __attribute__((nonnull));
// Opens <n>.partial, made if absent; it is given to uid/gid when they are not (uid_t)-1.
int agent_store_open_partial(const struct agent_store *store, uint64_t generation, uid_t uid,
                             gid_t gid, int *ret, struct err *e) __attribute__((nonnull));
int agent_store_drop_partial(const struct agent_store *store, uint64_t generation, struct err *e)
    __attribute__((nonnull));
// <n>.partial, sealed and synced, becomes <n>, durably.
int agent_store_promote(const struct agent_store *store, uint64_t generation, struct err *e)
    __attribute__((nonnull));

// Removes every generation and every partial one that the record does not need (I2, I8).
int agent_store_clean(const struct agent_store *store, const struct fsm_record *record,
                      struct err *e) __attribute__((nonnull));

// Whether anything unfinished lies there, of whatever number: what a given up update must not leave
// (I8).
int agent_store_has_partial(const struct agent_store *store, bool *ret, struct err *e)
    __attribute__((nonnull));

// Removes what a power cut left of fs_replace in one directory.
int agent_store_tidy(int dir, struct err *e);

// Re-verifies a generation whole (I1), the slots of its images too, and returns its record. Kinds
// bad_generation, bad_content.
int agent_store_verify(const struct agent_store *store, uint64_t generation,
                       int (*progress)(void *context, uint64_t bytes, struct err *e), void *context,
                       struct bundle_generation *ret, struct err *e)
    __attribute__((nonnull(1, 5, 6)));
// Reads a generation's record only. Kind bad_generation, also when it is another generation's.
int agent_store_record(const struct agent_store *store, uint64_t generation,
                       struct bundle_generation *ret, struct err *e) __attribute__((nonnull));

// A device without a journal: takes over the generation that an image brought (`current`, else
// generations/0, verified whole), or makes an empty generation 0. *ret_next is a number no
// directory has.
int agent_store_adopt(const struct agent_store *store, uint64_t *ret, uint64_t *ret_next,
                      struct err *e) __attribute__((nonnull));

// I8, before the first byte of contents: whether what the manifest describes fits beside everything
// that stays, with the reserve left over. The contents of a component whose tree is that of the
// generation before count as there already, where the file system has hard links; every other file
// counts as if none could be shared, so that no share that fails later makes it too small. Images lie
// elsewhere (agent/slots.h). Kind no_space, with both numbers.
int agent_store_check_space(const struct agent_store *store,
                            const struct bundle_manifest_view *view,
                            const struct bundle_generation *before, uint64_t reserve_bytes,
                            uint64_t reserve_inodes, struct err *e) __attribute__((nonnull));
