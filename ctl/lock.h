// SPDX-License-Identifier: Apache-2.0
//
// One at a time in a folder. Whoever changes files that are made from one another holds the folder
// they lie in, from before it reads until it has written:
//
//   DIR/pending          whoever makes, signs, publishes or removes what waits for signatures, and
//                        whoever changes DIR/root.json, from which the next root is made
//   any other folder     `edgectl sign FILE` in it: FILE may be somebody's copy
//   a repository         whoever publishes there; `edgectl serve` for as long as it runs
//
// The lock is on the folder itself: no file is left behind, and it is gone with the process. It
// holds among the processes of one machine. Whoever takes two takes DIR/pending first.
#pragma once

#include "base/err.h"

#define CTL_LOCK_TRIES   200 // whoever holds it signs, at most asks for a passphrase
#define CTL_LOCK_WAIT_MS 100

// Holds the folder (relative to dir, or "." for dir itself) by *ret, until that is closed. Waits
// CTL_LOCK_TRIES * CTL_LOCK_WAIT_MS at most. Kinds: busy, those of fs_open_dir.
int ctl_lock_folder(int dir, const char *path, int *ret, struct err *e) __attribute__((nonnull));
