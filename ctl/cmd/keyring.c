// SPDX-License-Identifier: Apache-2.0
//
// Collecting what a workspace knows of keys; see keyring.h.
#include "ctl/cmd/keyring.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/workspace.h"

#define SHORT_ID 8 // digits of a key id that a person compares

struct listing {
    struct cmd_keyring *ring;
    int dir;
    bool server;
};

static int visit(void *context, const char *name, mode_t type, struct err *e) {
    const struct listing *l = context;
    struct cmd_keyring *ring = l->ring;
    struct sign_keyfile_info info = {.sealed = false};
    bool secret = text_ends_with(name, ".key");
    if (!S_ISREG(type) || fs_is_temporary(name) || (!secret && !text_ends_with(name, ".pub")))
        return 0;
    if (ring->n == CMD_KEYRING_MAX)
        return err_set(e, &err_limit, "more than %d files of keys", CMD_KEYRING_MAX);
    if (secret ? sign_keyfile_info(l->dir, name, &info, e) < 0
               : sign_keyfile_read_pub(l->dir, name, &info.pub, e) < 0)
        return -1;
    struct cmd_keyring_key *key = &ring->keys[ring->n++];
    *key = (struct cmd_keyring_key){.pub = info.pub, .secret = secret, .server = l->server};
    (void)snprintf(key->name, sizeof key->name, "%.*s", (int)(strlen(name) - 4), name);
    return 0;
}

static int add_folder(struct cmd_keyring *ring, const char *workspace, const char *folder,
                      bool server, struct err *e) {
    char path[FS_PATH_BYTES];
    OWN(fd) int dir = -1;
    struct err why = ERR_NONE;
    (void)snprintf(path, sizeof path, "%s/%s", workspace, folder);
    if (fs_open_dir(AT_FDCWD, path, &dir, &why) < 0)
        return err_is(&why, &err_not_found) ? 0 : err_set(e, why.kind, "%s", why.text);
    struct listing l = {ring, dir, server};
    if (fs_list(dir, ".", visit, &l, e) < 0)
        return err_prefix(e, "looking at the keys in %s", path);
    return 0;
}

int cmd_keyring_open(const char *workspace, struct cmd_keyring *ret, struct err *e) {
    OWN(keyring) struct cmd_keyring ring = CMD_KEYRING_NONE;
    ring.keys = calloc(CMD_KEYRING_MAX, sizeof *ring.keys);
    if (!ring.keys)
        return err_set(e, &err_memory, "looking at keys: no memory");
    if (add_folder(&ring, workspace, CMD_WORKSPACE_KEYS, false, e) < 0 ||
        add_folder(&ring, workspace, CMD_WORKSPACE_SERVER_KEYS, true, e) < 0)
        return -1;
    *ret = ring;
    ring = (struct cmd_keyring)CMD_KEYRING_NONE;
    return 0;
}

void cmd_keyring_clear(struct cmd_keyring *ring) {
    free(ring->keys);
    *ring = (struct cmd_keyring)CMD_KEYRING_NONE;
}

const struct cmd_keyring_key *cmd_keyring_find(const struct cmd_keyring *ring, const char *keyid) {
    const struct cmd_keyring_key *found = NULL;
    for (size_t i = 0; i < ring->n; i++)
        if (strcmp(ring->keys[i].pub.id, keyid) == 0 && (!found || ring->keys[i].secret))
            found = &ring->keys[i];
    return found;
}

char *cmd_keyring_label(const struct cmd_keyring *ring, const char *keyid,
                        char ret[static CMD_KEYRING_LABEL_BYTES]) {
    const struct cmd_keyring_key *key = cmd_keyring_find(ring, keyid);
    if (key)
        (void)snprintf(ret, CMD_KEYRING_LABEL_BYTES, "%.*s (%s)", SHORT_ID, keyid, key->name);
    else
        (void)snprintf(ret, CMD_KEYRING_LABEL_BYTES, "%.*s", SHORT_ID, keyid);
    return ret;
}
