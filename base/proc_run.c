// SPDX-License-Identifier: Apache-2.0
//
// A program from its start to its end: input as a file in memory, both outputs read as they come,
// one deadline.

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "base/proc.h"

#define READ_STEP_BYTES 4096
#define PIPE_PIECES     257 // a pipe holds at most 1 MiB unless an administrator allows more
// The longest sleep between two looks at the clock: poll's time stands still in suspend, the
// deadline's does not.
#define LOOK_MS 500

// A stream of the child.
struct stream {
    int fd; // ours; -1 at its end
    struct buf *to;
};

struct running {
    struct proc child;
    struct stream output, noise;
};

static void own_drop_running(struct running *r) {
    proc_kill(&r->child);
    own_drop_fd(&r->output.fd);
    own_drop_fd(&r->noise.fd);
}

// The input as a file that has no name: the child cannot block us by not reading, nor kill us by
// closing its end.
static int make_input(struct slice input, int *ret, struct err *e) {
    if (input.len == 0)
        return 0;
    OWN(fd) int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "making the input of a program");
    size_t done = 0;
    while (done < input.len) {
        ssize_t put = write(fd, input.data + done, input.len - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return err_errno(e, put < 0 ? errno : EIO, "making the input of a program");
        done += (size_t)put;
    }
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(e, errno, "making the input of a program");
    *ret = own_take_fd(&fd);
    return 0;
}

// Opens a pipe for a stream that somebody wants; our end does not block.
static int make_stream(struct buf *to, struct stream *ret, int *ret_child_end, struct err *e) {
    if (!to)
        return 0;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(e, errno, "making a pipe");
    *ret = (struct stream){.fd = ends[0], .to = to};
    *ret_child_end = ends[1];
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
        return err_errno(e, errno, "making a pipe");
    return 0;
}

static int start(const struct proc_spec *spec, const struct proc_run *how, struct running *r,
                 struct err *e) {
    OWN(fd) int input = -1;
    OWN(fd) int output = -1;
    OWN(fd) int noise = -1;
    if (make_input(how->input, &input, e) < 0 ||
        make_stream(how->output, &r->output, &output, e) < 0 ||
        make_stream(how->noise, &r->noise, &noise, e) < 0)
        return -1;
    struct proc_spec with = *spec;
    with.stdin_fd = input;
    with.stdout_fd = output;
    with.stderr_fd = noise;
    return proc_start(&with, &r->child, e);
}

// Reads one piece: > 0 bytes, 0 when there is nothing now (or ever: then fd is -1), < 0 failed.
static ssize_t read_piece(struct stream *s, uint8_t piece[static READ_STEP_BYTES], struct err *e) {
    if (s->fd < 0)
        return 0;
    ssize_t got;
    do {
        got = read(s->fd, piece, READ_STEP_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got > 0 || (got < 0 && errno == EAGAIN))
        return got > 0 ? got : 0;
    if (got < 0)
        return err_errno(e, errno, "reading what a program writes");
    (void)close(own_take_fd(&s->fd));
    return 0;
}

// One piece of output, all of which must fit. As read_piece.
static ssize_t take_output(struct running *r, struct err *e) {
    uint8_t piece[READ_STEP_BYTES];
    ssize_t got = read_piece(&r->output, piece, e);
    if (got > 0 && buf_add(r->output.to, piece, (size_t)got, e) < 0)
        return err_prefix(e, "reading what a program writes");
    return got;
}

// One piece of noise, of which the end is kept. As read_piece.
static ssize_t take_noise(struct running *r, struct err *e) {
    uint8_t piece[READ_STEP_BYTES];
    struct buf *to = r->noise.to;
    ssize_t got = read_piece(&r->noise, piece, e);
    if (got <= 0)
        return got;
    size_t kept = (size_t)got < to->ceiling ? (size_t)got : to->ceiling;
    size_t room = to->ceiling - to->len;
    if (kept > room)
        buf_consume(to, kept - room);
    return buf_add(to, piece + (size_t)got - kept, kept, e) < 0 ? -1 : got;
}

// The child has ended: takes what it left in the pipes. What it left running may go on writing, so
// that only as much is read as a pipe can hold.
static int take_rest(struct running *r, struct err *e) {
    ssize_t got = 1;
    for (int i = 0; i < PIPE_PIECES && got > 0; i++)
        got = take_output(r, e);
    if (got < 0)
        return -1;
    got = 1;
    for (int i = 0; i < PIPE_PIECES && got > 0; i++)
        got = take_noise(r, e);
    return got < 0 ? -1 : 0;
}

// How long poll may wait, at least 1; 0 when the deadline has passed.
static int wait_ms(const struct proc_run *how, int64_t started_ms) {
    if (how->timeout_ms == 0)
        return LOOK_MS;
    int64_t gone = chrono_boot_ms(how->clock) - started_ms;
    if (gone < 0)
        gone = 0;
    if ((uint64_t)gone >= how->timeout_ms)
        return 0;
    uint64_t left = how->timeout_ms - (uint64_t)gone;
    return left < LOOK_MS ? (int)left : LOOK_MS;
}

static int attend(struct running *r, const struct proc_run *how, int64_t started_ms,
                  int *ret_status, struct err *e) {
    for (;;) {
        int wait = wait_ms(how, started_ms);
        if (wait == 0)
            return err_set(e, &err_timeout, "the program did not end within %llu ms",
                           (unsigned long long)how->timeout_ms);
        struct pollfd polled[] = {
            {.fd = r->child.pidfd, .events = POLLIN},
            {.fd = r->output.fd, .events = POLLIN},
            {.fd = r->noise.fd, .events = POLLIN},
        };
        if (poll(polled, sizeof polled / sizeof polled[0], wait) < 0 && errno != EINTR)
            return err_errno(e, errno, "waiting for a program");
        // One piece of each, then the clock again: a program that writes without end meets its
        // deadline.
        if (take_output(r, e) < 0 || take_noise(r, e) < 0)
            return -1;
        int reaped = proc_reap(&r->child, ret_status, e);
        if (reaped < 0)
            return -1;
        if (reaped == 0)
            return take_rest(r, e);
    }
}

int proc_run(const struct proc_spec *spec, const struct proc_run *how, int *ret_status,
             struct err *e) {
    assert(how->timeout_ms == 0 || how->clock);
    OWN(running) struct running r = {.child = PROC_NONE, .output = {.fd = -1}, .noise = {.fd = -1}};
    int64_t started_ms = how->timeout_ms ? chrono_boot_ms(how->clock) : 0;
    int outcome = start(spec, how, &r, e);
    if (outcome < 0)
        return -1;
    int status = 0;
    if (attend(&r, how, started_ms, &status, e) < 0)
        return -1;
    *ret_status = status;
    return outcome;
}
