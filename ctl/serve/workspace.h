// SPDX-License-Identifier: Apache-2.0
//
// The workspace of a controller (ctl/serve/serve.h lists what lies in it): opened, checked for keys
// that should not be there, the first administrator's token made.
#pragma once

#include "ctl/serve/server.h"
#include "ctl/store/db.h"

#define SERVE_WORKSPACE_STORE "store.db"

// Opens the directories, root.json and the director's key into *server. Kinds: wrong_workspace,
// keys' kinds, io. What was opened before a failure is the caller's to close.
int serve_workspace_open(struct serve_server *server, struct err *e) __attribute__((nonnull));
void serve_workspace_close(struct serve_server *server) __attribute__((nonnull));

// Kind offline_key when a secret key of the roles root, bundle or targets can be read from here.
int serve_workspace_check_keys(const struct serve_server *server, struct err *e)
    __attribute__((nonnull));

// The token key from the store, made at the first start; and, when there is no administrator, one
// in SERVE_TOKEN_FILE (*ret_made says so).
int serve_workspace_found(struct serve_server *server, struct store_db *db, int64_t now_s,
                          bool *ret_made, struct err *e) __attribute__((nonnull));
