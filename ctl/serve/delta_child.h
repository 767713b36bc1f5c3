// SPDX-License-Identifier: Apache-2.0
//
// The program that makes a delta, run as a child: `edgectl bundle delta BASE BUNDLE`, in the
// background (base/proc.h), with ceilings on memory, time and the size of any file it writes. All
// that it writes lies in one folder of the workspace, which is emptied before and after; so nothing
// is left behind however either of us ends. The child is killed when the thread that runs it ends.
#pragma once

#include <stdint.h>

#include "base/chrono.h"
#include "base/err.h"

#define SERVE_DELTA_CHILD_DIR  "making"
#define SERVE_DELTA_CHILD_MADE SERVE_DELTA_CHILD_DIR "/made.delta" // what came out of it
#define SERVE_DELTA_CHILD_SELF "/proc/self/exe"                    // this very program

struct serve_delta_child {
    const char *program; // absolute path of edgectl, or SERVE_DELTA_CHILD_SELF
    int workspace;       // directory with root.json and bundles/, in which it runs
    int stop_fd;         // readable when it is to end
    const char *base;    // ids of the bundles
    const char *bundle;
    uint64_t memory_bytes, file_bytes, time_s; // ceilings
    const struct chrono *clock;                // of the deadline
};

// Runs to the end: 0 with the delta at SERVE_DELTA_CHILD_MADE, or SERVE_DELTA_CHILD_STOPPED when
// stop_fd said so. Kinds: those of `edgectl bundle delta` with its words (no_gain, memory,
// no_space, …); timeout; memory for one that was killed, which is what a kernel does that is short
// of it; limit for one that wrote too much; internal for one that crashed; those of proc_start.
enum { SERVE_DELTA_CHILD_STOPPED = 1 };
int serve_delta_child_run(const struct serve_delta_child *how, struct err *e)
    __attribute__((nonnull));
// Empties the folder.
int serve_delta_child_clean(int workspace, struct err *e) __attribute__((nonnull));
