// SPDX-License-Identifier: Apache-2.0
//
// The keys a workspace knows: those whose secret half lies in its offline/keys or server/keys, and
// those of which it has NAME.pub. A key id says little to a person; the names of the files do.
#pragma once

#include "keys/sign/keyfile.h"

#define CMD_KEYRING_MAX 256 // files of keys in one folder

struct cmd_keyring_key {
    struct keys_pub pub;
    char name[SIGN_KEYFILE_NAME_BYTES];
    bool secret; // NAME.key is there
    bool server; // in server/keys, not in offline/keys
};
struct cmd_keyring {
    size_t n;
    struct cmd_keyring_key *keys; // owned
};
#define CMD_KEYRING_NONE                                                                           \
    { .n = 0 }
// Folders that are not there have no keys. Kinds: limit, those of the key files.
int cmd_keyring_open(const char *workspace, struct cmd_keyring *ret, struct err *e)
    __attribute__((nonnull));
void cmd_keyring_clear(struct cmd_keyring *ring) __attribute__((nonnull));
#define own_drop_keyring cmd_keyring_clear

// By key id, secret halves first; NULL when it is not known. Borrowed.
const struct cmd_keyring_key *cmd_keyring_find(const struct cmd_keyring *ring, const char *keyid)
    __attribute__((nonnull));
// "0123abcd (alice)", or the short id alone. Returns ret.
#define CMD_KEYRING_LABEL_BYTES (SIGN_KEYFILE_NAME_BYTES + 24)
char *cmd_keyring_label(const struct cmd_keyring *ring, const char *keyid,
                        char ret[static CMD_KEYRING_LABEL_BYTES]);
