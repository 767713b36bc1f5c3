// SPDX-License-Identifier: Apache-2.0
//
// Walks a signed part once. What TUF does not name is passed over; what it names must be there in
// the type and range that the specification gives.
#include <inttypes.h>
#include <string.h>

#include "base/chrono.h"
#include "keys/kind.h"
#include "keys/tuf/delegation.h"
#include "keys/tuf/form.h"

#define HASH_NAME_MAX 64
#define FILE_NAME_MAX (TUF_NAME_MAX + 5) // ".json"

static const char *const type_words[] = {
    [TUF_JSON_NULL] = "null",        [TUF_JSON_FALSE] = "false",
    [TUF_JSON_TRUE] = "true",        [TUF_JSON_INTEGER] = "an integer",
    [TUF_JSON_STRING] = "a string",  [TUF_JSON_ARRAY] = "an array",
    [TUF_JSON_OBJECT] = "an object",
};

// ── Members ────────────────────────────────────────────────────────────────────────────────────

int tuf_form_member(struct tuf_json_at object, const char *name, enum tuf_json_type type,
                    const char *what, struct tuf_json_at *ret, struct err *e) {
    if (!tuf_json_find_type(object, name, type, ret))
        return err_set(e, &err_syntax, "%s: \"%s\" must be there and be %s", what, name,
                       type_words[type]);
    return 0;
}

int tuf_form_integer(struct tuf_json_at object, const char *name, int64_t min, const char *what,
                     uint64_t *ret, struct err *e) {
    struct tuf_json_at at;
    if (tuf_form_member(object, name, TUF_JSON_INTEGER, what, &at, e) < 0)
        return -1;
    if (tuf_json_integer(at) < min)
        return err_set(e, &err_syntax, "%s: \"%s\" is %" PRId64 "; at least %" PRId64 " is allowed",
                       what, name, tuf_json_integer(at), min);
    *ret = (uint64_t)tuf_json_integer(at);
    return 0;
}

int tuf_form_bool(struct tuf_json_at object, const char *name, const char *what, bool *ret,
                  struct err *e) {
    struct tuf_json_at at;
    if (!tuf_json_find_type(object, name, TUF_JSON_FALSE, &at) &&
        !tuf_json_find_type(object, name, TUF_JSON_TRUE, &at))
        return err_set(e, &err_syntax, "%s: \"%s\" must be there and be true or false", what, name);
    *ret = tuf_json_type(at) == TUF_JSON_TRUE;
    return 0;
}

int tuf_form_members(struct tuf_json_at object, enum tuf_json_type type, size_t max,
                     size_t max_name, const char *what, struct err *e) {
    if (tuf_json_count(object) > max)
        return err_set(e, &err_limit, "%s: %zu members in one object; at most %zu are allowed",
                       what, tuf_json_count(object), max);
    struct tuf_json_at at;
    const char *name;
    for (bool is = tuf_json_first(object, &at, &name); is; is = tuf_json_next(object, &at, &name)) {
        // 0 wraps around.
        if (strlen(name) - 1 >= max_name)
            return err_set(e, &err_limit, "%s: a name of %zu bytes; 1 to %zu are allowed", what,
                           strlen(name), max_name);
        if (tuf_json_type(at) != type)
            return err_set(e, &err_syntax, "%s: a member that is not %s", what, type_words[type]);
    }
    return 0;
}

// ── Parts ──────────────────────────────────────────────────────────────────────────────────────

int tuf_form_keys(struct tuf_json_at keys, const char *what, struct err *e) {
    struct tuf_json_at key;
    struct tuf_json_at at;
    const char *id;
    if (tuf_form_members(keys, TUF_JSON_OBJECT, TUF_KEYS_MAX, TUF_KEY_ID_MAX, what, e) < 0)
        return -1;
    for (bool is = tuf_json_first(keys, &key, &id); is; is = tuf_json_next(keys, &key, &id))
        if (tuf_form_member(key, "keytype", TUF_JSON_STRING, what, &at, e) < 0 ||
            tuf_form_member(key, "scheme", TUF_JSON_STRING, what, &at, e) < 0 ||
            tuf_form_member(key, "keyval", TUF_JSON_OBJECT, what, &at, e) < 0)
            return -1;
    return 0;
}

// An empty one would be no check at all, so it is none.
static int check_hashes(struct tuf_json_at object, const char *what, struct err *e) {
    struct tuf_json_at hashes;
    if (tuf_form_member(object, "hashes", TUF_JSON_OBJECT, what, &hashes, e) < 0)
        return -1;
    if (tuf_json_count(hashes) == 0)
        return err_set(e, &err_syntax, "%s: \"hashes\" is empty", what);
    return tuf_form_members(hashes, TUF_JSON_STRING, TUF_FORM_HASHES_MAX, HASH_NAME_MAX, what, e);
}

static int check_meta_entry(struct tuf_json_at entry, const char *what, struct err *e) {
    struct tuf_json_at at;
    uint64_t number;
    if (tuf_form_integer(entry, "version", 1, what, &number, e) < 0)
        return -1;
    if (tuf_json_find(entry, "length", &at) &&
        tuf_form_integer(entry, "length", 0, what, &number, e) < 0)
        return -1;
    return tuf_json_find(entry, "hashes", &at) ? check_hashes(entry, what, e) : 0;
}

// A list of files, `needed` among them.
static int check_meta(struct tuf_json_at signed_part, const char *needed, const char *what,
                      struct tuf_form *ret, struct err *e) {
    struct tuf_json_at at;
    const char *name;
    if (tuf_form_member(signed_part, "meta", TUF_JSON_OBJECT, what, &ret->meta, e) < 0 ||
        tuf_form_members(ret->meta, TUF_JSON_OBJECT, TUF_META_FILES_MAX, FILE_NAME_MAX, what, e) <
            0 ||
        tuf_form_member(ret->meta, needed, TUF_JSON_OBJECT, what, &at, e) < 0)
        return -1;
    for (bool is = tuf_json_first(ret->meta, &at, &name); is;
         is = tuf_json_next(ret->meta, &at, &name))
        if (check_meta_entry(at, what, e) < 0)
            return -1;
    return 0;
}

void tuf_form_meta(struct tuf_json_at entry, struct tuf_meta *ret) {
    struct tuf_json_at at;
    *ret = (struct tuf_meta){.has_length = tuf_json_find(entry, "length", &at)};
    if (ret->has_length)
        ret->length = (uint64_t)tuf_json_integer(at);
    ret->has_hashes = tuf_json_find(entry, "hashes", &ret->hashes);
    (void)tuf_json_find(entry, "version", &at);
    ret->version = (uint64_t)tuf_json_integer(at);
}

// ── Types ──────────────────────────────────────────────────────────────────────────────────────

static int read_root(struct tuf_json_at signed_part, const char *what, struct tuf_form *ret,
                     struct err *e) {
    struct tuf_json_at keys;
    struct tuf_json_at roles;
    struct tuf_json_at at;
    if (tuf_json_find(signed_part, "consistent_snapshot", &at) &&
        tuf_form_bool(signed_part, "consistent_snapshot", what, &ret->is_consistent, e) < 0)
        return -1;
    // Both are objects: its own role was read from them, before its signatures.
    (void)tuf_json_find(signed_part, "keys", &keys);
    (void)tuf_json_find(signed_part, "roles", &roles);
    if (tuf_form_keys(keys, what, e) < 0)
        return -1;
    for (size_t i = 0; i < TUF_TYPES; i++)
        if (tuf_form_member(roles, tuf_type_names[i], TUF_JSON_OBJECT, what, &at, e) < 0 ||
            tuf_role_read(keys, at, what, &ret->roles[i], e) < 0)
            return -1;
    return 0;
}

static int read_timestamp(struct tuf_json_at signed_part, const char *what, struct tuf_form *ret,
                          struct err *e) {
    if (check_meta(signed_part, "snapshot.json", what, ret, e) < 0)
        return -1;
    if (tuf_json_count(ret->meta) != 1)
        return err_set(e, &err_syntax, "%s: it names other files beside snapshot.json", what);
    return 0;
}

static int read_snapshot(struct tuf_json_at signed_part, const char *what, struct tuf_form *ret,
                         struct err *e) {
    return check_meta(signed_part, "targets.json", what, ret, e);
}

static int read_targets(struct tuf_json_at signed_part, const char *what, struct tuf_form *ret,
                        struct err *e) {
    struct tuf_json_at at;
    const char *path;
    uint64_t length;
    if (tuf_form_member(signed_part, "targets", TUF_JSON_OBJECT, what, &ret->targets, e) < 0 ||
        tuf_form_members(ret->targets, TUF_JSON_OBJECT, TUF_JSON_VALUES_MAX, TUF_PATH_MAX, what,
                         e) < 0)
        return -1;
    for (bool is = tuf_json_first(ret->targets, &at, &path); is;
         is = tuf_json_next(ret->targets, &at, &path))
        if (tuf_form_integer(at, "length", 0, what, &length, e) < 0 ||
            check_hashes(at, what, e) < 0)
            return -1;
    return tuf_json_find(signed_part, "delegations", &at) ? tuf_delegation_check(at, what, e) : 0;
}

// ── The whole ──────────────────────────────────────────────────────────────────────────────────

// "1.0" or "1.0.31"; another major number is another format.
static int check_spec_version(const char *text, const char *what, struct err *e) {
    size_t numbers = 0;
    const char *at = text;
    for (size_t digits = 0; (digits = strspn(at, "0123456789")) > 0; at++) {
        numbers++;
        at += digits;
        if (*at != '.')
            break;
    }
    if (*at != '\0' || numbers < 2 || numbers > 3)
        return err_set(e, &err_syntax, "%s: \"spec_version\" is not of the form 1.0 or 1.0.0",
                       what);
    if (strncmp(text, "1.", 2) != 0)
        return err_set(e, &err_newer_format,
                       "%s: it follows version %.16s of the TUF specification; known here is 1",
                       what, text);
    return 0;
}

// TUF knows no `issued`: one that is written otherwise than ours says nothing.
static int64_t read_issued(struct tuf_json_at signed_part) {
    struct tuf_json_at at;
    struct err ignored = ERR_NONE;
    int64_t issued_s = 0;
    if (tuf_json_find_type(signed_part, "issued", TUF_JSON_STRING, &at))
        (void)chrono_parse(tuf_json_string(at, NULL), "issued", &issued_s, &ignored);
    return issued_s;
}

static int read_header(struct tuf_json_at signed_part, enum tuf_type type, const char *what,
                       struct tuf_form *ret, struct err *e) {
    struct tuf_json_at at;
    if (tuf_form_member(signed_part, "_type", TUF_JSON_STRING, what, &at, e) < 0)
        return -1;
    if (strcmp(tuf_json_string(at, NULL), tuf_type_names[type]) != 0)
        return err_set(e, &err_wrong_type, "%s: this is no metadata of type %s", what,
                       tuf_type_names[type]);
    if (tuf_form_member(signed_part, "spec_version", TUF_JSON_STRING, what, &at, e) < 0 ||
        check_spec_version(tuf_json_string(at, NULL), what, e) < 0 ||
        tuf_form_integer(signed_part, "version", 1, what, &ret->version, e) < 0 ||
        tuf_form_member(signed_part, "expires", TUF_JSON_STRING, what, &at, e) < 0)
        return -1;
    if (chrono_parse(tuf_json_string(at, NULL), "expires", &ret->expires_s, e) < 0)
        return err_prefix(e, "%s", what);
    ret->issued_s = read_issued(signed_part);
    return 0;
}

int tuf_form_read(struct tuf_json_at signed_part, enum tuf_type type, const char *what,
                  struct tuf_form *ret, struct err *e) {
    static int (*const readers[TUF_TYPES])(struct tuf_json_at, const char *, struct tuf_form *,
                                           struct err *) = {
        [TUF_ROOT] = read_root,
        [TUF_TIMESTAMP] = read_timestamp,
        [TUF_SNAPSHOT] = read_snapshot,
        [TUF_TARGETS] = read_targets,
    };
    struct tuf_form read = {.version = 0};
    if (read_header(signed_part, type, what, &read, e) < 0 ||
        readers[type](signed_part, what, &read, e) < 0)
        return -1;
    *ret = read;
    return 0;
}
