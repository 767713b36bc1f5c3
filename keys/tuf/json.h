// SPDX-License-Identifier: Apache-2.0
//
// JSON of others, for metadata: a strict parser into a flat tape, and the canonical form of any part
// of it. Metadata may arrive in any spelling and with members nobody here knows, yet what is signed
// is the canonical form of the whole signed part, so the text is parsed without believing it and
// written again.
//
// Why not base/doc: repositories name tens of thousands of targets, and a tree of heap objects for
// them is several times what the text is. The tape is 16 bytes a value beside one private copy of
// the text, in which strings are decoded in place (a decoded string is never longer). No recursion:
// nesting is a chain of indexes, bounded by TUF_JSON_DEPTH_MAX.
//
// Refused (syntax): anything RFC 8259 refuses, duplicate members of one object (in decoded form),
// text that is not UTF-8, a lone surrogate, NUL in a string, numbers with a fraction or exponent,
// integers outside ±(2^53 - 1), "-0", leading zeros, text after the value. Refused (limit): too long, too deep,
// too many values.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define TUF_JSON_DEPTH_MAX  32
#define TUF_JSON_VALUES_MAX 400000

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
    char *text;                   // owned: the private copy, strings decoded and NUL-terminated
    size_t text_bytes;
    struct tuf_json_value *tape;  // owned
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
void tuf_json_clear(struct tuf_json *json) __attribute__((nonnull));
#define own_drop_tuf_json tuf_json_clear

struct tuf_json_at tuf_json_root(const struct tuf_json *json) __attribute__((nonnull));
enum tuf_json_type tuf_json_type(struct tuf_json_at at);
// Of a string: decoded bytes, NUL-terminated (and without NUL inside). Borrowed.
const char *tuf_json_string(struct tuf_json_at at, size_t *ret_len);
int64_t tuf_json_integer(struct tuf_json_at at);
size_t tuf_json_count(struct tuf_json_at at); // elements or members

// Walks an array or object: first child; false when there is none or no more. For objects *ret_key
// (may be NULL for arrays) is the member's name, borrowed.
bool tuf_json_first(struct tuf_json_at container, struct tuf_json_at *ret, const char **ret_key);
bool tuf_json_next(struct tuf_json_at container, struct tuf_json_at *at, const char **ret_key);
// Members come in the order of the tape; this looks one up by walking. False when absent.
bool tuf_json_find(struct tuf_json_at object, const char *key, struct tuf_json_at *ret);

// Appends the canonical form (OLPC canonical JSON): keys sorted by bytes, no blanks, only `"` and `\`
// escaped, all else raw. Kinds: limit, memory.
int tuf_json_canonical(struct tuf_json_at at, struct buf *ret, struct err *e)
    __attribute__((nonnull));
