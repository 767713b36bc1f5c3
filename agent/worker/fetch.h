// SPDX-License-Identifier: Apache-2.0
//
// The job `fetch`: opens the bundle (on the controller, a web server, or the file that the agent
// handed over, which may be a delta), verifies its manifest, waits for the agent's word and streams
// the contents into <n>.partial. And the mode --verify, which reads all of it and writes nothing.
#pragma once

#include "agent/worker/voice.h"

// Descriptors of the job, in their order.
enum {
    WORKER_FETCH_PARTIAL_FD = AGENT_JOB_FIRST_FD,
    WORKER_FETCH_PREVIOUS_FD, // a directory, or /dev/null
    WORKER_FETCH_ROOT_FD,
    WORKER_FETCH_FILE_FD,    // the bundle or delta, or /dev/null
    WORKER_FETCH_MANIFEST_FD, // memfd that gets the manifest member
    WORKER_FETCH_OLDER_FD     // a directory, or /dev/null
};

int worker_fetch(struct worker_voice *v, struct err *e) __attribute__((nonnull));
// 0: the whole bundle or delta can be trusted. base_path: the generation that a delta starts from;
// NULL for a bundle. Kinds: those of unpack and keys, usage.
int worker_fetch_verify(const char *root_path, const char *bundle_path, const char *base_path,
                        struct err *e) __attribute__((nonnull(1, 2, 4)));
