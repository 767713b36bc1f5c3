// SPDX-License-Identifier: Apache-2.0
//
// TensorFlow Lite: a flatbuffer "TFL3". Arrays are buffers that tensors of subgraphs name.
#include <string.h>

#include "bundle/pack/model/format.h"

// Fields of tables, by number.
enum { MODEL_SUBGRAPHS = 2, MODEL_BUFFERS = 4 };
enum { SUBGRAPH_TENSORS = 0 };
enum { ARRAY_SHAPE, ARRAY_TYPE, ARRAY_BUFFER, ARRAY_NAME };
enum { BUFFER_DATA = 0, BUFFER_OFFSET = 1, BUFFER_SIZE = 2 };

#define DIMENSIONS_MAX 64

// A vector of offsets to tables, or of numbers: where its elements begin and how many there are.
struct vector {
    uint64_t at;
    uint32_t n;
};

static const uint8_t types[] = {
    [0] = TENSOR_f32,  [1] = TENSOR_f16,  [2] = TENSOR_i32,  [3] = TENSOR_u8,    [4] = TENSOR_i64,
    [5] = TENSOR_u8,   [6] = TENSOR_u8,   [7] = TENSOR_i16,  [8] = TENSOR_f32,   [9] = TENSOR_i8,
    [10] = TENSOR_f64, [11] = TENSOR_f64, [12] = TENSOR_u64, [13] = TENSOR_u8,   [14] = TENSOR_u8,
    [15] = TENSOR_u32, [16] = TENSOR_u16, [17] = TENSOR_u8,  [18] = TENSOR_bf16,
};

// Where the value of a table's field is; 0 when the table does not have it or is broken.
static uint64_t field(struct slice s, uint64_t table, unsigned number) {
    uint32_t back;
    uint16_t vtable_bytes, at;
    if (!model_list_u32(s, table, &back))
        return 0;
    int64_t vtable = (int64_t)table - (int32_t)back;
    if (vtable < 0 || !model_list_u16(s, (uint64_t)vtable, &vtable_bytes) ||
        vtable_bytes < 4 + 2 * (number + 1) ||
        !model_list_u16(s, (uint64_t)vtable + 4 + 2 * number, &at) || at == 0)
        return 0;
    return table + at;
}

// What an offset at this place points at; 0 for nothing.
static uint64_t follow(struct slice s, uint64_t at) {
    uint32_t offset;
    return at && model_list_u32(s, at, &offset) && offset ? at + offset : 0;
}

// A vector of elements of `size` bytes behind a field, all of it inside the content.
static struct vector vector_of(struct slice s, uint64_t table, unsigned number, unsigned size) {
    uint64_t at = follow(s, field(s, table, number));
    uint32_t n;
    if (!at || !model_list_u32(s, at, &n) || n > (s.len - at - 4) / size)
        return (struct vector){0};
    return (struct vector){at + 4, n};
}

static uint64_t table_of(struct slice s, const struct vector *v, uint32_t i) {
    return i < v->n ? follow(s, v->at + 4ULL * i) : 0;
}

// The bytes of a buffer: in the flatbuffer, or behind it.
static bool bytes_of(struct slice s, uint64_t buffer, struct model_region *ret) {
    uint64_t at = field(s, buffer, BUFFER_OFFSET), size = field(s, buffer, BUFFER_SIZE);
    struct vector data = vector_of(s, buffer, BUFFER_DATA, 1);
    if (at && size && model_list_u64(s, at, &ret->offset) && ret->offset > 1)
        return model_list_u64(s, size, &ret->bytes);
    ret->offset = data.at;
    ret->bytes = data.n;
    return data.n > 0;
}

static int add(struct model_list *l, uint64_t tensor, const struct vector *buffers, struct err *e) {
    struct slice s = l->content, name;
    struct vector shape = vector_of(s, tensor, ARRAY_SHAPE, 4);
    struct vector text = vector_of(s, tensor, ARRAY_NAME, 1);
    uint64_t type_at = field(s, tensor, ARRAY_TYPE), index_at = field(s, tensor, ARRAY_BUFFER);
    uint8_t type = type_at && type_at < s.len ? s.data[type_at] : 0;
    struct model_region region = {.shape.type = TENSOR_u8};
    uint32_t index = 0, columns = 0;
    if (!index_at || !model_list_u32(s, index_at, &index) || index == 0)
        return 0; // buffer 0 is nobody's
    uint64_t buffer = table_of(s, buffers, index);
    if (!buffer || !bytes_of(s, buffer, &region))
        return 0;
    if (shape.n > 0 && shape.n <= DIMENSIONS_MAX)
        (void)model_list_u32(s, shape.at + 4ULL * (shape.n - 1), &columns);
    if (type < sizeof types)
        region.shape.type = (enum tensor_type)types[type];
    region.shape.columns = columns > INT32_MAX ? 0 : columns;
    name = (struct slice){text.n ? s.data + text.at : NULL, text.n};
    return model_list_add(l, &region, name, e);
}

int model_tflite_list(struct model_list *l, struct err *e) {
    struct slice s = l->content;
    size_t seen = 0;
    if (s.len < 16 || memcmp(s.data + 4, "TFL3", 4) != 0)
        return MODEL_FORMAT_OTHER;
    uint32_t root = 0; // relative to the beginning, where it stands itself
    (void)model_list_u32(s, 0, &root);
    struct vector graphs = vector_of(s, root, MODEL_SUBGRAPHS, 4);
    struct vector buffers = vector_of(s, root, MODEL_BUFFERS, 4);
    if (graphs.n == 0 || buffers.n == 0)
        return MODEL_FORMAT_OTHER;
    for (uint32_t g = 0; g < graphs.n && seen < MODEL_FIND_REGIONS_MAX; g++, seen++) {
        uint64_t graph = table_of(s, &graphs, g);
        struct vector tensors = {0};
        if (graph)
            tensors = vector_of(s, graph, SUBGRAPH_TENSORS, 4);
        for (uint32_t i = 0; i < tensors.n && seen < MODEL_FIND_REGIONS_MAX; i++, seen++) {
            uint64_t tensor = table_of(s, &tensors, i);
            if (tensor && add(l, tensor, &buffers, e) < 0)
                return -1;
        }
    }
    return 0;
}
