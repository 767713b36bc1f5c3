// SPDX-License-Identifier: Apache-2.0
//
// Model files of two arrays, written by hand in each format, and what was found in a content.
#pragma once

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/pack/model/find.h"

#define FOUND_MAX 16

struct found {
    struct model_region regions[FOUND_MAX];
    size_t n;
};

static inline int found_add(void *context, const struct model_region *region, struct err *e) {
    struct found *f = context;
    (void)e;
    if (f->n < FOUND_MAX)
        f->regions[f->n] = *region;
    f->n++;
    return 0;
}

static inline void files_find(struct slice content, struct found *ret) {
    struct err e = ERR_NONE;
    memset(ret, 0, sizeof *ret);
    cr_assert_eq(model_find(content, "dir/model", NULL, found_add, ret, &e), 0, "%s", e.text);
}

static inline void files_add(struct buf *b, const void *data, size_t len) {
    struct err e = ERR_NONE;
    cr_assert_eq(buf_add(b, data, len, &e), 0);
}

static inline void files_number(struct buf *b, uint64_t value, unsigned bytes) {
    uint8_t raw[8];
    for (unsigned i = 0; i < 8; i++)
        raw[i] = (uint8_t)(value >> (8 * i));
    files_add(b, raw, bytes);
}

static inline void files_string64(struct buf *b, const char *text) {
    files_number(b, strlen(text), 8);
    files_add(b, text, strlen(text));
}

static inline void files_pad(struct buf *b, size_t align) {
    while (b->len % align)
        files_add(b, "", 1);
}

// The two arrays: rows x columns of weights, and as many as columns of another.
struct arrays {
    struct slice weights, bias;
    uint64_t columns;
};

static inline void files_safetensors(const struct arrays *a, struct buf *ret) {
    char header[512];
    int n = snprintf(header, sizeof header,
                     "{\"__metadata__\":{\"format\":\"pt\"},"
                     "\"w\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]},"
                     "\"b\":{\"dtype\":\"BF16\",\"shape\":[%zu],\"data_offsets\":[%zu,%zu]}}  ",
                     a->weights.len / 4 / (size_t)a->columns, (size_t)a->columns, a->weights.len,
                     a->bias.len / 2, a->weights.len, a->weights.len + a->bias.len);
    files_number(ret, (uint64_t)n, 8);
    files_add(ret, header, (size_t)n);
    files_add(ret, a->weights.data, a->weights.len);
    files_add(ret, a->bias.data, a->bias.len);
}

// weights as F32, bias as blocks of Q8_0 (34 bytes for 32 elements), aligned to 64.
static inline void files_gguf(const struct arrays *a, struct buf *ret) {
    files_add(ret, "GGUF", 4);
    files_number(ret, 3, 4);
    files_number(ret, 2, 8);
    files_number(ret, 3, 8);
    files_string64(ret, "general.architecture");
    files_number(ret, 8, 4);
    files_string64(ret, "none");
    files_string64(ret, "general.alignment");
    files_number(ret, 4, 4);
    files_number(ret, 64, 4);
    files_string64(ret, "tokens");
    files_number(ret, 9, 4);
    files_number(ret, 8, 4);
    files_number(ret, 2, 8);
    files_string64(ret, "a");
    files_string64(ret, "bc");
    files_string64(ret, "w");
    files_number(ret, 2, 4);
    files_number(ret, a->columns, 8);
    files_number(ret, a->weights.len / 4 / a->columns, 8);
    files_number(ret, 0, 4);
    files_number(ret, 0, 8);
    uint64_t second = (a->weights.len + 63) / 64 * 64;
    files_string64(ret, "b");
    files_number(ret, 1, 4);
    files_number(ret, a->bias.len / 34 * 32, 8);
    files_number(ret, 8, 4);
    files_number(ret, second, 8);
    files_pad(ret, 64);
    files_add(ret, a->weights.data, a->weights.len);
    files_pad(ret, 64);
    files_add(ret, a->bias.data, a->bias.len);
}

static inline void files_varint(struct buf *b, uint64_t value) {
    for (; value > 127; value >>= 7)
        files_number(b, value | 128, 1);
    files_number(b, value, 1);
}

static inline void files_message(struct buf *b, unsigned number, struct slice message) {
    files_varint(b, number << 3 | 2);
    files_varint(b, message.len);
    files_add(b, message.data, message.len);
}

static inline void files_onnx_tensor(struct buf *b, uint64_t rows, uint64_t columns, uint64_t type,
                                     const char *name, struct slice raw) {
    for (int i = 0; i < 2; i++) {
        files_varint(b, 1 << 3);
        files_varint(b, i ? columns : rows);
    }
    files_varint(b, 2 << 3);
    files_varint(b, type);
    files_message(b, 8, (struct slice){(const uint8_t *)name, strlen(name)});
    files_message(b, 9, raw);
}

// weights as an initializer, bias as the constant of a node.
static inline void files_onnx(const struct arrays *a, struct buf *ret) {
    OWN(buf) struct buf graph, tensor, attribute, node;
    struct buf *all[] = {&graph, &tensor, &attribute, &node};
    for (int i = 0; i < 4; i++)
        buf_init(all[i], 64UL << 20);
    files_onnx_tensor(&tensor, 1, a->bias.len / 2, 16, "b", a->bias);
    files_message(&attribute, 1, (struct slice){(const uint8_t *)"value", 5});
    files_message(&attribute, 5, buf_slice(&tensor));
    files_message(&node, 4, (struct slice){(const uint8_t *)"Constant", 8});
    files_message(&node, 5, buf_slice(&attribute));
    files_message(&graph, 1, buf_slice(&node));
    tensor.len = 0;
    files_onnx_tensor(&tensor, a->weights.len / 4 / a->columns, a->columns, 1, "w", a->weights);
    files_message(&graph, 5, buf_slice(&tensor));
    files_varint(ret, 1 << 3);
    files_varint(ret, 8);
    files_message(ret, 2, (struct slice){(const uint8_t *)"tests", 5});
    files_message(ret, 7, buf_slice(&graph));
    files_message(ret, 8, (struct slice){(const uint8_t *)"\x10\x11", 2});
}

// Writes at `at` how far it is from there to the end: what comes next is what it points at.
static inline void files_point(struct buf *b, size_t at) {
    uint32_t distance = (uint32_t)(b->len - at);
    for (unsigned i = 0; i < 4; i++)
        b->data[at + i] = (uint8_t)(distance >> (8 * i));
}

// A table of n fields of 4 bytes each, all there; returns where the first is.
static inline size_t files_table(struct buf *b, unsigned n) {
    files_pad(b, 4);
    size_t vtable = b->len, vtable_bytes = (4 + 2 * n + 3) / 4 * 4;
    files_number(b, 4 + 2 * n, 2);
    files_number(b, 4 + 4 * n, 2);
    for (unsigned i = 0; i < n; i++)
        files_number(b, 4 + 4 * i, 2);
    files_pad(b, 4);
    files_number(b, vtable_bytes, 4);
    cr_assert_eq(b->len - 4 - vtable, vtable_bytes);
    for (unsigned i = 0; i < n; i++)
        files_number(b, 0, 4);
    return b->len - 4 * n;
}

// Points at the table whose first field is at `fields`, from `at`, with the table right behind.
static inline size_t files_point_table(struct buf *b, size_t at, unsigned n) {
    size_t fields = files_table(b, n);
    uint32_t distance = (uint32_t)(fields - 4 - at);
    for (unsigned i = 0; i < 4; i++)
        b->data[at + i] = (uint8_t)(distance >> (8 * i));
    return fields;
}

static inline size_t files_vector(struct buf *b, size_t at, uint32_t n, unsigned size) {
    files_pad(b, 4);
    files_point(b, at);
    files_number(b, n, 4);
    for (uint32_t i = 0; i < n * size; i++)
        files_number(b, 0, 1);
    return b->len - n * size;
}

static inline void files_tflite_tensor(struct buf *b, size_t at, uint32_t columns, uint32_t type,
                                       uint32_t buffer, const char *name) {
    size_t fields = files_point_table(b, at, 4);
    size_t shape = files_vector(b, fields, 2, 4);
    b->data[shape] = 1;
    memcpy(b->data + shape + 4, &(uint32_t){columns}, 4); // tests run on little-endian machines
    b->data[fields + 4] = (uint8_t)type;
    b->data[fields + 8] = (uint8_t)buffer;
    size_t text = files_vector(b, fields + 12, (uint32_t)strlen(name), 1);
    memcpy(b->data + text, name, strlen(name));
}

static inline void files_tflite(const struct arrays *a, struct buf *ret) {
    const struct slice data[] = {{NULL, 0}, a->weights, a->bias};
    files_number(ret, 0, 4);
    files_add(ret, "TFL3", 4);
    size_t model = files_point_table(ret, 0, 5);
    ret->data[model] = 3;
    size_t graphs = files_vector(ret, model + 8, 1, 4);
    size_t graph = files_point_table(ret, graphs, 1);
    size_t tensors = files_vector(ret, graph, 2, 4);
    files_tflite_tensor(ret, tensors, (uint32_t)a->columns, 0, 1, "w");
    files_tflite_tensor(ret, tensors + 4, (uint32_t)(a->bias.len / 2), 18, 2, "b");
    size_t buffers = files_vector(ret, model + 16, 3, 4);
    for (uint32_t i = 0; i < 3; i++) {
        size_t buffer = files_point_table(ret, buffers + 4 * i, i ? 1 : 0);
        if (i == 0)
            continue;
        size_t bytes = files_vector(ret, buffer, (uint32_t)data[i].len, 1);
        memcpy(ret->data + bytes, data[i].data, data[i].len);
    }
}
