// SPDX-License-Identifier: Apache-2.0
//
// The worker program itself, started as the agent does it, with the test in the agent's place.
#pragma once

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/kind.h"
#include "base/proc.h"

#define HIRED_PATIENCE_MS 120000

struct hired {
    struct proc proc;
    int control;
};

// From the environment that ctest sets, or beside the test program.
static inline const char *hired_program(void) {
    static char path[4096];
    const char *given = getenv("EDGE_AGENT_WORKER");
    if (given)
        return given;
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 32);
    cr_assert_gt(len, 0);
    path[len] = '\0';
    (void)snprintf(strrchr(path, '/'), 32, "/edge-agent-worker");
    return path;
}

static inline int hired_memfd(const void *data, size_t len) {
    int fd = memfd_create("test", MFD_CLOEXEC);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    return fd;
}

static inline int hired_text(const char *text) {
    return hired_memfd(text, strlen(text));
}

// fds: of the job, -1 at the end. limits may be NULL. Its messages are lost but for errors.
static inline struct hired hire_as(const struct agent_job *job, const int *fds,
                                   const struct proc_limits *limits) {
    const char *const argv[] = {hired_program(), NULL};
    struct proc_spec spec = proc_spec_none;
    struct hired h = {.control = -1};
    struct err e = ERR_NONE;
    struct buf text;
    int ends[2];
    buf_init(&text, AGENT_JOB_SPEC_MAX_BYTES);
    cr_assert_eq(agent_job_format(job, &text, &e), 0, "%s", e.text);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    spec.argv = argv;
    spec.stderr_fd = STDERR_FILENO;
    spec.limits = limits;
    spec.open_first = true; // as agent/hire does
    spec.fds[0] = ends[1];
    spec.fds[1] = hired_memfd(text.data, text.len);
    for (size_t i = 0; i < PROC_FDS_MAX - 2; i++) {
        spec.fds[2 + i] = fds[i];
        if (fds[i] < 0)
            break;
    }
    cr_assert_eq(proc_start(&spec, &h.proc, &e), 0, "%s", e.text);
    close(ends[1]);
    close(spec.fds[1]);
    buf_clear(&text);
    h.control = ends[0];
    return h;
}

static inline struct hired hire(const struct agent_job *job, const int *fds) {
    return hire_as(job, fds, NULL);
}

// The next message. Large: static.
static inline const struct agent_job_message *hired_say(const struct hired *h,
                                                        enum agent_job_message_type type) {
    static struct agent_job_message m;
    struct err e = ERR_NONE;
    struct pollfd ready = {.fd = h->control, .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, HIRED_PATIENCE_MS), 1, "the worker says nothing");
    cr_assert_eq(agent_job_receive(h->control, &m, &e), 0, "the worker is gone %s", e.text);
    cr_assert_eq(m.type, type, "type %d in place of %d: %s", (int)m.type, (int)type,
                 m.type == AGENT_JOB_RESULT ? m.u.result.text : "");
    return &m;
}

static inline void hired_answer(const struct hired *h, const struct agent_job_message *m) {
    struct err e = ERR_NONE;
    cr_assert_eq(agent_job_send(h->control, m, &e), 0, "%s", e.text);
}

// Its end, after RESULT or without; the exit status.
static inline int hired_end(struct hired *h) {
    struct err e = ERR_NONE;
    int status = -1;
    struct pollfd ended = {.fd = h->proc.pidfd, .events = POLLIN};
    cr_assert_eq(poll(&ended, 1, HIRED_PATIENCE_MS), 1, "the worker does not end");
    cr_assert_eq(proc_reap(&h->proc, &status, &e), 0, "%s", e.text);
    cr_assert(WIFEXITED(status), "status %d", status);
    close(h->control);
    return WEXITSTATUS(status);
}

// RESULT of this kind (NULL: success) after any PROGRESS and SPENT, and the end. Borrowed until the next
// message.
static inline const struct agent_job_result *hired_result(struct hired *h,
                                                          const struct err_kind *kind) {
    static struct agent_job_message m;
    struct err e = ERR_NONE;
    do
        cr_assert_eq(agent_job_receive(h->control, &m, &e), 0, "the worker is gone %s", e.text);
    while (m.type == AGENT_JOB_PROGRESS || m.type == AGENT_JOB_SPENT);
    cr_assert_eq(m.type, AGENT_JOB_RESULT, "type %d", (int)m.type);
    cr_assert_str_eq(m.u.result.kind, kind ? kind->name : "", "%s", m.u.result.text);
    cr_assert_eq(hired_end(h), kind ? kind->exit_status : 0);
    return &m.u.result;
}
