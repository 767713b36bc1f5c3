// SPDX-License-Identifier: Apache-2.0
//
// ONNX: protobuf without a magic. ModelProto has the graph; the graph has initializers, and nodes
// with constants as attributes; each of these is a TensorProto with raw or packed data.
#include "bundle/pack/model/format.h"

// Numbers of fields.
enum { MODEL_IR = 1, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5 };
enum { NODE_ATTRIBUTE = 5, ATTRIBUTE_TENSOR = 5 };
enum { T_DIMS = 1, T_TYPE = 2, T_FLOATS = 4, T_NAME = 8, T_RAW = 9, T_DOUBLES = 10 };

enum wire { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 5 };

static const uint8_t types[] = {
    [1] = TENSOR_f32,  [2] = TENSOR_u8,   [3] = TENSOR_i8,   [4] = TENSOR_u16,  [5] = TENSOR_i16,
    [6] = TENSOR_i32,  [7] = TENSOR_i64,  [9] = TENSOR_u8,   [10] = TENSOR_f16, [11] = TENSOR_f64,
    [12] = TENSOR_u32, [13] = TENSOR_u64, [14] = TENSOR_f32, [15] = TENSOR_f64, [16] = TENSOR_bf16,
};

struct field {
    uint32_t number;
    enum wire wire;
    uint64_t value;     // varints
    struct slice bytes; // all others
};

static bool take_varint(struct slice *s, uint64_t *ret) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && s->len > 0; shift += 7) {
        uint8_t byte = *s->data++;
        s->len--;
        value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

// The next field of a message; false at its end, and with *broken when it is malformed.
static bool take_field(struct slice *s, struct field *ret, bool *broken) {
    uint64_t key, len = 0;
    if (s->len == 0 || *broken)
        return false;
    *broken = !take_varint(s, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX;
    if (*broken)
        return false;
    *ret = (struct field){.number = (uint32_t)(key >> 3), .wire = (enum wire)(key & 7)};
    switch (ret->wire) {
    case WIRE_VARINT:
        *broken = !take_varint(s, &ret->value);
        return !*broken;
    case WIRE_BYTES:
        *broken = !take_varint(s, &len);
        break;
    case WIRE_64:
        len = 8;
        break;
    case WIRE_32:
        len = 4;
        break;
    default: // groups, which no version of the format has
        *broken = true;
    }
    *broken = *broken || len > s->len;
    if (*broken)
        return false;
    ret->bytes = (struct slice){s->data, (size_t)len};
    s->data += len;
    s->len -= (size_t)len;
    return true;
}

// The last of a packed list of dimensions.
static uint64_t last_of(struct slice packed) {
    uint64_t value = 0;
    while (take_varint(&packed, &value))
        ;
    return value;
}

static int add_tensor(struct model_list *l, struct slice message, bool *broken, struct err *e) {
    struct slice name = {NULL, 0}, raw = {NULL, 0};
    uint64_t type = 0, columns = 1;
    struct field f;
    while (take_field(&message, &f, broken)) {
        if (f.number == T_DIMS)
            columns = f.wire == WIRE_BYTES ? last_of(f.bytes) : f.value;
        else if (f.number == T_TYPE && f.wire == WIRE_VARINT)
            type = f.value;
        else if (f.number == T_NAME && f.wire == WIRE_BYTES)
            name = f.bytes;
        else if (f.wire == WIRE_BYTES &&
                 (f.number == T_RAW || f.number == T_FLOATS || f.number == T_DOUBLES))
            raw = f.bytes;
    }
    if (*broken || raw.len == 0)
        return 0;
    struct model_region region = {.offset = (uint64_t)(raw.data - l->content.data),
                                  .bytes = raw.len,
                                  .shape = {.type = TENSOR_u8, .columns = columns}};
    if (type < sizeof types)
        region.shape.type = (enum tensor_type)types[type];
    return model_list_add(l, &region, name, e);
}

// The constants of one node.
static int add_node(struct model_list *l, struct slice message, bool *broken, struct err *e) {
    struct field f, g;
    while (take_field(&message, &f, broken)) {
        if (f.number != NODE_ATTRIBUTE || f.wire != WIRE_BYTES)
            continue;
        while (take_field(&f.bytes, &g, broken))
            if (g.number == ATTRIBUTE_TENSOR && g.wire == WIRE_BYTES &&
                add_tensor(l, g.bytes, broken, e) < 0)
                return -1;
    }
    return 0;
}

static int add_graph(struct model_list *l, struct slice message, bool *broken, struct err *e) {
    struct field f;
    while (take_field(&message, &f, broken)) {
        if (f.wire != WIRE_BYTES)
            continue;
        if (f.number == GRAPH_INITIALIZER && add_tensor(l, f.bytes, broken, e) < 0)
            return -1;
        if (f.number == GRAPH_NODE && add_node(l, f.bytes, broken, e) < 0)
            return -1;
    }
    return 0;
}

int model_onnx_list(struct model_list *l, struct err *e) {
    struct slice rest = l->content;
    bool broken = false, ir = false, graph = false, opset = false;
    struct field f;
    if (rest.len < 2 || rest.data[0] != (MODEL_IR << 3 | WIRE_VARINT))
        return MODEL_FORMAT_OTHER;
    while (take_field(&rest, &f, &broken)) {
        ir = ir || (f.number == MODEL_IR && f.wire == WIRE_VARINT && f.value > 0);
        opset = opset || (f.number == MODEL_OPSET && f.wire == WIRE_BYTES);
        if (f.number != MODEL_GRAPH || f.wire != WIRE_BYTES)
            continue;
        graph = true;
        if (add_graph(l, f.bytes, &broken, e) < 0)
            return -1;
    }
    return broken || !ir || !graph || !opset ? MODEL_FORMAT_OTHER : 0;
}
