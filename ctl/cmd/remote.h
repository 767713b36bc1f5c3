// SPDX-License-Identifier: Apache-2.0
//
// Commands that talk to a controller: where it is, with which token, and what all of them print.
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/opt.h"
#include "ctl/net/client.h"

#define CMD_REMOTE_CONTROLLER "EDGECTL_CONTROLLER"
#define CMD_REMOTE_TOKEN      "EDGECTL_TOKEN"
#define CMD_REMOTE_OPTIONS                                                                         \
    {.name = "controller", .value = "URL", .help = "Its address (else EDGECTL_CONTROLLER)"},       \
        {.name = "token-file", .value = "FILE", .help = "The token to use (else EDGECTL_TOKEN)"},  \
        {.name = "workspace",                                                                      \
         .value = "DIR",                                                                           \
         .help = "Else take the token from DIR/server/admin.token"},                               \
        {.name = "ca-file", .value = "FILE", .help = "Certificates to trust, PEM"}, {              \
        .name = "allow-http", .help = "Allow plain http to another machine"                        \
    }

// A client for the controller that options and environment name. *ret is the caller's
// (net_client_free). Kinds: usage, those of net_client_open.
int cmd_remote_open(const struct opt_args *args, struct net_client **ret, struct err *e)
    __attribute__((nonnull));

// Appends "/api/v1/" and what follows, with the given operands encoded in place of each "%":
// cmd_remote_path(&path, e, "devices/%/why", id).
#define CMD_REMOTE_PATH_MAX 8192
int cmd_remote_path(struct buf *path, struct err *e, const char *pattern, ...)
    __attribute__((nonnull));

// GET of a path without parameters; the client lives for this request only.
int cmd_remote_get(const struct opt_args *args, const char *path, json_t **ret, struct err *e)
    __attribute__((nonnull));

// Puts the label that "KEY=VALUE" names into an object. what: the option or verb it was given to.
// Kind usage.
int cmd_remote_label(const char *what, const char *text, json_t *labels, struct err *e)
    __attribute__((nonnull));
