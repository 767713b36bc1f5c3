// SPDX-License-Identifier: Apache-2.0
//
// The scribe, as a process of its own with the test in the place of the agent and of the worker: what
// it writes and where, what it says of it and when, and what it refuses.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/kind.h"
#include "agent/ring.h"
#include "agent/scribe.h"
#include "base/fs.h"
#include "base/own.h"
#include "tests/support/tmp.h"

#define IMAGE_BYTES (8UL * 1024 * 1024 + 77)
#define SLOT_BYTES  (9L * 1024 * 1024)

struct scene {
    struct tmp_dir tmp;
    int slot, agent, commands, answers;
    pid_t pid;
    uint8_t *image, *ring;
    struct agent_job_message heard;
};

static void own_drop_scene(struct scene *s) {
    own_drop_fd(&s->commands);
    own_drop_fd(&s->answers);
    own_drop_fd(&s->agent);
    own_drop_fd(&s->slot);
    (void)waitpid(s->pid, NULL, 0);
    free(s->image);
    agent_ring_unmap(s->ring);
    tmp_dir_remove(&s->tmp);
}

// In the child: the descriptors where they belong, and nothing else.
static void become_scribe(int agent, int commands, int answers, int ring, rlim_t file_bytes) {
    const struct rlimit limit = {file_bytes, file_bytes};
    const int fds[] = {agent, commands, answers, ring};
    int high[4];
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (file_bytes > 0)
        (void)setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 4; i++)
        high[i] = fcntl(fds[i], F_DUPFD, 100);
    for (int fd = 3; fd < 100; fd++)
        (void)close(fd);
    for (int i = 0; i < 4; i++)
        (void)dup2(high[i], AGENT_JOB_CONTROL_FD + i);
    for (int i = 0; i < 4; i++)
        (void)close(high[i]);
    _exit(agent_scribe_run());
}

static void send_slots(struct scene *s) {
    struct err e = ERR_NONE;
    int fds[1] = {s->slot};
    s->heard = (struct agent_job_message){.type = AGENT_JOB_PROCEED};
    s->heard.u.proceed.n_images = 1;
    s->heard.u.proceed.images[0].bytes = IMAGE_BYTES;
    cr_assert_eq(agent_job_send_proceed(s->agent, &s->heard, fds, &e), 0, "%s", e.text);
}

static void set_up(struct scene *s, rlim_t file_bytes) {
    int ends[2], to[2], from[2];
    struct err e = ERR_NONE;
    OWN(fd) int ring = -1;
    *s = (struct scene){.tmp = tmp_dir_make(), .image = malloc(IMAGE_BYTES)};
    cr_assert(s->image);
    for (size_t i = 0; i < IMAGE_BYTES; i++)
        s->image[i] = (uint8_t)(i * 7 + i / 253);
    s->slot = openat(s->tmp.fd, "slot", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(s->slot >= 0 && ftruncate(s->slot, SLOT_BYTES) == 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    cr_assert(pipe(to) == 0 && pipe(from) == 0);
    cr_assert(agent_ring_make(&ring, &e) == 0 && agent_ring_map(ring, true, &s->ring, &e) == 0,
              "%s", e.text);
    s->pid = fork();
    if (s->pid == 0)
        become_scribe(ends[1], to[0], from[1], ring, file_bytes);
    cr_assert_gt(s->pid, 0);
    close(ends[1]);
    close(to[0]);
    close(from[1]);
    s->agent = ends[0];
    // A net: what never comes fails.
    const struct timeval patience = {.tv_sec = 60};
    cr_assert_eq(setsockopt(s->agent, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    s->commands = to[1];
    s->answers = from[0];
    (void)signal(SIGPIPE, SIG_IGN);
    send_slots(s);
}

static void send_record(struct scene *s, const struct agent_job_record *record) {
    cr_assert_eq(write(s->commands, record, sizeof *record), (ssize_t)sizeof *record);
}

static void say(struct scene *s, uint32_t what, uint32_t image, uint64_t offset, uint64_t bytes) {
    const struct agent_job_record record = {what, image, offset, bytes, 0};
    send_record(s, &record);
}

static void await(struct scene *s) {
    uint8_t byte;
    say(s, AGENT_JOB_AWAIT, 0, 0, 0);
    cr_assert_eq(read(s->answers, &byte, 1), 1);
}

// All of the memory serves, one piece after another at its end.
static void say_write(struct scene *s, uint64_t offset, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes;) {
        uint64_t n = bytes - done < AGENT_RING_BYTES ? bytes - done : AGENT_RING_BYTES;
        const struct agent_job_record record = {AGENT_JOB_WRITE, 0, offset + done, n,
                                                AGENT_RING_BYTES - n};
        memcpy(s->ring + record.at, s->image + offset + done, n);
        send_record(s, &record);
        await(s);
        done += n;
    }
}

static void hear(struct scene *s) {
    struct err e = ERR_NONE;
    cr_assert_eq(agent_job_receive(s->agent, &s->heard, &e), 0, "%s", e.text);
}

static void expect_settled(struct scene *s, uint64_t bytes) {
    hear(s);
    cr_assert_eq(s->heard.type, AGENT_JOB_SETTLED);
    cr_expect_eq(s->heard.u.settled.image, 0);
    cr_expect_eq(s->heard.u.settled.bytes, bytes);
}

static void expect_result(struct scene *s, const char *kind) {
    do
        hear(s);
    while (s->heard.type == AGENT_JOB_SETTLED);
    cr_assert_eq(s->heard.type, AGENT_JOB_RESULT);
    cr_expect_str_eq(s->heard.u.result.kind, kind, "%s", s->heard.u.result.text);
}

static bool has(const struct scene *s, uint64_t offset, uint64_t bytes) {
    uint8_t *found = malloc(bytes);
    bool same = found && pread(s->slot, found, bytes, (off_t)offset) == (ssize_t)bytes &&
                memcmp(found, s->image + offset, bytes) == 0;
    free(found);
    return same;
}

Test(scribe, writes_what_it_is_told_and_says_what_is_settled) {
    OWN(scene) struct scene s;
    set_up(&s, 0);
    say_write(&s, 4 << 20, 100000); // ahead of the rest
    await(&s);
    cr_expect(has(&s, 4 << 20, 100000), "it can be read when that was answered");
    say_write(&s, 0, 1 << 20);
    say(&s, AGENT_JOB_SETTLE, 0, 1 << 20, 0); // not worth a word
    say_write(&s, 1 << 20, IMAGE_BYTES - (1 << 20));
    say(&s, AGENT_JOB_SETTLE, 0, 5 << 20, 0);
    expect_settled(&s, 5 << 20);
    say(&s, AGENT_JOB_SETTLE, 0, IMAGE_BYTES, 0);
    expect_settled(&s, IMAGE_BYTES);
    own_drop_fd(&s.commands);
    s.commands = -1;
    expect_result(&s, "");
    cr_expect(has(&s, 0, IMAGE_BYTES));
}

Test(scribe, i1_takes_its_word_back_before_it_writes_what_was_settled) {
    OWN(scene) struct scene s;
    set_up(&s, 0);
    say_write(&s, 0, IMAGE_BYTES);
    say(&s, AGENT_JOB_SETTLE, 0, 5 << 20, 0);
    expect_settled(&s, 5 << 20);
    say(&s, AGENT_JOB_WRITE, 0, (5 << 20) - 1, 1);
    expect_settled(&s, 0);
    // What is said of it after that counts for nothing.
    say(&s, AGENT_JOB_SETTLE, 0, IMAGE_BYTES, 0);
    own_drop_fd(&s.commands);
    s.commands = -1;
    hear(&s);
    cr_expect_eq(s.heard.type, AGENT_JOB_RESULT);
}

// Zeros in pieces that go on, between bytes; then more of them, over what was said to be settled.
Test(scribe, i1_zeros_are_written_like_bytes) {
    OWN(scene) struct scene s;
    const struct agent_job_record zeros[] = {{AGENT_JOB_ZERO, 0, 100000, 500000, 0},
                                             {AGENT_JOB_ZERO, 0, 600000, 1500000, 0},
                                             {AGENT_JOB_WRITE, 0, 2100000, 7, 0},
                                             {AGENT_JOB_ZERO, 0, 2100007, 93, 0}};
    set_up(&s, 0);
    say_write(&s, 0, IMAGE_BYTES);
    memset(s.ring, 1, 7);
    cr_assert_eq(write(s.commands, zeros, sizeof zeros), (ssize_t)sizeof zeros);
    memset(s.image + 100000, 0, 2000100);
    memset(s.image + 2100000, 1, 7);
    say(&s, AGENT_JOB_SETTLE, 0, 5 << 20, 0);
    expect_settled(&s, 5 << 20);
    cr_expect(has(&s, 0, IMAGE_BYTES));
    say(&s, AGENT_JOB_ZERO, 0, (5 << 20) - 1, 1);
    expect_settled(&s, 0);
}

Test(scribe, writes_nothing_behind_an_image_or_nowhere) {
    const struct agent_job_record wrong[] = {
        {AGENT_JOB_WRITE, 0, IMAGE_BYTES, 1, 0},
        {AGENT_JOB_WRITE, 0, 0, IMAGE_BYTES + 1, 0},
        {AGENT_JOB_WRITE, 0, UINT64_MAX, 2, 0},
        {AGENT_JOB_WRITE, 1, 0, 1, 0},
        {AGENT_JOB_WRITE, UINT32_MAX, 0, 1, 0},
        {AGENT_JOB_WRITE, 0, 0, 1, AGENT_RING_BYTES},
        {AGENT_JOB_WRITE, 0, 0, AGENT_RING_BYTES, 1},
        {AGENT_JOB_WRITE, 0, 0, 2, UINT64_MAX},
        {AGENT_JOB_ZERO, 0, IMAGE_BYTES, 1, 0},
        {AGENT_JOB_ZERO, 0, 4096, IMAGE_BYTES, 0},
        {AGENT_JOB_ZERO, 0, UINT64_MAX, 2, 0},
        {AGENT_JOB_ZERO, 1, 0, 1, 0},
        {0, 0, 0, 0, 0},
        {AGENT_JOB_SETTLE, 0, IMAGE_BYTES + 1, 0, 0},
        {UINT32_MAX, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        OWN(scene) struct scene s;
        uint8_t behind = 1;
        set_up(&s, 0);
        cr_assert_eq(pwrite(s.slot, &behind, 1, IMAGE_BYTES), 1);
        behind = 0;
        send_record(&s, &wrong[i]);
        expect_result(&s, "worker_failed");
        cr_expect(pread(s.slot, &behind, 1, IMAGE_BYTES) == 1 && behind == 1, "record %zu", i);
    }
}

Test(scribe, a_worker_that_ends_in_the_middle_leaves_what_it_said) {
    OWN(scene) struct scene s;
    const struct agent_job_record half = {AGENT_JOB_WRITE, 0, 100000, 5000, 0};
    set_up(&s, 0);
    say_write(&s, 0, 100000);
    cr_assert_eq(write(s.commands, &half, sizeof half / 2), (ssize_t)sizeof half / 2);
    own_drop_fd(&s.commands);
    s.commands = -1;
    expect_result(&s, "");
    cr_expect(has(&s, 0, 100000));
    cr_expect_not(has(&s, 100000, 1));
}

// What goes on where another ends is written with it, and what does not, not: in the image, in the
// memory, or because it is wrong.
Test(scribe, records_that_go_on_are_written_at_once_and_no_others_are_touched) {
    OWN(scene) struct scene s;
    const struct agent_job_record records[] = {
        {AGENT_JOB_WRITE, 0, 0, 1000, 0},       {AGENT_JOB_WRITE, 0, 1000, 1000, 1000},
        {AGENT_JOB_WRITE, 0, 2000, 1000, 5000}, {AGENT_JOB_WRITE, 0, 4000, 1000, 6000},
        {AGENT_JOB_WRITE, 0, 5000, 1000, 7000}, {AGENT_JOB_WRITE, 0, 6000, UINT64_MAX, 8000},
    };
    set_up(&s, 0);
    for (size_t i = 0; i < 10000; i++)
        s.ring[i] = (uint8_t)(i / 1000 + 1);
    cr_assert_eq(write(s.commands, records, sizeof records), (ssize_t)sizeof records);
    expect_result(&s, "worker_failed");
    static const uint8_t wanted[] = {1, 2, 6, 0, 7, 8, 0};
    for (size_t i = 0; i < sizeof wanted; i++) {
        uint8_t ends[2];
        cr_assert_eq(pread(s.slot, &ends[0], 1, (off_t)i * 1000), 1);
        cr_assert_eq(pread(s.slot, &ends[1], 1, (off_t)i * 1000 + 999), 1);
        cr_expect(ends[0] == wanted[i] && ends[1] == wanted[i], "%zu: %u %u", i, ends[0], ends[1]);
    }
}

// Records end where the pipe does, in the middle of one.
Test(scribe, records_in_any_pieces_are_the_same) {
    OWN(scene) struct scene s;
    struct agent_job_record records[300];
    const uint8_t *at = (const uint8_t *)records;
    uint8_t byte;
    set_up(&s, 0);
    memcpy(s.ring, s.image, 300000);
    for (size_t i = 0; i < 300; i++)
        records[i] = (struct agent_job_record){AGENT_JOB_WRITE, 0, i * 1000, 1000, i * 1000};
    records[299] = (struct agent_job_record){.what = AGENT_JOB_AWAIT};
    for (size_t left = sizeof records, n = 1; left > 0; n = n % 1499 + 397) {
        size_t part = n < left ? n : left;
        cr_assert_eq(write(s.commands, at, part), (ssize_t)part);
        at += part;
        left -= part;
    }
    cr_assert_eq(read(s.answers, &byte, 1), 1);
    cr_expect(has(&s, 0, 299000));
}

Test(scribe, says_why_it_cannot_write) {
    OWN(scene) struct scene s;
    set_up(&s, 1 << 20); // no file may be larger, for it
    say(&s, AGENT_JOB_WRITE, 0, 2 << 20, 4096);
    do
        hear(&s);
    while (s.heard.type == AGENT_JOB_SETTLED);
    cr_assert_eq(s.heard.type, AGENT_JOB_RESULT);
    cr_expect_str_neq(s.heard.u.result.kind, "");
    cr_expect_str_neq(s.heard.u.result.text, "");
    cr_assert_eq(waitpid(s.pid, NULL, 0), s.pid);
    cr_expect_lt(write(s.commands, s.image, 4096), 0, "the worker hears it");
}
