// SPDX-License-Identifier: Apache-2.0
//
// The map of shifts and the predictors.
#include "bundle/delta/predict.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// From `start` to the next mark's start the shift is this one. Arithmetic on addresses is modulo
// 2^64 throughout, so that hostile numbers overflow nothing.
struct mark {
    uint64_t start, shift;
};

struct delta_predict {
    uint64_t lowest, highest; // covered addresses: [lowest, highest)
    size_t n;
    struct mark *marks; // by start; the first one's is `lowest`
};

// Copies that cover the address where the sweep is, the longest on top.
struct heap {
    size_t n;
    const struct delta_copy **copies;
};

static bool above(const struct delta_copy *a, const struct delta_copy *b) {
    return a->bytes != b->bytes ? a->bytes > b->bytes : a->at < b->at;
}

static void push(struct heap *h, const struct delta_copy *copy) {
    size_t i = h->n++;
    for (; i > 0 && above(copy, h->copies[(i - 1) / 2]); i = (i - 1) / 2)
        h->copies[i] = h->copies[(i - 1) / 2];
    h->copies[i] = copy;
}

static void pop(struct heap *h) {
    const struct delta_copy *last = h->copies[--h->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && above(h->copies[child + 1], h->copies[child]))
            child++;
        if (!above(h->copies[child], last))
            break;
        h->copies[i] = h->copies[child];
    }
    h->copies[i] = last;
}

static int by_old(const void *va, const void *vb) {
    const struct delta_copy *a = va, *b = vb;
    if (a->old != b->old)
        return a->old < b->old ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

static void mark(struct delta_predict *map, uint64_t start, uint64_t shift) {
    if (map->n > 0 && map->marks[map->n - 1].start == start)
        map->n--;
    if (map->n == 0 || map->marks[map->n - 1].shift != shift)
        map->marks[map->n++] = (struct mark){.start = start, .shift = shift};
}

// Goes through the addresses where the longest copy can change: where one starts, and where the
// longest ends. Each copy is entered and left once, so there are at most two marks for each.
static void sweep(struct delta_predict *map, const struct delta_copy *sorted, size_t n,
                  struct heap *heap) {
    map->lowest = sorted[0].old;
    for (size_t next = 0; next < n || heap->n > 0;) {
        uint64_t end = heap->n > 0 ? heap->copies[0]->old + heap->copies[0]->bytes : UINT64_MAX;
        uint64_t here = next < n && sorted[next].old < end ? sorted[next].old : end;
        while (next < n && sorted[next].old == here)
            push(heap, &sorted[next++]);
        while (heap->n > 0 && heap->copies[0]->old + heap->copies[0]->bytes <= here)
            pop(heap);
        if (here > map->highest)
            map->highest = here;
        if (heap->n > 0)
            mark(map, here, heap->copies[0]->at - heap->copies[0]->old);
    }
}

int delta_predict_open(const struct delta_copy *copies, size_t n, struct delta_predict **ret,
                       struct err *e) {
    size_t counted = 0;
    for (size_t i = 0; i < n; i++)
        counted += copies[i].bytes >= DELTA_PREDICT_COPY_BYTES;
    if (counted > DELTA_PREDICT_COPIES_MAX)
        return err_set(e, &err_limit, "a frame has %zu copies, more than addresses are kept for",
                       counted);
    struct delta_predict *map = calloc(1, sizeof *map);
    struct delta_copy *sorted = calloc(counted + 1, sizeof *sorted);
    struct heap heap = {.copies = calloc(counted + 1, sizeof(struct delta_copy *))};
    if (map)
        map->marks = calloc(2 * counted + 1, sizeof *map->marks);
    int r = 0;
    if (map && map->marks && sorted && heap.copies) {
        for (size_t i = 0, to = 0; i < n; i++)
            if (copies[i].bytes >= DELTA_PREDICT_COPY_BYTES)
                sorted[to++] = copies[i];
        qsort(sorted, counted, sizeof *sorted, by_old);
        if (counted > 0)
            sweep(map, sorted, counted, &heap);
        *ret = map;
    } else {
        delta_predict_close(map);
        r = err_set(e, &err_memory, "predicting addresses: no memory");
    }
    free(heap.copies);
    free(sorted);
    return r;
}

void delta_predict_close(struct delta_predict *map) {
    if (!map)
        return;
    free(map->marks);
    free(map);
}

static uint64_t shift_of(const struct delta_predict *map, uint64_t address) {
    size_t low = 0, high = map->n; // the mark is in [low, high), or the first
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (map->marks[middle].start <= address)
            low = middle;
        else
            high = middle;
    }
    return map->n > 0 ? map->marks[low].shift : 0;
}

static bool is_near(const struct delta_predict *map, uint64_t address) {
    return address >= map->lowest &&
           address - map->lowest <= map->highest - map->lowest + DELTA_PREDICT_BEYOND_BYTES;
}

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t widen(uint32_t value) {
    return (uint64_t)(int64_t)(int32_t)value;
}

// One piece at work.
struct piece {
    const struct delta_predict *map;
    uint64_t old, shift, origin;
    uint8_t *data; // without the bytes before
    size_t len;
    uint8_t before[DELTA_PREDICT_BEFORE_BYTES];
};

static void run_x86(const struct piece *p) {
    uint8_t one = p->before[1], two = p->before[0]; // old bytes, though data changes behind us
    for (size_t i = 0; i + 4 <= p->len;) {
        bool field = one == 0xE8 || one == 0xE9 || (two == 0x0F && (one & 0xF0) == 0x80) ||
                     (one & 0xC7) == 0x05;
        uint32_t value = get32(p->data + i);
        uint64_t target = p->old + i + 4 + widen(value);
        if (!field || !is_near(p->map, target)) {
            two = one;
            one = p->data[i++];
            continue;
        }
        two = p->data[i + 2];
        one = p->data[i + 3];
        put32(p->data + i, value + (uint32_t)(shift_of(p->map, target) - p->shift));
        i += 4;
    }
}

// The first place of the piece where a field of `width` bytes can stand.
static size_t aligned(const struct piece *p, uint64_t width) {
    return (size_t)((width - (p->old - p->origin) % width) % width);
}

static void run_self32(const struct piece *p) {
    for (size_t i = aligned(p, 4); i + 4 <= p->len; i += 4) {
        uint32_t value = get32(p->data + i);
        uint64_t target = p->old + i + widen(value);
        if (value + 1024 >= 2048 && is_near(p->map, target))
            put32(p->data + i, value + (uint32_t)(shift_of(p->map, target) - p->shift));
    }
}

static void run_from32(const struct piece *p) {
    uint64_t base = shift_of(p->map, p->origin);
    for (size_t i = aligned(p, 4); i + 4 <= p->len; i += 4) {
        uint32_t value = get32(p->data + i);
        uint64_t target = p->origin + widen(value);
        if (value + 64 >= 128 && is_near(p->map, target))
            put32(p->data + i, value + (uint32_t)(shift_of(p->map, target) - base));
    }
}

static void run_from64(const struct piece *p) {
    uint64_t base = shift_of(p->map, p->origin);
    for (size_t i = aligned(p, 8); i + 8 <= p->len; i += 8) {
        uint64_t value = get32(p->data + i) | (uint64_t)get32(p->data + i + 4) << 32;
        uint64_t target = p->origin + value;
        if (value < 64 || value >> 62 != 0 || !is_near(p->map, target))
            continue;
        value += shift_of(p->map, target) - base;
        put32(p->data + i, (uint32_t)value);
        put32(p->data + i + 4, (uint32_t)(value >> 32));
    }
}

static void run_arm64(const struct piece *p) {
    for (size_t i = aligned(p, 4); i + 4 <= p->len; i += 4) {
        uint32_t word = get32(p->data + i);
        if ((word & 0x7C000000) != 0x14000000)
            continue;
        uint64_t target = p->old + i + (uint64_t)((int64_t)(int32_t)(word << 6) / 16);
        if (!is_near(p->map, target))
            continue;
        uint32_t moved = (uint32_t)(shift_of(p->map, target) - p->shift) >> 2;
        put32(p->data + i, (word & 0xFC000000) | ((word + moved) & 0x03FFFFFF));
    }
}

void delta_predict_run(const struct delta_predict *map, const struct delta_region *region,
                       uint64_t old, uint64_t at, uint8_t *data, size_t len) {
    static void (*const run[DELTA_PREDICTORS])(const struct piece *p) = {
        [DELTA_PREDICT_X86] = run_x86,
        [DELTA_PREDICT_SELF32] = run_self32,
        [DELTA_PREDICT_FROM32] = run_from32,
        [DELTA_PREDICT_FROM64] = run_from64,
        [DELTA_PREDICT_ARM64] = run_arm64};
    const struct piece piece = {.map = map,
                                .old = old,
                                .shift = at - old,
                                .origin = region->origin,
                                .data = data + DELTA_PREDICT_BEFORE_BYTES,
                                .len = len,
                                .before = {data[0], data[1]}};
    if (map->n > 0 && region->predictor < DELTA_PREDICTORS && run[region->predictor])
        run[region->predictor](&piece);
}
