// SPDX-License-Identifier: Apache-2.0
//
// Strict reading of JSON documents: one value and nothing behind it, no duplicate keys, no NUL,
// bounded size, depth and number of values (checked in the bytes before jansson sees them, so that
// depth is never recursion on input), no floating point unless allowed. Getters name the place in
// errors: "agent.json: probes[2].interval_s: expected an integer from 1 to 86400, found a string".
//
// A `struct doc_at` is a cursor: a borrowed object and the path that led to it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

#define DOC_PATH_BYTES 128

struct doc_limits {
    size_t bytes;   // of the text
    unsigned depth; // of nesting; at most DOC_DEPTH_MAX
    size_t values;  // of any type, members and elements counted
    bool floats;    // allow real numbers (configuration only; signed documents never)
};
#define DOC_DEPTH_MAX 64

struct doc_at {
    json_t *value;             // borrowed from the document
    char path[DOC_PATH_BYTES]; // "agent.json: probes[2]"; cut from the left when long
};

// Parses text, an object or an array, into a new document that the caller owns (json_decref).
// `what` names it in errors. Kinds: syntax, limit, memory.
int doc_parse(struct slice text, const char *what, const struct doc_limits *limits, json_t **ret,
              struct err *e) __attribute__((nonnull));

// Cursor at the root; the document must be an object (err kind syntax).
int doc_root(json_t *document, const char *what, struct doc_at *ret, struct err *e)
    __attribute__((nonnull));

// Getters. Kinds: syntax for what is missing, of another type or below min; limit for what is above
// max. Absence: the `_opt` forms return 1 (a named outcome) and leave *ret alone when the member is
// absent or null.
enum { DOC_ABSENT = 1 };

int doc_string(const struct doc_at *at, const char *key, size_t max_bytes, const char **ret,
               struct err *e) __attribute__((nonnull));
int doc_string_opt(const struct doc_at *at, const char *key, size_t max_bytes, const char **ret,
                   struct err *e) __attribute__((nonnull));
int doc_u64(const struct doc_at *at, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
            struct err *e) __attribute__((nonnull));
int doc_u64_opt(const struct doc_at *at, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
                struct err *e) __attribute__((nonnull));
int doc_bool(const struct doc_at *at, const char *key, bool *ret, struct err *e)
    __attribute__((nonnull));
int doc_bool_opt(const struct doc_at *at, const char *key, bool *ret, struct err *e)
    __attribute__((nonnull));
int doc_object(const struct doc_at *at, const char *key, struct doc_at *ret, struct err *e)
    __attribute__((nonnull));
int doc_object_opt(const struct doc_at *at, const char *key, struct doc_at *ret, struct err *e)
    __attribute__((nonnull));
// An array of at most max elements; doc_element steps into the n-th, which must be an object.
int doc_array(const struct doc_at *at, const char *key, size_t max, struct doc_at *ret,
              struct err *e) __attribute__((nonnull));
int doc_array_opt(const struct doc_at *at, const char *key, size_t max, struct doc_at *ret,
                  struct err *e) __attribute__((nonnull));
int doc_element(const struct doc_at *array, size_t index, struct doc_at *ret, struct err *e)
    __attribute__((nonnull));
int doc_element_string(const struct doc_at *array, size_t index, size_t max_bytes, const char **ret,
                       struct err *e) __attribute__((nonnull));

// Finds the first member of the object that is not in the null-terminated list; 1 and its name
// (borrowed) through *ret, or 0.
int doc_find_unknown(const struct doc_at *at, const char *const *known, const char **ret)
    __attribute__((nonnull));
// Refuses unknown members: the error names the member and, when one is close in spelling, the one
// that was meant.
int doc_no_unknown(const struct doc_at *at, const char *const *known, struct err *e)
    __attribute__((nonnull));
