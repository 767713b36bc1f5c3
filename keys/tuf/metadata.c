// SPDX-License-Identifier: Apache-2.0
//
// Metadata, from bytes to something that may be believed. Candidate and metadata are one block of
// memory under two types: verification hands it on, and there is no other way from one to the
// other.
#include "keys/tuf/metadata.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "keys/kind.h"
#include "keys/tuf/form.h"

struct tuf_metadata {
    enum tuf_type type;
    struct tuf_json json;
    struct tuf_json_at signed_part;
    struct tuf_json_at signatures;
    struct tuf_form form;
    char what[80]; // in errors
};

struct tuf_metadata_candidate {
    struct tuf_metadata m;
};

static void own_drop_candidate(struct tuf_metadata_candidate **candidate) {
    tuf_metadata_candidate_free(*candidate);
}

// ── Reading ────────────────────────────────────────────────────────────────────────────────────

int tuf_metadata_parse(struct slice raw, enum tuf_type type, const char *what,
                       struct tuf_metadata_candidate **ret, struct err *e) {
    OWN(candidate) struct tuf_metadata_candidate *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, &err_memory, "reading %s: out of memory", what);
    struct tuf_metadata *m = &c->m;
    m->type = type;
    (void)snprintf(m->what, sizeof m->what, "%s", what);
    if (tuf_json_parse(raw, tuf_type_max_bytes(type), what, &m->json, e) < 0)
        return -1;
    struct tuf_json_at top = tuf_json_root(&m->json);
    if (tuf_form_member(top, "signed", TUF_JSON_OBJECT, what, &m->signed_part, e) < 0 ||
        tuf_form_member(top, "signatures", TUF_JSON_ARRAY, what, &m->signatures, e) < 0)
        return -1;
    *ret = own_take(&c);
    return 0;
}

// ── Verifying ──────────────────────────────────────────────────────────────────────────────────

// The role `root` of a signed part whose form nobody has looked at yet.
static int read_own_role(const struct tuf_metadata *m, struct tuf_role *ret, struct err *e) {
    struct tuf_json_at keys;
    struct tuf_json_at roles;
    struct tuf_json_at at;
    if (tuf_form_member(m->signed_part, "keys", TUF_JSON_OBJECT, m->what, &keys, e) < 0 ||
        tuf_form_member(m->signed_part, "roles", TUF_JSON_OBJECT, m->what, &roles, e) < 0 ||
        tuf_form_member(roles, tuf_type_names[TUF_ROOT], TUF_JSON_OBJECT, m->what, &at, e) < 0)
        return -1;
    return tuf_role_read(keys, at, m->what, ret, e);
}

// A root answers to its own threshold in any case; `role` (may be NULL for a root) is the
// delegator's, and is asked first, so that nothing of a next root is read before the trusted one's
// keys signed it.
static int check_signatures(const struct tuf_metadata *m, const struct tuf_role *role,
                            const struct tuf_key_ops *ops, struct err *e) {
    OWN(buf) struct buf text;
    struct tuf_role own;
    buf_init(&text, tuf_type_max_bytes(m->type));
    if (tuf_json_canonical(m->signed_part, &text, e) < 0)
        return err_prefix(e, "%s", m->what);
    if (role && tuf_role_verify(role, m->signatures, ops, buf_slice(&text), m->what, e) < 0)
        return -1;
    if (m->type != TUF_ROOT)
        return 0;
    if (read_own_role(m, &own, e) < 0 ||
        tuf_role_verify(&own, m->signatures, ops, buf_slice(&text), m->what, e) < 0)
        return err_prefix(e, "by its own keys");
    return 0;
}

static int believe(struct tuf_metadata_candidate **candidate, const struct tuf_role *role,
                   const struct tuf_key_ops *ops, struct tuf_metadata **ret, struct err *e) {
    OWN(candidate) struct tuf_metadata_candidate *c = own_take(candidate);
    struct tuf_metadata *m = &c->m;
    if (check_signatures(m, role, ops, e) < 0 ||
        tuf_form_read(m->signed_part, m->type, m->what, &m->form, e) < 0)
        return -1;
    *ret = &own_take(&c)->m;
    return 0;
}

int tuf_metadata_verify(struct tuf_metadata_candidate **candidate, const struct tuf_role *role,
                        const struct tuf_key_ops *ops, struct tuf_metadata **ret, struct err *e) {
    return believe(candidate, role, ops, ret, e);
}

int tuf_metadata_verify_root(struct tuf_metadata_candidate **candidate,
                             const struct tuf_key_ops *ops, struct tuf_metadata **ret,
                             struct err *e) {
    // What is no root would be believed without a signature.
    if ((*candidate)->m.type != TUF_ROOT) {
        OWN(candidate) struct tuf_metadata_candidate *c = own_take(candidate);
        return err_set(e, &err_wrong_type, "%s: only a root vouches for itself", c->m.what);
    }
    return believe(candidate, NULL, ops, ret, e);
}

void tuf_metadata_free(struct tuf_metadata *metadata) {
    if (!metadata)
        return;
    tuf_json_clear(&metadata->json);
    free(metadata);
}

void tuf_metadata_candidate_free(struct tuf_metadata_candidate *candidate) {
    tuf_metadata_free((struct tuf_metadata *)candidate); // its first and only member
}

// ── What it says ───────────────────────────────────────────────────────────────────────────────

uint64_t tuf_metadata_version(const struct tuf_metadata *m) {
    return m->form.version;
}

int64_t tuf_metadata_expires_s(const struct tuf_metadata *m) {
    return m->form.expires_s;
}

int64_t tuf_metadata_issued_s(const struct tuf_metadata *m) {
    return m->form.issued_s;
}

struct tuf_json_at tuf_metadata_signed(const struct tuf_metadata *m) {
    return m->signed_part;
}

// ── Root ───────────────────────────────────────────────────────────────────────────────────────

struct tuf_role tuf_metadata_role(const struct tuf_metadata *root, enum tuf_type type) {
    return root->form.roles[type];
}

bool tuf_metadata_is_consistent(const struct tuf_metadata *root) {
    return root->form.is_consistent;
}

// The key under this id, where both have it, is the same; so is one that neither has.
static bool same_key(struct tuf_json_at a, struct tuf_json_at b, const char *id) {
    struct tuf_json_at key_a;
    struct tuf_json_at key_b;
    bool in_a = tuf_json_find(a, id, &key_a);
    bool in_b = tuf_json_find(b, id, &key_b);
    return in_a == in_b && (!in_a || tuf_key_same(key_a, key_b, NULL));
}

static bool has_id(struct tuf_json_at keyids, const char *id) {
    struct tuf_json_at at;
    for (bool is = tuf_json_first(keyids, &at, NULL); is; is = tuf_json_next(keyids, &at, NULL))
        if (strcmp(tuf_json_string(at, NULL), id) == 0)
            return true;
    return false;
}

bool tuf_metadata_same_role(const struct tuf_metadata *a, const struct tuf_metadata *b,
                            enum tuf_type type) {
    struct tuf_role role_a = tuf_metadata_role(a, type);
    struct tuf_role role_b = tuf_metadata_role(b, type);
    struct tuf_json_at at;
    if (role_a.threshold != role_b.threshold ||
        tuf_json_count(role_a.keyids) != tuf_json_count(role_b.keyids))
        return false;
    for (bool is = tuf_json_first(role_a.keyids, &at, NULL); is;
         is = tuf_json_next(role_a.keyids, &at, NULL)) {
        const char *id = tuf_json_string(at, NULL);
        if (!has_id(role_b.keyids, id) || !same_key(role_a.keys, role_b.keys, id))
            return false;
    }
    return true;
}

// ── Timestamp and snapshot ─────────────────────────────────────────────────────────────────────

bool tuf_metadata_meta(const struct tuf_metadata *m, const char *file, struct tuf_meta *ret) {
    struct tuf_json_at entry;
    if (!tuf_json_find(m->form.meta, file, &entry))
        return false;
    tuf_form_meta(entry, ret);
    return true;
}

int tuf_metadata_each_meta(const struct tuf_metadata *m,
                           int (*each)(void *context, const char *file,
                                       const struct tuf_meta *meta),
                           void *context) {
    struct tuf_json_at entry;
    const char *file;
    int stopped = 0;
    for (bool is = tuf_json_first(m->form.meta, &entry, &file); is && stopped == 0;
         is = tuf_json_next(m->form.meta, &entry, &file)) {
        struct tuf_meta meta;
        tuf_form_meta(entry, &meta);
        stopped = each(context, file, &meta);
    }
    return stopped;
}

// ── Targets ────────────────────────────────────────────────────────────────────────────────────

bool tuf_metadata_target(const struct tuf_metadata *m, const char *path, struct tuf_json_at *ret) {
    return tuf_json_find(m->form.targets, path, ret);
}
