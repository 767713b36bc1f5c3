// SPDX-License-Identifier: Apache-2.0
//
// Lines of numbers.
#include "ctl/rollout/line.h"

#include <inttypes.h>
#include <string.h>

// ── Writing ──

void rollout_line_begin(struct rollout_line_writer *w, const char *kind, int version,
                        struct err *e) {
    w->e = e;
    buf_init(&w->line, ROLLOUT_LINE_MAX_BYTES);
    w->failed = buf_add_format(&w->line, e, "%s %d", kind, version) < 0;
}

void rollout_line_put(struct rollout_line_writer *w, uint64_t number) {
    w->failed = w->failed || buf_add_format(&w->line, w->e, " %" PRIu64, number) < 0;
}

void rollout_line_put_signed(struct rollout_line_writer *w, int64_t number) {
    w->failed = w->failed || buf_add_format(&w->line, w->e, " %" PRId64, number) < 0;
}

int rollout_line_finish(struct rollout_line_writer *w, struct buf *ret) {
    int done = w->failed ? -1 : buf_add_text(ret, buf_text(&w->line), w->e);
    buf_clear(&w->line);
    return done;
}

// ── Reading ──

// The digits of a number in its only form.
static uint64_t digits(struct rollout_line_reader *r, uint64_t most) {
    uint64_t number = 0;
    if (*r->text < '0' || *r->text > '9' ||
        (*r->text == '0' && r->text[1] >= '0' && r->text[1] <= '9'))
        r->wrong = true;
    for (; !r->wrong && *r->text >= '0' && *r->text <= '9'; r->text++)
        r->wrong = __builtin_mul_overflow(number, 10U, &number) ||
                   __builtin_add_overflow(number, (unsigned)(*r->text - '0'), &number);
    r->wrong = r->wrong || number > most;
    return r->wrong ? 0 : number;
}

static bool take_blank(struct rollout_line_reader *r) {
    r->wrong = r->wrong || *r->text != ' ';
    r->text += !r->wrong;
    return !r->wrong;
}

uint64_t rollout_line_take(struct rollout_line_reader *r, uint64_t most) {
    return take_blank(r) ? digits(r, most) : 0;
}

uint32_t rollout_line_take_small(struct rollout_line_reader *r, uint32_t most) {
    return (uint32_t)rollout_line_take(r, most);
}

bool rollout_line_take_flag(struct rollout_line_reader *r) {
    return rollout_line_take(r, 1) != 0;
}

int64_t rollout_line_take_signed(struct rollout_line_reader *r) {
    if (!take_blank(r))
        return 0;
    bool negative = *r->text == '-';
    r->text += negative;
    uint64_t magnitude = digits(r, INT64_MAX);
    r->wrong = r->wrong || (negative && magnitude == 0);
    return negative ? -(int64_t)magnitude : (int64_t)magnitude;
}

int rollout_line_refuse(const char *kind, struct err *e) {
    return err_set(e, &err_syntax,
                   "reading what is known of a rollout (%s): the line is damaged, or of another "
                   "kind",
                   kind);
}

int rollout_line_open(const char *text, const char *kind, uint64_t newest,
                      struct rollout_line_reader *ret, uint64_t *ret_version, struct err *e) {
    size_t name = strlen(kind);
    *ret = (struct rollout_line_reader){.wrong = strncmp(text, kind, name) != 0};
    if (ret->wrong)
        return rollout_line_refuse(kind, e);
    ret->text = text + name;
    uint64_t version = rollout_line_take(ret, UINT64_MAX);
    if (ret->wrong || version < 1)
        return rollout_line_refuse(kind, e);
    if (version > newest)
        return err_set(e, &err_newer_format,
                       "reading what is known of a rollout (%s): version %" PRIu64
                       " is newer than this program",
                       kind, version);
    *ret_version = version;
    return 0;
}

bool rollout_line_is_over(const struct rollout_line_reader *r) {
    return !r->wrong && *r->text == '\0';
}
