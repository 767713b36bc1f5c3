// SPDX-License-Identifier: Apache-2.0
//
// OpenVINO: the .xml says where in the .bin the constants are, each as
// <data element_type="f32" shape="64, 3" offset="0" size="768"/> inside <layer name=…>. Tags and
// their attributes are all that is looked at; entities are not resolved, there are none in these.
#include <string.h>

#include "base/num.h"
#include "bundle/pack/model/format.h"

#define SNIFF_BYTES  512 // <net begins within these
#define NUMBER_BYTES 24

static const struct {
    const char *name;
    enum tensor_type type;
} element_types[] = {
    {"f16", TENSOR_f16}, {"bf16", TENSOR_bf16}, {"f32", TENSOR_f32}, {"f64", TENSOR_f64},
    {"i8", TENSOR_i8},   {"i16", TENSOR_i16},   {"u16", TENSOR_u16}, {"i32", TENSOR_i32},
    {"u32", TENSOR_u32}, {"i64", TENSOR_i64},   {"u64", TENSOR_u64},
};

static bool equals(struct slice s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip(struct slice *s, size_t n) {
    s->data += n;
    s->len -= n;
}

static void skip_space(struct slice *s) {
    while (s->len > 0 && is_space(*s->data))
        skip(s, 1);
}

static struct slice take_name(struct slice *s) {
    struct slice name = {s->data, 0};
    while (s->len > 0 && !is_space(*s->data) && !strchr("=/<>\"'", *s->data))
        skip(s, 1);
    name.len = (size_t)(s->data - name.data);
    return name;
}

// The next name="value" of a tag; false at the tag's end.
static bool take_attribute(struct slice *s, struct slice *name, struct slice *value) {
    skip_space(s);
    *name = take_name(s);
    skip_space(s);
    if (name->len == 0 || s->len < 2 || *s->data != '=')
        return false;
    skip(s, 1);
    skip_space(s);
    if (s->len == 0 || (*s->data != '"' && *s->data != '\''))
        return false;
    uint8_t quote = *s->data;
    skip(s, 1);
    const uint8_t *end = s->len ? memchr(s->data, quote, s->len) : NULL;
    if (!end)
        return false;
    *value = (struct slice){s->data, (size_t)(end - s->data)};
    skip(s, value->len + 1);
    return true;
}

static bool number_of(struct slice s, uint64_t *ret) {
    char text[NUMBER_BYTES];
    struct err e = ERR_NONE;
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return num_parse_u64(text, "a number", 0, INT64_MAX, ret, &e) == 0;
}

// The last of "64, 3, 7, 7", without the space before it.
static uint64_t last_of(struct slice shape) {
    uint64_t value;
    struct slice last = shape;
    while (shape.len > 0) {
        uint8_t byte = *shape.data;
        skip(&shape, 1);
        if (byte == ',' || is_space(byte))
            last = shape;
    }
    return number_of(last, &value) ? value : 0;
}

static enum tensor_type type_of(struct slice name) {
    for (size_t i = 0; i < sizeof element_types / sizeof *element_types; i++)
        if (equals(name, element_types[i].name))
            return element_types[i].type;
    return TENSOR_u8;
}

static int add(struct model_list *l, struct slice *tag, struct slice layer, struct err *e) {
    struct model_region region = {.shape.type = TENSOR_u8};
    struct slice name, value;
    bool offset = false, size = false;
    while (take_attribute(tag, &name, &value)) {
        if (equals(name, "element_type"))
            region.shape.type = type_of(value);
        else if (equals(name, "shape"))
            region.shape.columns = last_of(value);
        else if (equals(name, "offset"))
            offset = number_of(value, &region.offset);
        else if (equals(name, "size"))
            size = number_of(value, &region.bytes);
    }
    return offset && size ? model_list_add(l, &region, layer, e) : 0;
}

static struct slice layer_name(struct slice *tag) {
    struct slice name, value;
    while (take_attribute(tag, &name, &value))
        if (equals(name, "name"))
            return value;
    return (struct slice){NULL, 0};
}

int model_openvino_list(struct slice xml, struct model_list *l, struct err *e) {
    struct slice layer = {NULL, 0};
    size_t sniffed = xml.len < SNIFF_BYTES ? xml.len : SNIFF_BYTES;
    if (xml.len == 0 || xml.len > MODEL_FIND_HEADER_MAX_BYTES ||
        !memmem(xml.data, sniffed, "<net ", 5))
        return MODEL_FORMAT_OTHER;
    while (xml.len > 0) {
        const uint8_t *open = memchr(xml.data, '<', xml.len);
        if (!open)
            break;
        skip(&xml, (size_t)(open - xml.data) + 1);
        if (xml.len >= 3 && memcmp(xml.data, "!--", 3) == 0) {
            const uint8_t *end = memmem(xml.data, xml.len, "-->", 3);
            skip(&xml, end ? (size_t)(end - xml.data) : xml.len);
            continue;
        }
        struct slice tag = take_name(&xml);
        if (equals(tag, "layer"))
            layer = layer_name(&xml);
        else if (equals(tag, "data") && add(l, &xml, layer, e) < 0)
            return -1;
    }
    return 0;
}
