// SPDX-License-Identifier: Apache-2.0
//
// Landlock and seccomp by hand: two dozen lines each, and no library to keep in memory for them.
// See sandbox.h.
#include "agent/worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

#define READ_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
// Later than the oldest headers we build with.
#define RIGHT_TRUNCATE  (1ULL << 14) // from version 3 on
#define RIGHT_IOCTL_DEV (1ULL << 15) // 5
#define RIGHT_BIND_TCP  (1ULL << 0)  // 4, of the network
#define SCOPE_ALL       3ULL         // 6: no signals and no abstract sockets of those outside
// What a staging directory needs: no devices, sockets or pipes.
#define STAGE_RIGHTS                                                                               \
    (READ_RIGHTS | RIGHT_TRUNCATE | LANDLOCK_ACCESS_FS_WRITE_FILE |                                \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                              \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FILE_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_TRUNCATE)
// Everything of the first version, executing included, which nobody is granted.
#define RIGHTS_OF_VERSION_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

// Name resolution, certificates, shared objects that the C library loads for them, and the
// sanitizers' view of themselves.
static const char *const readable[] = {
    "/etc",         "/usr",      "/lib",       "/lib64",       "/run",
    "/dev/urandom", "/dev/null", "/proc/self", "/proc/sys/vm", NULL};

// struct landlock_ruleset_attr as of version 6; an older kernel is given the part that it knows.
struct handled {
    uint64_t files;
    uint64_t network;
    uint64_t scoped;
};

static size_t handle_all_of(int version, struct handled *ret) {
    *ret = (struct handled){.files = RIGHTS_OF_VERSION_1};
    if (version >= 3)
        ret->files |= RIGHT_TRUNCATE;
    if (version >= 5)
        ret->files |= RIGHT_IOCTL_DEV;
    if (version >= 4)
        ret->network = RIGHT_BIND_TCP;
    if (version >= 6)
        ret->scoped = SCOPE_ALL;
    return version >= 6   ? sizeof *ret
           : version >= 4 ? offsetof(struct handled, scoped)
                          : offsetof(struct handled, network);
}

struct ruleset {
    int fd;
    uint64_t handled;
};

static void allow(const struct ruleset *rules, int fd, uint64_t rights) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    struct landlock_path_beneath_attr rule = {
        .parent_fd = fd,
        .allowed_access = rules->handled & (S_ISDIR(st.st_mode) ? rights : rights & FILE_RIGHTS)};
    (void)syscall(SYS_landlock_add_rule, rules->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static void allow_path(const struct ruleset *rules, const char *path, uint64_t rights) {
    OWN(fd) int fd = open(path, O_PATH | O_CLOEXEC);
    allow(rules, fd, rights);
}

static bool enter_landlock(const struct worker_sandbox *how) {
    struct handled handled;
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return false;
    size_t known = handle_all_of(version, &handled);
    OWN(fd) int fd = (int)syscall(SYS_landlock_create_ruleset, &handled, known, 0);
    if (fd < 0)
        return false;
    const struct ruleset rules = {fd, handled.files};
    for (size_t i = 0; readable[i]; i++)
        allow_path(&rules, readable[i], READ_RIGHTS);
    if (how->read_file && how->read_file[0])
        allow_path(&rules, how->read_file, LANDLOCK_ACCESS_FS_READ_FILE);
    allow(&rules, how->readable_dir, READ_RIGHTS);
    allow(&rules, how->other_dir, READ_RIGHTS);
    allow(&rules, how->writable_dir, STAGE_RIGHTS);
    return syscall(SYS_landlock_restrict_self, fd, 0) == 0;
}

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define OUR_ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#elif defined(__i386__)
#define OUR_ARCH AUDIT_ARCH_I386
#endif

#ifdef OUR_ARCH

#define LOAD(field)                                                                                \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define RETURN(what)               BPF_STMT(BPF_RET | BPF_K, (what))
#define REFUSE                     RETURN(SECCOMP_RET_ERRNO | EPERM)
#define SAME(value, if_so, if_not) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (if_so), (if_not))
#define DENY(name)                 SAME(SYS_##name, 0, 1), REFUSE
#define SOCKET_TYPE                0xfU // of socket(2)'s second argument; the rest are flags

static const struct sock_filter filter[] = {
    LOAD(arch),
    SAME(OUR_ARCH, 1, 0),
    RETURN(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
#ifdef __x86_64__
    // The x32 numbers would slip past the list below.
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000U, 0, 1),
    RETURN(SECCOMP_RET_KILL_PROCESS),
#endif
#ifdef SYS_fork
    DENY(fork),
    DENY(vfork),
#endif
    DENY(execve),
    DENY(execveat),
    DENY(ptrace),
    DENY(process_vm_readv),
    DENY(process_vm_writev),
    DENY(pidfd_getfd),
    DENY(pidfd_open),
    // No signals, to itself neither: in a folder of one's own the agent is of the same user.
    // abort() ends the process all the same.
    DENY(kill),
    DENY(tkill),
    DENY(tgkill),
    DENY(rt_sigqueueinfo),
    DENY(rt_tgsigqueueinfo),
    DENY(pidfd_send_signal),
    DENY(mount),
    DENY(umount2),
    DENY(pivot_root),
    DENY(chroot),
    DENY(move_mount),
    DENY(open_tree),
    DENY(fsopen),
    DENY(fsmount),
    DENY(mount_setattr),
    DENY(unshare),
    DENY(setns),
    DENY(init_module),
    DENY(finit_module),
    DENY(delete_module),
    DENY(kexec_load),
    DENY(bpf),
    DENY(perf_event_open),
    DENY(userfaultfd),
    DENY(keyctl),
    DENY(add_key),
    DENY(request_key),
    DENY(reboot),
    DENY(swapon),
    DENY(swapoff),
    DENY(settimeofday),
    DENY(clock_settime),
    DENY(adjtimex),
    DENY(sethostname),
    DENY(setdomainname),
    DENY(acct),
    DENY(quotactl),
    DENY(open_by_handle_at),
    DENY(io_uring_setup),
    DENY(personality),
    DENY(listen),
    DENY(accept),
    DENY(accept4),
    // clone3 hides its flags from us: the C library falls back to clone.
    SAME(SYS_clone3, 0, 1),
    RETURN(SECCOMP_RET_ERRNO | ENOSYS),
    // Threads (the resolver's) but no processes.
    SAME(SYS_clone, 0, 4),
    LOAD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
    RETURN(SECCOMP_RET_ALLOW),
    REFUSE,
    // Its own limits only.
    SAME(SYS_prlimit64, 0, 4),
    LOAD(args[0]),
    SAME(0, 0, 1),
    RETURN(SECCOMP_RET_ALLOW),
    REFUSE,
    // Its output may be somebody's terminal.
    SAME(SYS_ioctl, 0, 5),
    LOAD(args[1]),
    SAME(TIOCSTI, 1, 0),
    SAME(TIOCLINUX, 0, 1),
    REFUSE,
    RETURN(SECCOMP_RET_ALLOW),
    // Local sockets; streams and datagrams of the internet; the kernel's list of addresses.
    SAME(SYS_socket, 0, 12),
    LOAD(args[0]),
    SAME(AF_UNIX, 10, 0),
    SAME(AF_NETLINK, 6, 0),
    SAME(AF_INET, 1, 0),
    SAME(AF_INET6, 0, 6),
    LOAD(args[1]),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SOCKET_TYPE),
    SAME(SOCK_STREAM, 4, 0),
    SAME(SOCK_DGRAM, 3, 2),
    LOAD(args[2]),
    SAME(NETLINK_ROUTE, 1, 0),
    REFUSE,
    RETURN(SECCOMP_RET_ALLOW),
};

// On top of the other, where there is nobody to talk to but the agent, over a socket that is there.
static const struct sock_filter no_sockets[] = {
    LOAD(nr),
    DENY(socket),
    DENY(socketpair),
    DENY(connect),
    DENY(bind),
#ifdef SYS_socketcall
    // The calls above as a subcode: 1 socket, 2 bind, 3 connect, 8 socketpair.
    SAME(SYS_socketcall, 0, 6),
    LOAD(args[0]),
    SAME(1, 3, 0),
    SAME(2, 2, 0),
    SAME(3, 1, 0),
    SAME(8, 0, 1),
    REFUSE,
#endif
    RETURN(SECCOMP_RET_ALLOW),
};

static bool install(const struct sock_filter *rules, size_t n) {
    struct sock_fprog program = {.len = (unsigned short)n,
                                 .filter = (struct sock_filter *)(uintptr_t)rules};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool enter_seccomp(bool without_sockets) {
    return install(filter, sizeof filter / sizeof filter[0]) &&
           (!without_sockets || install(no_sockets, sizeof no_sockets / sizeof no_sockets[0]));
}

#else

static bool enter_seccomp(bool without_sockets) {
    (void)without_sockets;
    return false;
}

#endif

int worker_sandbox_enter(const struct worker_sandbox *how, struct worker_sandbox_state *ret,
                         struct err *e) {
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(e, errno, "giving up privileges");
    (void)setrlimit(RLIMIT_CORE, &none);
    ret->landlock = enter_landlock(how);
    ret->seccomp = enter_seccomp(how->no_sockets);
    return 0;
}
