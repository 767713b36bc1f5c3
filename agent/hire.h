// SPDX-License-Identifier: Apache-2.0
//
// Hiring a worker for one job (agent/job.h): starts edge-agent-worker as its own user, hands it the
// job and descriptors, passes its messages on, and makes sure that exactly one RESULT is heard: a
// worker that dies, talks nonsense or never ends gets one made up for it (worker_failed, timeout).
#pragma once

#include "agent/config.h"
#include "agent/job.h"
#include "agent/loop.h"
#include "base/proc.h"

struct agent_hire; // one worker at work

struct agent_hire_spec {
    const struct agent_config *config;
    const struct agent_job
        *job; // NULL: it is no worker but this program, as a scribe, of our own user
    int fds
        [PROC_FDS_MAX]; // given on from AGENT_JOB_FIRST_FD (without a job from AGENT_JOB_SPEC_FD); -1 ends; they stay the caller's
    uint64_t timeout_ms; // 0: none
};

// heard(context, message) is called from the loop for each message; RESULT is the last. It may send
// or dismiss.
int agent_hire_start(struct agent_loop *loop, const struct agent_hire_spec *spec,
                     void (*heard)(void *context, const struct agent_job_message *message),
                     void *context, struct agent_hire **ret, struct err *e)
    __attribute__((nonnull(1, 2, 3, 5, 6)));
int agent_hire_send(struct agent_hire *hire, const struct agent_job_message *message, struct err *e)
    __attribute__((nonnull));
// A PROCEED with its descriptors, which stay the caller's.
int agent_hire_proceed(struct agent_hire *hire, const struct agent_job_message *message,
                       const int *fds, struct err *e) __attribute__((nonnull));
// Ends it without further messages; to be called in every case, also after RESULT. NULL is fine.
void agent_hire_dismiss(struct agent_hire *hire);

// Who the worker will be: *ret_uid and *ret_gid are (uid_t)-1 when it shares our user (not root).
// Kind config when the configured user does not exist.
int agent_hire_user(const struct agent_config *config, uid_t *ret_uid, gid_t *ret_gid,
                    struct err *e) __attribute__((nonnull));
// Looks up a user by name; root as nobody when the name is one of the packages' defaults and is
// absent.
int agent_hire_look_up(const char *name, const char *fallback_of, uid_t *ret_uid, gid_t *ret_gid,
                       struct err *e) __attribute__((nonnull));
// A helper program of ours: beside this one, or in libexec. ret of FS_PATH_BYTES; also where it is
// not executable, which is the error.
int agent_hire_find(const char *name, char *ret, size_t ret_bytes, struct err *e)
    __attribute__((nonnull));
// The worker's path: configured, beside this program, or in libexec. ret of FS_PATH_BYTES.
int agent_hire_program(const struct agent_config *config, char *ret, size_t ret_bytes,
                       struct err *e) __attribute__((nonnull));
