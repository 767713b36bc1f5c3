// SPDX-License-Identifier: Apache-2.0
//
// The resident agent: everything tied to one loop. Two ways to run: `run`, until SIGTERM; and once,
// for an `install`, `commit` or `rollback` where no agent is running, until that is decided. In
// both the status socket answers, the state directory is locked, and what was interrupted goes on.
//
// When the agent's own state cannot be written (a full or failing disk) everything is closed and
// begun again from disk after a pause; the application goes on running what it runs.
//
// SIGTERM, SIGINT: end cleanly; an update under way goes on at the next start. SIGHUP: reads the
// facts again and checks in; the configuration is read at the start only.
#pragma once

#include <stdbool.h>

#include "agent/config.h"
#include "agent/fsm/machine.h"
#include "base/err.h"
#include "bundle/report.h"

struct agent_daemon_once {
    enum fsm_event ask; // OFFER: install the file; ASK_COMMIT, ASK_REVERT
    int file;           // the open bundle of an install, taken over; else -1
    bool again;
    // How it ended.
    enum bundle_event event;
    struct err why;                     // kind NULL: committed
    void (*progress)(const char *line); // told of each change, or NULL
};

// Until a signal. Kinds busy, config, those of agent_state_open.
int agent_daemon_run(const struct agent_config *config, struct err *e) __attribute__((nonnull));
// Until the update is committed, refused or reverted; the outcome is in *once.
int agent_daemon_once(const struct agent_config *config, struct agent_daemon_once *once,
                      struct err *e) __attribute__((nonnull));
// The socket's path, from the configuration or its default. Returns ret.
char *agent_daemon_socket(const struct agent_config *config, char *ret, size_t ret_bytes)
    __attribute__((nonnull));
