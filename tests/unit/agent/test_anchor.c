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
    struct agent_anchor anchor; // of the last start
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

static void own_drop_bench(struct bench *b) {
    close(b->dir);
    tmp_dir_remove(&b->tmp);
}

static void start(struct bench *b, enum agent_anchor_verdict expected, const char *when) {
    struct err why = ERR_NONE, e = ERR_NONE;
    cr_assert_eq(agent_anchor_open(&b->config, b->dir, chrono_system(), &b->anchor, &why, &e), 0,
                 "%s: %s", when, e.text);
    cr_assert_eq(b->anchor.verdict, expected, "%s", when);
}

static void raise_it(struct bench *b) {
    struct err e = ERR_NONE;
    cr_assert_eq(agent_anchor_raise(&b->anchor, b->dir, &e), 0, "%s", e.text);
}

static void renew(struct bench *b, enum agent_anchor_verdict expected) {
    struct err e = ERR_NONE;
    cr_assert_eq(agent_anchor_renew(&b->anchor, b->dir, &e), 0, "%s", e.text);
    cr_assert_eq(b->anchor.verdict, expected);
}

// A first start, which begins both the anchor and the counter.
static void begin(struct bench *b) {
    set_up(b);
    start(b, AGENT_ANCHOR_HELD, "the first start");
}

// The anchor's two copies as an attacker keeps and puts back.
static void shell(const struct bench *b, const char *what) {
    char line[3 * TMP_PATH_BYTES];
    (void)snprintf(line, sizeof line, "cd %s && %s", b->tmp.path, what);
    cr_assert_eq(system(line), 0, "%s", line);
}

static bool is_admitted(int (*which)(const struct agent_anchor *, struct err *),
                        const struct agent_anchor *a) {
    struct err e = ERR_NONE;
    if (which(a, &e) == 0)
        return true;
    cr_assert(err_is(&e, &err_state_restored), "%s", e.text);
    return false;
}

static void admits(const struct bench *b, bool revert, bool stick) {
    cr_assert_eq(is_admitted(agent_anchor_admits_revert, &b->anchor), revert);
    cr_assert_eq(is_admitted(agent_anchor_admits_stick, &b->anchor), stick);
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
    OWN(bench) struct bench b;
    set_up(&b);
    b.config.tcti[0] = 0;
    start(&b, AGENT_ANCHOR_NONE, "without a TPM");
    admits(&b, true, true);
}

Test(anchor, a_state_that_is_put_back_is_noticed_until_the_repository_was_asked) {
    OWN(bench) struct bench b;
    begin(&b);
    shell(&b, "mkdir old && cp anchor anchor.2 old/");
    raise_it(&b);
    start(&b, AGENT_ANCHOR_HELD, "after a commit");
    for (int again = 0; again < 2; again++) {
        shell(&b, "cp old/* .");
        start(&b, AGENT_ANCHOR_RESTORED, "the copy");
        admits(&b, false, false);
        raise_it(&b);
        start(&b, AGENT_ANCHOR_RESTORED, "a commit meanwhile does not hide it");
        renew(&b, AGENT_ANCHOR_HELD);
        admits(&b, true, true);
        start(&b, AGENT_ANCHOR_HELD, "renewed");
    }
    shell(&b, "rm anchor anchor.2");
    start(&b, AGENT_ANCHOR_RESTORED, "a copy without its anchor");
}

// Not the latest copy of before it either: what was renewed has higher floors than that.
Test(anchor, no_copy_made_before_it_was_renewed_is_the_latest_afterwards) {
    OWN(bench) struct bench b;
    begin(&b);
    shell(&b, "mkdir old last && cp anchor anchor.2 old/");
    raise_it(&b);
    shell(&b, "cp anchor anchor.2 last/ && cp old/* .");
    start(&b, AGENT_ANCHOR_RESTORED, "the older copy");
    renew(&b, AGENT_ANCHOR_HELD);
    shell(&b, "cp last/* .");
    start(&b, AGENT_ANCHOR_RESTORED, "the latest copy");
}

Test(anchor, another_tpm_is_noticed) {
    OWN(bench) struct bench b;
    begin(&b);
    raise_it(&b);
    cr_assert_eq(unlink(b.counter), 0);
    start(&b, AGENT_ANCHOR_RESTORED, "its counter is absent");
    write_text(b.counter, 0600, "1\n");
    start(&b, AGENT_ANCHOR_RESTORED, "its counter is lower");
}

Test(anchor, a_power_cut_before_the_counter_rose_is_mended) {
    OWN(bench) struct bench b;
    begin(&b);
    shell(&b, "cp counter before");
    raise_it(&b);
    shell(&b, "cp before counter");
    start(&b, AGENT_ANCHOR_HELD, "one ahead");
    cr_assert_eq(b.anchor.number, 43);
    start(&b, AGENT_ANCHOR_HELD, "mended");
}

Test(anchor, a_tpm_that_does_not_answer_keeps_no_device_from_going_back) {
    OWN(bench) struct bench b;
    begin(&b);
    shell(&b, "touch counter.broken");
    raise_it(&b);
    cr_assert_eq(b.anchor.verdict, AGENT_ANCHOR_UNKNOWN);
    start(&b, AGENT_ANCHOR_UNKNOWN, "no answer");
    admits(&b, true, false);
    renew(&b, AGENT_ANCHOR_UNKNOWN);
    shell(&b, "rm counter.broken");
    start(&b, AGENT_ANCHOR_HELD, "one ahead, as after a power cut");
}

Test(anchor, nonsense_from_the_program_is_unknown) {
    OWN(bench) struct bench b;
    begin(&b);
    const char *const answers[] = {"",
                                   "x\n",
                                   "-1\n",
                                   "1 2\n",
                                   "99999999999999999999999\n",
                                   "00000000000000000000000000000000000000000000000000000000001\n"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        write_text(b.counter, 0600, answers[i]);
        start(&b, AGENT_ANCHOR_UNKNOWN, answers[i]);
    }
}
