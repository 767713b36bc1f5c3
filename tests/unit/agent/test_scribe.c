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
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/kind.h"
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
    uint8_t *image;
    struct agent_job_message heard;
};

static void own_drop_scene(struct scene *s) {
    own_drop_fd(&s->commands);
    own_drop_fd(&s->answers);
    own_drop_fd(&s->agent);
    own_drop_fd(&s->slot);
    (void)waitpid(s->pid, NULL, 0);
    free(s->image);
    tmp_dir_remove(&s->tmp);
}

// In the child: the descriptors where they belong, and nothing else.
static void become_scribe(int agent, int commands, int answers, rlim_t file_bytes) {
    const struct rlimit limit = {file_bytes, file_bytes};
    const int fds[] = {agent, commands, answers};
    int high[3];
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (file_bytes > 0)
        (void)setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 3; i++)
        high[i] = fcntl(fds[i], F_DUPFD, 100);
    for (int fd = 3; fd < 100; fd++)
        (void)close(fd);
    for (int i = 0; i < 3; i++)
        (void)dup2(high[i], AGENT_JOB_CONTROL_FD + i);
    for (int i = 0; i < 3; i++)
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
    *s = (struct scene){.tmp = tmp_dir_make(), .image = malloc(IMAGE_BYTES)};
    cr_assert(s->image);
    for (size_t i = 0; i < IMAGE_BYTES; i++)
        s->image[i] = (uint8_t)(i * 7 + i / 253);
    s->slot = openat(s->tmp.fd, "slot", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(s->slot >= 0 && ftruncate(s->slot, SLOT_BYTES) == 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    cr_assert(pipe(to) == 0 && pipe(from) == 0);
    s->pid = fork();
    if (s->pid == 0)
        become_scribe(ends[1], to[0], from[1], file_bytes);
    cr_assert_gt(s->pid, 0);
    close(ends[1]);
    close(to[0]);
    close(from[1]);
    s->agent = ends[0];
    s->commands = to[1];
    s->answers = from[0];
    (void)signal(SIGPIPE, SIG_IGN);
    send_slots(s);
}

static void say(struct scene *s, uint32_t what, uint32_t image, uint64_t offset, uint64_t bytes) {
    const struct agent_job_record record = {what, image, offset, bytes};
    cr_assert_eq(write(s->commands, &record, sizeof record), (ssize_t)sizeof record);
}

static void say_write(struct scene *s, uint64_t offset, uint64_t bytes) {
    say(s, AGENT_JOB_WRITE, 0, offset, bytes);
    for (uint64_t done = 0; done < bytes;) {
        ssize_t n = write(s->commands, s->image + offset + done, bytes - done);
        cr_assert_gt(n, 0);
        done += (uint64_t)n;
    }
}

static void await(struct scene *s) {
    uint8_t byte;
    say(s, AGENT_JOB_AWAIT, 0, 0, 0);
    cr_assert_eq(read(s->answers, &byte, 1), 1);
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
    say(&s, AGENT_JOB_SETTLE, 0, IMAGE_BYTES, 0);
    expect_settled(&s, IMAGE_BYTES);
    // The head of a record is enough: no byte of it has come.
    say(&s, AGENT_JOB_WRITE, 0, IMAGE_BYTES - 1, 1);
    expect_settled(&s, 0);
    cr_assert_eq(write(s.commands, "x", 1), 1);
    // What is said of it after that counts for nothing.
    say(&s, AGENT_JOB_SETTLE, 0, IMAGE_BYTES, 0);
    own_drop_fd(&s.commands);
    s.commands = -1;
    hear(&s);
    cr_expect_eq(s.heard.type, AGENT_JOB_RESULT);
}

Test(scribe, writes_nothing_behind_an_image_or_nowhere) {
    const struct agent_job_record wrong[] = {
        {AGENT_JOB_WRITE, 0, IMAGE_BYTES, 1},      {AGENT_JOB_WRITE, 0, 0, IMAGE_BYTES + 1},
        {AGENT_JOB_WRITE, 0, UINT64_MAX, 2},       {AGENT_JOB_WRITE, 1, 0, 1},
        {AGENT_JOB_WRITE, UINT32_MAX, 0, 1},       {0, 0, 0, 0},
        {AGENT_JOB_SETTLE, 0, IMAGE_BYTES + 1, 0}, {UINT32_MAX, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        OWN(scene) struct scene s;
        uint8_t behind = 1;
        set_up(&s, 0);
        say(&s, wrong[i].what, wrong[i].image, wrong[i].offset, wrong[i].bytes);
        expect_result(&s, "worker_failed");
        cr_expect(pread(s.slot, &behind, 1, IMAGE_BYTES) == 1 && behind == 0, "record %zu", i);
    }
}

Test(scribe, a_worker_that_ends_in_the_middle_leaves_what_it_said) {
    OWN(scene) struct scene s;
    set_up(&s, 0);
    say_write(&s, 0, 100000);
    say(&s, AGENT_JOB_WRITE, 0, 100000, 5000);
    cr_assert_eq(write(s.commands, s.image + 100000, 100), 100);
    own_drop_fd(&s.commands);
    s.commands = -1;
    expect_result(&s, "");
    cr_expect(has(&s, 0, 100000));
}

Test(scribe, says_why_it_cannot_write) {
    OWN(scene) struct scene s;
    set_up(&s, 1 << 20); // no file may be larger, for it
    say(&s, AGENT_JOB_WRITE, 0, 2 << 20, 4096);
    cr_assert_eq(write(s.commands, s.image, 4096), 4096);
    do
        hear(&s);
    while (s.heard.type == AGENT_JOB_SETTLED);
    cr_assert_eq(s.heard.type, AGENT_JOB_RESULT);
    cr_expect_str_neq(s.heard.u.result.kind, "");
    cr_expect_str_neq(s.heard.u.result.text, "");
    cr_assert_eq(waitpid(s.pid, NULL, 0), s.pid);
    cr_expect_lt(write(s.commands, s.image, 4096), 0, "the worker hears it");
}
