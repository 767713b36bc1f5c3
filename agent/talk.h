// SPDX-License-Identifier: Apache-2.0
//
// The agent's Unix socket: one connection, one request, one answer, each one line of JSON of at
// most AGENT_TALK_LINE_MAX bytes.
//
//   {"cmd":"status"}                      → the status object
//   {"cmd":"inhibit","seconds":N,"reason":TEXT}   delay activation; 0 ends it
//   {"cmd":"install","again":bool}        with the bundle's descriptor (SCM_RIGHTS)
//   {"cmd":"commit"} {"cmd":"rollback"} {"cmd":"cancel"} {"cmd":"enroll"} {"cmd":"checkin"}
//   → {"ok":true} or {"error":{"code":KIND,"text":…}}
//
// Who may ask is decided by the kernel's word on the peer: status and inhibit for whoever the
// socket's mode lets connect (its owner, its group); everything else for uid 0 and the agent's own
// user. A client that does not ask or does not read within AGENT_TALK_TIMEOUT_MS is dropped;
// nothing waits for it.
#pragma once

#include <stdbool.h>

#include <jansson.h>

#include "agent/loop.h"
#include "base/buf.h"
#include "base/err.h"

#define AGENT_TALK_LINE_MAX    (256 * 1024)
#define AGENT_TALK_CLIENTS_MAX 8
#define AGENT_TALK_TIMEOUT_MS  5000

struct agent_talk_request {
    json_t *message;  // borrowed
    int fd;           // that came along, or -1; whoever uses it sets it to -1
    bool may_command; // uid 0 or our own
};

struct agent_talk_server;

// Listens at path (replaced when a dead one is there), 0660 for group, 0600 when group is "".
// answer fills a new object; < 0 and *e becomes the error answer. The watches are safe ones
// (agent_loop_serve).
int agent_talk_listen(struct agent_loop *loop, const char *path, const char *group,
                      int (*answer)(void *context, struct agent_talk_request *request, json_t **ret,
                                    struct err *e),
                      void *context, struct agent_talk_server **ret, struct err *e)
    __attribute__((nonnull(1, 2, 3, 4, 6, 7)));
void agent_talk_close(struct agent_talk_server *server);

// Asks a running agent. fd (or -1) goes along. AGENT_TALK_NOBODY when none listens at path. An
// error answer becomes *e.
enum { AGENT_TALK_NOBODY = 1 };
int agent_talk_ask(const char *path, const json_t *request, int fd, json_t **ret, struct err *e)
    __attribute__((nonnull));
