// SPDX-License-Identifier: Apache-2.0
//
// See task.h. stdin is a memfd, so that a program that does not read cannot block us; stdout and
// stderr are pipes that the loop drains.
#include "agent/task.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"

struct agent_task {
    struct agent_loop *loop;
    struct proc proc;
    int out;
    int noise;
    struct buf output;
    struct buf noise_text;
    struct agent_loop_timer deadline;
    bool timed_out;
    bool overflow;
    uint64_t timeout_ms;
    uint64_t peak_memory_bytes;
    struct agent_loop_timer sampler;
    void (*done)(void *context, const struct agent_task_result *result);
    void *context;
};

#define SAMPLE_MS 50

static void task_free(struct agent_task *t) {
    if (t->out >= 0)
        agent_loop_unwatch(t->loop, t->out);
    if (t->noise >= 0)
        agent_loop_unwatch(t->loop, t->noise);
    if (t->proc.pidfd >= 0)
        agent_loop_unwatch(t->loop, t->proc.pidfd);
    agent_loop_remove_timer(t->loop, &t->deadline);
    agent_loop_remove_timer(t->loop, &t->sampler);
    own_drop_fd(&t->out);
    own_drop_fd(&t->noise);
    buf_clear(&t->output);
    buf_clear(&t->noise_text);
    free(t);
}

// Reads what is there. Output above the ceiling ends the task; noise keeps its end.
static void drain(struct agent_task *t, int *fd, struct buf *into, bool keep_end) {
    char chunk[4096];
    struct err full = ERR_NONE;
    for (;;) {
        ssize_t got = read(*fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            agent_loop_unwatch(t->loop, *fd);
            own_drop_fd(fd);
            *fd = -1;
            return;
        }
        size_t len = (size_t)got;
        if (keep_end && into->len + len > into->ceiling)
            buf_consume(into, into->len < len ? into->len : len);
        if (buf_add(into, chunk, len, &full) < 0)
            t->overflow = t->overflow || !keep_end;
    }
}

static void on_output(void *context, short revents) {
    struct agent_task *t = context;
    (void)revents;
    drain(t, &t->out, &t->output, false);
    if (t->overflow)
        (void)kill(-t->proc.pid, SIGKILL);
}

static void on_noise(void *context, short revents) {
    struct agent_task *t = context;
    (void)revents;
    drain(t, &t->noise, &t->noise_text, true);
}

// The highest resident size, from the kernel's own high-water mark. The last sample before the end
// counts; a program that lives shorter than the first one is judged by what wait4 cannot tell
// through a pidfd, so it is sampled at the start too.
static void sample_memory(void *context) {
    struct agent_task *t = context;
    char path[64], text[4096];
    size_t len = 0;
    OWN(fd) int fd = -1;
    struct err e = ERR_NONE;
    agent_loop_arm(t->loop, &t->sampler, SAMPLE_MS);
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)t->proc.pid);
    if (fs_open_read(AT_FDCWD, path, &fd, &e) < 0 ||
        fs_read(fd, text, sizeof text - 1, &len, &e) < 0)
        return;
    text[len] = '\0';
    const char *mark = strstr(text, "VmHWM:");
    uint64_t kib;
    if (mark && sscanf(mark, "VmHWM: %" SCNu64, &kib) == 1 && kib * 1024 > t->peak_memory_bytes)
        t->peak_memory_bytes = kib * 1024;
}

static void on_end(void *context, short revents) {
    struct agent_task *t = context;
    struct err e = ERR_NONE;
    int status = 0;
    (void)revents;
    agent_loop_unwatch(t->loop, t->proc.pidfd);
    if (t->out >= 0)
        drain(t, &t->out, &t->output, false);
    if (t->noise >= 0)
        drain(t, &t->noise, &t->noise_text, true);
    // What it left behind in its process group ends with it.
    pid_t group = t->proc.pid;
    if (proc_reap(&t->proc, &status, &e) != 0)
        proc_kill(&t->proc);
    (void)kill(-group, SIGKILL);
    t->proc.pidfd = -1;
    struct agent_task_result result = {
        .status = status,
        .timed_out = t->timed_out,
        .overflow = t->overflow,
        .peak_memory_bytes = t->peak_memory_bytes,
        .output = {.data = t->output.data, .len = t->output.len},
        .noise = buf_text(&t->noise_text),
    };
    // The call-back may start the next task, so this one gives up its watches first.
    struct buf output = t->output, noise = t->noise_text;
    void (*done)(void *, const struct agent_task_result *) = t->done;
    void *done_context = t->context;
    buf_init(&t->output, 0);
    buf_init(&t->noise_text, 0);
    task_free(t);
    done(done_context, &result);
    buf_clear(&output);
    buf_clear(&noise);
}

static void on_deadline(void *context) {
    struct agent_task *t = context;
    t->timed_out = true;
    (void)kill(-t->proc.pid, SIGKILL);
}

static int make_pipe(int ends[2], struct err *e) {
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(e, errno, "making a pipe");
    // Only our end: the program's is its own business.
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
        return err_errno(e, errno, "making a pipe");
    return 0;
}

static int make_input(struct slice input, int *ret, struct err *e) {
    OWN(fd) int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "making the input of a program");
    if (input.len > 0 && fs_write(fd, input.data, input.len, e) < 0)
        return -1;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(e, errno, "making the input of a program");
    *ret = own_take_fd(&fd);
    return 0;
}

static int spawn(struct agent_task *t, const struct agent_task_spec *spec, struct err *e) {
    OWN(fd) int input = -1;
    int out[2] = {-1, -1}, noise[2] = {-1, -1};
    int done = -1;
    if (make_input(spec->input, &input, e) == 0 && make_pipe(out, e) == 0 &&
        make_pipe(noise, e) == 0) {
        struct proc_spec child = {
            .argv = spec->argv,
            .env = spec->env,
            .directory = -1,
            .stdin_fd = input,
            .stdout_fd = out[1],
            .stderr_fd = noise[1],
            .fds = {-1},
            .limits = spec->limits,
        };
        done = proc_start(&child, &t->proc, e);
    }
    own_drop_fd(&out[1]);
    own_drop_fd(&noise[1]);
    t->out = out[0];
    t->noise = noise[0];
    return done;
}

int agent_task_start(struct agent_loop *loop, const struct agent_task_spec *spec,
                     void (*done)(void *context, const struct agent_task_result *result),
                     void *context, struct agent_task **ret, struct err *e) {
    struct agent_task *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, &err_memory, "starting %s: out of memory", spec->argv[0]);
    *t = (struct agent_task){.loop = loop,
                             .proc = {.pid = -1, .pidfd = -1},
                             .out = -1,
                             .noise = -1,
                             .timeout_ms = spec->timeout_ms,
                             .done = done,
                             .context = context};
    buf_init(&t->output, AGENT_TASK_OUTPUT_MAX);
    buf_init(&t->noise_text, AGENT_TASK_NOISE_MAX);
    agent_loop_add_timer(loop, &t->deadline, on_deadline, t);
    agent_loop_add_timer(loop, &t->sampler, sample_memory, t);
    if (spawn(t, spec, e) < 0 || agent_loop_watch(loop, t->out, POLLIN, on_output, t, e) < 0 ||
        agent_loop_watch(loop, t->noise, POLLIN, on_noise, t, e) < 0 ||
        agent_loop_watch(loop, t->proc.pidfd, POLLIN, on_end, t, e) < 0) {
        agent_task_cancel(t);
        return -1;
    }
    agent_loop_arm(loop, &t->deadline, (int64_t)spec->timeout_ms);
    sample_memory(t);
    *ret = t;
    return 0;
}

void agent_task_cancel(struct agent_task *task) {
    if (!task)
        return;
    if (task->proc.pid > 0) {
        agent_loop_unwatch(task->loop, task->proc.pidfd);
        proc_kill(&task->proc);
        task->proc.pidfd = -1;
    }
    task_free(task);
}

bool agent_task_passed(const struct agent_task_result *result) {
    return !result->timed_out && !result->overflow && WIFEXITED(result->status) &&
           WEXITSTATUS(result->status) == 0;
}

char *agent_task_describe(const struct agent_task_result *result, char *ret, size_t ret_bytes) {
    char how[64], safe[256];
    const char *noise = result->noise;
    size_t len = strlen(noise);
    while (len > 0 && (noise[len - 1] == '\n' || noise[len - 1] == ' '))
        len--;
    size_t from = len;
    while (from > 0 && noise[from - 1] != '\n')
        from--;
    char last[256];
    size_t last_len = len - from < sizeof last - 1 ? len - from : sizeof last - 1;
    memcpy(last, noise + from, last_len);
    last[last_len] = '\0';
    text_safe(last, safe, sizeof safe);
    if (result->timed_out)
        (void)snprintf(how, sizeof how, "did not end in time");
    else if (result->overflow)
        (void)snprintf(how, sizeof how, "printed more than %d bytes", AGENT_TASK_OUTPUT_MAX);
    else
        proc_describe(result->status, how, sizeof how);
    (void)snprintf(ret, ret_bytes, "%s%s%s", how, safe[0] ? ": " : "", safe);
    return ret;
}
