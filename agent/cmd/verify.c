// SPDX-License-Identifier: Apache-2.0
//
// See verify.h.
#include "agent/cmd/verify.h"

#include <errno.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cmd/context.h"
#include "agent/hire.h"
#include "agent/kind.h"
#include "base/fs.h"
#include "base/proc.h"

static int wait_for(struct proc *p, int *ret_status, struct err *e) {
    struct pollfd end = {.fd = p->pidfd, .events = POLLIN};
    while (poll(&end, 1, -1) < 0) {
        if (errno != EINTR)
            return err_errno(e, errno, "waiting for the worker");
    }
    return proc_reap(p, ret_status, e);
}

int cmd_verify_file(void *context, const struct opt_args *args, struct err *e) {
    struct cmd_context *c = context;
    struct agent_config config = {.worker = ""};
    char program[FS_PATH_BYTES];
    struct proc p;
    int status;
    char how[64];
    const char *root = opt_get(args, "root");
    if (!root)
        return err_set(e, &err_usage, "verify: --root ROOT is missing: the keys to trust");
    if (agent_hire_program(&config, program, sizeof program, e) < 0)
        return -1;
    const char *const argv[] = {
        program, "--verify", root, opt_operand(args, 0), opt_get(args, "base"), NULL};
    struct proc_limits limits = {.no_new_privs = true};
    struct proc_spec spec = {.argv = argv,
                             .directory = -1,
                             .stdin_fd = -1,
                             .stdout_fd = STDOUT_FILENO,
                             .stderr_fd = STDERR_FILENO,
                             .fds = {-1},
                             .limits = &limits};
    if (proc_start(&spec, &p, e) < 0 || wait_for(&p, &status, e) < 0)
        return err_prefix(e, "starting the worker");
    if (!WIFEXITED(status))
        return err_set(e, &err_worker_failed, "the worker ended: %s",
                       proc_describe(status, how, sizeof how));
    c->exit_status = WEXITSTATUS(status);
    return 0;
}
