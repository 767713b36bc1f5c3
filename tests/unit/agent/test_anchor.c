// SPDX-License-Identifier: Apache-2.0
//
// The anchor: what a counter says of the state directory. The counter here is a script over a file,
// which can be made to fail at every point; tests/e2e/tpm.py has the real program over a TPM.
#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/anchor.h"
#include "agent/kind.h"
#include "base/own.h"
#include "tests/support/tmp.h"

struct bench {
    struct tmp_dir tmp;
    char program[TMP_PATH_BYTES + 16];
    char counter[TMP_PATH_BYTES + 16];
    char copy[100];
    int dir;
    struct agent_anchor_config config;
};

static void write_text(const char *path, mode_t mode, const char *text) {
    OWN(fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void set_up(struct bench *b) {
    char script[5 * sizeof b->counter + 512];
    *b = (struct bench){.tmp = tmp_dir_make()};
    (void)snprintf(b->program, sizeof b->program, "%s/program", b->tmp.path);
    (void)snprintf(b->counter, sizeof b->counter, "%s/counter", b->tmp.path);
    (void)snprintf(script, sizeof script,
                   "#!/bin/sh\n"
                   "[ ! -e %s.broken ] || { echo no answer >&2; exit 7; }\n"
                   "[ \"$3\" = increment ] || [ -e %s ] || exit 10\n"
                   "[ \"$3\" = read ] || echo $(($(cat %s 2>/dev/null || echo 41) + 1)) >%s\n"
                   "cat %s\n",
                   b->counter, b->counter, b->counter, b->counter, b->counter);
    write_text(b->program, 0700, script);
    (void)snprintf(b->config.tcti, sizeof b->config.tcti, "script");
    b->config.index = 0x01800001;
    b->config.program = b->program;
    b->dir = open(b->tmp.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(b->dir, 0);
}

static void tear_down(struct bench *b) {
    close(b->dir);
    tmp_dir_remove(&b->tmp);
}

static struct agent_anchor start(const struct bench *b) {
    struct agent_anchor a;
    struct err why = ERR_NONE, e = ERR_NONE;
    cr_assert_eq(agent_anchor_open(&b->config, b->dir, chrono_system(), &a, &why, &e), 0, "%s",
                 e.text);
    return a;
}

static void raise_it(const struct bench *b, struct agent_anchor *a) {
    struct err e = ERR_NONE;
    cr_assert_eq(agent_anchor_raise(a, b->dir, &e), 0, "%s", e.text);
}

// The anchor's two copies as an attacker keeps and puts back.
static void shell(const struct bench *b, const char *what) {
    char line[3 * TMP_PATH_BYTES];
    (void)snprintf(line, sizeof line, "cd %s && %s", b->tmp.path, what);
    cr_assert_eq(system(line), 0, "%s", line);
}

static bool admits(int (*which)(const struct agent_anchor *, struct err *),
                   const struct agent_anchor *a) {
    struct err e = ERR_NONE;
    if (which(a, &e) == 0)
        return true;
    cr_assert(err_is(&e, &err_state_restored), "%s", e.text);
    return false;
}

Test(anchor, every_pair_of_numbers_is_judged) {
    const struct {
        bool has;
        uint64_t number, counter;
        enum agent_anchor_verdict verdict;
    } rows[] = {
        {false, 0, 0, AGENT_ANCHOR_RESTORED},
        {false, 0, 9, AGENT_ANCHOR_RESTORED},
        {true, 9, 9, AGENT_ANCHOR_HELD},
        {true, 10, 9, AGENT_ANCHOR_CUT},
        {true, 11, 9, AGENT_ANCHOR_RESTORED},
        {true, 8, 9, AGENT_ANCHOR_RESTORED},
        {true, 0, UINT64_MAX, AGENT_ANCHOR_RESTORED},
        {true, UINT64_MAX, 0, AGENT_ANCHOR_RESTORED},
        {true, UINT64_MAX, UINT64_MAX, AGENT_ANCHOR_HELD},
        {true, UINT64_MAX, UINT64_MAX - 1, AGENT_ANCHOR_CUT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(agent_anchor_judge(rows[i].has, rows[i].number, rows[i].counter),
                     rows[i].verdict, "row %zu", i);
}

Test(anchor, without_a_tpm_there_is_none_and_all_is_admitted) {
    struct bench b;
    set_up(&b);
    b.config.tcti[0] = 0;
    struct agent_anchor a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_NONE);
    cr_assert(admits(agent_anchor_admits_revert, &a) && admits(agent_anchor_admits_stick, &a));
    tear_down(&b);
}

Test(anchor, a_state_that_is_put_back_is_noticed_until_the_repository_was_asked) {
    struct bench b;
    set_up(&b);
    struct agent_anchor a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_HELD, "the first start begins both");
    shell(&b, "mkdir old && cp anchor anchor.2 old/");
    raise_it(&b, &a);
    a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_HELD);
    for (int again = 0; again < 2; again++) {
        shell(&b, "cp old/* .");
        a = start(&b);
        cr_assert_eq(a.verdict, AGENT_ANCHOR_RESTORED);
        cr_assert(!admits(agent_anchor_admits_revert, &a) &&
                  !admits(agent_anchor_admits_stick, &a));
        raise_it(&b, &a); // a commit meanwhile does not hide it
        a = start(&b);
        cr_assert_eq(a.verdict, AGENT_ANCHOR_RESTORED);
        struct err e = ERR_NONE;
        cr_assert_eq(agent_anchor_renew(&a, b.dir, &e), 0);
        cr_assert_eq(a.verdict, AGENT_ANCHOR_HELD);
        cr_assert(admits(agent_anchor_admits_revert, &a) && admits(agent_anchor_admits_stick, &a));
        a = start(&b);
        cr_assert_eq(a.verdict, AGENT_ANCHOR_HELD);
    }
    shell(&b, "rm anchor anchor.2");
    a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_RESTORED, "a copy without its anchor");
    tear_down(&b);
}

Test(anchor, another_tpm_is_noticed) {
    struct bench b;
    set_up(&b);
    struct agent_anchor a = start(&b);
    raise_it(&b, &a);
    cr_assert_eq(unlink(b.counter), 0);
    a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_RESTORED, "its counter is absent");
    write_text(b.counter, 0600, "1\n");
    a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_RESTORED, "its counter is lower");
    tear_down(&b);
}

Test(anchor, a_power_cut_before_the_counter_rose_is_mended) {
    struct bench b;
    set_up(&b);
    struct agent_anchor a = start(&b);
    shell(&b, "cp counter before");
    raise_it(&b, &a);
    shell(&b, "cp before counter");
    a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_HELD);
    cr_assert_eq(a.number, 43);
    a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_HELD);
    tear_down(&b);
}

Test(anchor, a_tpm_that_does_not_answer_keeps_no_device_from_going_back) {
    struct bench b;
    set_up(&b);
    struct agent_anchor a = start(&b);
    shell(&b, "touch counter.broken");
    raise_it(&b, &a);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_UNKNOWN);
    a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_UNKNOWN);
    cr_assert(admits(agent_anchor_admits_revert, &a) && !admits(agent_anchor_admits_stick, &a));
    struct err e = ERR_NONE;
    cr_assert_eq(agent_anchor_renew(&a, b.dir, &e), 0);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_UNKNOWN);
    shell(&b, "rm counter.broken");
    a = start(&b);
    cr_assert_eq(a.verdict, AGENT_ANCHOR_HELD, "one ahead, as after a power cut");
    tear_down(&b);
}

Test(anchor, nonsense_from_the_program_is_unknown) {
    struct bench b;
    set_up(&b);
    (void)start(&b);
    const char *const answers[] = {"",
                                   "x\n",
                                   "-1\n",
                                   "1 2\n",
                                   "99999999999999999999999\n",
                                   "00000000000000000000000000000000000000000000000000000000001\n"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        write_text(b.counter, 0600, answers[i]);
        struct agent_anchor a = start(&b);
        cr_assert_eq(a.verdict, AGENT_ANCHOR_UNKNOWN, "%s", answers[i]);
    }
    tear_down(&b);
}
