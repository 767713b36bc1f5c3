// SPDX-License-Identifier: Apache-2.0
//
// Headers of sections, read and written.
#include "bundle/tensor/section.h"

#include "bundle/delta.h"
#include "bundle/kind.h"
#include "bundle/tensor/element.h"

static int wrong(struct err *e, const char *what) {
    return err_set(e, &err_bad_delta, "a section of weights: %s", what);
}

static int get_byte(struct slice *rest, unsigned *ret, struct err *e) {
    if (rest->len == 0)
        return wrong(e, "it is cut short");
    *ret = *rest->data++;
    rest->len--;
    return 0;
}

static int get_unit(struct slice *rest, int32_t *ret, struct err *e) {
    uint64_t raw;
    if (bundle_delta_get_varint(rest, &raw, e) < 0)
        return -1;
    if (raw > 2 * TENSOR_SECTION_UNIT_MAX)
        return wrong(e, "a unit that no number has");
    *ret = (int32_t)bundle_delta_unzigzag(raw);
    return 0;
}

static int get_type(struct slice *rest, struct tensor_section *s, struct err *e) {
    unsigned type = 0;
    if (get_byte(rest, &type, e) < 0 || get_byte(rest, &s->zero_bits, e) < 0)
        return -1;
    s->based = type & TENSOR_SECTION_BASED;
    s->again = type & TENSOR_SECTION_AGAIN;
    s->type = (enum tensor_type)(type & (TENSOR_SECTION_AGAIN - 1));
    if (s->again && !s->based)
        return wrong(e, "repeated changes of no old array");
    if (tensor_shape_bytes(s->type) == 0)
        return wrong(e, "a type that is none");
    if (s->zero_bits > tensor_element_zero_max(s->type))
        return wrong(e, "nothing is left of an element");
    return 0;
}

static int get_counts(struct slice *rest, struct tensor_section *s, struct err *e) {
    uint64_t columns, first;
    if (bundle_delta_get_varint(rest, &s->elements, e) < 0 ||
        bundle_delta_get_varint(rest, &columns, e) < 0 ||
        bundle_delta_get_varint(rest, &first, e) < 0)
        return -1;
    if (s->elements == 0 || s->elements > BUNDLE_DELTA_OUT_MAX_BYTES)
        return wrong(e, "a number of elements that is out of range");
    if (columns == 0 || columns > TENSOR_SECTION_COLUMNS_MAX || first >= columns)
        return wrong(e, "a number of columns that is out of range");
    s->columns = (uint32_t)columns;
    s->first_column = (uint32_t)first;
    return 0;
}

static int get_scale(struct slice *rest, struct tensor_section *s, struct err *e) {
    if (s->based && bundle_delta_get_varint(rest, &s->address, e) < 0)
        return -1;
    return get_unit(rest, &s->unit, e) < 0 || get_unit(rest, &s->old_unit, e) < 0 ? -1 : 0;
}

int tensor_section_get(struct slice *rest, struct tensor_section *ret, struct err *e) {
    struct tensor_section s = {0};
    struct slice left = *rest;
    if (get_type(&left, &s, e) < 0 || get_counts(&left, &s, e) < 0 || get_scale(&left, &s, e) < 0 ||
        bundle_delta_get_varint(&left, &s.coded_bytes, e) < 0)
        return -1;
    if (s.coded_bytes > left.len)
        return wrong(e, "it is longer than its frame");
    *rest = left;
    *ret = s;
    return 0;
}

static int put_varint(uint64_t value, struct buf *ret, struct err *e) {
    uint8_t bytes[BUNDLE_DELTA_VARINT_BYTES];
    return buf_add(ret, bytes, bundle_delta_put_varint(value, bytes), e);
}

int tensor_section_put(const struct tensor_section *s, struct buf *ret, struct err *e) {
    uint8_t first[2] = {(uint8_t)((unsigned)s->type | (s->based ? TENSOR_SECTION_BASED : 0) |
                                  (s->again ? TENSOR_SECTION_AGAIN : 0)),
                        (uint8_t)s->zero_bits};
    if (buf_add(ret, first, sizeof first, e) < 0 || put_varint(s->elements, ret, e) < 0 ||
        put_varint(s->columns, ret, e) < 0 || put_varint(s->first_column, ret, e) < 0)
        return -1;
    if ((s->based && put_varint(s->address, ret, e) < 0) ||
        put_varint(bundle_delta_zigzag(s->unit), ret, e) < 0 ||
        put_varint(bundle_delta_zigzag(s->old_unit), ret, e) < 0)
        return -1;
    return put_varint(s->coded_bytes, ret, e);
}
