// SPDX-License-Identifier: Apache-2.0
//
// The first version of a repository; see init_repository.h.
#include "ctl/cmd/init_repository.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/cmd/workspace.h"
#include "ctl/repo/folder.h"
#include "keys/sign/keyfile.h"

#define DIR_MODE 0755

static void drop_signer(struct sign_signer **signer) {
    sign_signer_free(*signer);
    *signer = NULL;
}

// An online key: unsealed, because nobody is there to type when the controller starts.
static int open_online(int dir, const char *path, struct sign_signer **ret, struct err *e) {
    OWN(secret) struct keys_secret *seed = NULL;
    struct keys_pub pub;
    if (sign_keyfile_open(dir, path, NULL, &seed, &pub, e) < 0)
        return -1;
    return sign_signer_from_seed(&seed, &pub, ret, e);
}

// Nothing named, and the role deltas delegated: whoever has its key lets devices decode deltas, and
// cannot name a bundle.
static int make_targets(const struct keys_pub *deltas, json_t **ret, struct err *e) {
    static const char *const pattern = REPO_TARGETS_DELTAS_PATHS;
    const struct keys_role role = {.threshold = 1, .n_keys = 1, .keys = {*deltas}};
    const struct repo_targets_delegation to = {
        .name = REPO_TARGETS_DELTAS_ROLE, .role = &role, .n_paths = 1, .paths = &pattern};
    OWN(json) json_t *targets = NULL;
    if (repo_targets_new(&targets, e) < 0 || repo_targets_delegate(targets, &to, e) < 0)
        return -1;
    *ret = own_take(&targets);
    return 0;
}

static int sign_targets(const struct repo_folder *folder, const struct cmd_signers *signers,
                        const struct keys_pub *deltas, int64_t issued_s, struct buf *ret,
                        struct err *e) {
    struct sign_signer *wanted[KEYS_ENVELOPE_SIGNATURES_MAX];
    size_t n = 0;
    const struct keys_role *role = keys_root_role(repo_folder_root(folder), KEYS_ROOT_ROLE_TARGETS);
    const struct keys_header header = {.version =
                                           repo_folder_next_version(folder, "targets", issued_s),
                                       .issued_s = issued_s,
                                       .expires_s = issued_s + REPO_TARGETS_EXPIRES_DEFAULT_S};
    OWN(json) json_t *targets = NULL;
    OWN(buf) struct buf part;
    buf_init(&part, REPO_TARGETS_MAX_BYTES);
    for (size_t i = 0; i < signers->n; i++)
        if (keys_role_has(role, sign_signer_pub(signers->list[i])->id))
            wanted[n++] = signers->list[i];
    if (make_targets(deltas, &targets, e) < 0 ||
        repo_targets_format(targets, &header, &part, e) < 0)
        return -1;
    return sign_signer_envelope(buf_slice(&part), wanted, n, ret, e);
}

static int publish(int dir, struct repo_folder *folder, const struct cmd_signers *signers,
                   const struct keys_pub *deltas, int64_t issued_s, struct err *e) {
    __attribute__((cleanup(drop_signer))) struct sign_signer *snapshot = NULL;
    __attribute__((cleanup(drop_signer))) struct sign_signer *timestamp = NULL;
    OWN(buf) struct buf raw;
    buf_init(&raw, REPO_TARGETS_MAX_BYTES);
    if (open_online(dir, "server/keys/snapshot.key", &snapshot, e) < 0 ||
        open_online(dir, "server/keys/timestamp.key", &timestamp, e) < 0 ||
        sign_targets(folder, signers, deltas, issued_s, &raw, e) < 0)
        return -1;
    const struct repo_folder_online online = {
        .snapshot = snapshot, .timestamp = timestamp, .now_s = issued_s};
    return repo_folder_accept(folder, "targets", buf_slice(&raw), &online, e);
}

int cmd_init_repository_make(int dir, struct slice root, const struct cmd_signers *signers,
                             const struct keys_pub *deltas, int64_t issued_s, struct err *e) {
    OWN(repo_folder) struct repo_folder *folder = NULL;
    OWN(fd) int place = -1;
    if (fs_remove_tree(dir, CMD_INIT_REPOSITORY, e) < 0 ||
        fs_make_dir(dir, CMD_INIT_REPOSITORY, DIR_MODE, e) < 0 ||
        fs_open_dir(dir, CMD_INIT_REPOSITORY, &place, e) < 0 ||
        repo_folder_make(place, root, e) < 0 || repo_folder_open(place, root, &folder, e) < 0 ||
        publish(dir, folder, signers, deltas, issued_s, e) < 0)
        return err_prefix(e, "making the repository");
    return 0;
}

int cmd_init_repository_check(int dir, struct slice root, struct err *e) {
    OWN(repo_folder) struct repo_folder *folder = NULL;
    OWN(fd) int place = -1;
    if (fs_open_dir(dir, CMD_INIT_REPOSITORY, &place, e) < 0)
        return -1;
    return repo_folder_open(place, root, &folder, e);
}
