// SPDX-License-Identifier: Apache-2.0
//
// One walk over a table of members for reading, one for writing.
#include "bundle/message.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/chrono.h"
#include "base/num.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/limits.h"
#include "keys/envelope.h"

int bundle_message_fail(const struct err *cause, const struct err_kind *kind, struct err *e) {
    assert(cause->kind);
    return err_set(e, cause->kind == &err_syntax ? kind : cause->kind, "%s", cause->text);
}

bool bundle_message_is_line(const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_string(enum bundle_message_type type) {
    return type <= BUNDLE_MESSAGE_DIGEST || type == BUNDLE_MESSAGE_TIME;
}

static bool is_hex(const char *text, size_t len) {
    return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

static size_t string_ceiling(const struct bundle_message_member *m) {
    switch (m->type) {
    case BUNDLE_MESSAGE_DIGEST:
        return KEYS_DIGEST_HEX - 1;
    case BUNDLE_MESSAGE_TIME:
        return CHRONO_TEXT_BYTES - 1;
    default:
        return m->bytes - 1;
    }
}

static int wrong(const struct doc_at *at, const char *key, const char *expected, struct err *e) {
    return err_set(e, &err_bad_message, "%s.%s: expected %s", at->path, key, expected);
}

// Stores a string that is there and not too long.
static int store_string(const struct doc_at *at, const struct bundle_message_member *m,
                        const char *text, void *field, struct err *e) {
    bool may_be_empty = m->type == BUNDLE_MESSAGE_TEXT ||
                        (m->need != BUNDLE_MESSAGE_REQUIRED && m->type != BUNDLE_MESSAGE_TIME);
    if (!*text && !may_be_empty)
        return wrong(at, m->key, "a string that is not empty", e);
    struct err cause = ERR_NONE;
    switch (*text ? m->type : BUNDLE_MESSAGE_TEXT) {
    case BUNDLE_MESSAGE_NAME:
        if (!text_is_name(text, m->bytes - 1))
            return wrong(at, m->key, "a name of letters, digits, '.', '_', '-' and '+'", e);
        break;
    case BUNDLE_MESSAGE_LINE:
        if (!bundle_message_is_line(text))
            return wrong(at, m->key, "text without control characters", e);
        break;
    case BUNDLE_MESSAGE_HEX:
        if (!is_hex(text, m->bytes - 1))
            return err_set(e, &err_bad_message, "%s.%s: expected %zu lower-case hex digits",
                           at->path, m->key, m->bytes - 1);
        break;
    case BUNDLE_MESSAGE_DIGEST:
        if (keys_digest_parse(text, m->key, field, &cause) < 0)
            return wrong(at, m->key, "64 lower-case hex digits", e);
        return 0;
    case BUNDLE_MESSAGE_TIME:
        if (chrono_parse(text, m->key, field, &cause) < 0)
            return wrong(at, m->key, "a time as 2026-11-22T14:34:41Z", e);
        return 0;
    default:
        break;
    }
    if (m->type == BUNDLE_MESSAGE_DIGEST)
        memset(field, 0, m->bytes);
    else
        memcpy(field, text, strlen(text) + 1);
    return 0;
}

static int read_string(const struct doc_at *at, const struct bundle_message_member *m, void *field,
                       struct err *e) {
    struct err cause = ERR_NONE;
    const char *text = NULL;
    int got = m->need == BUNDLE_MESSAGE_OPTIONAL
                  ? doc_string_opt(at, m->key, string_ceiling(m), &text, &cause)
                  : doc_string(at, m->key, string_ceiling(m), &text, &cause);
    if (got < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    return got == DOC_ABSENT ? 0 : store_string(at, m, text, field, e);
}

static int read_other(const struct doc_at *at, const struct bundle_message_member *m, void *field,
                      struct err *e) {
    struct err cause = ERR_NONE;
    bool optional = m->need == BUNDLE_MESSAGE_OPTIONAL;
    uint64_t min = m->type == BUNDLE_MESSAGE_COUNT;
    int got;
    if (m->type == BUNDLE_MESSAGE_BOOL)
        got = optional ? doc_bool_opt(at, m->key, field, &cause)
                       : doc_bool(at, m->key, field, &cause);
    else
        got = optional ? doc_u64_opt(at, m->key, min, KEYS_VERSION_MAX, field, &cause)
                       : doc_u64(at, m->key, min, KEYS_VERSION_MAX, field, &cause);
    return got < 0 ? bundle_message_fail(&cause, &err_bad_message, e) : 0;
}

static int read_object(const struct doc_at *at, const struct bundle_message_member *m, void *ret,
                       struct err *e) {
    struct err cause = ERR_NONE;
    struct doc_at inner;
    int got = m->need == BUNDLE_MESSAGE_OPTIONAL ? doc_object_opt(at, m->key, &inner, &cause)
                                                 : doc_object(at, m->key, &inner, &cause);
    if (got < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (m->has != BUNDLE_MESSAGE_NO_FLAG)
        *(bool *)((char *)ret + m->has) = got == 0;
    return got == DOC_ABSENT ? 0 : bundle_message_read(&inner, m->members, ret, e);
}

int bundle_message_read(const struct doc_at *at, const struct bundle_message_member *table,
                        void *ret, struct err *e) {
    for (const struct bundle_message_member *m = table; m->key; m++) {
        void *field = (char *)ret + m->offset;
        int failed;
        if (m->type == BUNDLE_MESSAGE_OBJECT)
            failed = read_object(at, m, ret, e); // as deep as the tables, not as the input
        else if (is_string(m->type))
            failed = read_string(at, m, field, e);
        else
            failed = read_other(at, m, field, e);
        if (failed < 0)
            return -1;
    }
    return 0;
}

// What a device quotes (a probe's last output, say) may be any bytes; JSON carries text alone.
static json_t *new_text(const char *text) {
    if (text_is_utf8(text, strlen(text)))
        return json_string(text);
    char safe[BUNDLE_REPORT_DETAIL_MAX + 1];
    return json_string(text_safe(text, safe, sizeof safe));
}

// True when a member has nothing to say.
static bool is_zero(const struct bundle_message_member *m, const void *from) {
    static const char zeros[sizeof(struct keys_digest)];
    if (m->type == BUNDLE_MESSAGE_OBJECT) {
        if (m->has != BUNDLE_MESSAGE_NO_FLAG)
            return !*(const bool *)((const char *)from + m->has);
        for (const struct bundle_message_member *inner = m->members; inner->key; inner++)
            if (!is_zero(inner, from))
                return false;
        return true;
    }
    size_t bytes = m->type < BUNDLE_MESSAGE_DIGEST ? 1 : m->bytes;
    assert(bytes <= sizeof zeros);
    return memcmp((const char *)from + m->offset, zeros, bytes) == 0;
}

static json_t *new_object(const struct bundle_message_member *m, const void *from) {
    struct err unused = ERR_NONE;
    json_t *object = json_object();
    if (object && bundle_message_write(object, m->members, from, &unused) < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

// NULL when memory is out.
static json_t *new_value(const struct bundle_message_member *m, const void *from) {
    char text[KEYS_DIGEST_HEX > CHRONO_TEXT_BYTES ? KEYS_DIGEST_HEX : CHRONO_TEXT_BYTES];
    const void *field = (const char *)from + m->offset;
    uint64_t number;
    switch (m->type) {
    case BUNDLE_MESSAGE_OBJECT:
        return new_object(m, from);
    case BUNDLE_MESSAGE_DIGEST:
        if (m->need == BUNDLE_MESSAGE_OR_EMPTY && is_zero(m, from))
            return json_string("");
        return json_string(keys_digest_hex(field, text));
    case BUNDLE_MESSAGE_TIME:
        return json_string(chrono_format(*(const int64_t *)field, text));
    case BUNDLE_MESSAGE_BOOL:
        return json_boolean(*(const bool *)field);
    case BUNDLE_MESSAGE_U64:
    case BUNDLE_MESSAGE_COUNT:
        number = *(const uint64_t *)field;
        assert(number <= KEYS_VERSION_MAX);
        return json_integer((json_int_t)number);
    default:
        return new_text(field);
    }
}

int bundle_message_write(json_t *object, const struct bundle_message_member *table,
                         const void *from, struct err *e) {
    for (const struct bundle_message_member *m = table; m->key; m++) {
        json_t *value;
        if (m->need != BUNDLE_MESSAGE_OPTIONAL || !is_zero(m, from))
            value = new_value(m, from);
        else if (m->type == BUNDLE_MESSAGE_OBJECT)
            value = json_null();
        else
            continue;
        if (json_object_set_new(object, m->key, value) < 0)
            return err_set(e, &err_memory, "writing a message: out of memory");
    }
    return 0;
}

int bundle_message_dump(const json_t *value, struct buf *ret, struct err *e) {
    const size_t flags = JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY;
    size_t len = json_dumpb(value, NULL, 0, flags);
    if (len == 0)
        return err_set(e, &err_memory, "writing a message: out of memory");
    uint8_t *room = NULL;
    if (buf_reserve(ret, len, &room, e) < 0)
        return err_prefix(e, "writing a message of %zu bytes", len);
    size_t wrote = json_dumpb(value, (char *)room, len, flags);
    if (wrote != len)
        return err_set(e, &err_memory, "writing a message: out of memory");
    buf_commit(ret, len);
    return 0;
}
