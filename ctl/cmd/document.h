// SPDX-License-Identifier: Apache-2.0
//
// A metadata file on its way to being signed: a root, the targets, a delegated role. It is an
// envelope like any other (keys/envelope.h), with room in its meaning for signatures that are not
// there yet. Content is edited as JSON, so that members which this program does not know stay what
// they are.
//
// Nothing here trusts anything: who may sign is asked of a role, and the role comes from metadata
// that was verified.
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "keys/envelope.h"
#include "keys/sign/signer.h"
#include "keys/tuf/metadata.h"

#define CMD_DOCUMENT_MAX_BYTES TUF_TARGETS_MAX_BYTES // the longest file a device takes

struct cmd_document {
    struct buf raw;                          // the whole file
    struct keys_envelope_candidate envelope; // borrows from raw
    json_t *content;                         // the signed part
    struct keys_header header;
    const char *type; // "root", "targets" or "mandate"; static
};
#define CMD_DOCUMENT_NONE                                                                          \
    { .content = NULL }
void cmd_document_clear(struct cmd_document *document) __attribute__((nonnull));
#define own_drop_document cmd_document_clear

// Reads a file that must be such a document, canonical. FS_ABSENT when there is none. Kinds:
// syntax, limit, not_canonical, wrong_type (neither root nor targets), newer_format, those of
// fs_read_file.
int cmd_document_read(int dir, const char *path, struct cmd_document *ret, struct err *e)
    __attribute__((nonnull));
// The same from bytes, which are copied.
int cmd_document_parse(struct slice raw, const char *what, struct cmd_document *ret, struct err *e)
    __attribute__((nonnull));
// The same from a mandate (bundle/mandate.h), which is no metadata of a repository: nothing else takes
// one for a document.
int cmd_document_parse_mandate(struct slice raw, const char *what, struct cmd_document *ret,
                               struct err *e) __attribute__((nonnull));
// A document without signatures from content, whose version and dates are set to those of the
// header. Content is borrowed. Kinds: those of keys_canon_format.
int cmd_document_make(json_t *content, const struct keys_header *header, const char *what,
                      struct cmd_document *ret, struct err *e) __attribute__((nonnull));

// Which keys of a role have signed it. A signature that does not match is bad_signature.
struct cmd_document_tally {
    size_t valid;                 // different keys of the role that signed
    bool has[KEYS_ROLE_KEYS_MAX]; // by the role's keys
};
int cmd_document_tally(const struct cmd_document *document, const char *what,
                       const struct keys_role *role, struct cmd_document_tally *ret, struct err *e)
    __attribute__((nonnull));
// Whether the key has signed, whatever the signature is worth.
bool cmd_document_has(const struct cmd_document *document, const char *keyid)
    __attribute__((nonnull));

// Whether both sign the same bytes, whoever has signed them.
bool cmd_document_is_same(const struct cmd_document *a, const struct cmd_document *b)
    __attribute__((nonnull));

// Adds the signer's signature; CMD_DOCUMENT_SIGNED when its key has signed before (then nothing
// changes). Kinds: those of sign_signer_sign, limit.
enum { CMD_DOCUMENT_SIGNED = 1 };
int cmd_document_sign(struct cmd_document *document, const struct sign_signer *signer,
                      struct err *e) __attribute__((nonnull));
// Takes over the signatures of another copy that are by keys of the role. *ret_added may be 0.
// Kinds: exists (what the other one signs is not the same), bad_signature.
int cmd_document_merge(struct cmd_document *document, const struct cmd_document *other,
                       const char *what, const struct keys_role *role, size_t *ret_added,
                       struct err *e) __attribute__((nonnull));
