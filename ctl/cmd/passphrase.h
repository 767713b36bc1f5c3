// SPDX-License-Identifier: Apache-2.0
//
// Where a passphrase comes from: --passphrase-file, else EDGECTL_PASSPHRASE, else the terminal,
// without echo. It is asked for once and then serves all sealed keys of the command. The PIN of a
// token comes the same way, but at a terminal each token's is asked for.
#pragma once

#include "base/opt.h"
#include "keys/sign/keyfile.h"

#define CMD_PASSPHRASE_VARIABLE "EDGECTL_PASSPHRASE"
#define CMD_PASSPHRASE_OPTION                                                                      \
    {                                                                                              \
        .name = "passphrase-file", .value = "FILE",                                                \
        .help = "Passphrase of the keys (else EDGECTL_PASSPHRASE, else the terminal)"              \
    }

#define CMD_PASSPHRASE_TOKEN_BYTES 64

struct cmd_passphrase {
    const char *file;           // of --passphrase-file, or NULL; borrowed
    struct keys_secret *secret; // once known
    bool typed;                 // it came from the terminal, and is nobody's PIN
    struct keys_secret *pin;    // typed, of this token
    char token[CMD_PASSPHRASE_TOKEN_BYTES];
};
void cmd_passphrase_init(struct cmd_passphrase *p, const struct opt_args *args)
    __attribute__((nonnull));
void cmd_passphrase_clear(struct cmd_passphrase *p) __attribute__((nonnull));
#define own_drop_passphrase cmd_passphrase_clear

// The passphrase for `what` ("the keys in fleet/offline"). CMD_PASSPHRASE_NEW: it is being chosen,
// so a terminal asks twice. *ret is borrowed from p. Kinds: usage (no way to get one, not the same
// twice, empty), those of keys_secret_read.
enum cmd_passphrase_use { CMD_PASSPHRASE_OPEN, CMD_PASSPHRASE_NEW, CMD_PASSPHRASE_PIN };
int cmd_passphrase_get(struct cmd_passphrase *p, enum cmd_passphrase_use use, const char *what,
                       const struct keys_secret **ret, struct err *e) __attribute__((nonnull));

// The PIN of a token whose URI has none; as sign_pkcs11_pin.ask, the context being a
// cmd_passphrase. One that is wrong is not asked for again: tokens count.
int cmd_passphrase_pin(void *context, const char *token, const struct keys_secret **ret,
                       struct err *e) __attribute__((nonnull));

// Opens a key file, asking for a passphrase only when it is sealed. Outputs are the caller's.
int cmd_passphrase_open_key(struct cmd_passphrase *p, int dir, const char *path,
                            struct keys_secret **ret_seed, struct keys_pub *ret_pub, struct err *e)
    __attribute__((nonnull));
