// SPDX-License-Identifier: Apache-2.0
//
// The worker's side of agent/job.h: what a job knows, and the packets it exchanges with the agent.
#pragma once

#include "agent/job.h"
#include "base/chrono.h"

struct worker_voice {
    int control; // AGENT_JOB_CONTROL_FD
    const struct agent_job *job;
    const struct chrono *clock;
    int64_t last_progress_ms;
    uint64_t source_bytes; // what the RESULT will say
    uint64_t stream_bytes;
    uint64_t retry_after_s;
};

#define WORKER_VOICE_PROGRESS_MS 250 // between two PROGRESS packets

// Reads a whole memfd, at most max bytes.
int worker_voice_read_fd(int fd, size_t max, struct buf *ret, struct err *e)
    __attribute__((nonnull));

int worker_voice_send(const struct worker_voice *v, const struct agent_job_message *m,
                      struct err *e) __attribute__((nonnull));
// Waits for the packet of this type; anything else, or the agent's end, is worker_failed.
int worker_voice_expect(const struct worker_voice *v, enum agent_job_message_type type,
                        struct agent_job_message *ret, struct err *e) __attribute__((nonnull));
// The same for PROCEED; ret_fds of AGENT_JOB_PROCEED_FDS_MAX gets its descriptors, the caller's.
int worker_voice_proceed(const struct worker_voice *v, struct agent_job_message *ret, int *ret_fds,
                         struct err *e) __attribute__((nonnull));
// Asks the agent for a signature over a challenge of the controller.
int worker_voice_sign(const struct worker_voice *v, bool enroll, const char *challenge,
                      uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e)
    __attribute__((nonnull));
// PROGRESS, but not more often than WORKER_VOICE_PROGRESS_MS. Fails when the agent is gone: nobody
// wants the rest.
int worker_voice_progress(struct worker_voice *v, uint64_t done, uint64_t total, struct err *e)
    __attribute__((nonnull));
// RESULT: success when e holds no error.
int worker_voice_result(const struct worker_voice *v, const struct err *outcome)
    __attribute__((nonnull));
