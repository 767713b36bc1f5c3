// SPDX-License-Identifier: Apache-2.0
//
// A byte buffer that names its ceiling at birth: it grows on demand and refuses (err_limit) to grow
// past it. What it holds is always followed by one NUL that does not count, so that text can be
// handed to functions that want a string. Not for secrets (keys/secret.h): growing leaves copies
// behind. `struct slice` is a borrowed view.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct slice {
    const uint8_t *data; // borrowed; may be NULL when len is 0
    size_t len;
};

struct buf {
    uint8_t *data;
    size_t len;
    size_t capacity;
    size_t ceiling; // bytes it may hold, the NUL not counted
};

// An empty buffer that may grow to `ceiling_bytes` bytes. Allocates nothing yet.
void buf_init(struct buf *b, size_t ceiling_bytes) __attribute__((nonnull));
// Frees what it holds; the buffer is empty again and keeps its ceiling. Usable with OWN(buf).
void buf_clear(struct buf *b) __attribute__((nonnull));
#define own_drop_buf buf_clear

// Each of these appends and returns 0, or leaves the buffer as it was and returns -1 (limit,
// memory). What is added must not lie in the buffer itself.
int buf_add(struct buf *b, const void *data, size_t len, struct err *e)
    __attribute__((nonnull(1, 4)));
int buf_add_text(struct buf *b, const char *text, struct err *e) __attribute__((nonnull));
int buf_add_format(struct buf *b, struct err *e, const char *format, ...)
    __attribute__((nonnull, format(printf, 3, 4)));
// Makes room for len more bytes and returns where to write them through *ret; buf_commit says how
// many were written.
int buf_reserve(struct buf *b, size_t len, uint8_t **ret, struct err *e) __attribute__((nonnull));
void buf_commit(struct buf *b, size_t len) __attribute__((nonnull));
// Drops the first len bytes (len <= b->len) and moves the rest down.
void buf_consume(struct buf *b, size_t len) __attribute__((nonnull));

// The content as a string; "" when empty. Borrowed until the buffer changes. It may contain NULs of
// its own.
const char *buf_text(const struct buf *b) __attribute__((nonnull));
struct slice buf_slice(const struct buf *b) __attribute__((nonnull));
