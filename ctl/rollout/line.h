// SPDX-License-Identifier: Apache-2.0
//
// Lines of numbers, "KIND VERSION N N N": what a store keeps of a rollout's state, in a form that has
// only one text for each state (score_state.h). Numbers are decimal, without leading zeros, parted
// by one blank.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define ROLLOUT_LINE_MAX_BYTES (512 * 1024)

// A line under way: the first error stays.
struct rollout_line_writer {
    struct buf line;
    struct err *e;
    bool failed;
};

// Begins a line; *e is borrowed until rollout_line_finish, which has to be called.
void rollout_line_begin(struct rollout_line_writer *w, const char *kind, int version, struct err *e)
    __attribute__((nonnull));
// The next number.
void rollout_line_put(struct rollout_line_writer *w, uint64_t number) __attribute__((nonnull));
void rollout_line_put_signed(struct rollout_line_writer *w, int64_t number)
    __attribute__((nonnull));
// Appends it to ret. Kinds: limit, memory.
int rollout_line_finish(struct rollout_line_writer *w, struct buf *ret) __attribute__((nonnull));

// The rest of a line, borrowed: what is wrong with it stays wrong.
struct rollout_line_reader {
    const char *text;
    bool wrong;
};

// Its kind and version, from 1 to the newest that is known. Kinds: syntax, newer_format.
int rollout_line_open(const char *text, const char *kind, uint64_t newest,
                      struct rollout_line_reader *ret, uint64_t *ret_version, struct err *e)
    __attribute__((nonnull));
// The next number, 0 when the line is wrong; one above most is.
uint64_t rollout_line_take(struct rollout_line_reader *r, uint64_t most) __attribute__((nonnull));
uint32_t rollout_line_take_small(struct rollout_line_reader *r, uint32_t most)
    __attribute__((nonnull));
bool rollout_line_take_flag(struct rollout_line_reader *r) __attribute__((nonnull));
int64_t rollout_line_take_signed(struct rollout_line_reader *r) __attribute__((nonnull));
// Whether it was read to its end, and nothing was wrong.
bool rollout_line_is_over(const struct rollout_line_reader *r) __attribute__((nonnull));
// Says that a line of this kind is damaged (kind syntax). Returns -1.
int rollout_line_refuse(const char *kind, struct err *e) __attribute__((nonnull));
