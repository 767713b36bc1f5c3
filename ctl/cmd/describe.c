// SPDX-License-Identifier: Apache-2.0
//
// Changes in words; see describe.h.
#include "ctl/cmd/describe.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/target.h"
#include "ctl/cmd/print.h"

#define LINE_BYTES 1024

struct words {
    const struct cmd_keyring *ring;
    json_t *lines;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *w, const char *format, ...) {
    char line[LINE_BYTES], shown[LINE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (json_array_append_new(w->lines, json_string(text_safe(line, shown, sizeof shown))) < 0)
        w->failed = true;
}

static bool has_string(const json_t *array, const char *text) {
    size_t i;
    json_t *one;
    json_array_foreach ((json_t *)array, i, one)
        if (json_is_string(one) && strcmp(json_string_value(one), text) == 0)
            return true;
    return false;
}

// "a, b, c" of an array of strings.
static const char *list_of(const json_t *array, char ret[static LINE_BYTES / 4]) {
    size_t i, used = 0;
    json_t *one;
    (void)snprintf(ret, LINE_BYTES / 4, "%s", json_array_size(array) == 0 ? "none" : "");
    json_array_foreach ((json_t *)array, i, one) {
        const char *text = json_is_string(one) ? json_string_value(one) : "?";
        int n = snprintf(ret + used, LINE_BYTES / 4 - used, "%s%s", used ? ", " : "", text);
        used += n > 0 ? (size_t)n : 0;
        if (used >= LINE_BYTES / 4)
            break;
    }
    return ret;
}

// ── Roles, of a root or of delegations ───────────────────────────────────────────────────────────

static void compare_keys(struct words *w, const char *what, const char *name, const json_t *before,
                         const json_t *after) {
    char label[CMD_KEYRING_LABEL_BYTES];
    const json_t *old_ids = json_object_get(before, "keyids");
    const json_t *new_ids = json_object_get(after, "keyids");
    size_t i;
    json_t *id;
    json_array_foreach ((json_t *)new_ids, i, id)
        if (json_is_string(id) && !has_string(old_ids, json_string_value(id)))
            say(w, "%s %s: key %s is added", what, name,
                cmd_keyring_label(w->ring, json_string_value(id), label));
    json_array_foreach ((json_t *)old_ids, i, id)
        if (json_is_string(id) && !has_string(new_ids, json_string_value(id)))
            say(w, "%s %s: key %s is taken away", what, name,
                cmd_keyring_label(w->ring, json_string_value(id), label));
}

static void compare_member(struct words *w, const char *what, const char *name, const char *member,
                           const json_t *before, const json_t *after) {
    char old_text[LINE_BYTES / 4] = "any", new_text[LINE_BYTES / 4] = "any";
    json_t *a = json_object_get(before, member), *b = json_object_get(after, member);
    if (json_equal(a, b) || (!a && !b))
        return;
    if ((!a || json_is_array(a)) && (!b || json_is_array(b))) {
        if (a)
            (void)list_of(a, old_text);
        if (b)
            (void)list_of(b, new_text);
    } else {
        OWN(mem) char *x = a ? json_dumps(a, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        OWN(mem) char *y = b ? json_dumps(b, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        (void)snprintf(old_text, sizeof old_text, "%s", x ? x : "not said");
        (void)snprintf(new_text, sizeof new_text, "%s", y ? y : "not said");
    }
    if (before)
        say(w, "%s %s: %s was %s, becomes %s", what, name, member, old_text, new_text);
    else
        say(w, "%s %s: %s %s", what, name, member, new_text);
}

static void compare_role(struct words *w, const char *what, const char *name, const json_t *before,
                         const json_t *after) {
    const char *member;
    json_t *value;
    if (!after) {
        say(w, "%s %s is taken away", what, name);
        return;
    }
    if (!before)
        say(w, "%s %s is new", what, name);
    compare_keys(w, what, name, before, after);
    json_object_foreach ((json_t *)after, member, value)
        if (strcmp(member, "keyids") != 0 && strcmp(member, "name") != 0)
            compare_member(w, what, name, member, before, after);
    json_object_foreach ((json_t *)before, member, value)
        if (strcmp(member, "keyids") != 0 && !json_object_get(after, member))
            compare_member(w, what, name, member, before, after);
}

// The role in either of the two places where roots have had it.
static json_t *root_role(const json_t *root, const char *name) {
    json_t *role = json_object_get(json_object_get(root, "edge_roles"), name);
    return role ? role : json_object_get(json_object_get(root, "roles"), name);
}

static void compare_root(struct words *w, const json_t *before, const json_t *after) {
    static const char *const places[] = {"roles", "edge_roles"};
    const char *name;
    json_t *role;
    for (size_t i = 0; i < 2; i++)
        json_object_foreach (json_object_get(after, places[i]), name, role)
            compare_role(w, "role", name, root_role(before, name), role);
    for (size_t i = 0; i < 2; i++)
        json_object_foreach (json_object_get(before, places[i]), name, role)
            if (!root_role(after, name))
                compare_role(w, "role", name, role, NULL);
}

// ── Targets ──────────────────────────────────────────────────────────────────────────────────────

static bool is_delta(const char *path) {
    struct bundle_target target;
    struct err ignored = ERR_NONE;
    return bundle_target_parse(path, &target, &ignored) == 0 && bundle_target_is_delta(&target);
}

// A bundle's path never means two contents; for a delta a better one may come.
static void compare_targets(struct words *w, const json_t *before, const json_t *after) {
    const char *path;
    json_t *target;
    json_object_foreach ((json_t *)after, path, target) {
        const json_t *old = json_object_get(before, path);
        if (!old)
            say(w, "target %s is added", path);
        else if (!json_equal(old, target) && is_delta(path))
            say(w, "target %s: another delta takes its place", path);
        else if (!json_equal(old, target))
            say(w, "target %s CHANGES: other contents under the same path", path);
    }
    json_object_foreach ((json_t *)before, path, target)
        if (!json_object_get(after, path))
            say(w, "target %s is withdrawn", path);
}

static void compare_floors(struct words *w, const json_t *before, const json_t *after) {
    const char *component;
    json_t *floor;
    json_object_foreach ((json_t *)after, component, floor) {
        const json_t *old = json_object_get(before, component);
        json_int_t was = json_integer_value(old), is = json_integer_value(floor);
        if (old && was == is)
            continue;
        if (old)
            say(w, "floor of %s: was %lld, becomes %lld%s", component, (long long)was,
                (long long)is, is < was ? " (devices keep the higher one)" : "");
        else
            say(w, "floor of %s: none before, becomes %lld", component, (long long)is);
    }
    json_object_foreach ((json_t *)before, component, floor)
        if (!json_object_get(after, component))
            say(w, "floor of %s is taken away (devices keep it)", component);
}

static json_t *delegated(const json_t *targets, const char *name) {
    size_t i;
    json_t *role;
    json_array_foreach (json_object_get(json_object_get(targets, "delegations"), "roles"), i, role)
        if (strcmp(cmd_print_string(role, "name"), name) == 0)
            return role;
    return NULL;
}

static void compare_delegations(struct words *w, const json_t *before, const json_t *after) {
    size_t i;
    json_t *role;
    json_array_foreach (json_object_get(json_object_get(after, "delegations"), "roles"), i, role) {
        const char *name = cmd_print_string(role, "name");
        compare_role(w, "delegation", name, delegated(before, name), role);
    }
    json_array_foreach (json_object_get(json_object_get(before, "delegations"), "roles"), i, role) {
        const char *name = cmd_print_string(role, "name");
        if (!delegated(after, name))
            compare_role(w, "delegation", name, role, NULL);
    }
}

// ── Keys that no role names ──────────────────────────────────────────────────────────────────────

static bool lists_key(const json_t *role, const char *keyid) {
    return has_string(json_object_get(role, "keyids"), keyid);
}

// Whether a role of the root, or a delegation, has the key.
static bool is_in_role(const json_t *content, const char *keyid) {
    static const char *const places[] = {"roles", "edge_roles"};
    const json_t *delegations = json_object_get(content, "delegations");
    const char *name;
    json_t *role;
    size_t k;
    for (size_t i = 0; i < 2; i++)
        json_object_foreach (json_object_get(content, places[i]), name, role)
            if (lists_key(role, keyid))
                return true;
    json_array_foreach (json_object_get(delegations, "roles"), k, role)
        if (lists_key(role, keyid))
            return true;
    return false;
}

static const json_t *keys_of(const json_t *content) {
    const json_t *keys = json_object_get(content, "keys");
    return keys ? keys : json_object_get(json_object_get(content, "delegations"), "keys");
}

// Keys of roles are shown with their roles. What is listed beyond them is nobody's, and still signed.
static void compare_stray_keys(struct words *w, const json_t *before, const json_t *after) {
    char label[CMD_KEYRING_LABEL_BYTES];
    const json_t *old_keys = keys_of(before), *new_keys = keys_of(after);
    const char *id;
    json_t *key;
    json_object_foreach ((json_t *)new_keys, id, key) {
        const json_t *old = json_object_get(old_keys, id);
        if (old && !json_equal(old, key))
            say(w, "key %s CHANGES: another key under the same id",
                cmd_keyring_label(w->ring, id, label));
        else if (!old && !is_in_role(after, id))
            say(w, "key %s is added, and no role names it", cmd_keyring_label(w->ring, id, label));
    }
    json_object_foreach ((json_t *)old_keys, id, key)
        if (!json_object_get(new_keys, id) && !is_in_role(before, id))
            say(w, "key %s, which no role named, is taken away",
                cmd_keyring_label(w->ring, id, label));
}

// ── All of it ────────────────────────────────────────────────────────────────────────────────────

static void compare_value(struct words *w, const char *member, const json_t *before,
                          const json_t *after) {
    OWN(mem) char *was = before ? json_dumps(before, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    OWN(mem) char *is = after ? json_dumps(after, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if ((before && !was) || (after && !is))
        w->failed = true;
    else if (!is)
        say(w, "member \"%s\" is taken away; it was %.200s", member, was);
    else if (!was)
        say(w, "member \"%s\" is new: %.200s", member, is);
    else if (!json_equal(before, after))
        say(w, "member \"%s\" was %.200s, becomes %.200s", member, was, is);
}

// Members that have words of their own, or change with every version.
static void compare_rest(struct words *w, const json_t *before, const json_t *after) {
    static const char *const known[] = {"_type",  "delegations",  "edge_roles", "expires",
                                        "floors", "issued",       "keys",       "previous",
                                        "roles",  "spec_version", "targets",    "version"};
    const char *member;
    json_t *value;
    OWN(json) json_t *all = json_object();
    if (!all || json_object_update(all, (json_t *)before) < 0 ||
        json_object_update(all, (json_t *)after) < 0) {
        w->failed = true;
        return;
    }
    json_object_foreach (all, member, value) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            is_known = is_known || strcmp(known[i], member) == 0;
        if (!is_known)
            compare_value(w, member, json_object_get(before, member),
                          json_object_get(after, member));
    }
}

int cmd_describe_changes(const struct cmd_document *before, const struct cmd_document *after,
                         const struct cmd_keyring *ring, json_t **ret, struct err *e) {
    OWN(json) json_t *nothing = json_object();
    OWN(json) json_t *lines = json_array();
    struct words w = {.ring = ring, .lines = lines, .failed = !nothing || !lines};
    if (!w.failed) {
        const json_t *old = before ? before->content : nothing;
        const json_t *new = after->content;
        if (strcmp(after->type, "root") == 0)
            compare_root(&w, old, new);
        compare_targets(&w, json_object_get(old, "targets"), json_object_get(new, "targets"));
        compare_floors(&w, json_object_get(old, "floors"), json_object_get(new, "floors"));
        compare_delegations(&w, old, new);
        compare_stray_keys(&w, old, new);
        compare_rest(&w, old, new);
    }
    if (w.failed)
        return err_set(e, &err_memory, "comparing metadata: no memory");
    *ret = own_take(&lines);
    return 0;
}

void cmd_describe_print(const struct cmd_document *document, const char *name,
                        const json_t *changes) {
    char issued[CHRONO_TEXT_BYTES], expires[CHRONO_TEXT_BYTES];
    size_t i;
    json_t *line;
    (void)printf("%s, version %llu, issued %s, expires %s\n", name,
                 (unsigned long long)document->header.version,
                 chrono_format(document->header.issued_s, issued),
                 chrono_format(document->header.expires_s, expires));
    json_array_foreach ((json_t *)changes, i, line) {
        (void)fputs("  ", stdout);
        cmd_print_text(json_string_value(line));
        (void)putchar('\n');
    }
    if (json_array_size(changes) == 0)
        (void)puts("  nothing but version and dates changes");
}
