// SPDX-License-Identifier: Apache-2.0
//
// Who signs: key files and keys on tokens (--key FILE, --key pkcs11:…), external programs (--signer
// COMMAND with --signer-key FILE.pub, pairwise), or the keys of a workspace that belong to the
// role.
#pragma once

#include "ctl/cmd/passphrase.h"
#include "keys/root.h"
#include "keys/sign/signer.h"

#define CMD_SIGNERS_KEY_HELP "Sign with this secret key: a file, or pkcs11:… on a token"
#define CMD_SIGNERS_OPTIONS                                                                        \
    {.name = "key", .repeat = true, .value = "FILE", .help = CMD_SIGNERS_KEY_HELP},                \
        CMD_SIGNERS_COMMAND_OPTIONS
#define CMD_SIGNERS_COMMAND_OPTIONS                                                                \
    {.name = "signer",                                                                             \
     .repeat = true,                                                                               \
     .value = "COMMAND",                                                                           \
     .help = "Let this program sign: bytes on its stdin, signature on its stdout"},                \
    {                                                                                              \
        .name = "signer-key", .repeat = true, .value = "FILE.pub",                                 \
        .help = "The public key of the --signer at the same place"                                 \
    }

struct cmd_signers {
    size_t n;
    struct sign_signer *list[KEYS_ENVELOPE_SIGNATURES_MAX];
};
#define CMD_SIGNERS_NONE                                                                           \
    { .n = 0 }
void cmd_signers_clear(struct cmd_signers *s) __attribute__((nonnull));
#define own_drop_signers cmd_signers_clear

// Each adds to *s. A key that is in it already is passed over. Kinds: limit, those of keyfile and
// signer, usage (a --signer without its --signer-key).
int cmd_signers_add_file(struct cmd_signers *s, struct cmd_passphrase *p, int dir, const char *path,
                         struct err *e) __attribute__((nonnull));
// A key on a token, by its URI; the PIN that the URI does not have comes from p. Kinds: those of
// sign_pkcs11_open.
int cmd_signers_add_token(struct cmd_signers *s, struct cmd_passphrase *p, const char *uri,
                          struct err *e) __attribute__((nonnull));
int cmd_signers_add_commands(struct cmd_signers *s, const struct opt_args *args,
                             const struct chrono *clock, struct err *e) __attribute__((nonnull));
// All of --key (under the name that the command has for it) and --signer; there may be none.
int cmd_signers_collect_given(struct cmd_signers *s, struct cmd_passphrase *p,
                              const struct opt_args *args, const char *key_option,
                              const struct chrono *clock, struct err *e) __attribute__((nonnull));
// Those in a folder of keys of the workspace (CMD_WORKSPACE_KEYS) that stand in one of the roles.
// Kind not_found when there is no such folder.
int cmd_signers_add_folder(struct cmd_signers *s, struct cmd_passphrase *p, const char *workspace,
                           const char *folder, const struct keys_role *const *roles, size_t n_roles,
                           struct err *e) __attribute__((nonnull));
// Those in the workspace's offline/keys that stand in one of the roles; there may be none, and no
// such folder.
int cmd_signers_add_roles(struct cmd_signers *s, struct cmd_passphrase *p, const char *workspace,
                          const struct keys_role *const *roles, size_t n_roles, struct err *e)
    __attribute__((nonnull));
// All of --key and --signer; when there is none of them, and a workspace is given, those of its
// offline/keys that stand in `role` of its root. Kind usage when nobody is left to sign.
int cmd_signers_collect(struct cmd_signers *s, struct cmd_passphrase *p,
                        const struct opt_args *args, const struct chrono *clock,
                        const char *workspace, enum keys_root_role role, struct err *e)
    __attribute__((nonnull(1, 2, 3, 4, 7)));
