// SPDX-License-Identifier: Apache-2.0
//
// The workspace that `edgectl init DIR` makes:
//
//   DIR/root.json                what devices are provisioned with
//   DIR/offline/keys/NAME.key    secret keys of the roles root, bundle and targets; never on the
//                                controller
//   DIR/offline/keys/NAME.pub
//   DIR/pending/N.root.json      the next root while people sign it (ctl/cmd/pending.h)
//   DIR/pending/ROLE.json        the next targets, or those of a delegated role, likewise
//   DIR/seen/NAME.json           the newest metadata this workspace has verified: nobody signs on
//                                top of something older
//   DIR/server/                  what `edgectl serve --workspace DIR/server` needs: see
//                                ctl/serve/serve.h
#pragma once

#include "base/opt.h"
#include "keys/root.h"

#define CMD_WORKSPACE_ROOT        "root.json"
#define CMD_WORKSPACE_KEYS        "offline/keys"
#define CMD_WORKSPACE_SERVER_KEYS "server/keys"
#define CMD_WORKSPACE_SEEN        "seen"
#define CMD_WORKSPACE_DIR_MODE    0755
#define CMD_WORKSPACE_OFFLINE     0700
#define CMD_WORKSPACE_FILE_MODE   0644

#define CMD_WORKSPACE_OPTION                                                                       \
    { .name = "workspace", .value = "DIR", .help = "The folder that edgectl init made" }

// Opens the root in a file the operator named, relative to dir. *ret is the caller's. Kinds: those
// of keys_root_open, with the path in front.
int cmd_workspace_open_root(int dir, const char *path, struct keys_root **ret, struct err *e)
    __attribute__((nonnull));
// The same for DIR/root.json of a workspace; wrong_workspace when there is none.
int cmd_workspace_root(const char *workspace, struct keys_root **ret, struct err *e)
    __attribute__((nonnull));
// "root, bundle/models": the roles that have this key; "" when none does. Returns ret.
#define CMD_WORKSPACE_ROLES_BYTES 3072
char *cmd_workspace_roles_of(const struct keys_root *root, const struct keys_pub *pub,
                             char ret[static CMD_WORKSPACE_ROLES_BYTES]);
// A role by its name; usage when there is none.
int cmd_workspace_find_role(const char *name, size_t len, enum keys_root_role *ret, struct err *e)
    __attribute__((nonnull));

// Where the moment of making comes from: the option --issued, else SOURCE_DATE_EPOCH, else the
// clock. Kinds: usage, syntax.
struct chrono;
int cmd_workspace_issued(const struct opt_args *args, const struct chrono *clock, int64_t *ret_s,
                         struct err *e) __attribute__((nonnull));
// --expires, a time or a duration after `issued_s` ("365d"), or issued_s + default_s.
int cmd_workspace_expires(const struct opt_args *args, int64_t issued_s, int64_t default_s,
                          int64_t *ret_s, struct err *e) __attribute__((nonnull));
