// SPDX-License-Identifier: Apache-2.0
//
// Bytes that claim to be text: UTF-8 checking, hex, and escaping for terminals (what a device or a
// bundle says is shown with every control character, invalid byte and bidirectional override made
// visible).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

// Strict UTF-8 (no overlong forms, no surrogates, no more than U+10FFFF), no NUL inside.
bool text_is_utf8(const char *text, size_t len) __attribute__((nonnull));
// How many of the first bytes are that; len when all are.
size_t text_utf8_prefix(const char *text, size_t len) __attribute__((nonnull));
// Letters, digits, '.', '_', '-', '+', not starting with '.' or '-', length 1..max: what names of
// components, keys, devices look like.
bool text_is_name(const char *text, size_t max) __attribute__((nonnull));
// Whether it is a stem of one byte at least and then this ending.
bool text_ends_with(const char *text, const char *ending) __attribute__((nonnull));

// ret gets 2*len lower-case digits and a NUL.
void text_hex(const uint8_t *data, size_t len, char *ret) __attribute__((nonnull));
// Exactly 2*len lower-case hex digits, or -1 (syntax).
int text_unhex(const char *hex, uint8_t *ret, size_t len, const char *what, struct err *e)
    __attribute__((nonnull));

// Appends text made safe for a terminal or a log line.
int text_escape(struct buf *b, const char *text, size_t len, struct err *e)
    __attribute__((nonnull));
// The same into a fixed array, cut with "…" if needed. Returns ret.
char *text_safe(const char *text, char *ret, size_t ret_bytes) __attribute__((nonnull));

// Order of version strings by Debian's rule: runs of digits compare as numbers, the runs between
// them letter by letter with letters before other signs, and "~" sorts before the end: 1.9
// < 1.10, 2.0~rc1 < 2.0. <0, 0, >0. (Debian's epochs and revisions have no meaning here.)
int text_compare_version(const char *a, const char *b) __attribute__((nonnull));

// Whether word is probably a misspelling of `meant` (at most two edits, and fewer than half of the
// letters); *ret_edits says how many edits lie between them. For "did you mean …?".
bool text_is_near(const char *word, const char *meant, size_t *ret_edits) __attribute__((nonnull));
// The nearest of a null-terminated list, or NULL when none is near. Borrowed from the list.
const char *text_find_near(const char *word, const char *const *candidates)
    __attribute__((nonnull));
