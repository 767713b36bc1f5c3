// SPDX-License-Identifier: Apache-2.0
//
// Parsing after the bytes have been checked, and getters that know where they are.

#include "base/doc.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/doc_scan.h"
#include "base/random.h"
#include "base/text.h"

static const char ellipsis[] = "…";

enum presence { PRESENCE_REQUIRED, PRESENCE_OPTIONAL };

// The JSON library seeds its hash on first use from /dev/urandom, which a sandboxed process cannot
// open; without a seed it would fall back to the time.
static void seed_hashes(void) {
    size_t seed;
    do {
        random_fill(&seed, sizeof seed);
    } while (seed == 0);
    json_object_seed(seed);
}

// The bytes have been checked, so that only three things can be wrong. The library reports a failed
// allocation as whatever it was reading at the time; that leaves memory for all but two codes.
static int refuse_parsed(const json_error_t *error, const char *what, struct err *e) {
    char shown[JSON_ERROR_TEXT_LENGTH];
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        return err_set(e, &err_syntax, "%s: line %d, column %d: %s", what, error->line,
                       error->column, text_safe(error->text, shown, sizeof shown));
    case json_error_numeric_overflow:
        return err_set(e, &err_limit, "%s: line %d: a number is too large", what, error->line);
    default:
        return err_set(e, &err_memory, "%s: no memory for the document", what);
    }
}

int doc_parse(struct slice text, const char *what, const struct doc_limits *limits, json_t **ret,
              struct err *e) {
    static pthread_once_t seeded = PTHREAD_ONCE_INIT;
    (void)pthread_once(&seeded, seed_hashes);
    if (doc_scan(text, what, limits, e) < 0)
        return -1;
    json_error_t error;
    json_t *document =
        json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!document)
        return refuse_parsed(&error, what, e);
    *ret = document;
    return 0;
}

// Copies the end of a path that may be too long, with "…" in front of what is left.
static void keep_end(const char *path, char ret[static DOC_PATH_BYTES]) {
    size_t len = strlen(path);
    if (len < DOC_PATH_BYTES) {
        memcpy(ret, path, len + 1);
        return;
    }
    const char *from = path + len - (DOC_PATH_BYTES - sizeof ellipsis);
    while (((unsigned char)*from & 0xC0) == 0x80)
        from++;
    (void)snprintf(ret, DOC_PATH_BYTES, "%s%s", ellipsis, from);
}

#define LONG_PATH_BYTES (2 * DOC_PATH_BYTES)

// "agent.json" + "probes" = "agent.json: probes"; "agent.json: probes" + "kind" = "agent.json:
// probes.kind".
static const char *join_key(const char *path, const char *key, char ret[static LONG_PATH_BYTES]) {
    bool at_root = !strstr(path, ": ") && strncmp(path, ellipsis, sizeof ellipsis - 1) != 0;
    char shown[DOC_PATH_BYTES - 2];
    (void)snprintf(ret, LONG_PATH_BYTES, "%s%s%s", path, at_root ? ": " : ".",
                   text_safe(key, shown, sizeof shown));
    return ret;
}

static const char *join_index(const char *path, size_t index, char ret[static LONG_PATH_BYTES]) {
    (void)snprintf(ret, LONG_PATH_BYTES, "%s[%zu]", path, index);
    return ret;
}

static const char *type_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

int doc_root(json_t *document, const char *what, struct doc_at *ret, struct err *e) {
    if (json_typeof(document) != JSON_OBJECT)
        return err_set(e, &err_syntax, "%s: expected an object, found %s", what,
                       type_name(document));
    ret->value = document;
    keep_end(what, ret->path);
    return 0;
}

// Finds a member. DOC_ABSENT only when it may be absent.
static int find(const struct doc_at *at, const char *key, enum presence presence,
                const char *expected, json_t **ret, struct err *e) {
    json_t *value = json_object_get(at->value, key);
    if (presence == PRESENCE_OPTIONAL && (!value || json_is_null(value)))
        return DOC_ABSENT;
    if (!value) {
        char path[LONG_PATH_BYTES];
        return err_set(e, &err_syntax, "%s: missing; expected %s", join_key(at->path, key, path),
                       expected);
    }
    *ret = value;
    return 0;
}

static int wrong_type(const char *path, const char *expected, const json_t *found, struct err *e) {
    return err_set(e, &err_syntax, "%s: expected %s, found %s", path, expected, type_name(found));
}

// Checks a string at a path.
static int take_string(const char *path, json_t *value, size_t max_bytes, const char **ret,
                       struct err *e) {
    if (!json_is_string(value))
        return wrong_type(path, "a string", value, e);
    size_t len = json_string_length(value);
    if (len > max_bytes)
        return err_set(e, &err_limit, "%s: expected a string of at most %zu bytes, found %zu", path,
                       max_bytes, len);
    *ret = json_string_value(value);
    return 0;
}

static int get_string(const struct doc_at *at, const char *key, enum presence presence,
                      size_t max_bytes, const char **ret, struct err *e) {
    json_t *value = NULL;
    int found = find(at, key, presence, "a string", &value, e);
    if (found != 0)
        return found;
    char path[LONG_PATH_BYTES];
    return take_string(join_key(at->path, key, path), value, max_bytes, ret, e);
}

int doc_string(const struct doc_at *at, const char *key, size_t max_bytes, const char **ret,
               struct err *e) {
    return get_string(at, key, PRESENCE_REQUIRED, max_bytes, ret, e);
}

int doc_string_opt(const struct doc_at *at, const char *key, size_t max_bytes, const char **ret,
                   struct err *e) {
    return get_string(at, key, PRESENCE_OPTIONAL, max_bytes, ret, e);
}

struct range {
    uint64_t min, max;
};

static int get_u64(const struct doc_at *at, const char *key, enum presence presence,
                   struct range range, uint64_t *ret, struct err *e) {
    char expected[80], path[LONG_PATH_BYTES];
    (void)snprintf(expected, sizeof expected, "an integer from %llu to %llu",
                   (unsigned long long)range.min, (unsigned long long)range.max);
    json_t *value = NULL;
    int found = find(at, key, presence, expected, &value, e);
    if (found != 0)
        return found;
    if (!json_is_integer(value))
        return wrong_type(join_key(at->path, key, path), expected, value, e);
    json_int_t number = json_integer_value(value);
    bool above = number >= 0 && (uint64_t)number > range.max;
    if (number < 0 || (uint64_t)number < range.min || above)
        return err_set(e, above ? &err_limit : &err_syntax, "%s: expected %s, found %lld",
                       join_key(at->path, key, path), expected, (long long)number);
    *ret = (uint64_t)number;
    return 0;
}

int doc_u64(const struct doc_at *at, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
            struct err *e) {
    return get_u64(at, key, PRESENCE_REQUIRED, (struct range){min, max}, ret, e);
}

int doc_u64_opt(const struct doc_at *at, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
                struct err *e) {
    return get_u64(at, key, PRESENCE_OPTIONAL, (struct range){min, max}, ret, e);
}

static int get_bool(const struct doc_at *at, const char *key, enum presence presence, bool *ret,
                    struct err *e) {
    json_t *value = NULL;
    int found = find(at, key, presence, "true or false", &value, e);
    if (found != 0)
        return found;
    char path[LONG_PATH_BYTES];
    if (!json_is_boolean(value))
        return wrong_type(join_key(at->path, key, path), "true or false", value, e);
    *ret = json_is_true(value);
    return 0;
}

int doc_bool(const struct doc_at *at, const char *key, bool *ret, struct err *e) {
    return get_bool(at, key, PRESENCE_REQUIRED, ret, e);
}

int doc_bool_opt(const struct doc_at *at, const char *key, bool *ret, struct err *e) {
    return get_bool(at, key, PRESENCE_OPTIONAL, ret, e);
}

static int get_object(const struct doc_at *at, const char *key, enum presence presence,
                      struct doc_at *ret, struct err *e) {
    json_t *value = NULL;
    int found = find(at, key, presence, "an object", &value, e);
    if (found != 0)
        return found;
    char path[LONG_PATH_BYTES];
    join_key(at->path, key, path);
    if (!json_is_object(value))
        return wrong_type(path, "an object", value, e);
    ret->value = value;
    keep_end(path, ret->path);
    return 0;
}

int doc_object(const struct doc_at *at, const char *key, struct doc_at *ret, struct err *e) {
    return get_object(at, key, PRESENCE_REQUIRED, ret, e);
}

int doc_object_opt(const struct doc_at *at, const char *key, struct doc_at *ret, struct err *e) {
    return get_object(at, key, PRESENCE_OPTIONAL, ret, e);
}

static int get_array(const struct doc_at *at, const char *key, enum presence presence, size_t max,
                     struct doc_at *ret, struct err *e) {
    json_t *value = NULL;
    int found = find(at, key, presence, "an array", &value, e);
    if (found != 0)
        return found;
    char path[LONG_PATH_BYTES];
    join_key(at->path, key, path);
    if (!json_is_array(value))
        return wrong_type(path, "an array", value, e);
    if (json_array_size(value) > max)
        return err_set(e, &err_limit, "%s: expected at most %zu elements, found %zu", path, max,
                       json_array_size(value));
    ret->value = value;
    keep_end(path, ret->path);
    return 0;
}

int doc_array(const struct doc_at *at, const char *key, size_t max, struct doc_at *ret,
              struct err *e) {
    return get_array(at, key, PRESENCE_REQUIRED, max, ret, e);
}

int doc_array_opt(const struct doc_at *at, const char *key, size_t max, struct doc_at *ret,
                  struct err *e) {
    return get_array(at, key, PRESENCE_OPTIONAL, max, ret, e);
}

int doc_element(const struct doc_at *array, size_t index, struct doc_at *ret, struct err *e) {
    json_t *value = json_array_get(array->value, index);
    assert(value);
    char path[LONG_PATH_BYTES];
    join_index(array->path, index, path);
    if (!json_is_object(value))
        return wrong_type(path, "an object", value, e);
    ret->value = value;
    keep_end(path, ret->path);
    return 0;
}

int doc_element_string(const struct doc_at *array, size_t index, size_t max_bytes, const char **ret,
                       struct err *e) {
    json_t *value = json_array_get(array->value, index);
    assert(value);
    char path[LONG_PATH_BYTES];
    return take_string(join_index(array->path, index, path), value, max_bytes, ret, e);
}

static bool is_listed(const char *word, const char *const *list) {
    for (; *list; list++) {
        if (strcmp(*list, word) == 0)
            return true;
    }
    return false;
}

int doc_find_unknown(const struct doc_at *at, const char *const *known, const char **ret) {
    for (void *iter = json_object_iter(at->value); iter;
         iter = json_object_iter_next(at->value, iter)) {
        const char *key = json_object_iter_key(iter);
        if (!is_listed(key, known)) {
            *ret = key;
            return 1;
        }
    }
    return 0;
}

int doc_no_unknown(const struct doc_at *at, const char *const *known, struct err *e) {
    const char *key;
    if (doc_find_unknown(at, known, &key) == 0)
        return 0;
    char path[LONG_PATH_BYTES];
    join_key(at->path, key, path);
    const char *meant = text_find_near(key, known);
    if (meant)
        return err_set(e, &err_syntax, "%s: unknown; did you mean \"%s\"?", path, meant);
    return err_set(e, &err_syntax, "%s: unknown; remove it", path);
}
