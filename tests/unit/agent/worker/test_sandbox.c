// SPDX-License-Identifier: Apache-2.0
//
// Trying to get out of the worker's sandbox, each way in a process of its own, and doing in it what
// the worker does.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/worker/sandbox.h"
#include "tests/support/faultd.h"
#include "tests/support/skip.h"
#include "tests/support/tmp.h"

enum { HELD = 10, ESCAPED, NO_SANDBOX };

static struct tmp_dir outside;  // not named in the sandbox; has "secret" and "dir"
static struct tmp_dir staging;  // writable
static struct tmp_dir previous; // readable; has "old"
static char read_file[300];     // readable, below nothing readable
static int reached;             // a socket that somebody listens on
static struct sockaddr_in reached_at;
static int given; // a file outside, open for writing

static void put(int dir, const char *name) {
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, "text", 4), 4);
    close(fd);
}

static void start(void) {
    socklen_t len = sizeof reached_at;
    outside = tmp_dir_make();
    staging = tmp_dir_make();
    previous = tmp_dir_make();
    put(outside.fd, "secret");
    put(outside.fd, "named");
    put(previous.fd, "old");
    cr_assert_eq(mkdirat(outside.fd, "dir", 0755), 0);
    snprintf(read_file, sizeof read_file, "%s/named", outside.path);
    given = openat(outside.fd, "given", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(given >= 0);
    reached = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    reached_at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(bind(reached, (struct sockaddr *)&reached_at, sizeof reached_at), 0);
    cr_assert_eq(listen(reached, 8), 0);
    cr_assert_eq(getsockname(reached, (struct sockaddr *)&reached_at, &len), 0);
}

static void finish(void) {
    close(reached);
    close(given);
    tmp_dir_remove(&outside);
    tmp_dir_remove(&staging);
    tmp_dir_remove(&previous);
}

TestSuite(sandbox, .init = start, .fini = finish, .timeout = 1200);

// What a probe needs: nothing, or a part of the sandbox that the kernel may not have.
enum needs { ALWAYS, LANDLOCK, SECCOMP };

static int landlock_version(void) {
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static int in_sandbox(bool (*attempt)(void), enum needs needs) {
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        const struct worker_sandbox how = {staging.fd, previous.fd, -1, read_file, false};
        struct worker_sandbox_state state;
        struct err e = ERR_NONE;
        if (worker_sandbox_enter(&how, &state, &e) < 0 || (needs == LANDLOCK && !state.landlock) ||
            (needs == SECCOMP && !state.seccomp))
            _exit(NO_SANDBOX);
        _exit(attempt() ? ESCAPED : HELD);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "status %d", status);
    return WEXITSTATUS(status);
}

// `attempt` succeeds for us, so that it is the sandbox that stops it; then it must fail there.
static void expect_held_by(enum needs needs, const char *what, bool (*attempt)(void)) {
    int got = in_sandbox(attempt, needs);
    if (got == NO_SANDBOX && needs == LANDLOCK && landlock_version() < 0)
        skip_test("this kernel has no Landlock");
    cr_assert_eq(got, HELD, "%s: %d", what, got);
}

#define HELD_BY(needs, attempt) expect_held_by(needs, #attempt, attempt)

static void expect_allowed(const char *what, bool (*attempt)(void)) {
    cr_assert_eq(in_sandbox(attempt, ALWAYS), ESCAPED, "%s", what);
}
#define ALLOWED(attempt) expect_allowed(#attempt, attempt)

// Files

static bool opens(int dir, const char *path, int flags) {
    int fd = openat(dir, path, flags | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool write_shadow(void) {
    return opens(AT_FDCWD, "/etc/shadow", O_WRONLY | O_APPEND);
}
static bool create_outside(void) {
    return opens(outside.fd, "new", O_WRONLY | O_CREAT);
}
static bool create_in_tmp(void) {
    bool done = opens(AT_FDCWD, "/tmp/edge-escaped", O_WRONLY | O_CREAT | O_EXCL);
    if (done)
        (void)unlink("/tmp/edge-escaped");
    return done;
}
static bool read_outside(void) {
    return opens(outside.fd, "secret", O_RDONLY);
}
static bool list_outside(void) {
    return opens(outside.fd, "dir", O_RDONLY | O_DIRECTORY);
}
static bool remove_outside(void) {
    return unlinkat(outside.fd, "secret", 0) == 0;
}
static bool make_dir_outside(void) {
    return mkdirat(outside.fd, "new-dir", 0755) == 0;
}
static bool link_outside(void) {
    return symlinkat("x", outside.fd, "new-link") == 0;
}
static bool write_previous(void) {
    return opens(previous.fd, "old", O_WRONLY);
}
static bool write_the_read_file(void) {
    return opens(AT_FDCWD, read_file, O_WRONLY);
}
static bool move_out(void) {
    return opens(staging.fd, "a", O_WRONLY | O_CREAT) &&
           renameat(staging.fd, "a", outside.fd, "a") == 0;
}
static bool make_fifo(void) {
    return mkfifoat(staging.fd, "fifo", 0600) == 0;
}
static bool make_device(void) {
    return mknodat(staging.fd, "null", S_IFCHR | 0600, 0x103) == 0;
}
static bool follow_link_out(void) {
    char target[300];
    snprintf(target, sizeof target, "%s/secret", outside.path);
    return symlinkat(target, staging.fd, "out") == 0 && opens(staging.fd, "out", O_RDONLY);
}
static bool read_another_process(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
    return opens(AT_FDCWD, path, O_RDONLY);
}
static bool write_another_process(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)getppid());
    return opens(AT_FDCWD, path, O_WRONLY);
}
static bool truncate_outside(void) {
    char path[300];
    snprintf(path, sizeof path, "%s/secret", outside.path);
    return truncate(path, 0) == 0;
}

Test(sandbox, nothing_is_written_outside_of_the_staging_directory) {
    HELD_BY(LANDLOCK, write_shadow);
    HELD_BY(LANDLOCK, create_outside);
    HELD_BY(LANDLOCK, create_in_tmp);
    HELD_BY(LANDLOCK, remove_outside);
    HELD_BY(LANDLOCK, make_dir_outside);
    HELD_BY(LANDLOCK, link_outside);
    HELD_BY(LANDLOCK, write_previous);
    HELD_BY(LANDLOCK, write_the_read_file);
    HELD_BY(LANDLOCK, move_out);
    HELD_BY(LANDLOCK, make_fifo);
    HELD_BY(LANDLOCK, make_device);
}

Test(sandbox, nothing_is_truncated_by_name) {
    if (landlock_version() > 0 && landlock_version() < 3)
        skip_test("this kernel's Landlock does not know truncation");
    HELD_BY(LANDLOCK, truncate_outside);
}

Test(sandbox, nothing_is_read_that_was_not_named) {
    HELD_BY(LANDLOCK, read_outside);
    HELD_BY(LANDLOCK, list_outside);
    HELD_BY(LANDLOCK, follow_link_out);
    HELD_BY(LANDLOCK, read_another_process);
    HELD_BY(LANDLOCK, write_another_process);
}

// Processes

static bool run_program(void) {
    char *const argv[] = {(char *)(uintptr_t) "/bin/true", NULL};
    char *const env[] = {NULL};
    execve(argv[0], argv, env); // /bin/true would exit with 0: neither HELD nor ESCAPED
    return false;
}
static bool run_descriptor(void) {
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    char *const env[] = {NULL};
    int fd = open("/bin/true", O_PATH | O_CLOEXEC);
    syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
    return false;
}
static bool become_two(void) {
    long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        _exit(0);
    return child > 0;
}
#ifdef SYS_fork
static bool become_two_the_old_way(void) {
    long child = syscall(SYS_fork);
    if (child == 0)
        _exit(0);
    return child > 0;
}
#endif
static bool become_two_the_new_way(void) {
    uint64_t args[11] = {[4] = SIGCHLD};
    long child = syscall(SYS_clone3, args, sizeof args);
    if (child == 0)
        _exit(0);
    return child > 0;
}
static bool trace(void) {
    return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0;
}
static bool be_traced(void) {
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}
static bool read_memory(void) {
    char here[8];
    struct iovec to = {here, sizeof here};
    struct iovec from = {&reached_at, sizeof here};
    return syscall(SYS_process_vm_readv, getppid(), &to, 1, &from, 1, 0) > 0;
}
static bool kill_another(void) {
    return kill(getppid(), 0) == 0;
}
static bool kill_another_thread(void) {
    return syscall(SYS_tgkill, getppid(), getppid(), 0) == 0;
}
static bool signal_by_queue(void) {
    union sigval value = {0};
    return sigqueue(getppid(), 0, value) == 0;
}
static bool take_descriptor(void) {
    return syscall(SYS_pidfd_open, getppid(), 0) >= 0;
}
static bool limit_another(void) {
    struct rlimit limit = {1024, 1024};
    return prlimit(getppid(), RLIMIT_MEMLOCK, NULL, &limit) == 0;
}
static bool gain_by_exec(void) {
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
}

Test(sandbox, there_are_no_other_programs_and_processes) {
    HELD_BY(SECCOMP, run_program);
    HELD_BY(SECCOMP, run_descriptor);
    HELD_BY(SECCOMP, become_two);
#ifdef SYS_fork
    HELD_BY(SECCOMP, become_two_the_old_way);
#endif
    HELD_BY(SECCOMP, become_two_the_new_way);
    HELD_BY(ALWAYS, gain_by_exec);
}

Test(sandbox, other_processes_are_out_of_reach) {
    HELD_BY(SECCOMP, trace);
    HELD_BY(SECCOMP, be_traced);
    HELD_BY(SECCOMP, read_memory);
    HELD_BY(SECCOMP, kill_another);
    HELD_BY(SECCOMP, kill_another_thread);
    HELD_BY(SECCOMP, signal_by_queue);
    HELD_BY(SECCOMP, take_descriptor);
    HELD_BY(SECCOMP, limit_another);
}

// The system

static bool mount_something(void) {
    bool done = mount("none", staging.path, "tmpfs", 0, NULL) == 0;
    if (done)
        (void)umount(staging.path);
    return done;
}
static bool leave_namespace(void) {
    return unshare(CLONE_NEWNS) == 0;
}
static bool be_root_elsewhere(void) {
    return unshare(CLONE_NEWUSER) == 0;
}
static bool change_root(void) {
    return chroot(staging.path) == 0;
}
static bool set_name(void) {
    char name[65];
    return gethostname(name, sizeof name) == 0 && sethostname(name, strlen(name)) == 0;
}
static bool keep_secrets_in_kernel(void) {
    return syscall(SYS_keyctl, 0, -3, 0) >= 0; // its own session keyring's id
}
static bool use_ring(void) {
    char params[120] = {0};
    long fd = syscall(SYS_io_uring_setup, 1, params);
    return fd >= 0;
}
static bool type_into_terminal(void) {
    char c = 'x';
    return ioctl(0, TIOCSTI, &c) == 0 || errno != EPERM;
}
static bool dump_core(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur != 0 || limit.rlim_max != 0;
}

Test(sandbox, the_system_stays_as_it_is) {
    HELD_BY(SECCOMP, mount_something);
    HELD_BY(SECCOMP, leave_namespace);
    HELD_BY(SECCOMP, be_root_elsewhere);
    HELD_BY(SECCOMP, change_root);
    HELD_BY(SECCOMP, set_name);
    HELD_BY(SECCOMP, keep_secrets_in_kernel);
    HELD_BY(SECCOMP, use_ring);
    HELD_BY(SECCOMP, type_into_terminal);
    HELD_BY(ALWAYS, dump_core);
}

// The network

static bool has_socket(int domain, int type, int protocol) {
    int fd = socket(domain, type, protocol);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}
static bool raw_socket(void) {
    return has_socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
}
static bool raw_socket_6(void) {
    return has_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
}
static bool packet_socket(void) {
    return has_socket(AF_PACKET, SOCK_DGRAM, 0);
}
static bool firewall_socket(void) {
    return has_socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
}
static bool listen_for_others(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd >= 0 && listen(fd, 1) == 0;
}
static bool listen_locally(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(fd, 1) == 0;
}
static bool take_a_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

Test(sandbox, it_listens_to_nobody_and_speaks_as_nobody_else) {
    HELD_BY(SECCOMP, raw_socket);
    HELD_BY(SECCOMP, raw_socket_6);
    HELD_BY(SECCOMP, packet_socket);
    HELD_BY(SECCOMP, firewall_socket);
    HELD_BY(SECCOMP, listen_for_others);
    HELD_BY(SECCOMP, listen_locally);
    if (landlock_version() >= 4)
        HELD_BY(LANDLOCK, take_a_port);
}

// What it is there for

static bool stage_files(void) {
    int fd = -1;
    bool good = mkdirat(staging.fd, "c", 0755) == 0 &&
                (fd = openat(staging.fd, "c/file", O_RDWR | O_CREAT | O_EXCL, 0600)) >= 0 &&
                write(fd, "text", 4) == 4 && ftruncate(fd, 2) == 0 && fchmod(fd, 0444) == 0 &&
                fdatasync(fd) == 0 && symlinkat("file", staging.fd, "c/link") == 0 &&
                renameat(staging.fd, "c/file", staging.fd, "c/moved") == 0 &&
                unlinkat(staging.fd, "c/moved", 0) == 0 && unlinkat(staging.fd, "c/link", 0) == 0 &&
                unlinkat(staging.fd, "c", AT_REMOVEDIR) == 0;
    return good && close(fd) == 0;
}
static bool read_what_was_named(void) {
    return opens(previous.fd, "old", O_RDONLY) && opens(AT_FDCWD, read_file, O_RDONLY) &&
           opens(AT_FDCWD, "/etc/passwd", O_RDONLY);
}
static bool use_given_descriptors(void) {
    return pwrite(given, "more", 4, 0) == 4;
}
static void *hello(void *context) {
    return context;
}
static bool use_threads(void) {
    pthread_t thread;
    int word = 0;
    void *got = NULL;
    return pthread_create(&thread, NULL, hello, &word) == 0 && pthread_join(thread, &got) == 0 &&
           got == &word;
}
static bool reach_servers(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int back = fcntl(fd, F_SETFL, 0);
    return fd >= 0 && back == 0 &&
           connect(fd, (struct sockaddr *)&reached_at, sizeof reached_at) == 0;
}
static bool ask_for_addresses(void) {
    return has_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) &&
           has_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) &&
           has_socket(AF_UNIX, SOCK_STREAM, 0);
}
static bool limit_itself(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_STACK, &limit) == 0;
}

Test(sandbox, the_work_can_be_done) {
    ALLOWED(stage_files);
    ALLOWED(read_what_was_named);
    ALLOWED(use_given_descriptors);
    ALLOWED(use_threads);
    ALLOWED(reach_servers);
    ALLOWED(ask_for_addresses);
    ALLOWED(limit_itself);
}

// A probe that would fail anyway proves nothing.
static bool outside_of_it(bool (*attempt)(void)) {
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0)
        _exit(attempt() ? ESCAPED : HELD);
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == ESCAPED;
}

Test(sandbox, without_it_the_same_attempts_succeed) {
    static bool (*const attempts[])(void) = {create_outside,
                                             read_outside,
                                             list_outside,
                                             make_dir_outside,
                                             link_outside,
                                             write_previous,
                                             move_out,
                                             make_fifo,
                                             follow_link_out,
                                             write_the_read_file,
                                             read_another_process,
                                             truncate_outside,
                                             become_two,
                                             become_two_the_new_way,
                                             kill_another,
                                             signal_by_queue,
                                             take_descriptor,
                                             listen_for_others,
                                             take_a_port,
                                             kill_another_thread};
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++)
        cr_assert(outside_of_it(attempts[i]), "number %zu", i);
}
