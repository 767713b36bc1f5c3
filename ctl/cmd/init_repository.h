// SPDX-License-Identifier: Apache-2.0
//
// The first version of a workspace's repository (ctl/repo/folder.h), in server/repository: targets
// that name nothing yet and delegate the role deltas to the controller (ctl/repo/targets.h), and
// what the online keys sign about them.
#pragma once

#include "ctl/cmd/signers.h"

#define CMD_INIT_REPOSITORY "server/repository"

// Makes it anew in the workspace `dir`, for a root that is not published yet: what an interrupted
// run left is removed. signers: of them, those of the role targets sign; none of them is kept.
// deltas: the key of the role deltas. Kinds: those of ctl/repo/folder.h and of the signers.
int cmd_init_repository_make(int dir, struct slice root, const struct cmd_signers *signers,
                             const struct keys_pub *deltas, int64_t issued_s, struct err *e)
    __attribute__((nonnull));
// Whether the repository of a workspace that is there can be opened by its root; a workspace whose
// root knows no targets has none. Kinds: those of repo_folder_open.
int cmd_init_repository_check(int dir, struct slice root, struct err *e) __attribute__((nonnull));
