// SPDX-License-Identifier: Apache-2.0
//
// Inside ctl/repo/folder*.c only: an open folder, and the steps that its files share.
#pragma once

#include "ctl/repo/folder.h"

// Places in roles[]; delegated roles follow in the order in which they are met.
enum { FOLDER_ROOT, FOLDER_TIMESTAMP, FOLDER_SNAPSHOT, FOLDER_TARGETS, FOLDER_DELEGATED };

struct folder_role {
    struct repo_folder_state state;
    struct keys_role signers; // who may sign it
    size_t delegator;         // place of the role that says so; FOLDER_ROOT for the top level
    uint64_t bytes;           // of the file; 0: there is none
    char sha256[KEYS_DIGEST_HEX];
    json_t *content; // its signed part, whether it holds or not; NULL when it cannot be read
};

struct repo_folder {
    int metadata, targets; // directories
    struct keys_root *root;
    struct buf root_raw;
    size_t n_roles;
    struct folder_role *roles;
};

#define REPO_FOLDER_FILE_BYTES (REPO_TARGETS_NAME_MAX + 40)
#define REPO_FOLDER_FILE_MODE  0644
#define REPO_FOLDER_DIR_MODE   0755

// "7.targets.json", "timestamp.json". Returns ret.
char *repo_folder_file(const char *role, uint64_t version, char ret[static REPO_FOLDER_FILE_BYTES]);
// The other way round; false when the name is not of a file with a version.
bool repo_folder_parse_file(const char *file, char ret_role[static REPO_TARGETS_NAME_MAX + 1],
                            uint64_t *ret_version);
struct folder_role *repo_folder_at(const struct repo_folder *folder, const char *role)
    __attribute__((nonnull));

// Reads everything anew, from the timestamp on. A failure leaves what was read before.
int repo_folder_load(struct repo_folder *folder, struct err *e) __attribute__((nonnull));
// Writes a new snapshot and a new timestamp over what lies there, removes old versions, and loads.
enum repo_folder_extent { REPO_FOLDER_TIMESTAMP_ALONE, REPO_FOLDER_SNAPSHOT_TOO };
int repo_folder_publish(struct repo_folder *folder, enum repo_folder_extent extent,
                        const struct repo_folder_online *online, struct err *e)
    __attribute__((nonnull));
// Whether the signers at hand can sign for this root. Kinds: below_threshold, bad_key.
int repo_folder_check_online(const struct keys_root *root, const struct repo_folder_online *online,
                             struct err *e) __attribute__((nonnull));
// Verifies a file of a role by the code that devices run. Kinds: those of keys/tuf/metadata.h,
// limit.
int repo_folder_rehearse(const struct repo_folder *folder, const struct folder_role *role,
                         struct slice raw, struct err *e) __attribute__((nonnull));
// Removes the temporaries of writers that were killed, below metadata/ and targets/.
int repo_folder_tidy(const struct repo_folder *folder, struct err *e) __attribute__((nonnull));
// Removes all but the last REPO_FOLDER_KEPT versions of each role but root.
int repo_folder_prune(const struct repo_folder *folder, struct err *e) __attribute__((nonnull));
