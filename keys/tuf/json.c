// SPDX-License-Identifier: Apache-2.0
//
// Reading the tape.
#include <stdlib.h>
#include <string.h>

#include "keys/tuf/json_tape.h"

static const struct tuf_json_value *value_of(struct tuf_json_at at) {
    return &at.json->tape[at.index];
}

static bool is_container(const struct tuf_json_value *value) {
    return value->type >= TUF_JSON_ARRAY;
}

// The index behind a value and all that is in it.
static uint32_t behind(const struct tuf_json *json, uint32_t index) {
    const struct tuf_json_value *value = &json->tape[index];
    return is_container(value) ? value->container.end : index + 1;
}

struct tuf_json_at tuf_json_root(const struct tuf_json *json) {
    return (struct tuf_json_at){.json = json};
}

enum tuf_json_type tuf_json_type(struct tuf_json_at at) {
    return (enum tuf_json_type)value_of(at)->type;
}

const char *tuf_json_string(struct tuf_json_at at, size_t *ret_len) {
    const struct tuf_json_value *value = value_of(at);
    if (value->type != TUF_JSON_STRING)
        return NULL;
    if (ret_len)
        *ret_len = value->string.len;
    return at.json->text + value->string.start;
}

int64_t tuf_json_integer(struct tuf_json_at at) {
    const struct tuf_json_value *value = value_of(at);
    return value->type == TUF_JSON_INTEGER ? value->integer : TUF_JSON_NO_INTEGER;
}

size_t tuf_json_count(struct tuf_json_at at) {
    const struct tuf_json_value *value = value_of(at);
    return is_container(value) ? value->container.count : 0;
}

static bool child(struct tuf_json_at container, uint32_t index, struct tuf_json_at *ret,
                  const char **ret_key) {
    if (index >= behind(container.json, container.index))
        return false;
    *ret = (struct tuf_json_at){.json = container.json, .index = index};
    if (ret_key)
        *ret_key = tuf_json_tape_key(container.json, index);
    return true;
}

bool tuf_json_first(struct tuf_json_at container, struct tuf_json_at *ret, const char **ret_key) {
    return child(container, container.index + 1, ret, ret_key);
}

bool tuf_json_next(struct tuf_json_at container, struct tuf_json_at *at, const char **ret_key) {
    return child(container, behind(at->json, at->index), at, ret_key);
}

bool tuf_json_find(struct tuf_json_at object, const char *key, struct tuf_json_at *ret) {
    if (tuf_json_type(object) != TUF_JSON_OBJECT)
        return false;
    struct tuf_json_at at;
    const char *name;
    for (bool is = tuf_json_first(object, &at, &name); is; is = tuf_json_next(object, &at, &name)) {
        if (strcmp(name, key) == 0) {
            *ret = at;
            return true;
        }
    }
    return false;
}

bool tuf_json_find_type(struct tuf_json_at object, const char *key, enum tuf_json_type type,
                        struct tuf_json_at *ret) {
    struct tuf_json_at at;
    if (!tuf_json_find(object, key, &at) || tuf_json_type(at) != type)
        return false;
    *ret = at;
    return true;
}

void tuf_json_clear(struct tuf_json *json) {
    free(json->text);
    free(json->tape);
    *json = (struct tuf_json)TUF_JSON_NONE;
}

static void swap(uint32_t *order, uint32_t a, uint32_t b) {
    uint32_t kept = order[a];
    order[a] = order[b];
    order[b] = kept;
}

// Lets the entry at `at` sink to where no child in the heap is behind it in byte order.
static void sink(const struct tuf_json *json, uint32_t *order, uint32_t at, uint32_t n) {
    for (uint32_t low; (low = 2 * at + 1) < n; at = low) {
        if (low + 1 < n && strcmp(tuf_json_tape_key(json, order[low]),
                                  tuf_json_tape_key(json, order[low + 1])) < 0)
            low++;
        if (strcmp(tuf_json_tape_key(json, order[at]), tuf_json_tape_key(json, order[low])) >= 0)
            return;
        swap(order, at, low);
    }
}

// Heap sort: no memory, and no input for which it is slow, unlike what qsort may be.
static void sort(const struct tuf_json *json, uint32_t *order, uint32_t n) {
    for (uint32_t at = n / 2; at-- > 0;)
        sink(json, order, at, n);
    while (n > 1) {
        swap(order, 0, --n);
        sink(json, order, 0, n);
    }
}

uint32_t tuf_json_tape_children(struct tuf_json_at container, uint32_t *order) {
    uint32_t n = 0;
    struct tuf_json_at at;
    bool is = tuf_json_first(container, &at, NULL);
    for (; is; is = tuf_json_next(container, &at, NULL))
        order[n++] = at.index;
    if (tuf_json_type(container) == TUF_JSON_OBJECT)
        sort(container.json, order, n);
    return n;
}
