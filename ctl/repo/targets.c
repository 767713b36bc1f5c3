// SPDX-License-Identifier: Apache-2.0
//
// Targets files: read, changed, written.
#include "ctl/repo/targets.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/chrono.h"
#include "base/doc.h"
#include "base/own.h"
#include "base/text.h"
#include "keys/canon.h"
#include "keys/kind.h"
#include "keys/root.h"

static const struct doc_limits targets_limits = {
    .bytes = REPO_TARGETS_MAX_BYTES, .depth = 16, .values = 400000, .floats = false};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "the targets: out of memory");
}

// The member of a type, made when it is not there.
static json_t *member(json_t *object, const char *name, json_t *(*make)(void)) {
    json_t *there = json_object_get(object, name);
    if (!there && json_object_set_new(object, name, make()) == 0)
        there = json_object_get(object, name);
    return there;
}

int repo_targets_new(json_t **ret, struct err *e) {
    json_t *targets = json_pack("{s:s, s:{}}", "_type", "targets", "targets");
    if (!targets)
        return no_memory(e);
    *ret = targets;
    return 0;
}

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────

static bool is_role_name(const char *name) {
    if (!text_is_name(name, REPO_TARGETS_NAME_MAX) || strchr(name, '+'))
        return false;
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        if (strcmp(name, keys_root_role_names[i]) == 0)
            return false;
    return true;
}

static int check_entries(const struct doc_at *top, struct err *e) {
    struct doc_at targets;
    const char *path = NULL;
    json_t *entry = NULL;
    if (doc_object(top, "targets", &targets, e) < 0)
        return -1;
    json_object_foreach (targets.value, path, entry) {
        struct repo_target ignored;
        if (repo_target_read(path, entry, &ignored, e) < 0)
            return err_prefix(e, "%s", top->path);
    }
    return 0;
}

static int check_floors(const struct doc_at *top, struct err *e) {
    struct doc_at floors;
    const char *name = NULL;
    json_t *value = NULL;
    int found = doc_object_opt(top, "floors", &floors, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    json_object_foreach (floors.value, name, value)
        if (!text_is_name(name, BUNDLE_NAME_MAX) || !json_is_integer(value) ||
            json_integer_value(value) < 0 ||
            json_integer_value(value) > BUNDLE_SECURITY_VERSION_MAX)
            return err_set(e, &err_syntax, "%s: not a component and a security version",
                           floors.path);
    return 0;
}

static int check_delegations(const json_t *document, const struct doc_at *top, struct err *e) {
    struct doc_at delegations;
    struct doc_at keys;
    struct doc_at roles;
    int found = doc_object_opt(top, "delegations", &delegations, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (doc_object(&delegations, "keys", &keys, e) < 0 ||
        doc_array(&delegations, "roles", TUF_DELEGATIONS_MAX, &roles, e) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(roles.value); i++) {
        struct doc_at role;
        struct keys_role signers;
        const char *name = NULL;
        if (doc_element(&roles, i, &role, e) < 0 ||
            doc_string(&role, "name", REPO_TARGETS_NAME_MAX, &name, e) < 0)
            return -1;
        if (!is_role_name(name))
            return err_set(e, &err_syntax,
                           "%s.name: a role's name is letters, digits, '.', '_' and '-', and not "
                           "that of a top-level role",
                           role.path);
        if (repo_targets_role(document, name, &signers, e) < 0)
            return err_prefix(e, "%s", role.path);
    }
    return 0;
}

int repo_targets_parse(struct slice signed_part, const char *what, json_t **ret,
                       struct keys_header *ret_header, struct err *e) {
    OWN(json) json_t *document = NULL;
    struct keys_header header;
    struct doc_at top;
    if (keys_canon_parse(signed_part, what, &targets_limits, &document, e) < 0 ||
        doc_root(document, what, &top, e) < 0 ||
        keys_envelope_header(&top, "targets", &header, e) < 0 || check_entries(&top, e) < 0 ||
        check_floors(&top, e) < 0 || check_delegations(document, &top, e) < 0)
        return -1;
    *ret_header = header;
    *ret = own_take(&document);
    return 0;
}

// ── Targets ──────────────────────────────────────────────────────────────────────────────────────

int repo_targets_add(json_t *targets, const struct repo_target *target, struct err *e) {
    char path[BUNDLE_TARGET_PATH_BYTES];
    OWN(json) json_t *entry = repo_target_entry(target);
    json_t *all = member(targets, "targets", json_object);
    if (!entry || !all)
        return no_memory(e);
    const json_t *there = json_object_get(all, bundle_target_path(&target->bundle, path));
    if (there) {
        struct repo_target same;
        if (repo_target_read(path, there, &same, e) < 0)
            return -1;
        bool equal = strcmp(same.sha256, target->sha256) == 0 && same.length == target->length;
        if (equal)
            return REPO_TARGETS_SAME;
        if (!bundle_target_is_delta(&target->bundle))
            return err_set(e, &err_exists, "the target %s is there with other contents", path);
    }
    return json_object_set(all, path, entry) < 0 ? no_memory(e) : 0;
}

int repo_targets_withdraw(json_t *targets, const char *name, const char *release, size_t *ret_n,
                          struct err *e) {
    json_t *all = json_object_get(targets, "targets");
    OWN(json) json_t *before = json_copy(all);
    const char *path = NULL;
    json_t *entry = NULL;
    size_t n = 0;
    json_object_foreach (before, path, entry) {
        struct bundle_target target;
        struct err ignored = ERR_NONE;
        if (bundle_target_parse(path, &target, &ignored) == 0 && strcmp(target.name, name) == 0 &&
            strcmp(target.release, release) == 0)
            n += json_object_del(all, path) == 0;
    }
    if (n == 0)
        return err_set(e, &err_not_found, "the targets do not name %s %s", name, release);
    *ret_n = n;
    return 0;
}

int repo_targets_floor(json_t *targets, const char *component, uint64_t floor, struct err *e) {
    json_t *floors = member(targets, "floors", json_object);
    if (!floors)
        return no_memory(e);
    if (!text_is_name(component, BUNDLE_NAME_MAX) || floor > BUNDLE_SECURITY_VERSION_MAX)
        return err_set(e, &err_usage, "a floor is a component and a number of at most %lld",
                       BUNDLE_SECURITY_VERSION_MAX);
    json_int_t now = json_integer_value(json_object_get(floors, component)); // 0 when there is none
    if (now >= 0 && (uint64_t)now == floor)
        return REPO_TARGETS_SAME;
    if (now < 0 || floor < (uint64_t)now)
        return err_set(e, &err_rollback,
                       "the floor of %s is %lld and never goes down: devices that took it would "
                       "not follow",
                       component, (long long)now);
    return json_object_set_new(floors, component, json_integer((json_int_t)floor)) < 0
               ? no_memory(e)
               : 0;
}

// ── Delegations ──────────────────────────────────────────────────────────────────────────────────

static json_t *roles_of(const json_t *targets) {
    return json_object_get(json_object_get(targets, "delegations"), "roles");
}

size_t repo_targets_n_delegations(const json_t *targets) {
    return json_array_size(roles_of(targets));
}

const char *repo_targets_delegation_name(const json_t *targets, size_t n) {
    const char *name =
        json_string_value(json_object_get(json_array_get(roles_of(targets), n), "name"));
    return name ? name : "";
}

// Its place in the list, or the list's length.
static size_t place_of(const json_t *targets, const char *name) {
    size_t n = 0;
    while (n < repo_targets_n_delegations(targets) &&
           strcmp(repo_targets_delegation_name(targets, n), name) != 0)
        n++;
    return n;
}

static int read_key(const struct doc_at *keys, const char *id, struct keys_role *role,
                    struct err *e) {
    struct doc_at at;
    const char *type = NULL;
    if (doc_object(keys, id, &at, e) < 0 || doc_string(&at, "keytype", 64, &type, e) < 0)
        return -1;
    if (strcmp(type, "ed25519") != 0)
        return 0;
    if (keys_pub_parse(&at, &role->keys[role->n_keys], e) < 0)
        return -1;
    if (strcmp(role->keys[role->n_keys].id, id) != 0)
        return err_set(e, &err_bad_key, "%s: the id of this key is %s", at.path,
                       role->keys[role->n_keys].id);
    role->n_keys++;
    return 0;
}

static bool is_prefix_of(const char *prefix, const char *hex) {
    return strncasecmp(hex, prefix, strlen(prefix)) == 0;
}

static bool any_of(const json_t *list, bool (*fits)(const char *entry, const char *subject),
                   const char *subject) {
    size_t i = 0;
    json_t *entry = NULL;
    json_array_foreach (list, i, entry)
        if (json_is_string(entry) && fits(json_string_value(entry), subject))
            return true;
    return false;
}

bool repo_targets_matches(const json_t *delegation, const char *path) {
    char sha256[KEYS_DIGEST_HEX];
    if (any_of(json_object_get(delegation, "paths"), tuf_delegation_glob, path))
        return true;
    (void)keys_digest_sha256(path, strlen(path), sha256);
    return any_of(json_object_get(delegation, "path_hash_prefixes"), is_prefix_of, sha256);
}

int repo_targets_allows(const json_t *delegation, const char *component, bool executable,
                        struct err *e) {
    const json_t *components = json_object_get(delegation, "components");
    const json_t *may_execute = json_object_get(delegation, "executable");
    const char *role = json_string_value(json_object_get(delegation, "name"));
    bool listed = components == NULL;
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (components, i, one)
        listed = listed || (json_is_string(one) && strcmp(json_string_value(one), component) == 0);
    if (!listed)
        return err_set(e, &err_delegation, "the role %s is not trusted with the component %s", role,
                       component);
    if (executable && may_execute && !json_is_true(may_execute))
        return err_set(e, &err_delegation,
                       "the role %s is not trusted with anything executable, as %s is", role,
                       component);
    return 0;
}

int repo_targets_role(const json_t *targets, const char *name, struct keys_role *ret,
                      struct err *e) {
    size_t n = place_of(targets, name);
    if (n == repo_targets_n_delegations(targets))
        return REPO_TARGETS_ABSENT;
    struct doc_at delegations;
    struct doc_at keys;
    struct doc_at role = {.value = json_array_get(roles_of(targets), n)};
    struct doc_at ids;
    uint64_t threshold = 0;
    (void)snprintf(role.path, sizeof role.path, "the delegation to %s", name);
    if (doc_root(json_object_get(targets, "delegations"), "delegations", &delegations, e) < 0 ||
        doc_object(&delegations, "keys", &keys, e) < 0 ||
        doc_array(&role, "keyids", KEYS_ROLE_KEYS_MAX, &ids, e) < 0 ||
        doc_u64(&role, "threshold", 1, KEYS_ROLE_KEYS_MAX, &threshold, e) < 0)
        return -1;
    struct keys_role found = {.threshold = (size_t)threshold};
    for (size_t i = 0; i < json_array_size(ids.value); i++) {
        const char *id = NULL;
        if (doc_element_string(&ids, i, KEYS_ID_HEX - 1, &id, e) < 0 ||
            read_key(&keys, id, &found, e) < 0)
            return -1;
    }
    *ret = found;
    return 0;
}

static bool is_used(const json_t *targets, const char *keyid) {
    size_t i = 0;
    json_t *role = NULL;
    json_array_foreach (roles_of(targets), i, role) {
        size_t k = 0;
        json_t *id = NULL;
        json_array_foreach (json_object_get(role, "keyids"), k, id)
            if (json_is_string(id) && strcmp(json_string_value(id), keyid) == 0)
                return true;
    }
    return false;
}

static void drop_unused_keys(json_t *targets) {
    json_t *keys = json_object_get(json_object_get(targets, "delegations"), "keys");
    OWN(json) json_t *before = json_copy(keys);
    const char *id = NULL;
    json_t *key = NULL;
    json_object_foreach (before, id, key)
        if (!is_used(targets, id))
            (void)json_object_del(keys, id);
}

// A pattern that nothing could match, or that no targets file can hold.
static int check_pattern(const char *pattern, struct err *e) {
    char shown[80];
    bool plain = *pattern && text_is_utf8(pattern, strlen(pattern));
    for (const char *at = pattern; *at; at++)
        plain = plain && (unsigned char)*at >= 0x20 && *at != 0x7f;
    if (plain)
        return 0;
    return err_set(e, &err_usage,
                   "the path \"%s\" is no pattern: it is empty, or holds a control character or "
                   "what is no UTF-8; patterns look like NAME/*/*",
                   text_safe(pattern, shown, sizeof shown));
}

static int check_wanted(const struct repo_targets_delegation *d, struct err *e) {
    if (!is_role_name(d->name))
        return err_set(e, &err_usage,
                       "\"%.80s\" cannot be a delegated role: letters, digits, '.', '_' and '-', "
                       "and not the name of a role of the root",
                       d->name);
    if (d->n_paths == 0 || d->n_paths > REPO_TARGETS_PATTERNS_MAX)
        return err_set(e, &err_usage, "a delegation has 1 to %d patterns of paths",
                       REPO_TARGETS_PATTERNS_MAX);
    for (size_t i = 0; i < d->n_paths; i++)
        if (check_pattern(d->paths[i], e) < 0)
            return -1;
    if (d->role->threshold == 0 || d->role->threshold > d->role->n_keys)
        return err_set(e, &err_bad_key, "a threshold of %zu cannot be met by %zu keys",
                       d->role->threshold, d->role->n_keys);
    return 0;
}

static json_t *list_of(const char *const *words, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, json_string(words[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *make_delegation(const struct repo_targets_delegation *d) {
    const char *ids[KEYS_ROLE_KEYS_MAX];
    for (size_t i = 0; i < d->role->n_keys; i++)
        ids[i] = d->role->keys[i].id;
    json_t *made =
        json_pack("{s:s, s:o, s:o, s:b, s:I}", "name", d->name, "keyids",
                  list_of(ids, d->role->n_keys), "paths", list_of(d->paths, d->n_paths),
                  "terminating", d->terminating, "threshold", (json_int_t)d->role->threshold);
    if (made && !d->any_component &&
        json_object_set_new(made, "components", list_of(d->components, d->n_components)) < 0) {
        json_decref(made);
        return NULL;
    }
    if (made && !d->executable)
        (void)json_object_set_new(made, "executable", json_false());
    return made;
}

static int add_keys(json_t *keys, const struct keys_role *role, struct err *e) {
    for (size_t i = 0; i < role->n_keys; i++) {
        json_t *key = NULL;
        if (keys_pub_format(&role->keys[i], &key, e) < 0)
            return -1;
        if (json_object_set_new(keys, role->keys[i].id, key) < 0)
            return no_memory(e);
    }
    return 0;
}

int repo_targets_delegate(json_t *targets, const struct repo_targets_delegation *delegation,
                          struct err *e) {
    if (check_wanted(delegation, e) < 0)
        return -1;
    OWN(json) json_t *made = make_delegation(delegation);
    json_t *delegations = member(targets, "delegations", json_object);
    json_t *keys = delegations ? member(delegations, "keys", json_object) : NULL;
    json_t *roles = delegations ? member(delegations, "roles", json_array) : NULL;
    if (!made || !keys || !roles)
        return no_memory(e);
    size_t n = place_of(targets, delegation->name);
    bool there = n < json_array_size(roles);
    if (there && json_equal(json_array_get(roles, n), made))
        return REPO_TARGETS_SAME;
    if (add_keys(keys, delegation->role, e) < 0)
        return -1;
    if ((there ? json_array_set(roles, n, made) : json_array_append(roles, made)) < 0)
        return no_memory(e);
    drop_unused_keys(targets);
    return 0;
}

int repo_targets_undelegate(json_t *targets, const char *name, struct err *e) {
    size_t n = place_of(targets, name);
    if (n == repo_targets_n_delegations(targets))
        return err_set(e, &err_not_found, "nothing is delegated to \"%.80s\"", name);
    (void)json_array_remove(roles_of(targets), n);
    drop_unused_keys(targets);
    return 0;
}

// ── Writing ──────────────────────────────────────────────────────────────────────────────────────

int repo_targets_format(const json_t *targets, const struct keys_header *header, struct buf *ret,
                        struct err *e) {
    char issued[CHRONO_TEXT_BYTES];
    char expires[CHRONO_TEXT_BYTES];
    OWN(json) json_t *whole = json_copy((json_t *)(uintptr_t)targets);
    OWN(json)
    json_t *head = json_pack("{s:s, s:s, s:s, s:s, s:I}", "_type", "targets", "expires",
                             chrono_format(header->expires_s, expires), "issued",
                             chrono_format(header->issued_s, issued), "spec_version",
                             KEYS_SPEC_VERSION, "version", (json_int_t)header->version);
    if (!whole || !head || json_object_update(whole, head) < 0)
        return no_memory(e);
    return keys_canon_format(whole, ret, e);
}
