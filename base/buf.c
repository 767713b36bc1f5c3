// SPDX-License-Identifier: Apache-2.0
//
// Growing by doubling, never past the ceiling, with room for one NUL kept behind the content.

#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_BYTES 64

void buf_init(struct buf *b, size_t ceiling_bytes) {
    *b = (struct buf){.ceiling = ceiling_bytes};
}

void buf_clear(struct buf *b) {
    free(b->data);
    buf_init(b, b->ceiling);
}

int buf_reserve(struct buf *b, size_t len, uint8_t **ret, struct err *e) {
    size_t need;
    if (__builtin_add_overflow(b->len, len, &need) || need > b->ceiling)
        return err_set(e, &err_limit, "more than %zu bytes", b->ceiling);
    if (need > b->capacity || !b->data) {
        size_t capacity = b->capacity ? b->capacity : BUF_FIRST_BYTES;
        if (__builtin_mul_overflow(capacity, 2, &capacity) || capacity < need)
            capacity = need;
        if (capacity > b->ceiling)
            capacity = b->ceiling;
        uint8_t *data = capacity < SIZE_MAX ? realloc(b->data, capacity + 1) : NULL;
        if (!data)
            return err_set(e, &err_memory, "no memory for %zu bytes", need);
        b->data = data;
        b->capacity = capacity;
        b->data[b->len] = '\0';
    }
    *ret = b->data + b->len;
    return 0;
}

void buf_commit(struct buf *b, size_t len) {
    if (len == 0)
        return;
    assert(len <= b->capacity - b->len);
    b->len += len;
    b->data[b->len] = '\0';
}

int buf_add(struct buf *b, const void *data, size_t len, struct err *e) {
    if (len == 0)
        return 0;
    uint8_t *to;
    if (buf_reserve(b, len, &to, e) < 0)
        return -1;
    memcpy(to, data, len);
    buf_commit(b, len);
    return 0;
}

int buf_add_text(struct buf *b, const char *text, struct err *e) {
    return buf_add(b, text, strlen(text), e);
}

int buf_add_format(struct buf *b, struct err *e, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return err_set(e, &err_internal, "a text cannot be formatted");
    uint8_t *to;
    if (buf_reserve(b, (size_t)len, &to, e) < 0)
        return -1;
    va_start(args, format);
    (void)vsnprintf((char *)to, (size_t)len + 1, format, args);
    va_end(args);
    buf_commit(b, (size_t)len);
    return 0;
}

void buf_consume(struct buf *b, size_t len) {
    assert(len <= b->len);
    if (len == 0)
        return;
    b->len -= len;
    memmove(b->data, b->data + len, b->len + 1);
}

const char *buf_text(const struct buf *b) {
    return b->data ? (const char *)b->data : "";
}

struct slice buf_slice(const struct buf *b) {
    return (struct slice){.data = b->data, .len = b->len};
}
