// SPDX-License-Identifier: Apache-2.0
//
// How the program that makes a delta is run, and what is made of its end. A script plays it.
#include "ctl/serve/delta_child.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/fs.h"
#include "base/own.h"
#include "tests/support/fake_clock.h"
#include "tests/support/tmp.h"

static struct tmp_dir dir;
static char program[TMP_PATH_BYTES + 16];
static int stop;

static void set_up(void) {
    dir = tmp_dir_make();
    stop = eventfd(0, EFD_CLOEXEC);
    (void)snprintf(program, sizeof program, "%s/program", dir.path);
}

static void tear_down(void) {
    (void)close(stop);
    tmp_dir_remove(&dir);
}

TestSuite(serve_delta_child, .init = set_up, .fini = tear_down, .timeout = 1200);

static void write_program(const char *body) {
    struct err e = ERR_NONE;
    char text[2000];
    int len = snprintf(text, sizeof text, "#!/bin/sh\n%s\n", body);
    cr_assert_eq(fs_replace(dir.fd, "program", text, (size_t)len, 0755, &e), 0, "%s", e.text);
}

static int run_with(const struct chrono *clock, struct err *e) {
    const struct serve_delta_child how = {.program = program,
                                          .workspace = dir.fd,
                                          .stop_fd = stop,
                                          .base = "aaaa",
                                          .bundle = "bbbb",
                                          .memory_bytes = 3 << 20,
                                          .file_bytes = 1 << 20,
                                          .time_s = 1000,
                                          .clock = clock};
    return serve_delta_child_run(&how, e);
}

static int run(const char *body, struct err *e) {
    write_program(body);
    return run_with(chrono_system(), e);
}

static bool is_there(const char *name) {
    struct err e = ERR_NONE;
    struct stat st;
    return fs_stat(dir.fd, name, &st, &e) == 0;
}

static int count(void *context, const char *name, mode_t type, struct err *e) {
    (void)name;
    (void)type;
    (void)e;
    ++*(int *)context;
    return 0;
}

static int n_left(void) {
    struct err e = ERR_NONE;
    int n = 0;
    cr_assert_eq(fs_list(dir.fd, SERVE_DELTA_CHILD_DIR, count, &n, &e), 0, "%s", e.text);
    return n;
}

Test(serve_delta_child, is_told_what_to_make_and_where) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf made;
    buf_init(&made, 1000);
    cr_assert_eq(run("test -d making || exit 1; echo \"$@\" >making/made.delta", &e), 0, "%s",
                 e.text);
    cr_assert_eq(fs_read_file(dir.fd, SERVE_DELTA_CHILD_MADE, 1000, &made, &e), 0);
    cr_assert_str_eq(
        buf_text(&made),
        "bundle delta bundles/aaaa.edge bundles/bbbb.edge --root root.json --temporary "
        "making --threads 1 --json -o making/made.delta\n");
}

Test(serve_delta_child, works_in_the_background_within_its_limits) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf made;
    long kib = 0;
    buf_init(&made, 1000);
    cr_assert_eq(run("read -r line </proc/self/stat; set -- $line\n"
                     "echo \"nice ${19} blocks $(ulimit -f) data $(bash -c 'ulimit -d')\""
                     " >making/made.delta",
                     &e),
                 0, "%s", e.text);
    cr_assert_eq(fs_read_file(dir.fd, SERVE_DELTA_CHILD_MADE, 1000, &made, &e), 0);
    cr_assert_eq(strncmp(buf_text(&made), "nice 19 blocks 2048 data ", 25), 0, "%s",
                 buf_text(&made));
    // Where a sanitizer is built in there is no limit on memory: its own needs more than any.
    if (sscanf(buf_text(&made) + 25, "%ld", &kib) == 1)
        cr_assert_eq(kib, 3 << 10);
    else
        cr_assert_str_eq(buf_text(&made) + 25, "unlimited\n");
}

Test(serve_delta_child, its_end_is_a_kind_and_a_sentence) {
    static const struct {
        const char *body, *kind, *says;
    } cases[] = {
        {"echo unpacking >&2; echo 'edgectl: it would not be smaller' >&2; exit 63", "no_gain",
         "it would not be smaller"},
        {"printf 'edgectl: no memory for \\033[1m' >&2; exit 6", "memory", "no memory for "},
        {"echo 'edgectl: full' >&2; exit 8", "no_space", "full"},
        {"exit 99", "internal", "exit status 99"},
        {"exit 6", "memory", "exit status 6"},
        {"kill -SEGV $$", "internal", "killed by signal 11"},
        {"kill -KILL $$", "memory", "killed by signal 9"},
        {"exec head -c 3000000 /dev/zero >making/much", "limit", "killed by signal 25"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_NONE;
        cr_expect_lt(run(cases[i].body, &e), 0, "%s", cases[i].body);
        cr_expect_str_eq(e.kind == NULL ? "" : e.kind->name, cases[i].kind, "%s: %s", cases[i].body,
                         e.text);
        cr_expect_not_null(strstr(e.text, cases[i].says), "%s: %s", cases[i].body, e.text);
        cr_expect_null(strchr(e.text, '\033'), "%s", e.text);
        cr_expect_eq(n_left(), 0, "%s: something is left", cases[i].body);
    }
}

Test(serve_delta_child, is_killed_when_its_time_is_over) {
    struct err e = ERR_NONE;
    struct fake_clock clock;
    fake_clock_init(&clock, 0, 0);
    clock.step_ms = 600 * 1000;
    write_program("echo $$ >pid; exec sleep 100000");
    cr_assert_lt(run_with(&clock.chrono, &e), 0);
    cr_assert_str_eq(e.kind->name, "timeout", "%s", e.text);
    cr_assert_eq(n_left(), 0);
}

Test(serve_delta_child, is_killed_when_an_end_is_wanted) {
    struct err e = ERR_NONE;
    uint64_t one = 1;
    cr_assert_eq(write(stop, &one, sizeof one), (ssize_t)sizeof one);
    cr_assert_eq(run("echo half >making/made.delta; exec sleep 100000", &e),
                 SERVE_DELTA_CHILD_STOPPED, "%s", e.text);
    cr_assert_eq(n_left(), 0);
}

Test(serve_delta_child, what_an_earlier_one_left_is_removed_first) {
    struct err e = ERR_NONE;
    cr_assert_eq(fs_mkdir(dir.fd, SERVE_DELTA_CHILD_DIR, 0700, &e), 0);
    cr_assert_eq(fs_replace(dir.fd, SERVE_DELTA_CHILD_MADE, "old", 3, 0600, &e), 0);
    cr_assert_eq(run("exit 0", &e), 0, "%s", e.text);
    cr_assert_not(is_there(SERVE_DELTA_CHILD_MADE), "what was made before is no result");
}

Test(serve_delta_child, a_program_that_is_not_there_is_an_error) {
    struct err e = ERR_NONE;
    cr_assert_lt(run_with(chrono_system(), &e), 0);
    cr_assert_str_eq(e.kind->name, "not_found", "%s", e.text);
}
