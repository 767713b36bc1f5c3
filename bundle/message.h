// SPDX-License-Identifier: Apache-2.0
//
// Members of messages as tables: a row says under which key a member stands in JSON, where it lies
// in the C struct, and what may stand there. The same table reads and writes, so that the two
// cannot drift apart. Members that no row names are ignored.
//
// Integers go up to 2^53 - 1, the largest that every JSON reader keeps exactly.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/doc.h"
#include "keys/digest.h"

enum bundle_message_type {
    BUNDLE_MESSAGE_NAME,   // char[]: what text_is_name says
    BUNDLE_MESSAGE_LINE,   // char[]: no control characters
    BUNDLE_MESSAGE_TEXT,   // char[]: any text
    BUNDLE_MESSAGE_HEX,    // char[]: lower-case hex digits, as many as fit
    BUNDLE_MESSAGE_DIGEST, // struct keys_digest
    BUNDLE_MESSAGE_U64,    // uint64_t
    BUNDLE_MESSAGE_COUNT,  // uint64_t, 1 or more
    BUNDLE_MESSAGE_BOOL,   // bool
    BUNDLE_MESSAGE_TIME,   // int64_t, seconds since 1970
    BUNDLE_MESSAGE_OBJECT, // members of an object within, in the same struct
};

// What a member may be beside a good value.
enum bundle_message_need {
    BUNDLE_MESSAGE_REQUIRED,
    BUNDLE_MESSAGE_OR_EMPTY, // a string may be "", a digest "" for zeros
    BUNDLE_MESSAGE_OPTIONAL, // absent, null or "" too; when zero not written, but an object as null
};

struct bundle_message_member {
    const char *key; // NULL ends a table
    enum bundle_message_type type;
    enum bundle_message_need need;
    size_t offset; // of the field in its struct
    size_t bytes;  // of the field
    // Of an OBJECT: its members, and for an optional one the offset of the bool that says it is
    // there.
    const struct bundle_message_member *members;
    size_t has;
};
#define BUNDLE_MESSAGE_NO_FLAG SIZE_MAX // it is there when a member is not zero

#define BUNDLE_MESSAGE_MEMBER(key_, type_, need_, struct_, field_)                                 \
    {                                                                                              \
        .key = (key_), .type = BUNDLE_MESSAGE_##type_, .need = BUNDLE_MESSAGE_##need_,             \
        .offset = offsetof(struct struct_, field_), .bytes = sizeof(((struct struct_ *)0)->field_) \
    }

#define BUNDLE_MESSAGE_MEMBERS(key_, need_, members_, has_)                                        \
    {                                                                                              \
        .key = (key_), .type = BUNDLE_MESSAGE_OBJECT, .need = BUNDLE_MESSAGE_##need_,              \
        .members = (members_), .has = (has_)                                                       \
    }

// Reads the members that the table names into the struct at ret. Fields of absent optional members
// keep their value. On failure ret may be half filled: it is a caller's scratch. Kinds:
// bad_message, limit, memory.
int bundle_message_read(const struct doc_at *at, const struct bundle_message_member *table,
                        void *ret, struct err *e) __attribute__((nonnull));
// Sets the members in the object. Text that is not UTF-8 is written escaped. Kind memory.
int bundle_message_write(json_t *object, const struct bundle_message_member *table,
                         const void *from, struct err *e) __attribute__((nonnull));
// Appends the value as compact JSON with sorted keys. Kinds: limit, memory.
int bundle_message_dump(const json_t *value, struct buf *ret, struct err *e)
    __attribute__((nonnull));
// Hands the error of a lower room on; what was syntax there is `kind` here, the rest stays. Returns
// -1.
int bundle_message_fail(const struct err *cause, const struct err_kind *kind, struct err *e)
    __attribute__((nonnull));
// True when no byte is a control character (DEL included).
bool bundle_message_is_line(const char *text) __attribute__((nonnull));
