// SPDX-License-Identifier: Apache-2.0
//
// JSON of others, for metadata: a strict parser into a flat tape, and the canonical form of any
// part of it. Metadata may arrive in any spelling and with members nobody here knows, yet what is
// signed is the canonical form of the whole signed part, so the text is parsed without believing it
// and written again.
//
// Why not base/doc: repositories name tens of thousands of targets, and a tree of heap objects for
// them is several times what the text is. The tape is 16 bytes a value beside one private copy of
// the text, in which strings are decoded in place (a decoded string is never longer); for the
// moment of parsing and of writing an index of 4 bytes a value comes with them. No recursion:
// nesting is a chain of indexes, bounded by TUF_JSON_DEPTH_MAX. No hash table that hostile names
// could flood: members are sorted where they are compared.
//
// Refused (syntax): anything RFC 8259 refuses, a top level that is no object, duplicate members of
// one object (in decoded form), text that is not UTF-8, half a surrogate pair, NUL in a string,
// numbers with a fraction or exponent, integers outside ±(2^53 - 1), "-0", text after the value.
// Refused (limit): too long, too deep, too many values.
//
// Readers are total: a reader that is asked about a value of another type answers that nothing is
// there (NULL, no member, no element, TUF_JSON_NO_INTEGER), so that one check serves for "absent"
// and "of the wrong type".
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define TUF_JSON_BYTES_MAX   (1 << 24) // of a text, whatever the caller allows
#define TUF_JSON_DEPTH_MAX   32        // objects and arrays around a value, itself included
#define TUF_JSON_VALUES_MAX  400000    // of a text; names of members are not values
#define TUF_JSON_INTEGER_MAX ((INT64_C(1) << 53) - 1)
#define TUF_JSON_NO_INTEGER  INT64_MIN // what no integer of a text is

enum tuf_json_type {
    TUF_JSON_NULL,
    TUF_JSON_FALSE,
    TUF_JSON_TRUE,
    TUF_JSON_INTEGER,
    TUF_JSON_STRING,
    TUF_JSON_ARRAY,
    TUF_JSON_OBJECT
};

struct tuf_json_value; // one place of the tape, opaque

struct tuf_json {
    char *text; // owned: the private copy, strings decoded and NUL-terminated
    size_t text_bytes;
    struct tuf_json_value *tape; // owned
    uint32_t n;
};
#define TUF_JSON_NONE                                                                              \
    { .text = NULL }

// A place in a document: the tape and an index. Copied freely; valid while the document is.
struct tuf_json_at {
    const struct tuf_json *json;
    uint32_t index;
};

// Parses text of at most max_bytes, an object, into *ret, which the caller clears. `what` names it
// in errors. Kinds: syntax, limit, memory.
int tuf_json_parse(struct slice text, size_t max_bytes, const char *what, struct tuf_json *ret,
                   struct err *e) __attribute__((nonnull));
// Frees; the document is TUF_JSON_NONE afterwards. Usable with OWN(tuf_json).
void tuf_json_clear(struct tuf_json *json) __attribute__((nonnull));
#define own_drop_tuf_json tuf_json_clear

// The top-level object of a parsed document.
struct tuf_json_at tuf_json_root(const struct tuf_json *json) __attribute__((nonnull));
// What stands at a place.
enum tuf_json_type tuf_json_type(struct tuf_json_at at);
// Of a string: decoded bytes, NUL-terminated and without NUL inside, borrowed; *ret_len (may be
// NULL) gets their number. NULL, and *ret_len untouched, when it is no string.
const char *tuf_json_string(struct tuf_json_at at, size_t *ret_len);
// TUF_JSON_NO_INTEGER when it is none.
int64_t tuf_json_integer(struct tuf_json_at at);
// Elements or members; 0 when it is neither array nor object.
size_t tuf_json_count(struct tuf_json_at at);

// Walks an array or object in the order of the text: first child, then the one after *at; false
// when there is none. *ret_key (may be NULL) is the member's name, borrowed; "" in an array. *at
// and *ret_key are untouched when false.
bool tuf_json_first(struct tuf_json_at container, struct tuf_json_at *ret, const char **ret_key);
bool tuf_json_next(struct tuf_json_at container, struct tuf_json_at *at, const char **ret_key);
// Looks a member up by walking. False, and *ret untouched, when it is absent or this is no object.
bool tuf_json_find(struct tuf_json_at object, const char *key, struct tuf_json_at *ret);
// The same for a member that must be of this type.
bool tuf_json_find_type(struct tuf_json_at object, const char *key, enum tuf_json_type type,
                        struct tuf_json_at *ret);

// Appends the canonical form (OLPC canonical JSON): keys sorted by bytes, no blanks, only `"` and
// `\` escaped, all else raw. It is never longer than the text it came from (text_bytes). *ret is as
// before on failure. Kinds: limit, memory.
int tuf_json_canonical(struct tuf_json_at at, struct buf *ret, struct err *e)
    __attribute__((nonnull));
