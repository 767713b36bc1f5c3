// SPDX-License-Identifier: Apache-2.0
//
// Canonical JSON out of, and back into, a jansson value. One writer serves both directions: it
// either appends what it writes to a buffer, or compares it with the text that was read, so that
// checking a document takes no second copy of it. The walk keeps its own stack; nothing here
// recurses.
#include "keys/canon.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "keys/kind.h"

// Where canonical bytes go.
struct sink {
    struct buf *out;       // append here, or, when NULL,
    struct slice expected; // compare with this,
    size_t at;             // of which so much was the same
};

// One object or array that is being written.
struct level {
    json_t *container; // borrowed
    size_t next;       // of its members or elements, the next to write
    size_t count;
    const char **names; // of an object, sorted by bytes; owned
};

struct walk {
    struct sink *sink;
    size_t depth;
    struct level levels[DOC_DEPTH_MAX];
};

static int put(struct sink *sink, const void *data, size_t len, struct err *e) {
    if (sink->out)
        return buf_add(sink->out, data, len, e);
    size_t left = sink->expected.len - sink->at;
    const uint8_t *wanted = data;
    size_t same = 0;
    while (same < len && same < left && sink->expected.data[sink->at + same] == wanted[same])
        same++;
    sink->at += same;
    if (same == len)
        return 0;
    return err_set(e, &err_not_canonical, "not in canonical form from byte %zu on", sink->at);
}

static int put_text(struct sink *sink, const char *text, struct err *e) {
    return put(sink, text, strlen(text), e);
}

// Everything but the two characters that end or escape stands for itself, line feeds too.
static int put_string(struct sink *sink, const char *text, size_t len, struct err *e) {
    if (memchr(text, 0, len))
        return err_set(e, &err_not_canonical, "a string with a NUL in it has no canonical form");
    if (put(sink, "\"", 1, e) < 0)
        return -1;
    for (size_t i = 0; i < len;) {
        size_t plain = 0;
        while (i + plain < len && text[i + plain] != '"' && text[i + plain] != '\\')
            plain++;
        if (plain > 0 && put(sink, text + i, plain, e) < 0)
            return -1;
        i += plain;
        if (i < len) {
            char escaped[2] = {'\\', text[i++]};
            if (put(sink, escaped, sizeof escaped, e) < 0)
                return -1;
        }
    }
    return put(sink, "\"", 1, e);
}

static int put_integer(struct sink *sink, json_int_t value, struct err *e) {
    char text[24];
    (void)snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, value);
    return put_text(sink, text, e);
}

// Byte order; strcmp compares unsigned characters.
static int compare_names(const void *a, const void *b) {
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

static int sort_names(json_t *object, struct level *level, struct err *e) {
    level->count = json_object_size(object);
    if (level->count == 0)
        return 0;
    level->names = calloc(level->count, sizeof *level->names);
    if (!level->names)
        return err_set(e, &err_memory, "sorting the %zu members of an object: out of memory",
                       level->count);
    size_t n = 0;
    for (void *member = json_object_iter(object); member;
         member = json_object_iter_next(object, member))
        level->names[n++] = json_object_iter_key(member);
    assert(n == level->count);
    qsort(level->names, n, sizeof *level->names, compare_names);
    return 0;
}

static int enter(struct walk *walk, json_t *container, struct err *e) {
    if (walk->depth == DOC_DEPTH_MAX)
        return err_set(e, &err_limit, "nested deeper than %d levels", DOC_DEPTH_MAX);
    struct level *level = &walk->levels[walk->depth];
    *level = (struct level){.container = container};
    if (json_is_array(container))
        level->count = json_array_size(container);
    else if (sort_names(container, level, e) < 0)
        return -1;
    walk->depth++;
    return put(walk->sink, json_is_array(container) ? "[" : "{", 1, e);
}

static int write_value(struct walk *walk, json_t *value, struct err *e) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return enter(walk, value, e);
    case JSON_STRING:
        return put_string(walk->sink, json_string_value(value), json_string_length(value), e);
    case JSON_INTEGER:
        return put_integer(walk->sink, json_integer_value(value), e);
    case JSON_TRUE:
        return put_text(walk->sink, "true", e);
    case JSON_FALSE:
        return put_text(walk->sink, "false", e);
    case JSON_NULL:
        return put_text(walk->sink, "null", e);
    case JSON_REAL:
        break;
    }
    return err_set(e, &err_not_canonical,
                   "a floating-point number has no canonical form; write decimals as strings");
}

// Writes one more member or element of the innermost container, or its end.
static int step(struct walk *walk, struct err *e) {
    struct level *level = &walk->levels[walk->depth - 1];
    bool array = json_is_array(level->container);
    if (level->next == level->count) {
        free(level->names);
        level->names = NULL;
        walk->depth--;
        return put(walk->sink, array ? "]" : "}", 1, e);
    }
    if (level->next > 0 && put(walk->sink, ",", 1, e) < 0)
        return -1;
    size_t n = level->next++;
    if (array)
        return write_value(walk, json_array_get(level->container, n), e);
    const char *name = level->names[n];
    if (put_string(walk->sink, name, strlen(name), e) < 0 || put(walk->sink, ":", 1, e) < 0)
        return -1;
    return write_value(walk, json_object_get(level->container, name), e);
}

static int write_all(const json_t *value, struct sink *sink, struct err *e) {
    // 64 levels of 32 bytes: small enough for any stack we run on.
    struct walk walk = {.sink = sink};
    // jansson's iterators want a value that is not const; nothing here changes it.
    json_t *top = (json_t *)(uintptr_t)value;
    int failed = write_value(&walk, top, e);
    while (!failed && walk.depth > 0)
        failed = step(&walk, e);
    while (walk.depth > 0)
        free(walk.levels[--walk.depth].names);
    return failed;
}

int keys_canon_format(const json_t *value, struct buf *ret, struct err *e) {
    size_t before = ret->len;
    struct sink sink = {.out = ret};
    if (write_all(value, &sink, e) < 0) {
        if (ret->len > before) {
            ret->len = before; // only what was appended here is taken back
            ret->data[before] = 0;
        }
        return -1;
    }
    return 0;
}

// True when some string holds a control character as itself: canonical JSON wants that, JSON
// forbids it.
static bool has_raw_controls(struct slice text) {
    bool inside = false;
    for (size_t i = 0; i < text.len; i++) {
        if (inside && text.data[i] < 0x20)
            return true;
        if (inside && text.data[i] == '\\')
            i++;
        else if (text.data[i] == '"')
            inside = !inside;
    }
    return false;
}

// The same text with those characters written as \u00XX, for a parser that follows RFC 8259.
static int escape_controls(struct slice text, struct buf *ret, struct err *e) {
    bool inside = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        int failed =
            inside && c < 0x20 ? buf_add_format(ret, e, "\\u%04x", c) : buf_add(ret, &c, 1, e);
        if (!failed && inside && c == '\\' && i + 1 < text.len)
            failed = buf_add(ret, &text.data[++i], 1, e);
        else if (c == '"')
            inside = !inside;
        if (failed < 0)
            return -1;
    }
    return 0;
}

static int parse_raw(struct slice text, const char *what, const struct doc_limits *limits,
                     json_t **ret, struct err *e) {
    if (text.len > limits->bytes || !has_raw_controls(text))
        return doc_parse(text, what, limits, ret, e);
    OWN(buf) struct buf escaped;
    buf_init(&escaped, text.len * 6);
    if (escape_controls(text, &escaped, e) < 0)
        return err_prefix(e, "%s", what);
    struct doc_limits wider = *limits;
    if (wider.bytes < escaped.len)
        wider.bytes = escaped.len;
    return doc_parse(buf_slice(&escaped), what, &wider, ret, e);
}

int keys_canon_parse(struct slice text, const char *what, const struct doc_limits *limits,
                     json_t **ret, struct err *e) {
    OWN(json) json_t *value = NULL;
    if (parse_raw(text, what, limits, &value, e) < 0)
        return -1;
    struct sink sink = {.expected = text};
    if (write_all(value, &sink, e) < 0)
        return err_prefix(e, "%s", what);
    if (sink.at != text.len)
        return err_set(e, &err_not_canonical,
                       "%s: not in canonical form: %zu bytes follow the value", what,
                       text.len - sink.at);
    *ret = own_take(&value);
    return 0;
}
