// SPDX-License-Identifier: Apache-2.0
//
// Matching and cutting: whatever was done to a content, the frames that come out decode, by the
// device's code, to the new one, within the ceilings they were told.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/pack/delta/cut.h"
#include "bundle/pack/delta/match.h"
#include "bundle/pack/delta/weights.h"
#include "bundle/unpack/delta/frame.h"

#define MIB (1024UL * 1024)

static uint64_t seed = 1;

static uint64_t random_next(void) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return seed >> 16;
}

struct text {
    uint8_t *data;
    size_t len;
};

static struct text make(size_t len, size_t repeat) {
    struct text t = {malloc(len + 1), len};
    for (size_t i = 0; i < len; i++)
        t.data[i] = repeat && i >= repeat && random_next() % 16 ? t.data[i - repeat]
                                                                : (uint8_t)random_next();
    return t;
}

// A program as far as matching looks: an ELF header, then calls and other bytes.
static struct text make_program(size_t len) {
    static const uint8_t header[] = {0x7F, 'E', 'L', 'F', 2, 1, 1, 0, 0,  0,
                                     0,    0,   0,   0,   0, 0, 3, 0, 62, 0};
    struct text t = make(len, 0);
    memset(t.data, 0, 64);
    memcpy(t.data, header, sizeof header);
    for (size_t i = 64; i + 8 < len; i += 8) {
        uint32_t to = (uint32_t)(random_next() % len - i - 5);
        t.data[i] = 0xE8;
        memcpy(t.data + i + 1, &to, sizeof to);
    }
    return t;
}

// Puts `len` bytes in place of `gone` ones.
static void replace(struct text *t, size_t at, size_t gone, const uint8_t *with, size_t len) {
    uint8_t *data = malloc(t->len - gone + len + 1);
    memcpy(data, t->data, at);
    if (len > 0)
        memcpy(data + at, with, len);
    memcpy(data + at + len, t->data + at + gone, t->len - at - gone);
    free(t->data);
    t->data = data;
    t->len = t->len - gone + len;
}

static void edit(struct text *t) {
    size_t at = random_next() % (t->len + 1), room = t->len - at;
    size_t n = random_next() % 5000;
    struct text other;
    switch (random_next() % 5) {
    case 0: // insert
        other = make(n, 0);
        replace(t, at, 0, other.data, other.len);
        free(other.data);
        return;
    case 1: // delete
        replace(t, at, n < room ? n : room, NULL, 0);
        return;
    case 2: // move
        other = (struct text){malloc(n + 1), n < room ? n : room};
        memcpy(other.data, t->data + at, other.len);
        replace(t, at, other.len, NULL, 0);
        replace(t, random_next() % (t->len + 1), 0, other.data, other.len);
        free(other.data);
        return;
    case 3: // noise
        for (size_t i = 0; i < n && i < room; i += 1 + random_next() % 9)
            t->data[at + i] = (uint8_t)random_next();
        return;
    default: // grow
        other = make(n, 3);
        replace(t, t->len, 0, other.data, other.len);
        free(other.data);
    }
}

static int read_old(void *context, uint64_t address, void *data, size_t len, struct err *e) {
    const struct slice *old = context;
    (void)e;
    cr_assert(address <= old->len && len <= old->len - address);
    memcpy(data, old->data + address, len);
    return 0;
}

struct output {
    struct slice expected;
    size_t done;
};

static int take(void *context, const void *data, size_t len, struct err *e) {
    struct output *o = context;
    (void)e;
    cr_assert(len <= o->expected.len - o->done);
    cr_assert(memcmp(o->expected.data + o->done, data, len) == 0);
    o->done += len;
    return 0;
}

static void decode(const struct pack_delta_cut *how, const struct pack_delta_frames *frames,
                   struct slice expected) {
    struct err e = ERR_NONE;
    struct slice old = how->old;
    struct output output = {.expected = expected};
    const struct delta_base base = {read_old, old.len, &old};
    const struct delta_sink sink = {take, &output};
    for (size_t i = 0; i < frames->n; i++) {
        const struct pack_delta_made *made = &frames->list[i];
        cr_assert_leq(made->stored.len, how->frame_bytes);
        cr_assert_leq(made->decode_bytes, how->decode_bytes);
        cr_assert_eq(unpack_delta_frame(buf_slice(&made->stored), made->out_bytes,
                                        made->decode_bytes, &base, &sink, &e),
                     0, "frame %zu: %s", i, e.text);
    }
    cr_assert_eq(output.done, expected.len);
}

static uint8_t first_codec; // of the last round trip

// Returns the stored bytes of all frames.
static uint64_t round_trip(struct text old, struct text new, uint64_t frame_bytes,
                           uint64_t decode_bytes) {
    struct err e = ERR_NONE;
    struct pack_delta_item item = {.new_bytes = {new.data, new.len}, .old = {old.data, old.len}};
    struct pack_delta_match_records records = {.n = 0};
    struct pack_delta_frames frames = {.n = 0};
    const struct pack_delta_cut how = {
        .old = item.old, .frame_bytes = frame_bytes, .decode_bytes = decode_bytes, .threads = 2};
    uint64_t stored = 0;
    item.machine = pack_delta_program_machine(item.new_bytes);
    if (item.machine != pack_delta_program_machine(item.old))
        item.machine = PACK_DELTA_PROGRAM_NONE;
    item.path = item.old_path = "model";
    int r = pack_delta_weights(&item, &records, &e);
    if (r == PACK_DELTA_WEIGHTS_NONE)
        r = pack_delta_match(item.old, 0, item.new_bytes, &records, &e);
    cr_assert_eq(r, 0, "%s", e.text);
    struct pack_delta_span *spans = calloc(records.n + 1, sizeof *spans);
    const uint8_t *at = new.data;
    for (size_t i = 0; i < records.n; i++) {
        const struct pack_delta_match_record *record = &records.list[i];
        spans[i] = (struct pack_delta_span){.new_bytes = at,
                                            .old = record->old,
                                            .copy = record->copy,
                                            .literal = record->literal,
                                            .item = &item,
                                            .weights = record->weights,
                                            .shape = record->shape};
        at += record->copy + record->literal;
    }
    cr_assert_eq(at - new.data, (ptrdiff_t) new.len);
    cr_assert_eq(pack_delta_cut_spans(&how, spans, records.n, &frames, &e), 0, "%s", e.text);
    decode(&how, &frames, item.new_bytes);
    first_codec = frames.n > 0 ? frames.list[0].stored.data[0] : 0;
    for (size_t i = 0; i < frames.n; i++)
        stored += frames.list[i].stored.len;
    pack_delta_cut_clear(&frames);
    pack_delta_match_clear(&records);
    free(spans);
    return stored;
}

Test(cut, any_edits_are_undone_by_the_decoder) {
    for (int round = 0; round < 40; round++) {
        size_t len = random_next() % 60000;
        struct text old = round % 4 == 3 ? make_program(len + 64) : make(len, (size_t)round % 3);
        struct text new = {malloc(old.len + 1), old.len};
        memcpy(new.data, old.data, old.len);
        for (int i = 0; i < round % 7; i++)
            edit(&new);
        (void)round_trip(old, new, MIB, 8 * MIB);
        free(old.data);
        free(new.data);
    }
}

// Lines of a text in another order are short copies from everywhere.
Test(cut, zstd_with_the_old_content_before_it_is_taken_where_it_is_smaller) {
    enum { LINES = 4000, LINE_BYTES = 9 };
    struct text old = {malloc(LINES * LINE_BYTES + 1), LINES * LINE_BYTES};
    struct text new = {malloc(LINES * LINE_BYTES + 1), LINES * LINE_BYTES};
    for (size_t i = 0; i < LINES; i++) {
        uint8_t *line = old.data + i * LINE_BYTES;
        (void)snprintf((char *)line, LINE_BYTES + 1, "%08x\n", (unsigned)random_next());
        memcpy(new.data + (i * 1237 % LINES) * LINE_BYTES, line, LINE_BYTES);
    }
    uint64_t stored = round_trip(old, new, MIB, 8 * MIB);
    cr_expect_eq(first_codec, BUNDLE_DELTA_PREFIX, "%u, %llu bytes", first_codec,
                 (unsigned long long)stored);
    free(old.data);
    free(new.data);
}

Test(cut, small_and_empty_contents_come_out) {
    static const size_t lengths[] = {0, 1, 2, 3, 15, 16, 17, 4095, 4096, 4097};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            struct text old = make(lengths[i], 0), new = make(lengths[k], 0);
            memcpy(new.data, old.data, old.len < new.len ? old.len : new.len);
            (void)round_trip(old, new, MIB, 8 * MIB);
            free(old.data);
            free(new.data);
        }
}

Test(cut, what_is_the_same_costs_next_to_nothing) {
    struct text old = make(300000, 0);
    cr_expect_lt(round_trip(old, old, MIB, 8 * MIB), 100);
    free(old.data);
}

Test(cut, frames_keep_below_their_ceilings) {
    struct text old = make(100000, 0), new = make(400000, 0);
    cr_expect_gt(round_trip(old, new, 64 * 1024, 2 * MIB), 400000);
    memcpy(new.data + 100000, old.data, 100000);
    uint64_t stored = round_trip(old, new, 64 * 1024, 2 * MIB);
    cr_expect(stored > 300000 && stored < 305000);
    free(old.data);
    free(new.data);
}

// An insertion in front moves everything: each call into what did not move changes.
Test(cut, calls_that_moved_are_predicted) {
    struct text old = make_program(200000), new = {malloc(200001), 200000};
    struct text more = make(16, 0);
    memcpy(new.data, old.data, old.len);
    replace(&new, 100000, 0, more.data, more.len);
    for (size_t i = 64; i + 8 < old.len; i += 8) {
        size_t at = i < 100000 ? i : i + 16;
        int32_t to;
        memcpy(&to, old.data + i + 1, sizeof to);
        int64_t target = (int64_t)i + 5 + to;
        to = (int32_t)(target + (target < 100000 ? 0 : 16) - (int64_t)at - 5);
        memcpy(new.data + at + 1, &to, sizeof to);
    }
    uint64_t stored = round_trip(old, new, MIB, 8 * MIB);
    cr_expect_lt(stored, 2000, "%llu bytes for a program whose calls follow what moved",
                 (unsigned long long)stored);
    free(more.data);
    free(old.data);
    free(new.data);
}

// A safetensors file of three float32 arrays: noise that is smooth in the exponent, as weights are.
static struct text make_weights(size_t elements) {
    static const char head[] =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[%zu],\"data_offsets\":[0,%zu]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[%zu],\"data_offsets\":[%zu,%zu]}}";
    char json[512];
    size_t bytes = 4 * elements;
    int n = snprintf(json, sizeof json, head, elements, bytes, elements, bytes, 2 * bytes);
    cr_assert(n > 0 && (size_t)n < sizeof json);
    size_t start = 8 + (size_t)n;
    struct text t = {calloc(1, start + 2 * bytes), start + 2 * bytes};
    t.data[0] = (uint8_t)n;
    t.data[1] = (uint8_t)(n >> 8);
    memcpy(t.data + 8, json, (size_t)n);
    for (size_t i = 0; i < 2 * elements; i++) {
        float value = ((float)(random_next() % 65536) - 32768.F) / 1048576.F;
        memcpy(t.data + start + 4 * i, &value, sizeof value);
    }
    return t;
}

Test(cut, fine_tuned_weights_take_less_than_other_bytes) {
    struct text old = make_weights(60000), new = {malloc(old.len), old.len};
    memcpy(new.data, old.data, old.len);
    size_t start = old.len - 480000;
    for (size_t i = start + 240000; i < old.len; i += 4) { // the second array
        float value;
        memcpy(&value, new.data + i, sizeof value);
        value += ((float)(random_next() % 64) - 32.F) / 1048576.F;
        memcpy(new.data + i, &value, sizeof value);
    }
    uint64_t stored = round_trip(old, new, 128 * 1024, 8 * MIB);
    cr_expect_lt(stored, 66000, "%llu bytes for 60000 elements changed in their last six bits",
                 (unsigned long long)stored);
    stored = round_trip((struct text){old.data, 0}, new, 128 * 1024, 8 * MIB);
    cr_expect_lt(stored, 330000, "%llu bytes without a base", (unsigned long long)stored);
    free(old.data);
    free(new.data);
}
