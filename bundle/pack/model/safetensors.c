// SPDX-License-Identifier: Apache-2.0
//
// safetensors: u64 length of a JSON header, the header, the arrays. Each member of the header but
// "__metadata__" is {"dtype":…,"shape":[…],"data_offsets":[begin,end]}, relative to its end.
#include <string.h>

#include "base/doc.h"
#include "base/own.h"
#include "bundle/pack/model/format.h"

#define VALUES_MAX (16ULL * MODEL_FIND_REGIONS_MAX)

static const struct {
    const char *name;
    enum tensor_type type;
    unsigned per_element; // of ours
} dtypes[] = {
    {"BOOL", TENSOR_u8, 1}, {"U8", TENSOR_u8, 1},     {"I8", TENSOR_i8, 1},
    {"U16", TENSOR_u16, 1}, {"I16", TENSOR_i16, 1},   {"U32", TENSOR_u32, 1},
    {"I32", TENSOR_i32, 1}, {"U64", TENSOR_u64, 1},   {"I64", TENSOR_i64, 1},
    {"F16", TENSOR_f16, 1}, {"BF16", TENSOR_bf16, 1}, {"F32", TENSOR_f32, 1},
    {"F64", TENSOR_f64, 1}, {"C64", TENSOR_f32, 2},
};

static uint64_t natural(const json_t *value) {
    json_int_t n = json_integer_value(value);
    return n < 0 ? 0 : (uint64_t)n;
}

// The type of an array; all that is not in the table is bytes.
static void shape_of(const json_t *tensor, struct tensor_shape *ret) {
    const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
    const json_t *shape = json_object_get(tensor, "shape");
    size_t n = json_array_size(shape);
    uint64_t columns = n ? natural(json_array_get(shape, n - 1)) : 1;
    *ret = (struct tensor_shape){.type = TENSOR_u8, .columns = columns};
    for (size_t i = 0; dtype && i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtype, dtypes[i].name) != 0)
            continue;
        ret->type = dtypes[i].type;
        if (__builtin_mul_overflow(columns, dtypes[i].per_element, &ret->columns))
            ret->columns = 0;
    }
}

static int add(struct model_list *l, uint64_t data, const char *name, const json_t *tensor,
               struct err *e) {
    const json_t *offsets = json_object_get(tensor, "data_offsets");
    uint64_t begin = natural(json_array_get(offsets, 0)), end = natural(json_array_get(offsets, 1));
    if (json_array_size(offsets) != 2 || begin > end || end > l->content.len - data)
        return MODEL_FORMAT_OTHER;
    struct model_region region = {.offset = data + begin, .bytes = end - begin};
    shape_of(tensor, &region.shape);
    const struct slice name_bytes = {(const uint8_t *)name, strlen(name)};
    return model_list_add(l, &region, name_bytes, e);
}

int model_safetensors_list(struct model_list *l, struct err *e) {
    static const struct doc_limits limits = {
        .bytes = MODEL_FIND_HEADER_MAX_BYTES, .depth = 4, .values = VALUES_MAX};
    OWN(json) json_t *header = NULL;
    struct err broken = ERR_NONE;
    const char *name;
    json_t *tensor;
    uint64_t len;
    if (!model_list_u64(l->content, 0, &len) || len > MODEL_FIND_HEADER_MAX_BYTES ||
        len > l->content.len - 8 || len < 2 || l->content.data[8] != '{')
        return MODEL_FORMAT_OTHER;
    struct slice text = {l->content.data + 8, (size_t)len};
    if (doc_parse(text, "safetensors", &limits, &header, &broken) < 0)
        return err_is(&broken, &err_memory) ? err_set(e, &err_memory, "%s", broken.text)
                                            : MODEL_FORMAT_OTHER;
    json_object_foreach (header, name, tensor) {
        int r = strcmp(name, "__metadata__") == 0 ? 0 : add(l, 8 + len, name, tensor, e);
        if (r != 0)
            return r;
    }
    return 0;
}
