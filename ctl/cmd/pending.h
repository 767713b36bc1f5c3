// SPDX-License-Identifier: Apache-2.0
//
// DIR/pending: documents that people sign, one after the other or each on a copy. A file there is
// one envelope, the signatures that there are so far included; it may be carried to another machine
// and back. Nothing in it is trusted before the threshold of its role holds.
//
//   N.root.json     the next root
//   targets.json    the next targets
//   ROLE.json       the next targets of a delegated role
//
// Files are replaced whole, so that a power cut leaves the old one or the new one.
#pragma once

#include "ctl/cmd/document.h"
#include "ctl/cmd/quorum.h"
#include "keys/root.h"

#define CMD_PENDING_DIR        "pending"
#define CMD_PENDING_NAME_BYTES 224

// Holds DIR/pending by *ret, until that is closed, as ctl/lock.h says; the folder is made. Kinds:
// busy, wrong_workspace, those of keys_root_open and fs_make_dir.
int cmd_pending_lock(const char *workspace, int *ret, struct err *e) __attribute__((nonnull));
// The same for the folder of a file to sign, which need be in no workspace.
int cmd_pending_lock_beside(const char *file, int *ret, struct err *e) __attribute__((nonnull));

// Writes DIR/pending/NAME. Kinds: those of fs_replace.
int cmd_pending_save(const char *workspace, const char *name, const struct cmd_document *document,
                     struct err *e) __attribute__((nonnull));
// FS_ABSENT when there is none.
int cmd_pending_load(const char *workspace, const char *name, struct cmd_document *ret,
                     struct err *e) __attribute__((nonnull));
int cmd_pending_remove(const char *workspace, const char *name, struct err *e)
    __attribute__((nonnull));

// The keys of a role that targets delegate to. Kinds: not_found (says which roles there are), those
// of repo_targets_role.
int cmd_pending_role(const json_t *targets, const char *name, struct keys_role *ret, struct err *e)
    __attribute__((nonnull));

// A workspace's root and the next one, if somebody has begun it.
struct cmd_pending_root {
    struct keys_root *trusted;         // DIR/root.json
    struct cmd_document current;       // the same file
    struct cmd_document next;          // content NULL: nothing is pending
    char name[CMD_PENDING_NAME_BYTES]; // of the next one, "2.root.json"
};
#define CMD_PENDING_ROOT_NONE                                                                      \
    { .trusted = NULL }
// Kinds: wrong_workspace, those of keys_root_open and cmd_document_read.
int cmd_pending_root_open(const char *workspace, struct cmd_pending_root *ret, struct err *e)
    __attribute__((nonnull));
void cmd_pending_root_clear(struct cmd_pending_root *root) __attribute__((nonnull));
#define own_drop_pending_root cmd_pending_root_clear
