// SPDX-License-Identifier: Apache-2.0
//
// Documents that wait for signatures; see document.h.
#include "ctl/cmd/document.h"

#include <string.h>

#include "base/chrono.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/mandate.h"
#include "keys/canon.h"
#include "keys/kind.h"

static const struct doc_limits limits = {
    .bytes = CMD_DOCUMENT_MAX_BYTES, .depth = 16, .values = 400000, .floats = false};

static const char mandate_type[] = "mandate";

void cmd_document_clear(struct cmd_document *document) {
    buf_clear(&document->raw);
    json_decref(document->content);
    document->content = NULL;
}

static int read_header(const struct doc_at *top, const char *only, const char **ret_type,
                       struct keys_header *ret, struct err *e) {
    static const char *const types[] = {"root", "targets"};
    const char *found = NULL;
    char shown[64];
    *ret_type = only;
    if (only)
        return bundle_mandate_header(top, ret, e);
    if (doc_string(top, "_type", 64, &found, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(found, types[i]) != 0)
            continue;
        *ret_type = types[i];
        return keys_envelope_header(top, types[i], ret, e);
    }
    return err_set(e, &err_wrong_type,
                   "%s: its _type is \"%s\"; people sign root and targets metadata only", top->path,
                   text_safe(found, shown, sizeof shown));
}

// Takes apart what raw holds: of the type `only`, or (NULL) of any that a repository has.
static int open_raw(struct cmd_document *document, const char *only, const char *what,
                    struct err *e) {
    struct doc_at top;
    if (keys_envelope_split(buf_slice(&document->raw), what, &document->envelope, e) < 0 ||
        keys_canon_parse(document->envelope.signed_part, what, &limits, &document->content, e) <
            0 ||
        doc_root(document->content, what, &top, e) < 0)
        return -1;
    return read_header(&top, only, &document->type, &document->header, e);
}

static int parse(struct slice raw, const char *only, const char *what, struct cmd_document *ret,
                 struct err *e) {
    OWN(document) struct cmd_document document = CMD_DOCUMENT_NONE;
    buf_init(&document.raw, CMD_DOCUMENT_MAX_BYTES);
    if (buf_add(&document.raw, raw.data, raw.len, e) < 0 || open_raw(&document, only, what, e) < 0)
        return -1;
    *ret = document;
    document = (struct cmd_document)CMD_DOCUMENT_NONE;
    return 0;
}

int cmd_document_parse(struct slice raw, const char *what, struct cmd_document *ret,
                       struct err *e) {
    return parse(raw, NULL, what, ret, e);
}

int cmd_document_parse_mandate(struct slice raw, const char *what, struct cmd_document *ret,
                               struct err *e) {
    return parse(raw, mandate_type, what, ret, e);
}

int cmd_document_read(int dir, const char *path, struct cmd_document *ret, struct err *e) {
    OWN(document) struct cmd_document document = CMD_DOCUMENT_NONE;
    struct stat st;
    int found = fs_stat(dir, path, &st, e);
    if (found != 0)
        return found;
    buf_init(&document.raw, CMD_DOCUMENT_MAX_BYTES);
    if (fs_read_file(dir, path, CMD_DOCUMENT_MAX_BYTES, &document.raw, e) < 0)
        return err_prefix(e, "reading %s", path);
    if (open_raw(&document, NULL, path, e) < 0)
        return -1;
    *ret = document;
    document = (struct cmd_document)CMD_DOCUMENT_NONE;
    return 0;
}

// The envelope of a signed part with these signatures, opened.
static int assemble(struct slice signed_part, const struct keys_envelope_signature *signatures,
                    size_t n, const char *only, const char *what, struct cmd_document *ret,
                    struct err *e) {
    OWN(document) struct cmd_document document = CMD_DOCUMENT_NONE;
    buf_init(&document.raw, CMD_DOCUMENT_MAX_BYTES);
    if (keys_envelope_format(signed_part, signatures, n, &document.raw, e) < 0)
        return err_prefix(e, "%s", what);
    if (open_raw(&document, only, what, e) < 0)
        return -1;
    *ret = document;
    document = (struct cmd_document)CMD_DOCUMENT_NONE;
    return 0;
}

int cmd_document_make(json_t *content, const struct keys_header *header, const char *what,
                      struct cmd_document *ret, struct err *e) {
    char issued[CHRONO_TEXT_BYTES], expires[CHRONO_TEXT_BYTES];
    OWN(buf) struct buf signed_part;
    buf_init(&signed_part, CMD_DOCUMENT_MAX_BYTES);
    if ((!json_object_get(content, "spec_version") &&
         json_object_set_new(content, "spec_version", json_string(KEYS_SPEC_VERSION)) < 0) ||
        json_object_set_new(content, "version", json_integer((json_int_t)header->version)) < 0 ||
        json_object_set_new(content, "issued",
                            json_string(chrono_format(header->issued_s, issued))) < 0 ||
        json_object_set_new(content, "expires",
                            json_string(chrono_format(header->expires_s, expires))) < 0)
        return err_set(e, &err_memory, "making %s: no memory", what);
    if (keys_canon_format(content, &signed_part, e) < 0)
        return err_prefix(e, "making %s", what);
    const struct keys_envelope_signature none = {.keyid = ""};
    return assemble(buf_slice(&signed_part), &none, 0, NULL, what, ret, e);
}

static const struct keys_envelope_signature *find(const struct cmd_document *document,
                                                  const char *keyid) {
    for (size_t i = 0; i < document->envelope.n_signatures; i++)
        if (strcmp(document->envelope.signatures[i].keyid, keyid) == 0)
            return &document->envelope.signatures[i];
    return NULL;
}

bool cmd_document_has(const struct cmd_document *document, const char *keyid) {
    return find(document, keyid) != NULL;
}

int cmd_document_tally(const struct cmd_document *document, const char *what,
                       const struct keys_role *role, struct cmd_document_tally *ret,
                       struct err *e) {
    struct cmd_document_tally tally = {.valid = 0};
    for (size_t i = 0; i < role->n_keys; i++) {
        const struct keys_pub *key = &role->keys[i];
        const struct keys_envelope_signature *signature = find(document, key->id);
        if (!signature)
            continue;
        if (!keys_pub_verify(key, document->envelope.signed_part, signature->sig))
            return err_set(e, &err_bad_signature,
                           "%s: the signature by key %.8s is of other contents: somebody changed "
                           "the file after it was signed; begin again with a copy you trust",
                           what, key->id);
        tally.has[i] = true;
        tally.valid++;
    }
    *ret = tally;
    return 0;
}

// The document with one more signature, or another one by the same key.
static int add(struct cmd_document *document, const struct keys_envelope_signature *signature,
               struct err *e) {
    struct keys_envelope_signature all[KEYS_ENVELOPE_SIGNATURES_MAX + 1];
    struct cmd_document next = CMD_DOCUMENT_NONE;
    size_t n = 0;
    for (size_t i = 0; i < document->envelope.n_signatures; i++)
        if (strcmp(document->envelope.signatures[i].keyid, signature->keyid) != 0)
            all[n++] = document->envelope.signatures[i];
    all[n++] = *signature;
    const char *only = document->type == mandate_type ? mandate_type : NULL;
    if (assemble(document->envelope.signed_part, all, n, only, "adding a signature", &next, e) < 0)
        return -1;
    cmd_document_clear(document);
    *document = next;
    return 0;
}

int cmd_document_sign(struct cmd_document *document, const struct sign_signer *signer,
                      struct err *e) {
    struct keys_envelope_signature made;
    const struct keys_pub *pub = sign_signer_pub(signer);
    const struct keys_envelope_signature *there = find(document, pub->id);
    if (there && keys_pub_verify(pub, document->envelope.signed_part, there->sig))
        return CMD_DOCUMENT_SIGNED;
    memcpy(made.keyid, pub->id, sizeof made.keyid);
    if (sign_signer_sign(signer, document->envelope.signed_part, made.sig, e) < 0)
        return -1;
    return add(document, &made, e);
}

bool cmd_document_is_same(const struct cmd_document *a, const struct cmd_document *b) {
    struct slice x = a->envelope.signed_part, y = b->envelope.signed_part;
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

int cmd_document_merge(struct cmd_document *document, const struct cmd_document *other,
                       const char *what, const struct keys_role *role, size_t *ret_added,
                       struct err *e) {
    struct cmd_document_tally tally;
    size_t added = 0;
    if (!cmd_document_is_same(document, other))
        return err_set(e, &err_exists,
                       "%s is not a copy of the same document: its contents differ, so its "
                       "signatures are worth nothing here",
                       what);
    if (cmd_document_tally(other, what, role, &tally, e) < 0)
        return -1;
    for (size_t i = 0; i < role->n_keys; i++) {
        if (!tally.has[i] || cmd_document_has(document, role->keys[i].id))
            continue;
        if (add(document, find(other, role->keys[i].id), e) < 0)
            return -1;
        added++;
    }
    *ret_added += added;
    return 0;
}
