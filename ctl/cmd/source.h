// SPDX-License-Identifier: Apache-2.0
//
// The repository that a publisher changes: at a controller, or in a folder (ctl/repo/folder.h). A
// publisher is a client of it like a device: what is current is refreshed, verified from the
// workspace's root and never older than what the workspace saw last, and only then edited and
// signed. What was verified is kept:
//
//   DIR/root.json                                      advanced along the chain of roots
//   DIR/seen/{timestamp,snapshot,targets,ROLE}.json    as of the last refresh
//
// Unlike a device, a publisher takes metadata that has expired: renewing it is a publisher's work.
// But a controller whose timestamp has expired may be one that shows an old state, and is refused.
#pragma once

#include "base/opt.h"
#include "ctl/cmd/document.h"
#include "ctl/cmd/nouns.h"
#include "keys/root.h"

#define CMD_SOURCE_OPTIONS                                                                         \
    {.name = "controller", .value = "URL", .help = "Its address (else EDGECTL_CONTROLLER)"},       \
        {.name = "token-file", .value = "FILE", .help = "The token to use (else EDGECTL_TOKEN)"},  \
        {.name = "workspace",                                                                      \
         .value = "DIR",                                                                           \
         .help = "The folder with root.json and keys (and server/admin.token)"},                   \
        {.name = "ca-file", .value = "FILE", .help = "Certificates to trust, PEM"},                \
        {.name = "allow-http", .help = "Allow plain http to another machine"}, {                   \
        .name = "repository", .value = "DIR",                                                      \
        .help = "A repository in a folder, in place of a controller"                               \
    }
#define CMD_SOURCE_FOLDER "server/repository" // of a workspace

struct cmd_source;

// --repository DIR; else the controller that --controller or EDGECTL_CONTROLLER names; else
// DIR/server/repository of the workspace. Kind usage when there is none of them. CMD_SOURCE_NONE in
// its place when `optional`.
enum cmd_source_need { CMD_SOURCE_NEEDED, CMD_SOURCE_OPTIONAL };
enum { CMD_SOURCE_NONE = 1 };
int cmd_source_open(const struct cmd_context *context, const struct opt_args *args,
                    const char *workspace, enum cmd_source_need need, struct cmd_source **ret,
                    struct err *e) __attribute__((nonnull));
void cmd_source_free(struct cmd_source *source);
static inline void own_drop_source(struct cmd_source **source) {
    cmd_source_free(*source);
    *source = NULL;
}
// "https://…" or a folder: for messages. Borrowed.
const char *cmd_source_name(const struct cmd_source *source) __attribute__((nonnull));

// Whether it is a folder: what a controller renews there nobody does.
bool cmd_source_is_folder(const struct cmd_source *source) __attribute__((nonnull));

// The passphrase of the command's keys, asked for once. Borrowed.
struct cmd_passphrase;
struct cmd_passphrase *cmd_source_passphrase(struct cmd_source *source) __attribute__((nonnull));

// Looks at what is there now. Outcomes: 0; CMD_SOURCE_EMPTY when no metadata is there yet;
// CMD_SOURCE_UNSIGNED when the root has other keys for targets than those that signed the current
// ones, or older ones than were seen are there and --restore says why: what the workspace verified
// before stays in DIR/seen, to be signed anew. Kinds: those of
// tuf_client_refresh, expired; usage for an empty folder, when something was seen before.
enum { CMD_SOURCE_EMPTY = 1, CMD_SOURCE_UNSIGNED = 2 };
int cmd_source_refresh(struct cmd_source *source, struct err *e) __attribute__((nonnull));
// Advances DIR/root.json along the roots that are there, and nothing else. *ret_version is then its
// version.
int cmd_source_update_root(struct cmd_source *source, uint64_t *ret_version, struct err *e)
    __attribute__((nonnull));
// What the last refresh verified of "targets" or a role that it delegates to; FS_ABSENT when there
// is none yet (content NULL). Kinds: not_found (nobody delegates to the role), those of the
// metadata.
int cmd_source_current(struct cmd_source *source, const char *role, struct cmd_document *ret,
                       struct err *e) __attribute__((nonnull));
// A stored file ("timestamp", "snapshot", "targets") as of the last refresh, or one of the folder.
// FS_ABSENT when there is none. For reports only.
int cmd_source_seen(const struct cmd_source *source, const char *name, struct keys_header *ret,
                    struct err *e) __attribute__((nonnull));

// Puts a signed document into the repository as `role` ("root", "targets", or a delegated role).
// The repository verifies it itself. *ret_same: it was there already. Kinds: conflict (somebody
// else published after the version this one was made from), those of repo_folder_accept.
int cmd_source_put(struct cmd_source *source, const char *role, const struct cmd_document *document,
                   bool *ret_same, struct err *e) __attribute__((nonnull));
// A file to be uploaded: an open bundle, or a delta.
struct cmd_bundle_file;
struct cmd_source_file {
    const struct cmd_bundle_file *file;
    bool delta;
};
// Uploads one to a controller, with progress. Outputs as of cmd_source_upload.
struct net_client;
int cmd_source_send(struct net_client *client, const struct cmd_context *context,
                    const struct cmd_source_file *file, json_t **ret, bool *ret_created,
                    struct err *e) __attribute__((nonnull));
// Uploads one, or puts what the metadata will name, the signed part of the bundle's manifest or of
// the delta's head, among the targets of a folder: it has to be there. *ret is the controller's
// answer, or a description; the caller's. *ret_created: it was not there before.
struct repo_target;
int cmd_source_upload(struct cmd_source *source, const struct cmd_source_file *file,
                      const struct repo_target *target, struct slice signed_part, json_t **ret,
                      bool *ret_created, struct err *e) __attribute__((nonnull));
