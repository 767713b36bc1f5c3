// SPDX-License-Identifier: Apache-2.0
//
// See hire.h.
#include "agent/hire.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "agent/kind.h"
#include "agent/scribe.h"
#include "base/fs.h"
#include "base/own.h"

#define PROGRAM      "edge-agent-worker"
#define SELF         "/proc/self/exe" // whatever became of its file since it was started
#define NOBODY       "nobody"
#define LOOKUP_BYTES 4096

struct agent_hire {
    struct agent_loop *loop;
    struct proc proc;
    int socket;
    struct agent_loop_timer deadline;
    bool result_heard;
    void (*heard)(void *context, const struct agent_job_message *message);
    void *context;
};

int agent_hire_look_up(const char *name, const char *fallback_of, uid_t *ret_uid, gid_t *ret_gid,
                       struct err *e) {
    struct passwd entry, *found = NULL;
    char buffer[LOOKUP_BYTES];
    if (name[0] == '\0')
        return err_set(e, &err_config,
                       "it is empty: name the user to run as, or leave it out for %s", fallback_of);
    int failed = getpwnam_r(name, &entry, buffer, sizeof buffer, &found);
    if (!failed && !found && strcmp(name, fallback_of) == 0)
        failed = getpwnam_r(NOBODY, &entry, buffer, sizeof buffer, &found);
    if (failed)
        return err_errno(e, failed, "looking up the user %s", name);
    if (!found)
        return err_set(e, &err_config, "the user %s does not exist: create it or name another",
                       name);
    *ret_uid = entry.pw_uid;
    *ret_gid = entry.pw_gid;
    return 0;
}

int agent_hire_user(const struct agent_config *config, uid_t *ret_uid, gid_t *ret_gid,
                    struct err *e) {
    if (geteuid() != 0) {
        *ret_uid = (uid_t)-1;
        *ret_gid = (gid_t)-1;
        return 0;
    }
    if (agent_hire_look_up(config->worker_user, "edge-worker", ret_uid, ret_gid, e) < 0)
        return err_prefix(e, "worker_user");
    return 0;
}

int agent_hire_find(const char *name, char *ret, size_t ret_bytes, struct err *e) {
    char self[FS_PATH_BYTES];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len > 0) {
        self[len] = '\0';
        char *slash = strrchr(self, '/');
        int made = snprintf(ret, ret_bytes, "%.*s/%s", (int)(slash - self), self, name);
        if (made > 0 && (size_t)made < ret_bytes && access(ret, X_OK) == 0)
            return 0;
    }
    (void)snprintf(ret, ret_bytes, "%s/%s", EDGE_LIBEXECDIR, name);
    return access(ret, X_OK) < 0 ? err_errno(e, errno, "the program %s", ret) : 0;
}

int agent_hire_program(const struct agent_config *config, char *ret, size_t ret_bytes,
                       struct err *e) {
    if (config->worker[0] == '\0')
        return agent_hire_find(PROGRAM, ret, ret_bytes, e);
    (void)snprintf(ret, ret_bytes, "%s", config->worker);
    return 0;
}

// The one RESULT of a worker that gave none.
static void conclude(struct agent_hire *h, const struct err *why) {
    if (h->result_heard)
        return;
    h->result_heard = true;
    struct agent_job_message *message = calloc(1, sizeof *message);
    if (!message)
        abort();
    message->type = AGENT_JOB_RESULT;
    (void)snprintf(message->u.result.kind, sizeof message->u.result.kind, "%s", why->kind->name);
    (void)snprintf(message->u.result.text, sizeof message->u.result.text, "%s", why->text);
    void (*heard)(void *, const struct agent_job_message *) = h->heard;
    void *context = h->context;
    heard(context, message); // may dismiss h
    free(message);
}

static void end_of_worker(struct agent_hire *h) {
    struct err why = ERR_NONE;
    struct err ignored = ERR_NONE;
    char how[96] = "closed its socket";
    int status;
    struct pollfd end = {.fd = h->proc.pidfd, .events = POLLIN};
    agent_loop_unwatch(h->loop, h->socket);
    // It closed its socket by ending, mostly; what its status was is worth a moment.
    if (h->proc.pid > 0 && poll(&end, 1, 100) > 0 && proc_reap(&h->proc, &status, &ignored) == 0) {
        proc_describe(status, how, sizeof how);
        h->proc.pid = -1;
        h->proc.pidfd = -1;
    }
    err_set(&why, &err_worker_failed, "the worker ended without a result: %s", how);
    conclude(h, &why);
}

static void on_message(void *context, short revents) {
    struct agent_hire *h = context;
    struct err e = ERR_NONE;
    (void)revents;
    struct agent_job_message *message = malloc(sizeof *message);
    if (!message) {
        err_set(&e, &err_memory, "listening to the worker: out of memory");
        conclude(h, &e);
        return;
    }
    int got = agent_job_receive(h->socket, message, &e);
    if (got == AGENT_JOB_CLOSED)
        end_of_worker(h);
    else if (got < 0) {
        agent_loop_unwatch(h->loop, h->socket);
        conclude(h, &e);
    } else if (got == 0 && !h->result_heard) {
        if (message->type == AGENT_JOB_RESULT) {
            h->result_heard = true;
            agent_loop_unwatch(h->loop, h->socket);
        }
        h->heard(h->context, message); // may dismiss h
    }
    free(message);
}

static void on_deadline(void *context) {
    struct agent_hire *h = context;
    struct err e = ERR_NONE;
    err_set(&e, &err_timeout, "the worker did not end in time");
    agent_loop_unwatch(h->loop, h->socket);
    conclude(h, &e);
}

static int make_spec(const struct agent_job *job, int *ret, struct err *e) {
    OWN(buf) struct buf text;
    OWN(fd) int fd = memfd_create("job", MFD_CLOEXEC);
    buf_init(&text, AGENT_JOB_SPEC_MAX_BYTES);
    if (fd < 0)
        return err_errno(e, errno, "writing the worker's job");
    if (agent_job_format(job, &text, e) < 0 || fs_write(fd, text.data, text.len, e) < 0)
        return -1;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(e, errno, "writing the worker's job");
    *ret = own_take_fd(&fd);
    return 0;
}

static int spawn(struct agent_hire *h, const struct agent_hire_spec *spec, int theirs, int job,
                 struct err *e) {
    char program[FS_PATH_BYTES] = SELF;
    struct proc_limits limits = {.no_new_privs = true};
    if (spec->job && (agent_hire_program(spec->config, program, sizeof program, e) < 0 ||
                      agent_hire_user(spec->config, &limits.uid, &limits.gid, e) < 0))
        return -1;
    limits.set_user = spec->job && limits.uid != (uid_t)-1;
    const char *const argv[] = {program, spec->job ? NULL : AGENT_SCRIBE_OPTION, NULL};
    struct proc_spec child = {
        .argv = argv,
        .directory = -1,
        .open_first = true,
        .stdin_fd = -1,
        .stdout_fd = STDERR_FILENO,
        .stderr_fd = STDERR_FILENO,
        .fds = {theirs, job, -1},
        .limits = &limits,
    };
    size_t n = 0, first = spec->job ? 2 : 1;
    while (n < PROC_FDS_MAX && spec->fds[n] >= 0)
        n++;
    assert(n + first <= PROC_FDS_MAX);
    memcpy(&child.fds[first], spec->fds, n * sizeof spec->fds[0]);
    if (n + first < PROC_FDS_MAX)
        child.fds[n + first] = -1;
    return proc_start(&child, &h->proc, e);
}

int agent_hire_start(struct agent_loop *loop, const struct agent_hire_spec *spec,
                     void (*heard)(void *context, const struct agent_job_message *message),
                     void *context, struct agent_hire **ret, struct err *e) {
    OWN(fd) int theirs = -1;
    OWN(fd) int job = -1;
    int ends[2];
    struct agent_hire *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(e, &err_memory, "starting the worker: out of memory");
    *h = (struct agent_hire){
        .loop = loop, .proc = {-1, -1}, .socket = -1, .heard = heard, .context = context};
    agent_loop_add_timer(loop, &h->deadline, on_deadline, h);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        err_errno(e, errno, "starting the worker");
        agent_hire_dismiss(h);
        return -1;
    }
    h->socket = ends[0];
    theirs = ends[1];
    if (fcntl(h->socket, F_SETFL, O_NONBLOCK) < 0)
        err_errno(e, errno, "starting the worker");
    if (e->kind || (spec->job && make_spec(spec->job, &job, e) < 0) ||
        spawn(h, spec, theirs, job, e) < 0 ||
        agent_loop_watch(loop, h->socket, POLLIN, on_message, h, e) < 0) {
        agent_hire_dismiss(h);
        return err_prefix(e, "starting the worker");
    }
    if (spec->timeout_ms > 0)
        agent_loop_arm(loop, &h->deadline, (int64_t)spec->timeout_ms);
    *ret = h;
    return 0;
}

int agent_hire_send(struct agent_hire *hire, const struct agent_job_message *message,
                    struct err *e) {
    return agent_job_send(hire->socket, message, e);
}

int agent_hire_proceed(struct agent_hire *hire, const struct agent_job_message *message,
                       const int *fds, struct err *e) {
    return agent_job_send_proceed(hire->socket, message, fds, e);
}

void agent_hire_dismiss(struct agent_hire *hire) {
    if (!hire)
        return;
    agent_loop_remove_timer(hire->loop, &hire->deadline);
    if (hire->socket >= 0)
        agent_loop_unwatch(hire->loop, hire->socket);
    own_drop_fd(&hire->socket);
    // One that said RESULT ends by itself within an instant; whatever it still does, it is done for
    // us.
    if (hire->proc.pid > 0)
        proc_kill(&hire->proc);
    free(hire);
}
