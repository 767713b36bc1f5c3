// SPDX-License-Identifier: Apache-2.0
//
// Running the program that makes a delta.
#include "ctl/serve/delta_child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/proc.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "ctl/kind.h"
#include "keys/kind.h"

#define SAID           SERVE_DELTA_CHILD_DIR "/said" // what it says when it fails
#define SAID_MAX_BYTES (64 * 1024)
#define LOOK_MS        1000 // how often the clock is read

#if !defined(__SANITIZE_ADDRESS__) && defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_LIMIT_MEMORY false // the sanitizer's own memory is all there could ever be
#else
#define CAN_LIMIT_MEMORY true
#endif

int serve_delta_child_clean(int workspace, struct err *e) {
    if (fs_remove_tree(workspace, SERVE_DELTA_CHILD_DIR, e) < 0 ||
        fs_mkdir(workspace, SERVE_DELTA_CHILD_DIR, 0700, e) < 0)
        return err_prefix(e, "emptying " SERVE_DELTA_CHILD_DIR "/");
    return 0;
}

// ── How it ended ─────────────────────────────────────────────────────────────────────────────────

static const struct err_kind *kind_of(int exit_status) {
    const struct err_kind *const *const tables[] = {err_base_kinds, keys_kinds, bundle_kinds,
                                                    ctl_kinds};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct err_kind *const *row = tables[i]; *row != NULL; row++)
            if ((*row)->exit_status == exit_status)
                return *row;
    return &err_internal;
}

// Its last line without the program's name, fit for a terminal; "" when it said nothing.
static void read_said(int workspace, char *ret, size_t ret_bytes) {
    static const char name[] = "edgectl: ";
    struct err ignored = ERR_NONE;
    OWN(buf) struct buf said;
    buf_init(&said, SAID_MAX_BYTES);
    ret[0] = '\0';
    if (fs_read_file(workspace, SAID, SAID_MAX_BYTES, &said, &ignored) < 0 || said.len == 0)
        return;
    char *text = (char *)said.data;
    while (said.len > 0 && text[said.len - 1] == '\n')
        text[--said.len] = '\0';
    const char *line = strrchr(text, '\n');
    line = line == NULL ? text : line + 1;
    if (strncmp(line, name, strlen(name)) == 0)
        line += strlen(name);
    (void)text_safe(line, ret, ret_bytes);
}

static int judge(const struct serve_delta_child *how, int status, struct err *e) {
    char said[ERR_TEXT_BYTES], ending[64];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    read_said(how->workspace, said, sizeof said);
    (void)proc_describe(status, ending, sizeof ending);
    const struct err_kind *kind = &err_internal;
    if (WIFEXITED(status))
        kind = kind_of(WEXITSTATUS(status));
    else if (WTERMSIG(status) == SIGKILL)
        kind = &err_memory;
    else if (WTERMSIG(status) == SIGXFSZ)
        kind = &err_limit;
    if (said[0] == '\0' || !WIFEXITED(status))
        return err_set(e, kind, "the program that makes it ended by itself: %s%s%.400s", ending,
                       said[0] == '\0' ? "" : ": ", said);
    return err_set(e, kind, "%s", said);
}

// ── Running ──────────────────────────────────────────────────────────────────────────────────────

static int start(const struct serve_delta_child *how, int said_fd, struct proc *ret,
                 struct err *e) {
    char base[sizeof "bundles/.edge" + 64], bundle[sizeof "bundles/.edge" + 64];
    const char *const argv[] = {how->program,
                                "bundle",
                                "delta",
                                base,
                                bundle,
                                "--root",
                                "root.json",
                                "--temporary",
                                SERVE_DELTA_CHILD_DIR,
                                "--threads",
                                "1",
                                "--json",
                                "-o",
                                SERVE_DELTA_CHILD_MADE,
                                NULL};
    const struct proc_limits limits = {.data_bytes = CAN_LIMIT_MEMORY ? how->memory_bytes : 0,
                                       .file_bytes = how->file_bytes,
                                       .no_new_privs = true,
                                       .background = true};
    struct proc_spec spec = proc_spec_none;
    (void)snprintf(base, sizeof base, "bundles/%.64s.edge", how->base);
    (void)snprintf(bundle, sizeof bundle, "bundles/%.64s.edge", how->bundle);
    spec.argv = argv;
    spec.directory = how->workspace;
    spec.stderr_fd = said_fd;
    spec.limits = &limits;
    return proc_start(&spec, ret, e);
}

// Until it ended, its time is over, or somebody wants an end. 0, SERVE_DELTA_CHILD_STOPPED, < 0.
static int await(const struct serve_delta_child *how, const struct proc *child, struct err *e) {
    int64_t end_ms = chrono_boot_ms(how->clock) + (int64_t)how->time_s * 1000;
    for (;;) {
        struct pollfd fds[] = {{.fd = how->stop_fd, .events = POLLIN},
                               {.fd = child->pidfd, .events = POLLIN}};
        int ready = poll(fds, 2, LOOK_MS);
        if (ready < 0 && errno != EINTR)
            return err_errno(e, errno, "waiting for the program that makes it");
        if (ready > 0 && fds[0].revents != 0)
            return SERVE_DELTA_CHILD_STOPPED;
        if (ready > 0 && fds[1].revents != 0)
            return 0;
        if (chrono_boot_ms(how->clock) >= end_ms)
            return err_set(e, &err_timeout, "it was not done after %llu s, which are allowed",
                           (unsigned long long)how->time_s);
    }
}

static int run(const struct serve_delta_child *how, struct err *e) {
    struct proc child = PROC_NONE;
    OWN(fd) int said = -1;
    int status = 0;
    if (fs_create(how->workspace, SAID, 0600, &said, e) < 0 || start(how, said, &child, e) < 0)
        return -1;
    int done = await(how, &child, e);
    if (done != 0) {
        proc_kill(&child);
        return done;
    }
    if (proc_reap(&child, &status, e) < 0)
        return -1;
    return judge(how, status, e);
}

int serve_delta_child_run(const struct serve_delta_child *how, struct err *e) {
    struct err ignored = ERR_NONE;
    if (serve_delta_child_clean(how->workspace, e) < 0)
        return -1;
    int done = run(how, e);
    if (done != 0)
        (void)serve_delta_child_clean(how->workspace, &ignored);
    return done;
}
