// SPDX-License-Identifier: Apache-2.0
//
// The controller's repository (ctl/repo/folder.h), in the workspace's repository/: served to anyone
// as any web server would, added to by people who signed what they send, and kept fresh with the
// online keys. The offline ones are never needed here.
//
// A workspace whose root names no timestamp was made before there were repositories: nothing is
// signed, and such a controller works as it did. It takes in the next root, which may name the
// keys, and goes on from there.
//
// Changes are made by the store's thread alone; files are read by any.
#pragma once

#include "bundle/checkin.h"
#include "bundle/manifest.h"
#include "ctl/rollout/policy.h"
#include "ctl/serve/call.h"
#include "ctl/serve/server.h"
#include "ctl/store/delta.h"
#include "ctl/store/release.h"

struct serve_repository;

#define SERVE_REPOSITORY_DIR     "repository"
#define SERVE_REPOSITORY_RETRY_S 60 // after a renewal that failed

// Opens it into server->repository, follows roots that lie there into server->root and root.json,
// puts the target's file of each published bundle and delta there, and signs what is due. Kinds: not_found
// (an online key is missing), those of repo_folder_open, io.
int serve_repository_open(struct serve_server *server, struct err *e) __attribute__((nonnull));
void serve_repository_close(struct serve_repository *repository);

// GET and HEAD /repository/metadata/FILE, /repository/targets/NAME/RELEASE/FILE and
// /repository/targets/NAME/RELEASE/ID/FILE.
int serve_repository_metadata(struct serve_call *call, struct err *e) __attribute__((nonnull));
int serve_repository_target(struct serve_call *call, struct err *e) __attribute__((nonnull));
// GET /api/v1/repository: what there is, and until when.
int serve_repository_show(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
// PUT /api/v1/repository/metadata/ROLE.
int serve_repository_put(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));

// Signs what is due; a failure is said, and tried again later. The store's thread.
void serve_repository_tick(struct serve_server *server, struct store_db *db, int64_t now_ms)
    __attribute__((nonnull));
// The hint of a check-in. The store's thread.
void serve_repository_hint(const struct serve_server *server, struct bundle_answer *answer)
    __attribute__((nonnull));
// Puts the file of a bundle's target into place. Any thread.
int serve_repository_take(const struct serve_server *server, const struct bundle_manifest *manifest,
                          struct err *e) __attribute__((nonnull));
// The same for the target of a delta, whose head has this signed part. Any thread.
struct repo_target;
int serve_repository_take_delta(const struct serve_server *server, const struct repo_target *target,
                                struct slice signed_part, struct err *e) __attribute__((nonnull));
// Whether the current targets name this bundle, as devices search. The store's thread.
bool serve_repository_names(const struct serve_server *server, const struct store_bundle *bundle,
                            const struct keys_digest *id) __attribute__((nonnull));
// Whether the current targets name this very delta, as devices search. The store's thread.
bool serve_repository_names_delta(const struct serve_server *server,
                                  const struct store_bundle *bundle,
                                  const struct store_delta *delta) __attribute__((nonnull));
// Whether devices would take the bundles of the release. Kinds: not_published when one is not named
// by the targets, or the metadata that would say so does not hold; delegation, then answered with
// 409 as well; memory, io. Nothing to check while the root names no keys for the repository. The
// store's thread.
int serve_repository_check(struct serve_call *call, const struct rollout_policy *policy,
                           struct err *e) __attribute__((nonnull));
