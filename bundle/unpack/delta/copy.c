// SPDX-License-Identifier: Apache-2.0
//
// The copy codec. Its output is made record by record into one block after another for the sink;
// old bytes become what is predicted of them, then differences are added.
#include "bundle/unpack/delta/copy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bundle/delta/predict.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/frame.h"

#define BLOCK_BYTES      (UNPACK_DELTA_FRAME_BYTES / 2) // whole blocks of the predictor
#define REGION_BITS      3
#define VARINTS_PER_BYTE BUNDLE_DELTA_VARINT_BYTES

_Static_assert(BLOCK_BYTES % DELTA_PREDICT_BLOCK_BYTES == 0, "a piece never crosses a block");

static const char *const stream_names[BUNDLE_DELTA_STREAMS] = {
    [BUNDLE_DELTA_COPIES] = "copies", [BUNDLE_DELTA_LITERAL_LENGTHS] = "literal lengths",
    [BUNDLE_DELTA_SEEKS] = "seeks",   [BUNDLE_DELTA_REGIONS] = "regions",
    [BUNDLE_DELTA_GAPS] = "gaps",     [BUNDLE_DELTA_RUNS] = "runs",
    [BUNDLE_DELTA_VALUES] = "values", [BUNDLE_DELTA_LITERALS] = "literals",
};

// Numbers are taken one by one, so theirs are read ahead.
struct numbers {
    struct unpack_delta_press *press;
    size_t at, len;
    uint8_t bytes[UNPACK_DELTA_FRAME_STREAM_BYTES];
};

// Records, taken in order: where each copy comes from and goes to.
struct records {
    struct numbers *copies, *literals, *seeks;
    uint64_t base_bytes;
    uint64_t old;  // where the copy before ended
    uint64_t left; // bytes of output behind the records so far
};

struct record {
    uint64_t old, copy, literal;
};

struct copy {
    const struct unpack_delta_copy *frame;
    const struct delta_base *base;
    const struct delta_sink *sink;
    struct numbers numbers[BUNDLE_DELTA_STREAMS];
    struct records records;
    struct delta_predict *map; // NULL: nothing is predicted
    struct delta_region region;
    uint64_t region_end; // position where it ends
    uint64_t gap, run;   // copied bytes until the next difference; differences then
    uint64_t position;   // in the output
    size_t filled;
    uint8_t block[BLOCK_BYTES];
    uint8_t old[DELTA_PREDICT_BEFORE_BYTES + DELTA_PREDICT_BLOCK_BYTES];
};

static int parse_stream(struct slice *rest, uint64_t out_bytes, struct unpack_delta_pressed *ret,
                        struct err *e) {
    uint64_t stored = 0, raw = 0;
    if (rest->len == 0)
        return err_set(e, &err_bad_delta, "it is cut short");
    ret->compressor = rest->data[0];
    *rest = (struct slice){rest->data + 1, rest->len - 1};
    if (bundle_delta_get_varint(rest, &stored, e) < 0 || bundle_delta_get_varint(rest, &raw, e) < 0)
        return -1;
    if (stored > rest->len)
        return err_set(e, &err_bad_delta, "it is longer than its frame");
    // A byte of output needs at most two numbers of a stream; out_bytes is at most 2^32.
    if (raw > (out_bytes + 1) * 2 * VARINTS_PER_BYTE)
        return err_set(e, &err_bad_delta, "it is longer than its frame can use");
    ret->stored = (struct slice){rest->data, (size_t)stored};
    ret->raw_bytes = raw;
    *rest = (struct slice){rest->data + stored, rest->len - (size_t)stored};
    return 0;
}

int unpack_delta_copy_parse(struct slice stored, uint64_t out_bytes, struct unpack_delta_copy *ret,
                            struct err *e) {
    struct unpack_delta_copy frame;
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        if (parse_stream(&stored, out_bytes, &frame.streams[i], e) < 0)
            return err_prefix(e, "%s", stream_names[i]);
    if (stored.len > 0)
        return err_set(e, &err_bad_delta, "something follows its last stream");
    *ret = frame;
    return 0;
}

// Each copy that counts has a number of one byte or more.
static uint64_t copies_max(const struct unpack_delta_copy *frame) {
    uint64_t most = frame->streams[BUNDLE_DELTA_COPIES].raw_bytes;
    if (frame->streams[BUNDLE_DELTA_REGIONS].raw_bytes == 0)
        return 0;
    return most < DELTA_PREDICT_COPIES_MAX ? most : DELTA_PREDICT_COPIES_MAX;
}

int unpack_delta_copy_bytes(const struct unpack_delta_copy *frame, uint64_t *ret, struct err *e) {
    uint64_t sum = copies_max(frame) * (DELTA_PREDICT_COPY_COST + sizeof(struct delta_copy));
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++) {
        uint64_t need = 0;
        if (unpack_delta_press_bytes(&frame->streams[i], &need, e) < 0)
            return err_prefix(e, "%s", stream_names[i]);
        sum += need + UNPACK_DELTA_FRAME_STREAM_BYTES;
    }
    *ret = sum;
    return 0;
}

static int open_numbers(const struct unpack_delta_copy *frame, enum bundle_delta_stream which,
                        struct numbers *ret, struct err *e) {
    ret->at = ret->len = 0;
    if (unpack_delta_press_open(&frame->streams[which], &ret->press, e) < 0)
        return err_prefix(e, "%s", stream_names[which]);
    return 0;
}

static void close_numbers(struct numbers *n) {
    unpack_delta_press_close(n->press);
    n->press = NULL;
}

static bool has_number(const struct numbers *n) {
    return n->at < n->len || unpack_delta_press_left(n->press) > 0;
}

static int take_number(struct numbers *n, uint64_t *ret, struct err *e) {
    if (n->len - n->at < BUNDLE_DELTA_VARINT_BYTES && unpack_delta_press_left(n->press) > 0) {
        size_t kept = n->len - n->at, room = sizeof n->bytes - kept;
        uint64_t left = unpack_delta_press_left(n->press);
        size_t more = left < room ? (size_t)left : room;
        memmove(n->bytes, n->bytes + n->at, kept);
        n->at = 0;
        n->len = kept;
        if (unpack_delta_press_read(n->press, n->bytes + kept, more, e) < 0)
            return -1;
        n->len += more;
    }
    struct slice rest = {n->bytes + n->at, n->len - n->at};
    if (bundle_delta_get_varint(&rest, ret, e) < 0)
        return -1;
    n->at = n->len - rest.len;
    return 0;
}

static int next_record(struct records *r, struct record *ret, struct err *e) {
    uint64_t copy = 0, literal = 0, seek = 0;
    int64_t to;
    if (take_number(r->copies, &copy, e) < 0 || take_number(r->literals, &literal, e) < 0 ||
        take_number(r->seeks, &seek, e) < 0)
        return err_prefix(e, "its records");
    if (copy > r->left || literal > r->left - copy || (copy | literal) == 0)
        return err_set(e, &err_bad_delta, "a record makes nothing, or more than is left");
    // Old addresses are below 2^43; what a seek may be is seen by the check.
    if (__builtin_add_overflow((int64_t)r->old, bundle_delta_unzigzag(seek), &to) || to < 0 ||
        (uint64_t)to > r->base_bytes || copy > r->base_bytes - (uint64_t)to)
        return err_set(e, &err_bad_delta, "a record copies from outside the old contents");
    *ret = (struct record){.old = (uint64_t)to, .copy = copy, .literal = literal};
    r->old = (uint64_t)to + copy;
    r->left -= copy + literal;
    return 0;
}

static int open_records(struct copy *c, uint64_t out_bytes, struct err *e) {
    for (int i = BUNDLE_DELTA_COPIES; i <= BUNDLE_DELTA_SEEKS; i++)
        if (open_numbers(c->frame, (enum bundle_delta_stream)i, &c->numbers[i], e) < 0)
            return -1;
    c->records = (struct records){.copies = &c->numbers[BUNDLE_DELTA_COPIES],
                                  .literals = &c->numbers[BUNDLE_DELTA_LITERAL_LENGTHS],
                                  .seeks = &c->numbers[BUNDLE_DELTA_SEEKS],
                                  .base_bytes = c->base->bytes,
                                  .left = out_bytes};
    return 0;
}

static int list_copies(struct copy *c, uint64_t out_bytes, struct delta_copy *list, size_t max,
                       size_t *ret_n, struct err *e) {
    size_t n = 0;
    while (c->records.left > 0) {
        struct record r;
        uint64_t at = out_bytes - c->records.left;
        if (next_record(&c->records, &r, e) < 0)
            return -1;
        if (r.copy < DELTA_PREDICT_COPY_BYTES)
            continue;
        if (n == max)
            return err_set(e, &err_bad_delta, "more copies than can be predicted from");
        list[n++] = (struct delta_copy){.old = r.old, .at = at, .bytes = r.copy};
    }
    *ret_n = n;
    return 0;
}

// Where things moved to follows from all copies, so the records are read twice.
static int make_map(struct copy *c, uint64_t out_bytes, struct err *e) {
    size_t max = (size_t)copies_max(c->frame), n = 0;
    if (max == 0)
        return 0;
    struct delta_copy *list = calloc(max, sizeof *list);
    if (!list)
        return err_set(e, &err_memory, "decoding a frame");
    int r = open_records(c, out_bytes, e);
    if (r == 0)
        r = list_copies(c, out_bytes, list, max, &n, e);
    if (r == 0)
        r = delta_predict_open(list, n, &c->map, e);
    for (int i = BUNDLE_DELTA_COPIES; i <= BUNDLE_DELTA_SEEKS; i++)
        close_numbers(&c->numbers[i]);
    free(list);
    return r;
}

static int next_region(struct copy *c, struct err *e) {
    struct numbers *n = &c->numbers[BUNDLE_DELTA_REGIONS];
    uint64_t number = 0, step = 0;
    if (!has_number(n)) {
        c->region.predictor = DELTA_PREDICT_NONE;
        c->region_end = UINT64_MAX;
        return 0;
    }
    if (take_number(n, &number, e) < 0)
        return err_prefix(e, "%s", stream_names[BUNDLE_DELTA_REGIONS]);
    unsigned predictor = number & ((1U << REGION_BITS) - 1);
    uint64_t blocks = number >> REGION_BITS;
    if (predictor >= DELTA_PREDICTORS || blocks == 0 ||
        blocks > BUNDLE_DELTA_OUT_MAX_BYTES / DELTA_PREDICT_BLOCK_BYTES)
        return err_set(e, &err_bad_delta, "there is no predictor number %u for %" PRIu64 " blocks",
                       predictor, blocks);
    c->region.predictor = predictor;
    c->region_end += blocks * DELTA_PREDICT_BLOCK_BYTES;
    if (predictor <= DELTA_PREDICT_X86)
        return 0;
    if (take_number(n, &step, e) < 0)
        return err_prefix(e, "%s", stream_names[BUNDLE_DELTA_REGIONS]);
    c->region.origin += (uint64_t)bundle_delta_unzigzag(step); // any origin predicts something
    return 0;
}

static int flush(struct copy *c, struct err *e) {
    size_t n = c->filled;
    c->filled = 0;
    return n ? c->sink->write(c->sink->context, c->block, n, e) : 0;
}

static int advance(struct copy *c, size_t n, struct err *e) {
    c->filled += n;
    c->position += n;
    return c->filled == sizeof c->block ? flush(c, e) : 0;
}

static int next_difference(struct copy *c, struct err *e) {
    if (!has_number(&c->numbers[BUNDLE_DELTA_GAPS])) {
        c->gap = UINT64_MAX;
        return 0;
    }
    if (take_number(&c->numbers[BUNDLE_DELTA_GAPS], &c->gap, e) < 0 ||
        take_number(&c->numbers[BUNDLE_DELTA_RUNS], &c->run, e) < 0)
        return err_prefix(e, "its differences");
    if (c->run == 0)
        return err_set(e, &err_bad_delta, "a run of no differences");
    return 0;
}

static int add_differences(struct copy *c, uint8_t *to, size_t n, struct err *e) {
    while (n > 0) {
        size_t m = c->gap < n ? (size_t)c->gap : n;
        c->gap -= c->gap == UINT64_MAX ? 0 : m;
        to += m;
        n -= m;
        if (n == 0)
            break;
        m = c->run < n ? (size_t)c->run : n;
        if (m == 0) {
            if (next_difference(c, e) < 0)
                return -1;
            continue;
        }
        // Values never outnumber the old bytes of a piece, which were used before.
        m = m < sizeof c->old ? m : sizeof c->old;
        if (unpack_delta_press_read(c->numbers[BUNDLE_DELTA_VALUES].press, c->old, m, e) < 0)
            return err_prefix(e, "%s", stream_names[BUNDLE_DELTA_VALUES]);
        for (size_t i = 0; i < m; i++)
            to[i] = (uint8_t)(to[i] + c->old[i]);
        c->run -= m;
        to += m;
        n -= m;
    }
    return 0;
}

// Bytes of one copy inside one block, with a predictor that looks at two bytes in front of them.
static int predict(struct copy *c, uint64_t old, uint8_t *to, size_t n, struct err *e) {
    size_t before = old < DELTA_PREDICT_BEFORE_BYTES ? (size_t)old : DELTA_PREDICT_BEFORE_BYTES;
    memset(c->old, 0, DELTA_PREDICT_BEFORE_BYTES);
    if (c->base->read(c->base->context, old - before, c->old + DELTA_PREDICT_BEFORE_BYTES - before,
                      before + n, e) < 0)
        return -1;
    delta_predict_run(c->map, &c->region, old, c->position, c->old, n);
    memcpy(to, c->old + DELTA_PREDICT_BEFORE_BYTES, n);
    return 0;
}

static int run_copy(struct copy *c, const struct record *r, struct err *e) {
    for (uint64_t done = 0; done < r->copy;) {
        uint8_t *to = c->block + c->filled;
        uint64_t old = r->old + done;
        uint64_t n = r->copy - done, room = sizeof c->block - c->filled;
        while (c->position >= c->region_end)
            if (next_region(c, e) < 0)
                return -1;
        bool predicted = c->map && c->region.predictor != DELTA_PREDICT_NONE;
        if (predicted)
            room = DELTA_PREDICT_BLOCK_BYTES - c->position % DELTA_PREDICT_BLOCK_BYTES;
        else if (c->region_end - c->position < room)
            room = c->region_end - c->position;
        n = n < room ? n : room;
        if ((predicted ? predict(c, old, to, (size_t)n, e)
                       : c->base->read(c->base->context, old, to, (size_t)n, e)) < 0 ||
            add_differences(c, to, (size_t)n, e) < 0 || advance(c, (size_t)n, e) < 0)
            return -1;
        done += n;
    }
    return 0;
}

static int run_literal(struct copy *c, uint64_t len, struct err *e) {
    while (len > 0) {
        size_t room = sizeof c->block - c->filled, n = len < room ? (size_t)len : room;
        if (unpack_delta_press_read(c->numbers[BUNDLE_DELTA_LITERALS].press, c->block + c->filled,
                                    n, e) < 0)
            return err_prefix(e, "%s", stream_names[BUNDLE_DELTA_LITERALS]);
        if (advance(c, n, e) < 0)
            return -1;
        len -= n;
    }
    return 0;
}

// Regions may go on behind the last copy, to the end of the last block.
static int end_regions(struct copy *c, uint64_t out_bytes, struct err *e) {
    while (c->region_end < out_bytes)
        if (next_region(c, e) < 0)
            return -1;
    return 0;
}

static int run(struct copy *c, uint64_t out_bytes, struct err *e) {
    if (open_records(c, out_bytes, e) < 0)
        return -1;
    for (int i = BUNDLE_DELTA_REGIONS; i < BUNDLE_DELTA_STREAMS; i++)
        if (open_numbers(c->frame, (enum bundle_delta_stream)i, &c->numbers[i], e) < 0)
            return -1;
    while (c->records.left > 0) {
        struct record r;
        if (next_record(&c->records, &r, e) < 0 || run_copy(c, &r, e) < 0 ||
            run_literal(c, r.literal, e) < 0)
            return -1;
    }
    if (flush(c, e) < 0 || end_regions(c, out_bytes, e) < 0)
        return -1;
    if (c->run > 0)
        return err_set(e, &err_bad_delta, "more differences than copied bytes");
    for (int i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        if (c->numbers[i].at < c->numbers[i].len
                ? err_set(e, &err_bad_delta, "more are there than are used")
                : unpack_delta_press_end(c->numbers[i].press, e))
            return err_prefix(e, "%s", stream_names[i]);
    return 0;
}

int unpack_delta_copy_decode(const struct unpack_delta_copy *frame, uint64_t out_bytes,
                             const struct delta_base *base, const struct delta_sink *sink,
                             struct err *e) {
    struct copy *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, &err_memory, "decoding a frame");
    c->frame = frame;
    c->base = base;
    c->sink = sink;
    int r = make_map(c, out_bytes, e);
    if (r == 0)
        r = run(c, out_bytes, e);
    for (int i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        close_numbers(&c->numbers[i]);
    delta_predict_close(c->map);
    free(c);
    return r;
}
