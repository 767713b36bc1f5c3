// SPDX-License-Identifier: Apache-2.0
//
// Children: what they are given, what they are not, how they end.

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/proc.h"
#include "base/proc_child.h"
#include "tests/support/fake_clock.h"
#include "tests/support/skip.h"
#include "tests/support/tmp.h"

// Runs a script with /bin/sh; the shell is a program like any other.
static int sh(const char *script, const struct proc_limits *limits, struct proc_run how,
              int *ret_status, struct err *e) {
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct proc_spec spec = proc_spec_none;
    spec.argv = argv;
    spec.limits = limits;
    return proc_run(&spec, &how, ret_status, e);
}

static struct slice slice_of(const char *text) {
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

Test(proc, input_goes_in_and_both_outputs_come_out) {
    OWN(buf) struct buf out;
    OWN(buf) struct buf noise;
    buf_init(&out, 100);
    buf_init(&noise, 100);
    struct err e = ERR_NONE;
    int status = -1;
    struct proc_run how = {.input = slice_of("one\ntwo\n"), .output = &out, .noise = &noise};
    cr_assert_eq(sh("cat; echo oops >&2; exit 3", NULL, how, &status, &e), 0, "%s", e.text);
    cr_assert_str_eq(buf_text(&out), "one\ntwo\n");
    cr_assert_str_eq(buf_text(&noise), "oops\n");
    char text[64];
    cr_assert_str_eq(proc_describe(status, text, sizeof text), "exit status 3");
}

Test(proc, a_program_that_does_not_read_its_input_does_no_harm) {
    OWN(buf) struct buf in;
    buf_init(&in, 1 << 20);
    struct err e = ERR_NONE;
    uint8_t *to;
    cr_assert_eq(buf_reserve(&in, 1 << 20, &to, &e), 0);
    memset(to, 'x', 1 << 20);
    buf_commit(&in, 1 << 20);
    int status = -1;
    cr_assert_eq(
        sh("exec <&-; exit 0", NULL, (struct proc_run){.input = buf_slice(&in)}, &status, &e), 0,
        "%s", e.text);
    cr_assert_eq(status, 0);
}

Test(proc, output_larger_than_a_pipe_is_read_whole) {
    OWN(buf) struct buf out;
    buf_init(&out, 1000000);
    struct err e = ERR_NONE;
    int status = -1;
    const char *script = "i=0; while [ $i -lt 20000 ]; do echo 1234567890123; i=$((i+1)); done";
    cr_assert_eq(sh(script, NULL, (struct proc_run){.output = &out}, &status, &e), 0, "%s", e.text);
    cr_assert_eq(out.len, 20000 * 14);
}

Test(proc, more_output_than_allowed_is_an_error_and_the_program_is_killed) {
    OWN(buf) struct buf out;
    buf_init(&out, 10000);
    struct err e = ERR_NONE;
    int status = -77;
    cr_assert_eq(
        sh("while :; do echo spam; done", NULL, (struct proc_run){.output = &out}, &status, &e),
        -1);
    cr_assert(err_is(&e, &err_limit));
    cr_assert_eq(status, -77);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "nothing of ours is left to collect");
}

Test(proc, of_too_much_noise_the_end_is_kept) {
    OWN(buf) struct buf noise;
    buf_init(&noise, 10);
    struct err e = ERR_NONE;
    int status = -1;
    const char *script =
        "i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; printf end >&2";
    cr_assert_eq(sh(script, NULL, (struct proc_run){.noise = &noise}, &status, &e), 0, "%s",
                 e.text);
    cr_assert_str_eq(buf_text(&noise), "e 2999\nend");
}

Test(proc, nobody_waits_for_what_a_program_leaves_running) {
    OWN(buf) struct buf out;
    OWN(buf) struct buf noise;
    buf_init(&out, 100);
    buf_init(&noise, 100);
    struct err e = ERR_NONE;
    int status = -1;
    // The one left behind keeps the pipe open until it is told to end by its own parent's death… of
    // which it never hears.
    cr_assert_eq(sh("(trap '' HUP; exec sleep 600) & echo $!; exit 0", NULL,
                    (struct proc_run){.output = &out, .noise = &noise}, &status, &e),
                 0, "%s", e.text);
    int left = 0;
    cr_assert_eq(sscanf(buf_text(&out), "%d", &left), 1);
    cr_assert_eq(kill(left, SIGKILL), 0, "it was still running");
}

Test(proc, when_the_deadline_passes_the_whole_group_is_killed) {
    OWN(buf) struct buf out;
    buf_init(&out, 100);
    struct fake_clock clock;
    fake_clock_init(&clock, 0, 0);
    clock.step_ms =
        60000; // a minute until it has spoken, however busy the machine; then it is late
    struct err e = ERR_NONE;
    int status = -77;
    struct proc_run how = {.output = &out, .timeout_ms = 120000, .clock = &clock.chrono};
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    cr_assert_eq(sh("sleep 600 & echo $!; sleep 600", NULL, how, &status, &e), -1);
    cr_assert(err_is(&e, &err_timeout));
    cr_assert_str_eq(e.text, "the program did not end within 120000 ms");
    cr_assert_eq(status, -77);
    int grandchild = 0;
    cr_assert_eq(sscanf(buf_text(&out), "%d", &grandchild), 1);
    // This process adopts what its program leaves behind. The program may have collected it in its
    // own last moment.
    int how_it_ended = 0;
    if (waitpid(grandchild, &how_it_ended, 0) == grandchild)
        cr_assert(WIFSIGNALED(how_it_ended) && WTERMSIG(how_it_ended) == SIGKILL);
    else
        cr_assert(kill(grandchild, 0) == -1 && errno == ESRCH);
}

Test(proc, what_cannot_be_started_is_an_error_here) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    char path[TMP_PATH_BYTES + 8];
    (void)snprintf(path, sizeof path, "%s/text", tmp.path);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    const struct {
        const char *program;
        const struct err_kind *kind;
    } rows[] = {{"/nowhere/program", &err_not_found}, {path, &err_permission}};
    for (size_t i = 0; i < 2; i++) {
        const char *const argv[] = {rows[i].program, NULL};
        struct proc_spec spec = proc_spec_none;
        spec.argv = argv;
        struct proc p = PROC_NONE;
        struct err e = ERR_NONE;
        cr_assert_eq(proc_start(&spec, &p, &e), -1);
        cr_assert_eq(e.kind, rows[i].kind, "%s", e.text);
        cr_assert(strstr(e.text, rows[i].program), "%s", e.text);
        cr_assert_eq(p.pid, -1);
        cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "the child has been collected");
    }
}

Test(proc, a_child_has_the_descriptors_it_was_given_and_no_others) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(buf) struct buf out;
    buf_init(&out, 1000);
    for (int i = 0; i < 40; i++)
        cr_assert_geq(dup(tmp.fd), 0); // not close-on-exec
    const char *const argv[] = {"/bin/sh", "-c",
                                "cd /proc/$$/fd; i=0; while [ $i -lt 100 ]; do"
                                " [ -e $i ] && printf '%s ' $i; i=$((i+1)); done; echo;"
                                "readlink 3 4",
                                NULL};
    struct proc_spec spec = proc_spec_none;
    OWN(fd) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    spec.argv = argv;
    spec.fds[0] = tmp.fd;
    spec.fds[1] = null;
    struct err e = ERR_NONE;
    int status = -1;
    cr_assert_eq(proc_run(&spec, &(struct proc_run){.output = &out}, &status, &e), 0, "%s", e.text);
    char expected[TMP_PATH_BYTES + 40];
    (void)snprintf(expected, sizeof expected, "0 1 2 3 4 \n%s\n/dev/null\n", tmp.path);
    cr_assert_str_eq(buf_text(&out), expected);
}

// In a process of its own, whose descriptors 3 and 4 are nobody's.
static int trade_places(void) {
    OWN(buf) struct buf out;
    buf_init(&out, 1000);
    int a = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    int b = open("/dev/full", O_RDONLY | O_CLOEXEC);
    if (dup2(a, 33) < 0 || dup2(b, 34) < 0 || dup2(33, 4) < 0 || dup2(34, 3) < 0)
        return 1;
    const char *const argv[] = {"/bin/sh", "-c", "cd /proc/$$/fd && readlink 3 4 5", NULL};
    struct proc_spec spec = proc_spec_none;
    spec.argv = argv;
    spec.fds[0] = 4;
    spec.fds[1] = 3;
    spec.fds[2] = 4;
    struct err e = ERR_NONE;
    int status = -1;
    if (proc_run(&spec, &(struct proc_run){.output = &out}, &status, &e) != 0)
        return 2;
    return strcmp(buf_text(&out), "/dev/zero\n/dev/full\n/dev/zero\n") != 0 ? 3 : 0;
}

Test(proc, descriptors_may_trade_places) {
    pid_t child = fork();
    if (child == 0)
        _exit(trade_places());
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "%#x", status);
}

Test(proc, closing_without_close_range_closes_the_same) {
    int last = -1;
    for (int i = 0; i < 300; i++)
        last = dup(0);
    pid_t child = fork();
    if (child == 0) {
        proc_child_close_from(10);
        for (int fd = 10; fd <= last; fd++) {
            if (fcntl(fd, F_GETFD) >= 0)
                _exit(1);
        }
        _exit(fcntl(0, F_GETFD) < 0);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

Test(proc, environment_and_directory_are_the_ones_given) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    OWN(buf) struct buf out;
    buf_init(&out, 1000);
    setenv("SECRET", "x", 1);
    const char *const argv[] = {"/usr/bin/env", NULL};
    const char *const env[] = {"A=b", NULL};
    const char *const pwd[] = {"/bin/pwd", NULL};
    struct proc_spec spec = proc_spec_none;
    struct proc_run how = {.output = &out};
    struct err e = ERR_NONE;
    int status = -1;
    spec.argv = argv;
    cr_assert_eq(proc_run(&spec, &how, &status, &e), 0, "%s", e.text);
    cr_assert_str_eq(buf_text(&out),
                     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nLANG=C\n");
    buf_clear(&out);
    spec.env = env;
    cr_assert_eq(proc_run(&spec, &how, &status, &e), 0, "%s", e.text);
    cr_assert_str_eq(buf_text(&out), "A=b\n");
    buf_clear(&out);
    spec.argv = pwd;
    spec.directory = tmp.fd;
    cr_assert_eq(proc_run(&spec, &how, &status, &e), 0, "%s", e.text);
    cr_assert_eq(strncmp(buf_text(&out), tmp.path, strlen(tmp.path)), 0, "%s", buf_text(&out));
}

Test(proc, signals_are_as_a_program_expects_them) {
    OWN(buf) struct buf out;
    buf_init(&out, 1000);
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigprocmask(SIG_BLOCK, &some, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    const char *const argv[] = {"/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL};
    struct proc_spec spec = proc_spec_none;
    spec.argv = argv;
    struct err e = ERR_NONE;
    int status = -1;
    cr_assert_eq(proc_run(&spec, &(struct proc_run){.output = &out}, &status, &e), 0, "%s", e.text);
    cr_assert_str_eq(buf_text(&out), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    cr_assert(sigismember(&now, SIGTERM) && !sigismember(&now, SIGUSR1), "ours are as they were");
}

Test(proc, limits_hold) {
    OWN(buf) struct buf out;
    buf_init(&out, 1000);
    const struct proc_limits limits = {.memory_bytes = 512 << 20,
                                       .cpu_s = 7,
                                       .file_bytes = 4096,
                                       .processes = 50,
                                       .no_new_privs = true};
    struct err e = ERR_NONE;
    int status = -1;
    cr_assert_eq(sh("ulimit -v; ulimit -t; ulimit -f; ulimit -c; grep NoNewPrivs /proc/self/status",
                    &limits, (struct proc_run){.output = &out}, &status, &e),
                 0, "%s", e.text);
    cr_assert_str_eq(buf_text(&out), "524288\n7\n8\n0\nNoNewPrivs:\t1\n");
}

Test(proc, a_child_in_the_background_lets_everybody_else_go_first) {
    OWN(buf) struct buf out;
    buf_init(&out, 200);
    struct err e = ERR_NONE;
    struct proc_limits limits = {.background = true};
    int status = -1;
    // The 19th field of stat is the niceness; the program's name before it has no blank.
    struct proc_run how = {.output = &out};
    cr_assert_eq(sh("read -r line </proc/self/stat; set -- $line; echo \"${19}\";"
                    " cat /proc/self/oom_score_adj; ionice -p $$",
                    &limits, how, &status, &e),
                 0, "%s", e.text);
    cr_assert_str_eq(buf_text(&out), "19\n1000\nidle\n");
    out.len = 0;
    cr_assert_eq(
        sh("read -r line </proc/self/stat; set -- $line; echo \"${19}\"", NULL, how, &status, &e),
        0, "%s", e.text);
    cr_assert_str_neq(buf_text(&out), "19\n", "only who asks for it");
}

Test(proc, private_memory_is_limited_and_mapped_files_are_not_counted) {
    struct err e = ERR_NONE;
    struct proc_limits limits = {.data_bytes = 64 * 1024 * 1024};
    int status = -1;
    struct proc_run how = {.output = NULL};
    cr_assert_eq(sh("x=$(head -c 200000000 /dev/zero | tr '\\0' x)", &limits, how, &status, &e), 0,
                 "%s", e.text);
    cr_assert_neq(status, 0, "200 MB in a shell of 64 MB");
    limits.data_bytes = 1024ULL * 1024 * 1024;
    cr_assert_eq(sh("x=$(head -c 20000000 /dev/zero | tr '\\0' x)", &limits, how, &status, &e), 0,
                 "%s", e.text);
    cr_assert_eq(status, 0);
}

Test(proc, a_user_is_changed_for_good_or_it_is_an_error) {
    OWN(buf) struct buf out;
    buf_init(&out, 1000);
    const struct proc_limits limits = {.set_user = true, .uid = 65534, .gid = 65534};
    struct err e = ERR_NONE;
    int status = -1;
    int done = sh("grep -E '^(Uid|Gid|Groups)' /proc/self/status", &limits,
                  (struct proc_run){.output = &out}, &status, &e);
    if (geteuid() == 0) {
        cr_assert_eq(done, 0, "%s", e.text);
        cr_assert_str_eq(buf_text(&out), "Uid:\t65534\t65534\t65534\t65534\n"
                                         "Gid:\t65534\t65534\t65534\t65534\nGroups:\t \n");
    } else {
        cr_assert_eq(done, -1);
        cr_assert(err_is(&e, &err_permission));
    }
}

// As root in one's home, with programs built there: a worker has to start, and may not look around.
Test(proc, a_program_opened_first_may_lie_where_its_user_cannot_go) {
    if (geteuid() != 0)
        skip_test("only root can start a program as another user");
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make(); // mode 0700
    OWN(buf) struct buf out;
    buf_init(&out, 4000);
    char program[TMP_PATH_BYTES + 8], copy[2 * TMP_PATH_BYTES + 80];
    (void)snprintf(program, sizeof program, "%s/cat", tmp.path);
    (void)snprintf(copy, sizeof copy, "cp /bin/cat '%s' && chmod 755 '%s'/cat", tmp.path, tmp.path);
    struct err e = ERR_NONE;
    int status = -1;
    cr_assert_eq(sh(copy, NULL, (struct proc_run){.output = NULL}, &status, &e), 0, "%s", e.text);
    cr_assert_eq(status, 0);
    const struct proc_limits limits = {.set_user = true, .uid = 65534, .gid = 65534};
    const char *const argv[] = {program, "/proc/self/status", NULL};
    struct proc_spec spec = proc_spec_none;
    const struct proc_run how = {.output = &out};
    spec.argv = argv;
    spec.limits = &limits;
    cr_assert_eq(proc_run(&spec, &how, &status, &e), -1);
    cr_assert(err_is(&e, &err_permission), "%s", e.text);
    err_clear(&e);
    spec.open_first = true;
    cr_assert_eq(proc_run(&spec, &how, &status, &e), 0, "%s", e.text);
    cr_assert(strstr(buf_text(&out), "\nUid:\t65534\t65534\t65534\t65534\n"));
    // It must be one that this user may execute, all the same.
    cr_assert_eq(chmod(program, 0700), 0);
    cr_assert_eq(proc_run(&spec, &how, &status, &e), -1);
    cr_assert(err_is(&e, &err_permission), "%s", e.text);
}

Test(proc, without_a_network_there_is_none_or_it_is_said) {
    OWN(buf) struct buf out;
    buf_init(&out, 4000);
    const struct proc_limits limits = {.no_network = true};
    struct err e = ERR_NONE;
    int status = -1;
    int done = sh("cat /proc/net/route /proc/net/dev | grep -v lo: | grep :", &limits,
                  (struct proc_run){.output = &out}, &status, &e);
    cr_assert(done == 0 || done == PROC_NO_SANDBOX, "%s", e.text);
    if (done == 0)
        cr_assert_str_eq(buf_text(&out), "", "no interface but the loopback");
    else
        skip_part("no network namespace may be made here");
    if (geteuid() == 0) {
        // Root without the right to: whoever asks is told.
        cr_assert_eq(setresuid(65534, 65534, 65534), 0);
        cr_assert_eq(sh("exit 0", &limits, (struct proc_run){.output = NULL}, &status, &e),
                     PROC_NO_SANDBOX, "%s", e.text);
        cr_assert_eq(status, 0);
    }
}

Test(proc, a_running_child_is_told_from_an_ended_one) {
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    const char *const argv[] = {"/bin/cat", NULL};
    struct proc_spec spec = proc_spec_none;
    spec.argv = argv;
    spec.stdin_fd = ends[0];
    struct proc p = PROC_NONE;
    struct err e = ERR_NONE;
    int status = -77;
    cr_assert_eq(proc_start(&spec, &p, &e), 0, "%s", e.text);
    cr_assert_eq(proc_reap(&p, &status, &e), PROC_RUNNING);
    cr_assert_eq(status, -77);
    cr_assert_eq(getpgid(p.pid), p.pid);
    close(ends[1]);
    struct pollfd ended = {.fd = p.pidfd, .events = POLLIN};
    cr_assert_eq(poll(&ended, 1, -1), 1);
    cr_assert_eq(proc_reap(&p, &status, &e), 0);
    cr_assert_eq(status, 0);
    cr_assert_eq(p.pid, -1);
    cr_assert_eq(p.pidfd, -1);
    proc_kill(&p);
    close(ends[0]);
}

Test(proc, a_killed_child_is_collected) {
    const char *const argv[] = {"/bin/sleep", "600", NULL};
    struct proc_spec spec = proc_spec_none;
    spec.argv = argv;
    struct proc p = PROC_NONE;
    struct err e = ERR_NONE;
    cr_assert_eq(proc_start(&spec, &p, &e), 0, "%s", e.text);
    pid_t pid = p.pid;
    proc_kill(&p);
    cr_assert_eq(p.pid, -1);
    cr_assert_eq(kill(pid, 0), -1);
    cr_assert_eq(errno, ESRCH);
}

Test(proc, a_child_that_stays_in_our_group_is_killed_alone) {
    const char *const argv[] = {"/bin/sleep", "600", NULL};
    struct proc_spec spec = proc_spec_none;
    spec.argv = argv;
    spec.in_our_group = true;
    struct proc p = PROC_NONE;
    struct err e = ERR_NONE;
    cr_assert_eq(proc_start(&spec, &p, &e), 0, "%s", e.text);
    cr_assert_eq(getpgid(p.pid), getpgrp());
    pid_t pid = p.pid;
    proc_kill(&p);
    cr_assert_eq(kill(pid, 0), -1);
}

Test(proc, a_child_does_not_outlive_the_one_who_started_it) {
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t middle = fork();
    if (middle == 0) {
        const char *const argv[] = {"/bin/sleep", "600", NULL};
        struct proc_spec spec = proc_spec_none;
        spec.argv = argv;
        spec.stdout_fd = ends[1];
        struct proc p = PROC_NONE;
        struct err e = ERR_NONE;
        _exit(proc_start(&spec, &p, &e) < 0);
    }
    close(ends[1]);
    int status = -1;
    cr_assert_eq(waitpid(middle, &status, 0), middle);
    cr_assert_eq(status, 0);
    // The child held the other end; its death is the end of the pipe.
    struct pollfd gone = {.fd = ends[0], .events = POLLIN};
    cr_assert_eq(poll(&gone, 1, -1), 1);
    cr_assert(gone.revents & POLLHUP);
    close(ends[0]);
}

Test(proc, endings_are_described) {
    char text[64];
    cr_assert_str_eq(proc_describe(0, text, sizeof text), "exit status 0");
    cr_assert_str_eq(proc_describe(9, text, sizeof text), "killed by signal 9 (KILL)");
    cr_assert_str_eq(proc_describe(63, text, sizeof text), "killed by signal 63");
    cr_assert_str_eq(proc_describe(9, text, 7), "killed");
}
