// SPDX-License-Identifier: Apache-2.0
//
// Roots: read, checked, advanced, written.
//
// A root says itself which keys may sign it, so its keys are read before its signatures can be
// checked; nothing that was read leaves this file until they hold. A next root is first verified
// with the keys that are trusted already, as raw bytes.
#include "keys/root.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "keys/canon.h"
#include "keys/kind.h"

const char *const keys_root_role_names[KEYS_ROOT_ROLES] = {
    [KEYS_ROOT_ROLE_ROOT] = "root",         [KEYS_ROOT_ROLE_BUNDLE] = "bundle",
    [KEYS_ROOT_ROLE_DIRECTOR] = "director", [KEYS_ROOT_ROLE_TARGETS] = "targets",
    [KEYS_ROOT_ROLE_SNAPSHOT] = "snapshot", [KEYS_ROOT_ROLE_TIMESTAMP] = "timestamp",
    [KEYS_ROOT_ROLE_MANDATE] = "mandate",
};

#define DELEGATED "bundle/"

// Where a role stands, and whether a root may lack it.
static const struct {
    bool ours; // in edge_roles, not among TUF's
    bool needed;
} traits[KEYS_ROOT_ROLES] = {
    [KEYS_ROOT_ROLE_ROOT] = {.needed = true},
    [KEYS_ROOT_ROLE_BUNDLE] = {.ours = true, .needed = true},
    [KEYS_ROOT_ROLE_DIRECTOR] = {.ours = true, .needed = true},
    [KEYS_ROOT_ROLE_MANDATE] = {.ours = true},
};

struct keys_root {
    struct keys_root_content content;
    struct keys_root_bundle_role *bundle_roles; // content's, owned
};

static const struct doc_limits root_limits = {
    .bytes = KEYS_ROOT_MAX_BYTES, .depth = 16, .values = 8192, .floats = false};

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────

// A key of ours must be whole and stand under its own id, used or not: so one public key cannot
// stand under two ids. Keys of a type not known here belong to roles not known here; a role that we
// use cannot name them.
static int check_key(const struct doc_at *keys, const char *id, struct err *e) {
    struct doc_at at;
    const char *type = NULL;
    if (doc_object(keys, id, &at, e) < 0 || doc_string(&at, "keytype", 64, &type, e) < 0)
        return -1;
    if (strcmp(type, "ed25519") != 0)
        return 0;
    struct keys_pub key;
    if (keys_pub_parse(&at, &key, e) < 0)
        return -1;
    if (strcmp(key.id, id) != 0)
        return err_set(e, &err_bad_key, "%s: the id of this key is %s", at.path, key.id);
    return 0;
}

static int check_keys(const struct doc_at *keys, struct err *e) {
    const char *id = NULL;
    json_t *value = NULL;
    json_object_foreach (keys->value, id, value) {
        char known[KEYS_ID_HEX];
        uint8_t bytes[KEYS_ID_BYTES];
        struct err why = ERR_NONE;
        if (text_unhex(id, bytes, sizeof bytes, "key id", &why) < 0)
            return err_set(e, &err_bad_key, "%s: %s", keys->path, why.text);
        memcpy(known, id, sizeof known);
        if (check_key(keys, known, e) < 0)
            return -1;
    }
    return 0;
}

static int read_role_key(const struct doc_at *keys, const struct doc_at *ids, size_t index,
                         struct keys_role *role, struct err *e) {
    const char *id = NULL;
    if (doc_element_string(ids, index, KEYS_ID_HEX - 1, &id, e) < 0)
        return -1;
    if (keys_role_has(role, id))
        return err_set(e, &err_bad_key, "%s: key %.8s stands there twice", ids->path, id);
    char shown[KEYS_ID_HEX + 16];
    if (!json_object_get(keys->value, id))
        return err_set(e, &err_bad_key, "%s: there is no key \"%s\"", ids->path,
                       text_safe(id, shown, sizeof shown));
    struct doc_at at;
    if (doc_object(keys, id, &at, e) < 0 || keys_pub_parse(&at, &role->keys[role->n_keys], e) < 0)
        return -1;
    role->n_keys++;
    return 0;
}

static int read_role(const struct doc_at *at, const struct doc_at *keys, struct keys_role *ret,
                     struct err *e) {
    struct doc_at ids;
    uint64_t threshold = 0;
    if (doc_array(at, "keyids", KEYS_ROLE_KEYS_MAX, &ids, e) < 0 ||
        doc_u64(at, "threshold", 1, KEYS_ROLE_KEYS_MAX, &threshold, e) < 0)
        return -1;
    *ret = (struct keys_role){.threshold = (size_t)threshold};
    for (size_t i = 0; i < json_array_size(ids.value); i++)
        if (read_role_key(keys, &ids, i, ret, e) < 0)
            return -1;
    if (ret->n_keys < ret->threshold)
        return err_set(e, &err_syntax, "%s: a threshold of %zu cannot be met by %zu keys", at->path,
                       ret->threshold, ret->n_keys);
    return 0;
}

// The places in a root where roles are read from.
struct places {
    struct doc_at keys, roles, edge_roles;
};

static int read_known_role(const struct places *in, enum keys_root_role role, struct keys_role *ret,
                           struct err *e) {
    const char *name = keys_root_role_names[role];
    bool beside = traits[role].ours && json_object_get(in->edge_roles.value, name);
    const struct doc_at *from = beside ? &in->edge_roles : &in->roles;
    struct doc_at at;
    // What is younger than edge_roles never stood among TUF's.
    if (traits[role].ours && !traits[role].needed && !beside)
        return 0;
    if (!traits[role].needed && !json_object_get(from->value, name))
        return 0;
    if (doc_object(from, name, &at, e) < 0)
        return -1;
    return read_role(&at, &in->keys, ret, e);
}

static int read_components(const struct doc_at *at, struct keys_root_bundle_role *ret,
                           struct err *e) {
    struct doc_at list;
    ret->any_component = !json_object_get(at->value, "components");
    if (ret->any_component)
        return 0;
    if (doc_array(at, "components", KEYS_ROOT_COMPONENTS_MAX, &list, e) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(list.value); i++) {
        const char *name = NULL;
        if (doc_element_string(&list, i, KEYS_ROOT_NAME_MAX, &name, e) < 0)
            return -1;
        if (!text_is_name(name, KEYS_ROOT_NAME_MAX))
            return err_set(e, &err_syntax, "%s: the %zuth is no component's name", list.path,
                           i + 1);
        memcpy(ret->components[ret->n_components++], name, strlen(name) + 1);
    }
    return 0;
}

// DELEGATED_UNKNOWN: it has a member that is not known here, and is worth nothing.
enum { DELEGATED_UNKNOWN = 1 };
static int read_delegated(const struct places *in, const char *name,
                          struct keys_root_bundle_role *ret, struct err *e) {
    static const char *const known[] = {"components", "executable", "keyids", "threshold", NULL};
    const char *bare = name + strlen(DELEGATED);
    const char *unknown = NULL;
    struct doc_at at;
    if (!text_is_name(bare, KEYS_ROOT_NAME_MAX))
        return err_set(e, &err_syntax, "%s: what stands behind \"bundle/\" is no name",
                       in->edge_roles.path);
    if (doc_object(&in->edge_roles, name, &at, e) < 0)
        return -1;
    if (doc_find_unknown(&at, known, &unknown) > 0)
        return DELEGATED_UNKNOWN;
    *ret = (struct keys_root_bundle_role){.executable = true};
    memcpy(ret->name, bare, strlen(bare) + 1);
    if (json_object_get(at.value, "executable") &&
        doc_bool(&at, "executable", &ret->executable, e) < 0)
        return -1;
    if (read_components(&at, ret, e) < 0)
        return -1;
    return read_role(&at, &in->keys, &ret->role, e);
}

static bool is_delegated(const char *name) {
    return strncmp(name, DELEGATED, strlen(DELEGATED)) == 0;
}

static int read_all_delegated(const struct places *in, struct keys_root *ret, struct err *e) {
    const char *name = NULL;
    json_t *value = NULL;
    size_t n = 0;
    json_object_foreach (in->edge_roles.value, name, value)
        n += is_delegated(name);
    if (n > KEYS_ROOT_BUNDLE_ROLES_MAX)
        return err_set(e, &err_limit, "%s: %zu delegations of the role bundle; at most %d",
                       in->edge_roles.path, n, KEYS_ROOT_BUNDLE_ROLES_MAX);
    if (n == 0)
        return 0;
    ret->bundle_roles = calloc(n, sizeof *ret->bundle_roles);
    if (!ret->bundle_roles)
        return err_set(e, &err_memory, "opening a root: out of memory");
    ret->content.bundle_roles = ret->bundle_roles;
    json_object_foreach (in->edge_roles.value, name, value) {
        if (!is_delegated(name))
            continue;
        int r = read_delegated(in, name, &ret->bundle_roles[ret->content.n_bundle_roles], e);
        if (r < 0)
            return -1;
        ret->content.n_bundle_roles += r == 0;
    }
    return 0;
}

static int read_signed(struct slice signed_part, struct keys_root *ret, struct err *e) {
    OWN(json) json_t *document = NULL;
    struct doc_at top;
    struct places in = {.edge_roles = {.value = NULL}};
    bool consistent = true;
    if (keys_canon_parse(signed_part, "root", &root_limits, &document, e) < 0 ||
        doc_root(document, "root", &top, e) < 0 ||
        keys_envelope_header(&top, "root", &ret->content.header, e) < 0 ||
        doc_bool_opt(&top, "consistent_snapshot", &consistent, e) < 0 ||
        doc_object(&top, "keys", &in.keys, e) < 0 || check_keys(&in.keys, e) < 0 ||
        doc_object(&top, "roles", &in.roles, e) < 0)
        return -1;
    bool beside = json_object_get(top.value, "edge_roles");
    if (beside && doc_object(&top, "edge_roles", &in.edge_roles, e) < 0)
        return -1;
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        if (read_known_role(&in, (enum keys_root_role)i, &ret->content.roles[i], e) < 0)
            return -1;
    return beside ? read_all_delegated(&in, ret, e) : 0;
}

static int split(struct slice raw, struct keys_envelope_candidate *ret, struct err *e) {
    if (raw.len > KEYS_ROOT_MAX_BYTES)
        return err_set(e, &err_limit, "root: %zu bytes; at most %d are allowed", raw.len,
                       KEYS_ROOT_MAX_BYTES);
    return keys_envelope_split(raw, "root", ret, e);
}

// Reads a root and verifies it with its own keys.
static int open_candidate(const struct keys_envelope_candidate *candidate, struct keys_root **ret,
                          struct err *e) {
    OWN(root) struct keys_root *root = calloc(1, sizeof *root);
    if (!root)
        return err_set(e, &err_memory, "opening a root: out of memory");
    struct keys_envelope verified;
    if (read_signed(candidate->signed_part, root, e) < 0 ||
        keys_envelope_verify(candidate, "root", &root->content.roles[KEYS_ROOT_ROLE_ROOT],
                             &verified, e) < 0)
        return -1;
    *ret = own_take(&root);
    return 0;
}

int keys_root_open(struct slice raw, struct keys_root **ret, struct err *e) {
    struct keys_envelope_candidate candidate;
    if (split(raw, &candidate, e) < 0)
        return -1;
    return open_candidate(&candidate, ret, e);
}

// Too few signatures are what a broken chain looks like; any other refusal keeps its own kind.
static int broken_chain(const char *whose, const struct err *why, struct err *e) {
    const struct err_kind *kind = err_is(why, &err_below_threshold) ? &err_root_chain : why->kind;
    return err_set(e, kind, "the next root, by the keys of %s: %s", whose, why->text);
}

int keys_root_advance(const struct keys_root *trusted, struct slice raw, struct keys_root **ret,
                      struct err *e) {
    struct keys_envelope_candidate candidate;
    if (split(raw, &candidate, e) < 0)
        return -1;
    struct err why = ERR_NONE;
    struct keys_envelope verified;
    if (keys_envelope_verify(&candidate, "root", &trusted->content.roles[KEYS_ROOT_ROLE_ROOT],
                             &verified, &why) < 0)
        return broken_chain("the trusted root", &why, e);
    OWN(root) struct keys_root *root = NULL;
    if (open_candidate(&candidate, &root, &why) < 0)
        return broken_chain("its own", &why, e);
    if (root->content.header.version != trusted->content.header.version + 1)
        return err_set(e, &err_root_chain,
                       "the next root has version %llu; version %llu comes next",
                       (unsigned long long)root->content.header.version,
                       (unsigned long long)trusted->content.header.version + 1);
    *ret = own_take(&root);
    return 0;
}

void keys_root_free(struct keys_root *root) {
    if (!root)
        return;
    free(root->bundle_roles);
    free(root);
}

const struct keys_role *keys_root_role(const struct keys_root *root, enum keys_root_role role) {
    return &root->content.roles[role];
}

const struct keys_header *keys_root_header(const struct keys_root *root) {
    return &root->content.header;
}

const struct keys_root_content *keys_root_content(const struct keys_root *root) {
    return &root->content;
}

const struct keys_root_bundle_role *keys_root_bundle_role(const struct keys_root *root,
                                                          const char *name) {
    for (size_t i = 0; i < root->content.n_bundle_roles; i++)
        if (strcmp(root->bundle_roles[i].name, name) == 0)
            return &root->bundle_roles[i];
    return NULL;
}

// ── Writing ──────────────────────────────────────────────────────────────────────────────────────

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "writing a root: out of memory");
}

static int format_role(const struct keys_role *role, const char *name, json_t *keys, json_t *object,
                       struct err *e) {
    if (role->n_keys > KEYS_ROLE_KEYS_MAX || role->threshold == 0 || role->threshold > role->n_keys)
        return err_set(e, &err_bad_key, "role %s: a threshold of %zu cannot be met by %zu keys",
                       name, role->threshold, role->n_keys);
    OWN(json) json_t *ids = json_array();
    for (size_t i = 0; i < role->n_keys; i++) {
        const struct keys_pub *key = &role->keys[i];
        for (size_t j = 0; j < i; j++)
            if (strcmp(role->keys[j].id, key->id) == 0)
                return err_set(e, &err_bad_key, "role %s: key %.8s stands there twice", name,
                               key->id);
        json_t *key_object = NULL;
        if (keys_pub_format(key, &key_object, e) < 0)
            return -1;
        if (json_object_set_new(keys, key->id, key_object) < 0 ||
            json_array_append_new(ids, json_string(key->id)) < 0)
            return no_memory(e);
    }
    if (json_object_set(object, "keyids", ids) < 0 ||
        json_object_set_new(object, "threshold", json_integer((json_int_t)role->threshold)) < 0)
        return no_memory(e);
    return 0;
}

static int format_components(const struct keys_root_bundle_role *role, json_t *object,
                             struct err *e) {
    if (role->any_component)
        return 0;
    if (role->n_components > KEYS_ROOT_COMPONENTS_MAX)
        return err_set(e, &err_limit, "role bundle/%s: %zu components; at most %d", role->name,
                       role->n_components, KEYS_ROOT_COMPONENTS_MAX);
    OWN(json) json_t *list = json_array();
    for (size_t i = 0; i < role->n_components; i++) {
        if (!text_is_name(role->components[i], KEYS_ROOT_NAME_MAX))
            return err_set(e, &err_syntax, "role bundle/%s: its %zuth component has no name",
                           role->name, i + 1);
        if (json_array_append_new(list, json_string(role->components[i])) < 0)
            return no_memory(e);
    }
    return json_object_set(object, "components", list) < 0 ? no_memory(e) : 0;
}

static int format_delegated(const struct keys_root_bundle_role *role, json_t *keys, json_t *ours,
                            struct err *e) {
    char name[sizeof DELEGATED + KEYS_ROOT_NAME_MAX];
    if (!text_is_name(role->name, KEYS_ROOT_NAME_MAX))
        return err_set(e, &err_syntax, "a delegation of the role bundle has no name");
    (void)snprintf(name, sizeof name, DELEGATED "%s", role->name);
    if (json_object_get(ours, name))
        return err_set(e, &err_syntax, "role %s is there twice", name);
    OWN(json) json_t *object = json_object();
    if (!object || json_object_set_new(object, "executable", json_boolean(role->executable)) < 0)
        return no_memory(e);
    if (format_components(role, object, e) < 0 ||
        format_role(&role->role, name, keys, object, e) < 0)
        return -1;
    return json_object_set(ours, name, object) < 0 ? no_memory(e) : 0;
}

// All roles, into TUF's and ours, and their keys.
static int format_roles(const struct keys_root_content *content, json_t *keys, json_t *theirs,
                        json_t *ours, struct err *e) {
    for (int i = 0; i < KEYS_ROOT_ROLES; i++) {
        const char *name = keys_root_role_names[i];
        if (!traits[i].needed && content->roles[i].n_keys == 0)
            continue;
        OWN(json) json_t *object = json_object();
        if (format_role(&content->roles[i], name, keys, object, e) < 0)
            return -1;
        if (json_object_set(traits[i].ours ? ours : theirs, name, object) < 0)
            return no_memory(e);
    }
    if (content->n_bundle_roles > KEYS_ROOT_BUNDLE_ROLES_MAX)
        return err_set(e, &err_limit, "%zu delegations of the role bundle; at most %d",
                       content->n_bundle_roles, KEYS_ROOT_BUNDLE_ROLES_MAX);
    for (size_t i = 0; i < content->n_bundle_roles; i++)
        if (format_delegated(&content->bundle_roles[i], keys, ours, e) < 0)
            return -1;
    return 0;
}

static int check_header(const struct keys_header *header, struct err *e) {
    if (header->version == 0 || header->version > KEYS_VERSION_MAX)
        return err_set(e, &err_limit, "a root's version is 1 to %llu", KEYS_VERSION_MAX);
    if (header->issued_s < 0 || header->expires_s > CHRONO_MAX_S ||
        header->expires_s <= header->issued_s)
        return err_set(e, &err_limit,
                       "a root expires after it was issued, both in the years 1970 to 9999");
    return 0;
}

int keys_root_format_content(const struct keys_root_content *content, struct buf *ret,
                             struct err *e) {
    const struct keys_header *header = &content->header;
    if (check_header(header, e) < 0)
        return -1;
    OWN(json) json_t *keys = json_object();
    OWN(json) json_t *theirs = json_object();
    OWN(json) json_t *ours = json_object();
    if (!keys || !theirs || !ours)
        return no_memory(e);
    if (format_roles(content, keys, theirs, ours, e) < 0)
        return -1;
    char issued[CHRONO_TEXT_BYTES];
    char expires[CHRONO_TEXT_BYTES];
    OWN(json)
    json_t *root =
        json_pack("{s:s,s:b,s:O,s:s,s:s,s:O,s:O,s:s,s:I}", "_type", "root", "consistent_snapshot",
                  1, "edge_roles", ours, "expires", chrono_format(header->expires_s, expires),
                  "issued", chrono_format(header->issued_s, issued), "keys", keys, "roles", theirs,
                  "spec_version", KEYS_SPEC_VERSION, "version", (json_int_t)header->version);
    if (!root)
        return no_memory(e);
    return keys_canon_format(root, ret, e);
}

int keys_root_format(const struct keys_role roles[static KEYS_ROOT_ROLES],
                     const struct keys_header *header, struct buf *ret, struct err *e) {
    struct keys_root_content content = {.header = *header};
    memcpy(content.roles, roles, sizeof content.roles);
    return keys_root_format_content(&content, ret, e);
}
