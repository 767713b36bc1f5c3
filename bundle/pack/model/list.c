// SPDX-License-Identifier: Apache-2.0
//
// Regions collected, sorted and given.
#include "bundle/pack/model/list.h"

#include <stdlib.h>
#include <string.h>

void model_list_init(struct model_list *l, struct slice content) {
    *l = (struct model_list){.content = content};
}

void model_list_clear(struct model_list *l) {
    free(l->regions);
    *l = (struct model_list){.content = l->content};
}

static int grow(struct model_list *l, struct err *e) {
    size_t capacity = l->capacity ? 2 * l->capacity : 64;
    struct model_region *grown = realloc(l->regions, capacity * sizeof *grown);
    if (!grown)
        return err_set(e, &err_memory, "a list of %zu arrays of a model", capacity);
    l->regions = grown;
    l->capacity = capacity;
    return 0;
}

int model_list_add(struct model_list *l, const struct model_region *region, struct slice name,
                   struct err *e) {
    unsigned size = tensor_shape_bytes(region->shape.type);
    uint64_t bytes = region->bytes - (size ? region->bytes % size : 0);
    if (size == 0 || bytes < MODEL_FIND_REGION_MIN_BYTES || bytes > l->content.len ||
        region->offset > l->content.len - bytes || l->n == MODEL_FIND_REGIONS_MAX)
        return 0;
    if (l->n == l->capacity && grow(l, e) < 0)
        return -1;
    struct model_region *to = &l->regions[l->n++];
    *to = *region;
    to->bytes = bytes;
    size_t len = name.len < sizeof to->name ? name.len : sizeof to->name - 1;
    memset(to->name, 0, sizeof to->name);
    if (len > 0)
        memcpy(to->name, name.data, len);
    return 0;
}

static int by_offset(const void *left, const void *right) {
    const struct model_region *a = left, *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return (a->shape.type > b->shape.type) - (a->shape.type < b->shape.type);
}

int model_list_give(struct model_list *l, model_find_fn *each, void *context, struct err *e) {
    uint64_t end = 0;
    if (l->n > 0)
        qsort(l->regions, l->n, sizeof *l->regions, by_offset);
    for (size_t i = 0; i < l->n; i++) {
        const struct model_region *r = &l->regions[i];
        if (r->offset < end)
            continue;
        end = r->offset + r->bytes;
        if (each(context, r, e) < 0)
            return -1;
    }
    return 0;
}

static bool number(struct slice s, uint64_t offset, unsigned bytes, uint64_t *ret) {
    if (offset > s.len || s.len - offset < bytes)
        return false;
    *ret = 0;
    for (unsigned i = 0; i < bytes; i++)
        *ret |= (uint64_t)s.data[offset + i] << (8 * i);
    return true;
}

bool model_list_u16(struct slice s, uint64_t offset, uint16_t *ret) {
    uint64_t value;
    if (!number(s, offset, 2, &value))
        return false;
    *ret = (uint16_t)value;
    return true;
}

bool model_list_u32(struct slice s, uint64_t offset, uint32_t *ret) {
    uint64_t value;
    if (!number(s, offset, 4, &value))
        return false;
    *ret = (uint32_t)value;
    return true;
}

bool model_list_u64(struct slice s, uint64_t offset, uint64_t *ret) {
    return number(s, offset, 8, ret);
}
