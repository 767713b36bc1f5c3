// SPDX-License-Identifier: Apache-2.0
//
// The tape written again, in canonical form. A level of nesting is a run of indexes behind those of
// the levels around it; each value is a child of one container, so that there is room for all.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "keys/tuf/json_tape.h"

// A container that is being written: its children are order[first…end), and next comes next.
struct level {
    uint32_t first, next, end;
    bool object;
};

struct writer {
    const struct tuf_json *json;
    struct buf *out;
    struct err *e;
    int failed;      // sticky: nothing is written any more
    uint32_t *order; // the children of all open levels, one level behind the other
    uint32_t depth;
    struct level levels[TUF_JSON_DEPTH_MAX];
};

static void put(struct writer *w, const char *text, size_t len) {
    if (!w->failed)
        w->failed = buf_add(w->out, text, len, w->e);
}

static void put_string(struct writer *w, const char *text) {
    put(w, "\"", 1);
    while (*text) {
        size_t plain = strcspn(text, "\"\\");
        put(w, text, plain);
        text += plain;
        if (*text) {
            put(w, "\\", 1);
            put(w, text++, 1);
        }
    }
    put(w, "\"", 1);
}

static void enter(struct writer *w, struct tuf_json_at at) {
    uint32_t first = w->depth > 0 ? w->levels[w->depth - 1].end : 0;
    uint32_t n = tuf_json_tape_children(at, w->order + first);
    bool object = tuf_json_type(at) == TUF_JSON_OBJECT;
    w->levels[w->depth++] =
        (struct level){.first = first, .next = first, .end = first + n, .object = object};
    put(w, object ? "{" : "[", 1);
}

static void write_value(struct writer *w, struct tuf_json_at at) {
    static const char *const words[] = {
        [TUF_JSON_NULL] = "null", [TUF_JSON_FALSE] = "false", [TUF_JSON_TRUE] = "true"};
    char number[24];
    switch (tuf_json_type(at)) {
    case TUF_JSON_OBJECT:
    case TUF_JSON_ARRAY:
        enter(w, at);
        break;
    case TUF_JSON_STRING:
        put_string(w, tuf_json_string(at, NULL));
        break;
    case TUF_JSON_INTEGER:
        (void)snprintf(number, sizeof number, "%" PRId64, tuf_json_integer(at));
        put(w, number, strlen(number));
        break;
    default:
        put(w, words[tuf_json_type(at)], strlen(words[tuf_json_type(at)]));
    }
}

// One more child of the innermost level, or its end.
static void step(struct writer *w) {
    struct level *level = &w->levels[w->depth - 1];
    if (level->next == level->end) {
        w->depth--;
        put(w, level->object ? "}" : "]", 1);
        return;
    }
    uint32_t index = w->order[level->next];
    if (level->next++ > level->first)
        put(w, ",", 1);
    if (level->object) {
        put_string(w, tuf_json_tape_key(w->json, index));
        put(w, ":", 1);
    }
    write_value(w, (struct tuf_json_at){.json = w->json, .index = index});
}

int tuf_json_canonical(struct tuf_json_at at, struct buf *ret, struct err *e) {
    OWN(mem) uint32_t *order = calloc(at.json->n, sizeof *order);
    if (!order)
        return err_set(e, &err_memory, "writing canonical JSON: no memory for an index");
    struct writer w = {.json = at.json, .out = ret, .e = e, .order = order};
    size_t before = ret->len;
    write_value(&w, at);
    while (w.depth > 0 && !w.failed)
        step(&w);
    if (w.failed && ret->len > before) {
        ret->len = before; // only what was appended here is taken back
        ret->data[before] = 0;
    }
    return w.failed;
}
