// SPDX-License-Identifier: Apache-2.0
//
// Who has to sign a document, who has, and who is missing. A role's own metadata needs one
// threshold; a new root needs two, that of the root before and its own.
#pragma once

#include "base/opt.h"
#include "ctl/cmd/document.h"
#include "ctl/cmd/keyring.h"
#include "keys/root.h"

struct cmd_quorum_part {
    const char *whose; // "the role targets", "the root before"; static or borrowed
    struct keys_role role;
    struct cmd_document_tally tally;
};
struct cmd_quorum {
    size_t n;
    struct cmd_quorum_part parts[2];
};

// Of a root: what the trusted one demands, then the new one itself (one part when both demand the
// same). Kinds: bad_signature, syntax, bad_key.
int cmd_quorum_of_root(const struct cmd_document *document, const char *what,
                       const struct keys_root *trusted, struct cmd_quorum *ret, struct err *e)
    __attribute__((nonnull));
// Of a role; whose is borrowed. Kind bad_signature.
int cmd_quorum_of_role(const struct cmd_document *document, const char *what, const char *whose,
                       const struct keys_role *role, struct cmd_quorum *ret, struct err *e)
    __attribute__((nonnull));
bool cmd_quorum_holds(const struct cmd_quorum *quorum) __attribute__((nonnull));
// Whether the key may sign at all.
bool cmd_quorum_wants(const struct cmd_quorum *quorum, const struct keys_pub *pub)
    __attribute__((nonnull));

// Signs with all that is at hand: --key and --signer, which must be wanted (permission), or the
// workspace's own keys that are (there may be none). The tallies follow. *ret_added: signatures
// that were not there before.
struct cmd_context;
struct cmd_passphrase;
struct cmd_quorum_hand {
    const struct cmd_context *context;
    const struct opt_args *args;
    struct cmd_passphrase *passphrase; // asked for once, whatever else the command opens
    const char *workspace;             // or NULL
    const char *key_option; // what --key is called where that means something else; or NULL
    // A folder of keys of the workspace (CMD_WORKSPACE_SERVER_KEYS) that sign, and nothing else
    // does; or NULL.
    const char *keys_folder;
};
int cmd_quorum_sign(struct cmd_quorum *quorum, struct cmd_document *document, const char *what,
                    const struct cmd_quorum_hand *hand, size_t *ret_added, struct err *e)
    __attribute__((nonnull));

// Whether cmd_quorum_sign can add a signature at all: opens what it would sign with, and signs
// nothing. An external program (--signer) is not run. Kinds: usage (nobody is at hand), permission,
// those of signers.
int cmd_quorum_check(const struct cmd_quorum *quorum, const char *what,
                     const struct cmd_quorum_hand *hand, struct err *e) __attribute__((nonnull));

// Before signing what was shown: --yes, or the answer of whoever is at the terminal. Kinds: usage
// (nobody is), permission (they said no).
int cmd_quorum_confirm(const struct opt_args *args, struct err *e) __attribute__((nonnull));
// For people, on standard output: how many signatures the file got, and who signed it.
void cmd_quorum_tell(const struct cmd_quorum *quorum, const struct cmd_keyring *ring,
                     const char *path, size_t added) __attribute__((nonnull));
// For people, on standard output: a line for each part.
void cmd_quorum_print(const struct cmd_quorum *quorum, const struct cmd_keyring *ring)
    __attribute__((nonnull));
// "1 more signature for the role targets, of 0123abcd (alice), …": what is missing, into ret.
// Returns ret.
char *cmd_quorum_missing(const struct cmd_quorum *quorum, const struct cmd_keyring *ring, char *ret,
                         size_t ret_bytes) __attribute__((nonnull));
// [{"of", "threshold", "signed": [{keyid, name}], "missing": [{keyid, name}]}]. The caller's; NULL
// without memory.
json_t *cmd_quorum_json(const struct cmd_quorum *quorum, const struct cmd_keyring *ring)
    __attribute__((nonnull));
