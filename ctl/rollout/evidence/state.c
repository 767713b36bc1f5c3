// SPDX-License-Identifier: Apache-2.0
//
// States as text. Each struct is read and written as the list of its numbers.
#include "ctl/rollout/evidence/state.h"

#include <inttypes.h>
#include <string.h>

#include "base/own.h"

#define VERSION     1
#define NUMBERS_MAX (1 + 2 * EVIDENCE_RANK_NODES * EVIDENCE_RANK_BETS)

enum { EVENTS_NUMBERS = 1 + 2 * EVIDENCE_EVENTS_NODES, INSTALL_NUMBERS = 2 };
_Static_assert(sizeof(struct evidence_events) == EVENTS_NUMBERS * sizeof(int64_t), "no padding");
_Static_assert(sizeof(struct evidence_rank) == NUMBERS_MAX * sizeof(int64_t), "no padding");
_Static_assert(sizeof(struct evidence_install) == INSTALL_NUMBERS * sizeof(int64_t), "no padding");

static int format(const char *kind, const void *state, size_t n, struct buf *ret, struct err *e) {
    int64_t numbers[NUMBERS_MAX];
    OWN(buf) struct buf line;
    buf_init(&line, EVIDENCE_STATE_MAX_BYTES);
    memcpy(numbers, state, n * sizeof *numbers);
    if (buf_add_format(&line, e, "%s %d", kind, VERSION) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (buf_add_format(&line, e, " %" PRId64, numbers[i]) < 0)
            return -1;
    return buf_add_text(ret, buf_text(&line), e);
}

// One number and the blank before it; NULL when there is none, or it is not in its only form.
static const char *take(const char *text, int64_t *ret) {
    uint64_t magnitude = 0;
    if (*text++ != ' ')
        return NULL;
    bool negative = *text == '-';
    text += negative;
    if (*text < '0' || *text > '9' ||
        (*text == '0' && (negative || (text[1] >= '0' && text[1] <= '9'))))
        return NULL;
    for (; *text >= '0' && *text <= '9'; text++) {
        magnitude = magnitude * 10 + (uint64_t)(*text - '0');
        if (magnitude > (uint64_t)INT64_MAX / 16)
            return NULL;
    }
    *ret = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return text;
}

static int refuse(const char *kind, const char *wrong, struct err *e) {
    return err_set(e, &err_syntax, "reading the evidence of a gate (%s): %s", kind, wrong);
}

// The first `counts` numbers are counts, the others logs.
static int parse(const char *text, const char *kind, size_t counts, size_t n,
                 int64_t ret[static NUMBERS_MAX], struct err *e) {
    int64_t version = 0;
    size_t name = strlen(kind);
    if (strncmp(text, kind, name) != 0)
        return refuse(kind, "it is of another kind", e);
    text = take(text + name, &version);
    if (text == NULL || version < 1)
        return refuse(kind, "it has no version", e);
    if (version > VERSION)
        return err_set(e, &err_newer_format,
                       "reading the evidence of a gate (%s): version %" PRId64
                       " is newer than this program",
                       kind, version);
    for (size_t i = 0; i < n; i++) {
        text = take(text, &ret[i]);
        if (text == NULL)
            return refuse(kind, "a number is missing or malformed", e);
        if (i < counts ? ret[i] < 0 : ret[i] < EVIDENCE_LOG_ZERO || ret[i] > EVIDENCE_LOG_MAX)
            return refuse(kind, "a number is out of its range", e);
    }
    return *text == '\0' ? 0 : refuse(kind, "something follows it", e);
}

int evidence_state_format_events(const struct evidence_events *state, struct buf *ret,
                                 struct err *e) {
    return format("events", state, EVENTS_NUMBERS, ret, e);
}

int evidence_state_format_rank(const struct evidence_rank *state, struct buf *ret, struct err *e) {
    return format("rank", state, NUMBERS_MAX, ret, e);
}

int evidence_state_format_install(const struct evidence_install *state, struct buf *ret,
                                  struct err *e) {
    return format("install", state, INSTALL_NUMBERS, ret, e);
}

int evidence_state_parse_events(const char *text, struct evidence_events *ret, struct err *e) {
    int64_t numbers[NUMBERS_MAX];
    if (parse(text, "events", 1, EVENTS_NUMBERS, numbers, e) < 0)
        return -1;
    memcpy(ret, numbers, sizeof *ret);
    return 0;
}

int evidence_state_parse_rank(const char *text, struct evidence_rank *ret, struct err *e) {
    int64_t numbers[NUMBERS_MAX];
    if (parse(text, "rank", 1, NUMBERS_MAX, numbers, e) < 0)
        return -1;
    memcpy(ret, numbers, sizeof *ret);
    return 0;
}

int evidence_state_parse_install(const char *text, struct evidence_install *ret, struct err *e) {
    int64_t numbers[NUMBERS_MAX];
    if (parse(text, "install", INSTALL_NUMBERS, INSTALL_NUMBERS, numbers, e) < 0)
        return -1;
    if (numbers[1] > numbers[0])
        return refuse("install", "more failed than were scored", e);
    memcpy(ret, numbers, sizeof *ret);
    return 0;
}
