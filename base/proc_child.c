// SPDX-License-Identifier: Apache-2.0
//
// From fork to exec. Nothing here allocates, locks, or looks at the environment.

#include "base/proc_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GIVEN_MAX          (3 + PROC_FDS_MAX)
#define STATUS_NOT_STARTED 127 // nobody sees it: the parent has read the reason from the pipe

// ioprio_set(2), which the C library does not declare.
#define IO_WHO_PROCESS 1
#define IO_CLASS_IDLE  (3 << 13)
#define NICE_MOST      19

static void tell(const struct proc_plan *plan, enum proc_step step, int error) {
    const struct proc_word word = {step, error};
    ssize_t put;
    do {
        put = write(plan->report_fd, &word,
                    sizeof word); // shorter than PIPE_BUF: whole or not at all
    } while (put < 0 && errno == EINTR);
}

static _Noreturn void give_up(const struct proc_plan *plan, enum proc_step step) {
    tell(plan, step, errno);
    _exit(STATUS_NOT_STARTED);
}

// The record of getdents64, which the C library does not declare.
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

// The number that is a whole name, or -1.
static int number_of(const char *name) {
    int number = 0;
    for (; *name >= '0' && *name <= '9' && number < INT32_MAX / 10 - 1; name++)
        number = number * 10 + (*name - '0');
    return *name ? -1 : number;
}

void proc_child_close_from(int first) {
    _Alignas(struct entry) char page[1024];
    int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (list < 0)
        return; // without /proc there is only close-on-exec, which all of ours have
    for (;;) {
        long got = syscall(SYS_getdents64, list, page, sizeof page);
        if (got <= 0)
            break;
        for (long at = 0; at < got;) {
            const struct entry *entry = (const struct entry *)(page + at);
            int fd = entry->name[0] == '.' ? -1 : number_of(entry->name);
            if (fd >= first && fd != list)
                (void)close(fd);
            at += entry->length;
        }
    }
    (void)close(list);
}

static int null_device(int target) {
    return open("/dev/null", (target == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
}

// Brings the given descriptors to 0, 1, 2, 3, … and closes all others but the report, which moves
// behind them. All are first duplicated above every target, because one's source may be another's
// target.
static void arrange(struct proc_plan *plan) {
    const struct proc_spec *spec = plan->spec;
    const int wanted[3] = {spec->stdin_fd, spec->stdout_fd, spec->stderr_fd};
    int sources[GIVEN_MAX];
    int count = 0;
    for (; count < 3; count++)
        sources[count] = wanted[count] >= 0 ? wanted[count] : null_device(count);
    for (int i = 0; i < PROC_FDS_MAX && spec->fds[i] >= 0; i++)
        sources[count++] = spec->fds[i];
    for (int i = 0; i < count; i++) {
        sources[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, GIVEN_MAX + 1);
        if (sources[i] < 0)
            give_up(plan, PROC_STEP_DESCRIPTORS);
    }
    int report = fcntl(plan->report_fd, F_DUPFD_CLOEXEC, GIVEN_MAX + 1);
    if (report < 0)
        give_up(plan, PROC_STEP_DESCRIPTORS);
    plan->report_fd = report;
    for (int i = 0; i < count; i++) {
        if (dup2(sources[i], i) < 0)
            give_up(plan, PROC_STEP_DESCRIPTORS);
    }
    if (dup3(report, count, O_CLOEXEC) < 0)
        give_up(plan, PROC_STEP_DESCRIPTORS);
    plan->report_fd = count;
}

static void close_others(const struct proc_plan *plan) {
    int first = plan->report_fd + 1;
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) < 0)
        proc_child_close_from(first);
}

static void reset_signals(void) {
    for (int number = 1; number < NSIG; number++)
        (void)signal(number,
                     SIG_DFL); // some numbers cannot be set: those cannot have been changed either
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_limit(const struct proc_plan *plan, __rlimit_resource_t which, uint64_t soft,
                      uint64_t hard) {
    const struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    if (setrlimit(which, &limit) < 0)
        give_up(plan, PROC_STEP_LIMITS);
}

static void set_limits(const struct proc_plan *plan, const struct proc_limits *limits) {
    if (limits->memory_bytes)
        set_limit(plan, RLIMIT_AS, limits->memory_bytes, limits->memory_bytes);
    if (limits->data_bytes)
        set_limit(plan, RLIMIT_DATA, limits->data_bytes, limits->data_bytes);
    if (limits->file_bytes)
        set_limit(plan, RLIMIT_FSIZE, limits->file_bytes, limits->file_bytes);
    if (limits->processes)
        set_limit(plan, RLIMIT_NPROC, limits->processes, limits->processes);
    // SIGXCPU, which names the reason, comes one second before SIGKILL.
    if (limits->cpu_s)
        set_limit(plan, RLIMIT_CPU, limits->cpu_s, limits->cpu_s + 1);
    set_limit(plan, RLIMIT_CORE, 0, 0);
}

static void set_user(const struct proc_plan *plan, const struct proc_limits *limits) {
    if (setgroups(0, NULL) < 0 || setresgid(limits->gid, limits->gid, limits->gid) < 0 ||
        setresuid(limits->uid, limits->uid, limits->uid) < 0)
        give_up(plan, PROC_STEP_USER);
}

// A service manager may forbid some of it; the program is run all the same.
static void stand_back(void) {
    static const char first_to_go[] = "1000";
    (void)setpriority(PRIO_PROCESS, 0, NICE_MOST);
    (void)syscall(SYS_ioprio_set, IO_WHO_PROCESS, 0, IO_CLASS_IDLE);
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score < 0)
        return;
    ssize_t ignored = write(score, first_to_go, sizeof first_to_go - 1);
    (void)ignored;
    (void)close(score);
}

static void restrict_self(const struct proc_plan *plan, const struct proc_limits *limits) {
    if (limits->no_network && unshare(CLONE_NEWNET) < 0)
        tell(plan, PROC_STEP_NO_NETWORK, errno);
    set_limits(plan, limits);
    if (limits->background)
        stand_back();
    if (limits->set_user)
        set_user(plan, limits);
    if (limits->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        give_up(plan, PROC_STEP_USER);
}

_Noreturn void proc_child_become(const struct proc_plan *given) {
    struct proc_plan plan = *given;
    const struct proc_spec *spec = plan.spec;
    if (!spec->in_our_group)
        (void)setpgid(0, 0);
    // Before the descriptors are rearranged, for `directory` may be any number.
    if (spec->directory >= 0 && fchdir(spec->directory) < 0)
        give_up(&plan, PROC_STEP_DIRECTORY);
    arrange(&plan);
    close_others(&plan);
    int program = spec->open_first ? open(plan.argv[0], O_PATH | O_CLOEXEC) : -1;
    if (spec->limits)
        restrict_self(&plan, spec->limits);
    // After the change of user, which would undo it; and the parent may have ended before it took
    // effect.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != plan.parent)
        give_up(&plan, PROC_STEP_PARENT);
    reset_signals();
    (void)execve(plan.argv[0], plan.argv, plan.env);
    // By its descriptor only then: a program that was started so is called by a number in ps.
    if (errno == EACCES && program >= 0)
        (void)execveat(program, "", plan.argv, plan.env, AT_EMPTY_PATH);
    give_up(&plan, PROC_STEP_EXECUTE);
}
