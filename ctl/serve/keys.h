// SPDX-License-Identifier: Apache-2.0
//
// The controller's online keys: files in the workspace's keys/ whose key stands in a role of the
// root, or in the one of deltas, whatever they are called. So a rotated key is taken up by putting its file there.
#pragma once

#include "ctl/serve/server.h"

// The first such key by the order of file names, opened with the passphrase of the options when it
// is sealed; *ret is the caller's. 0, or SERVE_KEYS_ABSENT. Kinds: those of the key file, io.
enum { SERVE_KEYS_ABSENT = 1 };
int serve_keys_open(const struct serve_server *server, const struct keys_root *root,
                    enum keys_root_role role, struct sign_signer **ret, struct err *e)
    __attribute__((nonnull));
// The same for a role that targets delegate to.
int serve_keys_open_role(const struct serve_server *server, const struct keys_role *role,
                         struct sign_signer **ret, struct err *e) __attribute__((nonnull));
