// SPDX-License-Identifier: Apache-2.0
//
// Reading the small files of /etc, /proc and /sys from which facts are made.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

// The first line of a file, without blanks at its ends and NULs; false when there is none.
bool facts_read_line(const char *path, char *ret, size_t ret_bytes) __attribute__((nonnull));
// At most ret_bytes - 1 of a file as text.
bool facts_read_text(const char *path, char *ret, size_t ret_bytes) __attribute__((nonnull));
// Sets a text fact, unless it is empty, too long or not UTF-8.
void facts_read_set(json_t *facts, const char *name, const char *value) __attribute__((nonnull));
// The first path that matches the pattern (glob), into ret; false when none does.
bool facts_read_match(const char *pattern, char *ret, size_t ret_bytes) __attribute__((nonnull));
