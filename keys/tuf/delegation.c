// SPDX-License-Identifier: Apache-2.0
//
// Delegations: their form, once, and then what they are trusted for.
#include "keys/tuf/delegation.h"

#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "base/text.h"
#include "keys/tuf/form.h"

// ── Form ───────────────────────────────────────────────────────────────────────────────────────

static const char *name_of(struct tuf_json_at role) {
    struct tuf_json_at at;
    return tuf_json_find_type(role, "name", TUF_JSON_STRING, &at) ? tuf_json_string(at, NULL) : "";
}

// A name, appended to the n that were read before; it must not be one of them. They are kept, since
// a member is found by walking: looked up again for each pair, hostile ones would take minutes.
static int add_name(struct tuf_json_at role, const char **names, size_t n, const char *what,
                    struct err *e) {
    const char *name = name_of(role);
    char shown[80];
    if (*name == '\0' || strlen(name) > TUF_NAME_MAX)
        return err_set(e, &err_syntax, "%s: a delegation without a name of 1 to %d bytes", what,
                       TUF_NAME_MAX);
    for (size_t i = 0; i < TUF_TYPES; i++)
        if (strcmp(name, tuf_type_names[i]) == 0)
            return err_set(e, &err_syntax, "%s: the role %s cannot be delegated", what, name);
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return err_set(e, &err_syntax, "%s: \"%s\" is delegated to twice", what,
                           text_safe(name, shown, sizeof shown));
    names[n] = name;
    return 0;
}

static int check_paths(struct tuf_json_at role, const char *what, struct err *e) {
    struct tuf_json_at list;
    struct tuf_json_at prefixes;
    struct tuf_json_at at;
    bool by_path = tuf_json_find(role, "paths", &list);
    bool by_hash = tuf_json_find(role, "path_hash_prefixes", &prefixes);
    if (by_path == by_hash)
        return err_set(e, &err_syntax,
                       "%s: a delegation has either \"paths\" or \"path_hash_prefixes\"", what);
    const char *member = by_path ? "paths" : "path_hash_prefixes";
    if (tuf_form_member(role, member, TUF_JSON_ARRAY, what, &list, e) < 0)
        return -1;
    if (tuf_json_count(list) > TUF_DELEGATION_PATHS_MAX)
        return err_set(e, &err_limit, "%s: %zu entries of \"%s\"; at most %d are allowed", what,
                       tuf_json_count(list), member, TUF_DELEGATION_PATHS_MAX);
    for (bool is = tuf_json_first(list, &at, NULL); is; is = tuf_json_next(list, &at, NULL))
        if (tuf_json_type(at) != TUF_JSON_STRING ||
            strlen(tuf_json_string(at, NULL)) > TUF_PATH_MAX)
            return err_set(e, &err_syntax, "%s: \"%s\" holds strings of at most %d bytes", what,
                           member, TUF_PATH_MAX);
    return 0;
}

static int check_role(struct tuf_json_at keys, struct tuf_json_at role, const char *what,
                      struct err *e) {
    struct tuf_role read;
    bool terminating;
    if (tuf_role_read(keys, role, what, &read, e) < 0 ||
        tuf_form_bool(role, "terminating", what, &terminating, e) < 0)
        return -1;
    return check_paths(role, what, e);
}

int tuf_delegation_check(struct tuf_json_at delegations, const char *what, struct err *e) {
    struct tuf_json_at keys;
    struct tuf_json_at roles;
    struct tuf_json_at at;
    const char *names[TUF_DELEGATIONS_MAX];
    size_t n = 0;
    if (tuf_form_member(delegations, "keys", TUF_JSON_OBJECT, what, &keys, e) < 0 ||
        tuf_form_keys(keys, what, e) < 0 ||
        tuf_form_member(delegations, "roles", TUF_JSON_ARRAY, what, &roles, e) < 0)
        return -1;
    if (tuf_json_count(roles) > TUF_DELEGATIONS_MAX)
        return err_set(e, &err_limit, "%s: %zu delegations; at most %d are allowed", what,
                       tuf_json_count(roles), TUF_DELEGATIONS_MAX);
    for (bool is = tuf_json_first(roles, &at, NULL); is; is = tuf_json_next(roles, &at, NULL))
        if (add_name(at, names, n++, what, e) < 0 || check_role(keys, at, what, e) < 0)
            return -1;
    return 0;
}

// ── Reading ────────────────────────────────────────────────────────────────────────────────────

size_t tuf_delegation_count(const struct tuf_metadata *targets) {
    struct tuf_json_at at;
    if (!tuf_json_find(tuf_metadata_signed(targets), "delegations", &at))
        return 0;
    (void)tuf_json_find(at, "roles", &at);
    return tuf_json_count(at);
}

void tuf_delegation_get(const struct tuf_metadata *targets, size_t n, struct tuf_delegation *ret) {
    struct tuf_json_at delegations;
    struct tuf_json_at roles;
    struct tuf_json_at at;
    struct tuf_json_at keys;
    struct err none = ERR_NONE;
    (void)tuf_json_find(tuf_metadata_signed(targets), "delegations", &delegations);
    (void)tuf_json_find(delegations, "keys", &keys);
    (void)tuf_json_find(delegations, "roles", &roles);
    (void)tuf_json_first(roles, &at, NULL);
    while (n-- > 0)
        (void)tuf_json_next(roles, &at, NULL);
    *ret = (struct tuf_delegation){.name = name_of(at), .object = at};
    (void)tuf_role_read(keys, at, ret->name, &ret->role, &none);
    (void)tuf_form_bool(at, "terminating", ret->name, &ret->terminating, &none);
}

// ── Paths ──────────────────────────────────────────────────────────────────────────────────────

// Where a set that begins at `[` ends, or NULL: then the bracket stands for itself. A `]` that
// comes first is one of the set.
static const char *set_end(const char *set) {
    const char *at = set + 1;
    at += *at == '!';
    at += *at == ']';
    at += strcspn(at, "]/");
    return *at == ']' ? at : NULL;
}

static bool in_set(const char *set, const char *end, unsigned char c) {
    const char *at = set + 1;
    bool negated = *at == '!';
    bool found = false;
    for (at += negated; at < end; at++) {
        unsigned char low = (unsigned char)at[0];
        unsigned char high = low;
        if (at[1] == '-' && at + 2 < end) {
            high = (unsigned char)at[2];
            at += 2;
        }
        found |= low <= c && c <= high;
    }
    return found != negated;
}

// Whether the first element of the pattern takes this byte; *ret_next is behind the element.
static bool takes(const char *pattern, char c, const char **ret_next) {
    const char *end = *pattern == '[' ? set_end(pattern) : NULL;
    *ret_next = end ? end + 1 : pattern + 1;
    if (end)
        return c != '/' && in_set(pattern, end, (unsigned char)c);
    return *pattern == '?' ? c != '/' : *pattern == c;
}

bool tuf_delegation_glob(const char *pattern, const char *path) {
    const char *star = NULL;  // behind the last `*`, which never takes a '/'
    const char *taken = NULL; // what it has to take before the rest is tried again
    while (*path != '\0') {
        const char *next = NULL;
        if (*pattern == '*') {
            star = ++pattern;
            taken = path;
        } else if (*pattern != '\0' && takes(pattern, *path, &next)) {
            pattern = next;
            path++;
        } else if (star && *taken != '/') {
            pattern = star;
            path = ++taken;
        } else {
            return false;
        }
    }
    pattern += strspn(pattern, "*");
    return *pattern == '\0';
}

static bool has_prefix(const char *prefix, const char *hex) {
    return strncasecmp(prefix, hex, strlen(prefix)) == 0;
}

static bool any(struct tuf_json_at list, bool (*matches)(const char *entry, const char *subject),
                const char *subject) {
    struct tuf_json_at at;
    for (bool is = tuf_json_first(list, &at, NULL); is; is = tuf_json_next(list, &at, NULL))
        if (tuf_json_type(at) == TUF_JSON_STRING && matches(tuf_json_string(at, NULL), subject))
            return true;
    return false;
}

bool tuf_delegation_matches(const struct tuf_delegation *delegation, const char *path) {
    struct tuf_json_at list;
    uint8_t digest[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof digest + 1];
    if (tuf_json_find(delegation->object, "paths", &list))
        return any(list, tuf_delegation_glob, path);
    (void)tuf_json_find(delegation->object, "path_hash_prefixes", &list);
    (void)crypto_hash_sha256(digest, (const unsigned char *)path, strlen(path));
    text_hex(digest, sizeof digest, hex);
    return any(list, has_prefix, hex);
}

// ── Further members ────────────────────────────────────────────────────────────────────────────

static bool is_equal(const char *entry, const char *subject) {
    return strcmp(entry, subject) == 0;
}

bool tuf_delegation_allows_component(const struct tuf_delegation *delegation,
                                     const char *component) {
    struct tuf_json_at list;
    if (!tuf_json_find(delegation->object, "components", &list))
        return true;
    return tuf_json_type(list) == TUF_JSON_ARRAY && any(list, is_equal, component);
}

bool tuf_delegation_allows_executable(const struct tuf_delegation *delegation) {
    struct tuf_json_at at;
    return !tuf_json_find(delegation->object, "executable", &at) ||
           tuf_json_type(at) == TUF_JSON_TRUE;
}
