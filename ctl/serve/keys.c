// SPDX-License-Identifier: Apache-2.0
//
// Finding online keys.
#include "ctl/serve/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "keys/sign/keyfile.h"
#include "keys/sign/signer.h"

#define NAME_BYTES (SIGN_KEYFILE_NAME_BYTES + 8)

struct search {
    int dir;
    const struct keys_role *role;
    char name[NAME_BYTES]; // "": none yet
};

static int look_at(void *context, const char *name, mode_t type, struct err *e) {
    struct search *search = context;
    struct sign_keyfile_info info;
    struct err ignored = ERR_NONE; // a file that is no key is nobody's
    size_t len = strlen(name);
    (void)type;
    (void)e;
    if (len < 5 || len >= NAME_BYTES || strcmp(name + len - 4, ".key") != 0 ||
        (search->name[0] != '\0' && strcmp(search->name, name) <= 0) ||
        sign_keyfile_info(search->dir, name, &info, &ignored) < 0 ||
        !keys_role_has(search->role, info.pub.id))
        return 0;
    (void)snprintf(search->name, sizeof search->name, "%s", name);
    return 0;
}

int serve_keys_open_role(const struct serve_server *server, const struct keys_role *role,
                         struct sign_signer **ret, struct err *e) {
    OWN(fd) int dir = -1;
    OWN(secret) struct keys_secret *seed = NULL;
    struct keys_pub pub;
    if (fs_open_dir(server->workspace, "keys", &dir, e) < 0)
        return -1;
    struct search search = {.dir = dir, .role = role};
    if (fs_list(dir, ".", look_at, &search, e) < 0)
        return -1;
    if (search.name[0] == '\0')
        return SERVE_KEYS_ABSENT;
    if (sign_keyfile_open(dir, search.name, server->options->passphrase, &seed, &pub, e) < 0 ||
        sign_signer_from_seed(&seed, &pub, ret, e) < 0)
        return err_prefix(e, "keys/%s", search.name);
    return 0;
}

int serve_keys_open(const struct serve_server *server, const struct keys_root *root,
                    enum keys_root_role role, struct sign_signer **ret, struct err *e) {
    return serve_keys_open_role(server, keys_root_role(root, role), ret, e);
}
