// SPDX-License-Identifier: Apache-2.0
//
// What a power cut may leave of a recording (tests/support/fs_record.h), under the weak reading of
// POSIX: fsync of a file makes its data, size and mode durable and nothing else; fsync of a
// directory its entries; syncfs everything. Of what was done since, any part may be on the medium:
//
//   an entry (create, mkdir, link, symlink, rename, unlink)   there or not; a rename is one step
//   a write                     not, whole, its first half, or its length with zeros in it
//   a truncation, a mode        done or not
//
// Owners and times are not kept: nothing reads them back. A symbolic link's target comes with its
// entry. Every state between two barriers is one just before the second, so that it is enough to
// enumerate there. Set-up that cannot be replayed aborts: a test of it would say nothing.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/fs_record.h"

// Up to so many candidates all subsets are enumerated; beyond, every prefix, all without one, one
// alone, and so many drawn from a seeded generator.
#define FS_REPLAY_EXHAUSTIVE_MAX 4096
#define FS_REPLAY_RANDOM         300

struct fs_replay;
struct fs_replay_state; // one way the medium may look

// The directory as it is now is what is durable. Free with fs_replay_free.
struct fs_replay *fs_replay_make(const char *root) __attribute__((nonnull));
void fs_replay_free(struct fs_replay *replay);

bool fs_replay_is_barrier(const struct fs_record *record) __attribute__((nonnull));
// Takes the next record in: an operation is pending until a barrier settles it.
void fs_replay_feed(struct fs_replay *replay, const struct fs_record *record)
    __attribute__((nonnull));
// How many operations are pending; with `counts`, those whose directory (a write's file) it
// accepts.
size_t fs_replay_pending(const struct fs_replay *replay, bool (*counts)(const char *path))
    __attribute__((nonnull(1)));

// Whether all subsets of what is pending will be enumerated.
bool fs_replay_is_exhaustive(const struct fs_replay *replay) __attribute__((nonnull));
// Visits the states that a power cut now may leave; the same one may come more than once. Ends when
// a visit returns false, and then returns false.
bool fs_replay_enumerate(struct fs_replay *replay,
                         bool (*visit)(void *context, const struct fs_replay_state *state),
                         void *context) __attribute__((nonnull(1, 2)));
// The same for the same names, contents, modes and targets.
uint64_t fs_replay_hash(const struct fs_replay_state *state) __attribute__((nonnull));
// Of a directory on disk.
uint64_t fs_replay_hash_of(const char *root) __attribute__((nonnull));
// Whether a name anywhere in what is durable is accepted.
bool fs_replay_any(const struct fs_replay *replay, bool (*accepts)(const char *name))
    __attribute__((nonnull));
// Makes the state below a directory that is there and empty.
void fs_replay_materialise(const struct fs_replay_state *state, int dir) __attribute__((nonnull));
// Which of the pending operations it has, a line each, for a person. The caller's (free).
char *fs_replay_describe(const struct fs_replay *replay, const struct fs_replay_state *state)
    __attribute__((nonnull));
