// SPDX-License-Identifier: Apache-2.0
//
// Inside ctl/serve/repository*.c only: what a controller's repository is made of.
#pragma once

#include "ctl/repo/folder.h"
#include "ctl/serve/keys.h"
#include "ctl/serve/repository.h"

#define SERVE_REPOSITORY_ROOTS_MAX 256 // new roots between two starts

struct serve_repository {
    int dir;                                  // held (ctl/lock.h)
    struct repo_folder *folder;               // but for put_target, the store's thread only
    struct sign_signer *snapshot, *timestamp; // NULL while the root names no keys for them
    int64_t retry_ms;                         // on the boot clock: no renewal before
    // Replaced since the start; another thread may still look at them.
    size_t n_retired;
    struct keys_root *retired[SERVE_REPOSITORY_ROOTS_MAX];
    size_t n_directors;
    struct sign_signer *directors[SERVE_REPOSITORY_ROOTS_MAX];
};

struct repo_folder_online serve_repository_online(const struct serve_server *server, int64_t now_s)
    __attribute__((nonnull));
// Whether the root names keys for it.
bool serve_repository_is_meant(const struct serve_repository *repository) __attribute__((nonnull));
// The folder's root into server->root and the workspace, when it is another.
int serve_repository_keep_root(struct serve_server *server, struct serve_repository *repository,
                               struct err *e) __attribute__((nonnull));
// Puts the target's file of every bundle and delta that lies in bundles/ into place.
int serve_repository_take_all(struct serve_server *server, struct err *e) __attribute__((nonnull));
