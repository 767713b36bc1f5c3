// SPDX-License-Identifier: Apache-2.0
//
// Making a generation durable. Of a few files each is synced by itself: syncing the whole file system would wait for what all others have written to
// it, too, seconds on a busy card. Of many files the file system is synced, as a barrier for each would cost more.
#pragma once

#include "base/err.h"

#define SEAL_SYNC_EACH_MAX 48 // entries; more are many

// Everything below dir, and dir itself. Kinds: those of base/fs.
int seal_sync(int dir, struct err *e) __attribute__((nonnull));
