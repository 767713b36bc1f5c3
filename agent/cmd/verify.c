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

int cmd_verify_run(const struct agent_config *config, const char **argv, int stdout_fd,
                   int *ret_status, struct err *e) {
    char program[FS_PATH_BYTES];
    struct proc p;
    int status;
    char how[64];
    if (agent_hire_program(config, program, sizeof program, e) < 0)
        return -1;
    argv[0] = program;
    struct proc_limits limits = {.no_new_privs = true};
    struct proc_spec spec = {.argv = argv,
                             .directory = -1,
                             .stdin_fd = -1,
                             .stdout_fd = stdout_fd,
                             .stderr_fd = STDERR_FILENO,
                             .fds = {-1},
                             .limits = &limits};
    if (proc_start(&spec, &p, e) < 0 || wait_for(&p, &status, e) < 0)
        return err_prefix(e, "starting the worker");
    if (!WIFEXITED(status))
        return err_set(e, &err_worker_failed, "the worker ended: %s",
                       proc_describe(status, how, sizeof how));
    *ret_status = WEXITSTATUS(status);
    return 0;
}

int cmd_verify_file(void *context, const struct opt_args *args, struct err *e) {
    struct cmd_context *c = context;
    struct agent_config config = {.worker = ""};
    const char *root = opt_get(args, "root");
    if (!root)
        return err_set(e, &err_usage, "verify: --root ROOT is missing: the keys to trust");
    const char *argv[] = {NULL, "--verify", root, opt_operand(args, 0), opt_get(args, "base"),
                          NULL};
    return cmd_verify_run(&config, argv, STDOUT_FILENO, &c->exit_status, e);
}
