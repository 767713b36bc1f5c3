// SPDX-License-Identifier: Apache-2.0
//
// The judge's sandbox: the same as any worker's (test_sandbox.c), and no way to anybody but the
// agent.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/worker/sandbox.h"
#include "tests/support/tmp.h"

enum { HELD = 10, ESCAPED, NO_SANDBOX };

static struct tmp_dir incoming, trusted;
static int listening, unconnected;
static struct sockaddr_in at;
static bool has_landlock; // in the child

static void start(void) {
    socklen_t len = sizeof at;
    incoming = tmp_dir_make();
    trusted = tmp_dir_make();
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unconnected = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(bind(listening, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(listening, 8), 0);
    cr_assert_eq(getsockname(listening, (struct sockaddr *)&at, &len), 0);
    for (int i = 0; i < 2; i++) {
        int fd = openat(i ? trusted.fd : incoming.fd, "timestamp.json",
                        O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        cr_assert(fd >= 0 && write(fd, "{}", 2) == 2);
        close(fd);
    }
}

static void finish(void) {
    close(listening);
    close(unconnected);
    tmp_dir_remove(&incoming);
    tmp_dir_remove(&trusted);
}

TestSuite(sandbox_judge, .init = start, .fini = finish, .timeout = 60);

static int in_sandbox(bool (*attempt)(void), bool no_sockets) {
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        const struct worker_sandbox how = {.writable_dir = -1,
                                           .readable_dir = incoming.fd,
                                           .other_dir = trusted.fd,
                                           .no_sockets = no_sockets};
        struct worker_sandbox_state state;
        struct err e = ERR_NONE;
        if (worker_sandbox_enter(&how, &state, &e) < 0 || !state.seccomp)
            _exit(NO_SANDBOX);
        has_landlock = state.landlock;
        _exit(attempt() ? ESCAPED : HELD);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "status %d", status);
    return WEXITSTATUS(status);
}

static bool make(int domain, int type) {
    return socket(domain, type | SOCK_CLOEXEC, 0) >= 0;
}
static bool make_tcp(void) {
    return make(AF_INET, SOCK_STREAM) || make(AF_INET6, SOCK_STREAM);
}
static bool make_udp(void) {
    return make(AF_INET, SOCK_DGRAM) || make(AF_INET6, SOCK_DGRAM);
}
static bool make_local(void) {
    return make(AF_UNIX, SOCK_STREAM);
}
static bool make_netlink(void) {
    return make(AF_NETLINK, SOCK_RAW);
}
static bool make_pair(void) {
    int ends[2];
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;
}
static bool connect_what_is_there(void) {
    return connect(unconnected, (struct sockaddr *)&at, sizeof at) == 0;
}

Test(sandbox_judge, reaches_nobody) {
    static bool (*const attempts[])(void) = {make_tcp,     make_udp,  make_local,
                                             make_netlink, make_pair, connect_what_is_there};
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        cr_expect_eq(in_sandbox(attempts[i], true), HELD, "attempt %zu", i);
        cr_expect_eq(in_sandbox(attempts[i], false), ESCAPED, "attempt %zu is one at all", i);
    }
}

static bool read_both(void) {
    int a = openat(incoming.fd, "timestamp.json", O_RDONLY | O_CLOEXEC);
    int b = openat(trusted.fd, "timestamp.json", O_RDONLY | O_CLOEXEC);
    return a >= 0 && b >= 0;
}
static bool writes_as_the_kernel_lets_it(void) {
    bool wrote = openat(incoming.fd, "x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644) >= 0 ||
                 openat(trusted.fd, "x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644) >= 0;
    return wrote == !has_landlock;
}

Test(sandbox_judge, reads_both_directories_and_writes_neither) {
    cr_expect_eq(in_sandbox(read_both, true), ESCAPED);
    cr_expect_eq(in_sandbox(writes_as_the_kernel_lets_it, true), ESCAPED);
}
