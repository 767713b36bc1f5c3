// SPDX-License-Identifier: Apache-2.0
//
// The sentence of an error and how it is cut: a cause keeps its beginning (and the system's text at
// its end), a context keeps the end that is nearest to the cause.

#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ERR_DEFINE(kind_name, kind_status, kind_retry, kind_text)                                  \
    const struct err_kind err_##kind_name = {.name = #kind_name,                                   \
                                             .exit_status = (kind_status),                         \
                                             .retry = (kind_retry),                                \
                                             .text = (kind_text)};
BASE_KINDS(ERR_DEFINE)

#define ERR_ROW(name, status, retry, text) &err_##name,
const struct err_kind *const err_base_kinds[] = {BASE_KINDS(ERR_ROW) NULL};

static const char ellipsis[] = "…";
#define ELLIPSIS_BYTES (sizeof ellipsis - 1)

// The longest length <= len at which text can be cut without splitting a UTF-8 character.
static size_t cut_before(const char *text, size_t len) {
    while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
        len--;
    return len;
}

// The smallest offset >= from at which a UTF-8 character begins.
static size_t cut_after(const char *text, size_t from) {
    while (((unsigned char)text[from] & 0xC0) == 0x80)
        from++;
    return from;
}

// Formats into ret, leaving `spare` of its bytes unused behind the text; what does not fit is
// replaced by "…".
__attribute__((format(printf, 3, 0))) static void
set_text(char ret[static ERR_TEXT_BYTES], size_t spare, const char *format, va_list args) {
    size_t room = ERR_TEXT_BYTES - spare;
    int wanted = vsnprintf(ret, room, format, args);
    if (wanted < 0) {
        // Only an encoding error of wide characters gets here; the kind still says what it was.
        ret[0] = '\0';
        return;
    }
    if ((size_t)wanted < room)
        return;
    size_t keep = cut_before(ret, room - 1 - ELLIPSIS_BYTES);
    memcpy(ret + keep, ellipsis, sizeof ellipsis);
}

int err_set(struct err *e, const struct err_kind *kind, const char *format, ...) {
    if (e->kind)
        return -1;
    va_list args;
    va_start(args, format);
    set_text(e->text, 0, format, args);
    va_end(args);
    e->kind = kind;
    return -1;
}

static const struct err_kind *kind_of_errno(int saved_errno) {
    switch (saved_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: // a limit on the size of files, RLIMIT_FSIZE
        return &err_no_space;
    case EROFS:
        return &err_read_only;
    case ENOMEM:
        return &err_memory;
    case EACCES:
    case EPERM:
        return &err_permission;
    case ENOENT:
        return &err_not_found;
    case EEXIST:
        return &err_exists;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
        return &err_busy;
    case ETIMEDOUT:
        return &err_timeout;
    default:
        return &err_io;
    }
}

int err_errno(struct err *e, int saved_errno, const char *format, ...) {
    if (e->kind)
        return -1;
    char buffer[128];
    // The GNU strerror_r: it may answer with a constant instead of filling the buffer.
    const char *cause = strerror_r(saved_errno, buffer, sizeof buffer);
    size_t cause_len = strnlen(cause, sizeof buffer);
    va_list args;
    va_start(args, format);
    set_text(e->text, cause_len + 2, format, args);
    va_end(args);
    size_t len = strlen(e->text);
    memcpy(e->text + len, ": ", 2);
    memcpy(e->text + len + 2, cause, cause_len);
    e->text[len + 2 + cause_len] = '\0';
    e->kind = kind_of_errno(saved_errno);
    return -1;
}

int err_prefix(struct err *e, const char *format, ...) {
    assert(e->kind);
    char context[ERR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    set_text(context, 0, format, args);
    va_end(args);
    size_t context_len = strlen(context);
    size_t cause_len = strlen(e->text);
    size_t room = ERR_TEXT_BYTES - 1 - cause_len;
    if (context_len + 2 <= room) {
        memmove(e->text + context_len + 2, e->text, cause_len + 1);
        memcpy(e->text, context, context_len);
        memcpy(e->text + context_len, ": ", 2);
        return -1;
    }
    // A shred of context says nothing: with no room for a few words it is left out.
    if (room < ELLIPSIS_BYTES + 2 + 8)
        return -1;
    size_t from = cut_after(context, context_len - (room - 2 - ELLIPSIS_BYTES));
    size_t kept = context_len - from;
    size_t at = ELLIPSIS_BYTES + kept + 2;
    memmove(e->text + at, e->text, cause_len + 1);
    memcpy(e->text, ellipsis, ELLIPSIS_BYTES);
    memcpy(e->text + ELLIPSIS_BYTES, context + from, kept);
    memcpy(e->text + ELLIPSIS_BYTES + kept, ": ", 2);
    return -1;
}

void err_clear(struct err *e) {
    e->kind = NULL;
    e->text[0] = '\0';
}

bool err_is(const struct err *e, const struct err_kind *kind) {
    return e->kind == kind;
}

const struct err_kind *err_find(const struct err_kind *const *table, const char *name) {
    for (; *table; table++) {
        if (strcmp((*table)->name, name) == 0)
            return *table;
    }
    return NULL;
}
