// SPDX-License-Identifier: Apache-2.0
//
// GGUF: "GGUF", version, counts, key-value pairs, infos of arrays, then the arrays, aligned. Arrays
// of quantised blocks are bytes in rows of one block.
#include <string.h>

#include "bundle/pack/model/format.h"

#define PAIRS_MAX     65536
#define ALIGN_DEFAULT 32
#define ALIGN_MAX     65536
#define DIMENSIONS    4

enum value_type { VALUE_U32 = 4, VALUE_STRING = 8, VALUE_ARRAY = 9, VALUE_TYPES = 13 };

static const uint8_t value_bytes[VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

// Elements in a block, bytes of a block, and what these are.
static const struct {
    uint16_t elements, bytes;
    uint8_t type;
} types[] = {
    [0] = {1, 4, TENSOR_f32},     [1] = {1, 2, TENSOR_f16},     [2] = {32, 18, TENSOR_u8},
    [3] = {32, 20, TENSOR_u8},    [6] = {32, 22, TENSOR_u8},    [7] = {32, 24, TENSOR_u8},
    [8] = {32, 34, TENSOR_u8},    [9] = {32, 36, TENSOR_u8},    [10] = {256, 84, TENSOR_u8},
    [11] = {256, 110, TENSOR_u8}, [12] = {256, 144, TENSOR_u8}, [13] = {256, 176, TENSOR_u8},
    [14] = {256, 210, TENSOR_u8}, [15] = {256, 292, TENSOR_u8}, [16] = {256, 66, TENSOR_u8},
    [17] = {256, 74, TENSOR_u8},  [18] = {256, 98, TENSOR_u8},  [19] = {256, 50, TENSOR_u8},
    [20] = {32, 18, TENSOR_u8},   [21] = {256, 110, TENSOR_u8}, [22] = {256, 82, TENSOR_u8},
    [23] = {256, 136, TENSOR_u8}, [24] = {1, 1, TENSOR_i8},     [25] = {1, 2, TENSOR_i16},
    [26] = {1, 4, TENSOR_i32},    [27] = {1, 8, TENSOR_i64},    [28] = {1, 8, TENSOR_f64},
    [29] = {256, 56, TENSOR_u8},  [30] = {1, 2, TENSOR_bf16},   [34] = {256, 54, TENSOR_u8},
    [35] = {256, 66, TENSOR_u8},  [39] = {32, 17, TENSOR_u8},
};

// What is still to read. Once something did not fit, all that follows fails.
struct cursor {
    struct slice content;
    uint64_t at;
    bool broken;
};

static uint32_t take_u32(struct cursor *c) {
    uint32_t value = 0;
    c->broken = c->broken || !model_list_u32(c->content, c->at, &value);
    c->at += c->broken ? 0 : 4;
    return value;
}

static uint64_t take_u64(struct cursor *c) {
    uint64_t value = 0;
    c->broken = c->broken || !model_list_u64(c->content, c->at, &value);
    c->at += c->broken ? 0 : 8;
    return value;
}

static struct slice take(struct cursor *c, uint64_t bytes) {
    c->broken = c->broken || bytes > c->content.len - c->at;
    if (c->broken)
        return (struct slice){NULL, 0};
    struct slice taken = {c->content.data + c->at, (size_t)bytes};
    c->at += bytes;
    return taken;
}

static void skip_array(struct cursor *c) {
    uint32_t type = take_u32(c);
    uint64_t n = take_u64(c), bytes;
    if (type == VALUE_STRING) {
        for (; n > 0 && !c->broken; n--)
            (void)take(c, take_u64(c));
        return;
    }
    if (type >= VALUE_TYPES || value_bytes[type] == 0 ||
        __builtin_mul_overflow(n, (uint64_t)value_bytes[type], &bytes))
        c->broken = true;
    else
        (void)take(c, bytes);
}

static void skip_value(struct cursor *c, uint32_t type) {
    if (type == VALUE_STRING)
        (void)take(c, take_u64(c));
    else if (type == VALUE_ARRAY)
        skip_array(c);
    else if (type < VALUE_TYPES)
        (void)take(c, value_bytes[type]);
    else
        c->broken = true;
}

// The key-value pairs, of which only the alignment is of use.
static uint32_t take_pairs(struct cursor *c, uint64_t n) {
    static const char key_of_align[] = "general.alignment";
    uint32_t align = ALIGN_DEFAULT;
    for (; n > 0 && !c->broken; n--) {
        struct slice key = take(c, take_u64(c));
        uint32_t type = take_u32(c);
        if (!c->broken && type == VALUE_U32 && key.len == sizeof key_of_align - 1 &&
            memcmp(key.data, key_of_align, key.len) == 0)
            align = take_u32(c);
        else
            skip_value(c, type);
    }
    return align;
}

// One info; the region's offset is relative to where the arrays begin. False: a type that is not
// known, the array is left out.
static bool take_info(struct cursor *c, struct model_region *ret, struct slice *name) {
    uint64_t elements = 1, first = 1;
    *name = take(c, take_u64(c));
    uint32_t n = take_u32(c);
    c->broken = c->broken || n > DIMENSIONS;
    for (uint32_t i = 0; i < n && !c->broken; i++) {
        uint64_t dimension = take_u64(c);
        first = i == 0 ? dimension : first;
        c->broken = c->broken || __builtin_mul_overflow(elements, dimension, &elements);
    }
    uint32_t type = take_u32(c);
    ret->offset = take_u64(c);
    if (c->broken || type >= sizeof types / sizeof *types || types[type].elements == 0)
        return false;
    ret->shape.type = (enum tensor_type)types[type].type;
    ret->shape.columns = types[type].elements > 1 ? types[type].bytes : first;
    return !__builtin_mul_overflow(elements / types[type].elements, (uint64_t)types[type].bytes,
                                   &ret->bytes);
}

int model_gguf_list(struct model_list *l, struct err *e) {
    struct cursor c = {.content = l->content};
    struct slice magic = take(&c, 4);
    if (c.broken || memcmp(magic.data, "GGUF", 4) != 0)
        return MODEL_FORMAT_OTHER;
    uint32_t version = take_u32(&c);
    uint64_t n = take_u64(&c), pairs = take_u64(&c);
    if (version < 2 || version > 3 || n > MODEL_FIND_REGIONS_MAX || pairs > PAIRS_MAX)
        return MODEL_FORMAT_OTHER;
    uint32_t align = take_pairs(&c, pairs);
    if (c.broken || align == 0 || align > ALIGN_MAX)
        return MODEL_FORMAT_OTHER;
    struct cursor infos = c;
    struct model_region region = {0};
    struct slice name;
    for (uint64_t i = 0; i < n && !c.broken; i++)
        (void)take_info(&c, &region, &name);
    if (c.broken)
        return MODEL_FORMAT_OTHER;
    uint64_t data = (c.at + align - 1) / align * align;
    for (uint64_t i = 0; i < n; i++) {
        memset(&region, 0, sizeof region);
        if (take_info(&infos, &region, &name) &&
            !__builtin_add_overflow(region.offset, data, &region.offset) &&
            model_list_add(l, &region, name, e) < 0)
            return -1;
    }
    return 0;
}
