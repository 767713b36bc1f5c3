// SPDX-License-Identifier: Apache-2.0
//
// The parent's side of a child: starting, collecting, killing, describing. proc_run.c builds on it.

#include "base/proc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/proc_child.h"
#include "base/text.h"

#define SHOWN_BYTES 200

const struct proc_spec proc_spec_none = {
    .directory = -1,
    .stdin_fd = -1,
    .stdout_fd = -1,
    .stderr_fd = -1,
    .fds = {-1, -1, -1, -1, -1, -1, -1, -1},
};

static const char *const plain_env[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C",
    NULL,
};

// Reads one word of the child; 0 at the end of the pipe.
static size_t hear(int fd, struct proc_word *ret) {
    size_t done = 0;
    while (done < sizeof *ret) {
        ssize_t got = read(fd, (char *)ret + done, sizeof *ret - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        done += (size_t)got;
    }
    return done;
}

static int not_started(const struct proc_spec *spec, const struct proc_word *word, struct err *e) {
    static const char *const doing[] = {
        [PROC_STEP_DESCRIPTORS] = "its descriptors", [PROC_STEP_DIRECTORY] = "its directory",
        [PROC_STEP_LIMITS] = "its limits",           [PROC_STEP_USER] = "its user",
        [PROC_STEP_PARENT] = "its parent",           [PROC_STEP_EXECUTE] = "executing it",
    };
    char shown[SHOWN_BYTES];
    text_safe(spec->argv[0], shown, sizeof shown);
    if (word->step == PROC_STEP_EXECUTE)
        return err_errno(e, word->error, "starting %s", shown);
    return err_errno(e, word->error, "starting %s: %s", shown, doing[word->step]);
}

static int open_pidfd(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0U);
}

// Forks with all signals blocked, so that no handler of ours runs in the child.
static pid_t fork_child(const struct proc_plan *plan) {
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        proc_child_become(plan);
    int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

int proc_start(const struct proc_spec *spec, struct proc *ret, struct err *e) {
    char shown[SHOWN_BYTES];
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(e, errno, "starting %s", text_safe(spec->argv[0], shown, sizeof shown));
    OWN(fd) int hears = ends[0];
    OWN(fd) int tells = ends[1];
    const struct proc_plan plan = {
        .spec = spec,
        // execve promises not to change what its type would allow it to.
        .argv = (char *const *)(uintptr_t)spec->argv,
        .env = (char *const *)(uintptr_t)(spec->env ? spec->env : plain_env),
        .parent = getpid(),
        .report_fd = tells,
    };
    struct proc child = PROC_NONE;
    child.pid = fork_child(&plan);
    if (child.pid < 0)
        return err_errno(e, errno, "starting %s", text_safe(spec->argv[0], shown, sizeof shown));
    (void)close(own_take_fd(&tells));
    int outcome = 0;
    struct proc_word word;
    while (hear(hears, &word) > 0) {
        if (word.step != PROC_STEP_NO_NETWORK) {
            proc_kill(&child);
            return not_started(spec, &word, e);
        }
        outcome = PROC_NO_SANDBOX;
    }
    child.pidfd = open_pidfd(child.pid);
    if (child.pidfd < 0) {
        int error = errno;
        proc_kill(&child);
        return err_errno(e, error, "watching %s", text_safe(spec->argv[0], shown, sizeof shown));
    }
    *ret = child;
    return outcome;
}

static void forget(struct proc *p) {
    if (p->pidfd >= 0)
        (void)close(p->pidfd);
    *p = (struct proc)PROC_NONE;
}

int proc_reap(struct proc *p, int *ret_status, struct err *e) {
    assert(p->pid > 0);
    int status = 0;
    pid_t ended;
    do {
        ended = waitpid(p->pid, &status, WNOHANG);
    } while (ended < 0 && errno == EINTR);
    if (ended == 0)
        return PROC_RUNNING;
    if (ended < 0)
        return err_errno(e, errno, "collecting process %d", (int)p->pid);
    forget(p);
    *ret_status = status;
    return 0;
}

void proc_kill(struct proc *p) {
    if (p->pid <= 0)
        return;
    // A group of its own exists since before exec; without one nothing answers to that number.
    (void)kill(-p->pid, SIGKILL);
    (void)kill(p->pid, SIGKILL);
    int status;
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    forget(p);
}

char *proc_describe(int status, char *ret, size_t ret_bytes) {
    if (WIFEXITED(status)) {
        (void)snprintf(ret, ret_bytes, "exit status %d", WEXITSTATUS(status));
    } else if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));
        (void)snprintf(ret, ret_bytes, "killed by signal %d%s%s%s", WTERMSIG(status),
                       name ? " (" : "", name ? name : "", name ? ")" : "");
    } else {
        (void)snprintf(ret, ret_bytes, "status %#x", (unsigned)status);
    }
    return ret;
}
