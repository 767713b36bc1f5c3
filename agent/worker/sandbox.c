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
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

// ── Landlock
// ────────────────────────────────────────────────────────────────────────────────────────

#define READ_RIGHTS                                                                                \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)
#define WRITE_RIGHTS                                                                               \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
// What a staging directory needs: no devices, sockets or pipes.
#define STAGE_RIGHTS                                                                               \
    (READ_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                 \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FILE_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)

// Name resolution, certificates, shared objects that the C library loads for them, and the
// sanitizers' view of themselves.
static const char *const readable[] = {
    "/etc",         "/usr",      "/lib",       "/lib64",       "/run",
    "/dev/urandom", "/dev/null", "/proc/self", "/proc/sys/vm", NULL};

static void allow(int ruleset, int fd, uint64_t rights) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    struct landlock_path_beneath_attr rule = {
        .parent_fd = fd,
        .allowed_access =
            S_ISDIR(st.st_mode) ? rights : rights & (FILE_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE)};
    (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static void allow_path(int ruleset, const char *path, uint64_t rights) {
    OWN(fd) int fd = open(path, O_PATH | O_CLOEXEC);
    allow(ruleset, fd, rights);
}

static bool enter_landlock(const struct worker_sandbox *how) {
    struct landlock_ruleset_attr attr = {.handled_access_fs = READ_RIGHTS | WRITE_RIGHTS};
    OWN(fd) int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return false;
    for (size_t i = 0; readable[i]; i++)
        allow_path(ruleset, readable[i], READ_RIGHTS);
    if (how->read_file && how->read_file[0])
        allow_path(ruleset, how->read_file, LANDLOCK_ACCESS_FS_READ_FILE);
    allow(ruleset, how->readable_dir, READ_RIGHTS);
    allow(ruleset, how->writable_dir, STAGE_RIGHTS);
    return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
}

// ── seccomp
// ─────────────────────────────────────────────────────────────────────────────────────────

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
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define REFUSE       RETURN(SECCOMP_RET_ERRNO | EPERM)
#define DENY(name)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), REFUSE

static const struct sock_filter filter[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
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
    DENY(mount),
    DENY(umount2),
    DENY(pivot_root),
    DENY(chroot),
    DENY(move_mount),
    DENY(open_tree),
    DENY(fsopen),
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
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
    RETURN(SECCOMP_RET_ERRNO | ENOSYS),
    // Threads (the resolver's) but no processes.
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
    LOAD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
    RETURN(SECCOMP_RET_ALLOW),
    REFUSE,
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 7),
    LOAD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 4, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 1, 0),
    REFUSE,
    RETURN(SECCOMP_RET_ALLOW),
    RETURN(SECCOMP_RET_ALLOW),
};

static bool enter_seccomp(void) {
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0],
                                 .filter = (struct sock_filter *)(uintptr_t)filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#else

static bool enter_seccomp(void) {
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
    ret->seccomp = enter_seccomp();
    return 0;
}
