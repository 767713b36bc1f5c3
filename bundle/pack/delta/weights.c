// SPDX-License-Identifier: Apache-2.0
//
// Arrays of a model paired with older ones, and judged.
#include "bundle/pack/delta/weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/pack/delta/squeeze.h"
#include "bundle/pack/model/find.h"
#include "bundle/tensor/encode.h"

// Nothing smaller is looked into.
#define CONTENT_MIN_BYTES 4096
// Samples of an array: so many, so long. An array that is not longer than all is taken whole.
#define SAMPLES      4
#define SAMPLE_BYTES (64UL * 1024)
// Where arrays were guessed, coding them as numbers must save a twentieth.
#define GUESS_NUMERATOR   95
#define GUESS_DENOMINATOR 100
// What lies between two arrays goes with them, as bytes, when it is not longer: a frame of its own
// would cost more.
#define BETWEEN_BYTES 4096

struct array {
    struct model_region region;
    const struct model_region *old; // NULL: none
    bool same, weights;
};

struct list {
    size_t n, max;
    struct model_region *regions;
};

struct work {
    const struct pack_delta_item *item;
    struct list old_list, new_list;
    size_t n;
    struct array *arrays;
    struct pack_delta_match_records *ret;
};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "coding weights: no memory");
}

static int add_region(void *context, const struct model_region *region, struct err *e) {
    struct list *list = context;
    if (list->n == list->max) {
        size_t max = list->max ? 2 * list->max : 64;
        void *grown = realloc(list->regions, max * sizeof *list->regions);
        if (!grown)
            return no_memory(e);
        list->regions = grown;
        list->max = max;
    }
    list->regions[list->n++] = *region;
    return 0;
}

static int compare_names(const void *va, const void *vb) {
    const struct model_region *a = va, *b = vb;
    int r = strcmp(a->name, b->name);
    return r != 0 ? r : (a->offset > b->offset) - (a->offset < b->offset);
}

static bool alike(const struct model_region *a, const struct model_region *b) {
    return a->bytes == b->bytes && a->shape.type == b->shape.type;
}

// The old array of that name; of those without a name the one at the same place of a content of
// the same length.
static const struct model_region *find_old(const struct work *w,
                                           const struct model_region *wanted) {
    const struct list *list = &w->old_list;
    size_t low = 0, high = list->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(list->regions[middle].name, wanted->name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < list->n && strcmp(list->regions[low].name, wanted->name) == 0; low++) {
        const struct model_region *old = &list->regions[low];
        if (alike(old, wanted) && (*wanted->name || (old->offset == wanted->offset &&
                                                     w->item->old.len == w->item->new_bytes.len)))
            return old;
    }
    return NULL;
}

// Appends the bytes of one sample: as numbers to `coded`, as they are and as differences to the
// other two.
static int sample(const struct work *w, const struct array *a, size_t offset, size_t len,
                  struct buf *coded, struct buf *raw, struct buf *differences, struct err *e) {
    struct tensor_shape shape = a->region.shape;
    const uint8_t *new = w->item->new_bytes.data + a->region.offset + offset;
    struct slice old = {a->old ? w->item->old.data + a->old->offset + offset : NULL,
                        a->old ? len : 0};
    if (shape.columns > 0)
        shape.first_column =
            (shape.first_column + offset / tensor_shape_bytes(shape.type)) % shape.columns;
    for (size_t done = 0; done < len;) {
        size_t taken = 0;
        struct slice rest = {old.data ? old.data + done : NULL, old.len ? len - done : 0};
        if (tensor_encode(&shape, rest, 0, (struct slice){new + done, len - done},
                          2 * SAMPLE_BYTES + TENSOR_ENCODE_MIN_BYTES, coded, &taken, e) < 0)
            return -1;
        done += taken;
    }
    uint8_t *to = NULL;
    if (buf_add(raw, new, len, e) < 0 || (old.len > 0 && buf_reserve(differences, len, &to, e) < 0))
        return -1;
    for (size_t i = 0; i < old.len; i++)
        to[i] = (uint8_t)(new[i] - old.data[i]);
    if (old.len > 0)
        buf_commit(differences, len);
    return 0;
}

static int squeezed(const struct buf *raw, enum pack_delta_squeeze_kind kind, uint64_t *least,
                    struct err *e) {
    struct buf stored;
    uint8_t compressor = 0;
    buf_init(&stored, BUNDLE_DELTA_DECODE_MAX_BYTES);
    int r = pack_delta_squeeze(buf_slice(raw), kind, &stored, &compressor, e);
    if (r == 0 && stored.len < *least)
        *least = stored.len;
    buf_clear(&stored);
    return r;
}

static int take_samples(const struct work *w, const struct array *a, struct buf *coded,
                        struct buf *raw, struct buf *differences, struct err *e) {
    uint64_t bytes = a->region.bytes, width = tensor_shape_bytes(a->region.shape.type);
    if (bytes <= SAMPLES * SAMPLE_BYTES)
        return sample(w, a, 0, (size_t)bytes, coded, raw, differences, e);
    for (uint64_t i = 0; i < SAMPLES; i++) {
        uint64_t offset = (bytes - SAMPLE_BYTES) / (SAMPLES - 1) * i;
        offset -= offset % width;
        if (sample(w, a, (size_t)offset, SAMPLE_BYTES, coded, raw, differences, e) < 0)
            return -1;
    }
    return 0;
}

// Whether an array is smaller as numbers than as bytes that are matched or compressed.
static int judge(const struct work *w, struct array *a, struct err *e) {
    OWN(buf) struct buf coded;
    OWN(buf) struct buf raw;
    OWN(buf) struct buf differences;
    uint64_t least = UINT64_MAX;
    buf_init(&coded, BUNDLE_DELTA_DECODE_MAX_BYTES);
    buf_init(&raw, BUNDLE_DELTA_DECODE_MAX_BYTES);
    buf_init(&differences, BUNDLE_DELTA_DECODE_MAX_BYTES);
    if (take_samples(w, a, &coded, &raw, &differences, e) < 0 ||
        squeezed(&raw, PACK_DELTA_SQUEEZE_CONTENTS, &least, e) < 0 ||
        (differences.len > 0 && squeezed(&differences, PACK_DELTA_SQUEEZE_NUMBERS, &least, e) < 0))
        return -1;
    bool guessed = *a->region.name == '\0';
    a->weights =
        guessed ? coded.len * GUESS_DENOMINATOR < least * GUESS_NUMERATOR : coded.len <= least;
    return 0;
}

static int judge_all(struct work *w, struct err *e) {
    w->arrays = calloc(w->new_list.n + 1, sizeof *w->arrays);
    if (!w->arrays)
        return no_memory(e);
    int useful = 0;
    for (size_t i = 0; i < w->new_list.n; i++) {
        struct array *a = &w->arrays[w->n++];
        *a = (struct array){.region = w->new_list.regions[i]};
        a->old = find_old(w, &a->region);
        a->same =
            a->old && memcmp(w->item->old.data + a->old->offset,
                             w->item->new_bytes.data + a->region.offset, a->region.bytes) == 0;
        if (!a->same && judge(w, a, e) < 0)
            return -1;
        useful += a->same || a->weights;
    }
    return useful > 0 ? 0 : PACK_DELTA_WEIGHTS_NONE;
}

static int add_array(const struct work *w, const struct array *a, struct err *e) {
    struct pack_delta_match_record record = {.weights = !a->same, .shape = a->region.shape};
    if (a->old) {
        record.old = w->item->old_address + a->old->offset;
        record.copy = a->region.bytes;
    } else {
        record.literal = a->region.bytes;
    }
    return pack_delta_match_add(w->ret, &record, e);
}

// Bytes [from, to) of the new content that are in no array taken, between two that are (NULL: the
// content's borders).
static int add_between(const struct work *w, uint64_t from, uint64_t to, const struct array *before,
                       const struct array *behind, struct err *e) {
    struct slice old = w->item->old, new = {w->item->new_bytes.data + from, to - from};
    uint64_t begin = before && before->old ? before->old->offset + before->old->bytes : 0;
    uint64_t end = behind && behind->old ? behind->old->offset : old.len;
    if (new.len == 0)
        return 0;
    if (end < begin) // in another order there: no place that corresponds
        begin = end = 0;
    if ((before && before->weights) || (behind && behind->weights)) {
        bool based = end - begin == new.len;
        const struct pack_delta_match_record record = {.old = w->item->old_address + begin,
                                                       .copy = based ? new.len : 0,
                                                       .literal = based ? 0 : new.len,
                                                       .weights = true,
                                                       .shape = {.type = TENSOR_u8}};
        if (new.len <= BETWEEN_BYTES)
            return pack_delta_match_add(w->ret, &record, e);
    }
    return pack_delta_match((struct slice){old.data + begin, end - begin},
                            w->item->old_address + begin, new, w->ret, e);
}

static int add_all(const struct work *w, struct err *e) {
    const struct array *before = NULL;
    uint64_t at = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct array *a = &w->arrays[i];
        if (!a->same && !a->weights)
            continue;
        if (add_between(w, at, a->region.offset, before, a, e) < 0 || add_array(w, a, e) < 0)
            return -1;
        at = a->region.offset + a->region.bytes;
        before = a;
    }
    return add_between(w, at, w->item->new_bytes.len, before, NULL, e);
}

int pack_delta_weights(const struct pack_delta_item *item, struct pack_delta_match_records *ret,
                       struct err *e) {
    struct work w = {.item = item, .ret = ret};
    if (item->new_bytes.len < CONTENT_MIN_BYTES ||
        pack_delta_program_machine(item->new_bytes) != PACK_DELTA_PROGRAM_NONE)
        return PACK_DELTA_WEIGHTS_NONE;
    int r = model_find(item->new_bytes, item->path, item->siblings, add_region, &w.new_list, e);
    if (r == 0 && w.new_list.n == 0)
        r = PACK_DELTA_WEIGHTS_NONE;
    if (r == 0 && item->old.len > 0)
        r = model_find(item->old, item->old_path, item->old_siblings, add_region, &w.old_list, e);
    if (r == 0 && w.old_list.n > 0)
        qsort(w.old_list.regions, w.old_list.n, sizeof *w.old_list.regions, compare_names);
    if (r == 0)
        r = judge_all(&w, e);
    if (r == 0)
        r = add_all(&w, e);
    free(w.arrays);
    free(w.old_list.regions);
    free(w.new_list.regions);
    return r;
}

int pack_delta_weights_frame(struct slice old, const struct pack_delta_span *spans, size_t n,
                             size_t max_bytes, size_t *next, uint64_t *at, struct buf *ret,
                             struct err *e) {
    const uint8_t codec = BUNDLE_DELTA_TENSOR;
    size_t begin = ret->len;
    if (max_bytes <= TENSOR_ENCODE_MIN_BYTES)
        return err_set(e, &err_limit, "a frame of %zu bytes is too small for weights", max_bytes);
    if (buf_add(ret, &codec, 1, e) < 0)
        return -1;
    while (*next < n && max_bytes - (ret->len - begin) >= TENSOR_ENCODE_MIN_BYTES) {
        const struct pack_delta_span *span = &spans[*next];
        struct tensor_shape shape = span->shape;
        uint64_t bytes = span->copy + span->literal;
        size_t taken = 0;
        if (shape.columns > 0)
            shape.first_column =
                (shape.first_column + *at / tensor_shape_bytes(shape.type)) % shape.columns;
        struct slice base = {NULL, 0};
        if (span->copy > 0)
            base = (struct slice){old.data + span->old + *at, bytes - *at};
        if (tensor_encode(&shape, base, span->old + *at,
                          (struct slice){span->new_bytes + *at, bytes - *at},
                          max_bytes - (ret->len - begin), ret, &taken, e) < 0)
            return -1;
        *at += taken;
        if (*at == bytes) {
            ++*next;
            *at = 0;
        }
    }
    return 0;
}
