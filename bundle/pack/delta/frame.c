// SPDX-License-Identifier: Apache-2.0
//
// Spans into streams, streams into a frame. FORMAT.md §8.3.
#include "bundle/pack/delta/frame.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bundle/delta/predict.h"
#include "bundle/pack/delta/squeeze.h"

// A block's predictor changes only when that saves more bytes than this.
#define SWITCH_COST 3
// Pieces of one block: at most every byte one of its own.
#define PIECES_MAX DELTA_PREDICT_BLOCK_BYTES

// Bytes of one copy inside one block.
struct piece {
    uint64_t old, at;
    size_t len;
    const uint8_t *new_bytes;
};

struct encoder {
    const struct pack_delta_frame *frame;
    struct delta_predict *map;
    struct buf streams[BUNDLE_DELTA_STREAMS];
    struct piece *pieces; // of the block at hand
    size_t n_pieces;
    const struct pack_delta_item *item; // of the block's first piece
    uint64_t gap, run;                  // of differences
    struct delta_region region;         // of the blocks before, and how many there are
    uint64_t region_blocks, origin;
    bool predict;
    uint8_t data[DELTA_PREDICT_BEFORE_BYTES + DELTA_PREDICT_BLOCK_BYTES];
};

static int put(struct encoder *c, enum bundle_delta_stream stream, uint64_t value, struct err *e) {
    uint8_t bytes[BUNDLE_DELTA_VARINT_BYTES];
    return buf_add(&c->streams[stream], bytes, bundle_delta_put_varint(value, bytes), e);
}

// What a region predicts of a piece, behind the bytes before it.
static const uint8_t *predicted(struct encoder *c, const struct piece *p,
                                const struct delta_region *region) {
    struct slice old = c->frame->old;
    for (uint64_t i = 0; i < DELTA_PREDICT_BEFORE_BYTES; i++) {
        uint64_t back = DELTA_PREDICT_BEFORE_BYTES - i;
        c->data[i] = p->old >= back ? old.data[p->old - back] : 0;
    }
    memcpy(c->data + DELTA_PREDICT_BEFORE_BYTES, old.data + p->old, p->len);
    if (c->map)
        delta_predict_run(c->map, region, p->old, p->at, c->data, p->len);
    return c->data + DELTA_PREDICT_BEFORE_BYTES;
}

static size_t count_wrong(struct encoder *c, const struct delta_region *region) {
    size_t wrong = 0;
    for (size_t i = 0; i < c->n_pieces; i++) {
        const uint8_t *bytes = predicted(c, &c->pieces[i], region);
        for (size_t k = 0; k < c->pieces[i].len; k++)
            wrong += bytes[k] != c->pieces[i].new_bytes[k];
    }
    return wrong;
}

static bool same_region(const struct delta_region *a, const struct delta_region *b) {
    return a->predictor == b->predictor &&
           (a->predictor <= DELTA_PREDICT_X86 || a->origin == b->origin);
}

// The region that gets most bytes of the block right.
static struct delta_region choose(struct encoder *c) {
    struct delta_region best = {.predictor = DELTA_PREDICT_NONE};
    if (!c->map || c->n_pieces == 0 || c->item->machine == PACK_DELTA_PROGRAM_NONE)
        return best;
    size_t least = count_wrong(c, &best);
    if (least == 0)
        return best;
    const struct pack_delta_item *item = c->item;
    const struct delta_region others[] = {
        {.predictor =
             item->machine == PACK_DELTA_PROGRAM_X86 ? DELTA_PREDICT_X86 : DELTA_PREDICT_ARM64,
         .origin = item->old_address},
        {.predictor = DELTA_PREDICT_SELF32, .origin = item->old_address},
        {.predictor = DELTA_PREDICT_FROM32, .origin = item->old_address},
        {.predictor = DELTA_PREDICT_FROM64, .origin = item->old_address},
        {.predictor = DELTA_PREDICT_FROM32, .origin = item->unwind_table}};
    least += same_region(&best, &c->region) ? 0 : SWITCH_COST;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (i == 4 && item->unwind_table == 0)
            continue;
        size_t wrong =
            count_wrong(c, &others[i]) + (same_region(&others[i], &c->region) ? 0 : SWITCH_COST);
        if (wrong < least) {
            least = wrong;
            best = others[i];
        }
    }
    return best;
}

static int end_region(struct encoder *c, struct err *e) {
    if (c->region_blocks == 0)
        return 0;
    if (put(c, BUNDLE_DELTA_REGIONS, c->region_blocks << 3 | (uint64_t)c->region.predictor, e) < 0)
        return -1;
    c->region_blocks = 0;
    if (c->region.predictor <= DELTA_PREDICT_X86)
        return 0;
    uint64_t from = c->origin;
    c->origin = c->region.origin;
    return put(c, BUNDLE_DELTA_REGIONS, bundle_delta_zigzag((int64_t)(c->origin - from)), e);
}

static int add_differences(struct encoder *c, const struct piece *p, struct err *e) {
    const uint8_t *bytes = predicted(c, p, &c->region);
    for (size_t i = 0; i < p->len; i++) {
        uint8_t difference = (uint8_t)(p->new_bytes[i] - bytes[i]);
        if (difference == 0) {
            if (c->run > 0 && put(c, BUNDLE_DELTA_RUNS, c->run, e) < 0)
                return -1;
            c->run = 0;
            c->gap++;
            continue;
        }
        if (c->run == 0 && put(c, BUNDLE_DELTA_GAPS, c->gap, e) < 0)
            return -1;
        c->gap = 0;
        c->run++;
        if (buf_add(&c->streams[BUNDLE_DELTA_VALUES], &difference, 1, e) < 0)
            return -1;
    }
    return 0;
}

// All pieces of a block are there: its predictor is chosen, and what that gets wrong is written.
static int end_block(struct encoder *c, struct err *e) {
    struct delta_region region = choose(c);
    if (!same_region(&region, &c->region)) {
        if (end_region(c, e) < 0)
            return -1;
        c->region = region;
    }
    c->region_blocks++;
    for (size_t i = 0; i < c->n_pieces; i++)
        if (add_differences(c, &c->pieces[i], e) < 0)
            return -1;
    c->n_pieces = 0;
    return 0;
}

// Takes one span's copy apart at the borders of blocks.
static int add_copy(struct encoder *c, const struct pack_delta_span *span, uint64_t at,
                    struct err *e) {
    for (uint64_t done = 0; done < span->copy;) {
        uint64_t room = DELTA_PREDICT_BLOCK_BYTES - (at + done) % DELTA_PREDICT_BLOCK_BYTES;
        size_t len = (size_t)(span->copy - done < room ? span->copy - done : room);
        if (c->n_pieces == 0)
            c->item = span->item;
        c->pieces[c->n_pieces++] = (struct piece){.old = span->old + done,
                                                  .at = at + done,
                                                  .len = len,
                                                  .new_bytes = span->new_bytes + done};
        done += len;
        if (len == room && end_block(c, e) < 0)
            return -1;
    }
    return 0;
}

// Blocks that end inside a literal.
static int pass_literal(struct encoder *c, uint64_t at, uint64_t literal, struct err *e) {
    uint64_t from = at / DELTA_PREDICT_BLOCK_BYTES, to = (at + literal) / DELTA_PREDICT_BLOCK_BYTES;
    for (; from < to; from++)
        if (end_block(c, e) < 0)
            return -1;
    return 0;
}

static int add_spans(struct encoder *c, struct err *e) {
    uint64_t at = 0, old = 0;
    for (size_t i = 0; i < c->frame->n; i++) {
        const struct pack_delta_span *span = &c->frame->spans[i];
        uint64_t from = span->copy > 0 ? span->old : old;
        if (put(c, BUNDLE_DELTA_COPIES, span->copy, e) < 0 ||
            put(c, BUNDLE_DELTA_LITERAL_LENGTHS, span->literal, e) < 0 ||
            put(c, BUNDLE_DELTA_SEEKS, bundle_delta_zigzag((int64_t)(from - old)), e) < 0 ||
            add_copy(c, span, at, e) < 0 ||
            pass_literal(c, at + span->copy, span->literal, e) < 0 ||
            buf_add(&c->streams[BUNDLE_DELTA_LITERALS], span->new_bytes + span->copy, span->literal,
                    e) < 0)
            return -1;
        old = from + span->copy;
        at += span->copy + span->literal;
    }
    // The last block may be cut short; regions that predict nothing are left out at the end.
    if ((at % DELTA_PREDICT_BLOCK_BYTES != 0 && end_block(c, e) < 0) ||
        (c->run > 0 && put(c, BUNDLE_DELTA_RUNS, c->run, e) < 0))
        return -1;
    return c->region.predictor == DELTA_PREDICT_NONE ? 0 : end_region(c, e);
}

static int open_map(struct encoder *c, struct err *e) {
    const struct pack_delta_frame *f = c->frame;
    uint64_t at = 0;
    size_t long_enough = 0;
    struct delta_copy *copies = calloc(f->n + 1, sizeof *copies);
    if (!copies)
        return err_set(e, &err_memory, "predicting addresses: no memory");
    for (size_t i = 0; i < f->n; i++) {
        copies[i] = (struct delta_copy){f->spans[i].old, at, f->spans[i].copy};
        long_enough += copies[i].bytes >= DELTA_PREDICT_COPY_BYTES;
        at += f->spans[i].copy + f->spans[i].literal;
        c->predict = c->predict ||
                     (f->spans[i].copy > 0 && f->spans[i].item->machine != PACK_DELTA_PROGRAM_NONE);
    }
    int r = 0;
    if (c->predict && long_enough <= DELTA_PREDICT_COPIES_MAX)
        r = delta_predict_open(copies, f->n, &c->map, e);
    free(copies);
    return r;
}

static int squeeze_streams(struct encoder *c, struct buf *ret, struct err *e) {
    const uint8_t codec = BUNDLE_DELTA_COPY;
    int r = buf_add(ret, &codec, 1, e);
    for (int i = 0; r == 0 && i < BUNDLE_DELTA_STREAMS; i++) {
        struct buf stored;
        uint8_t compressor = 0, lengths[1 + 2 * BUNDLE_DELTA_VARINT_BYTES];
        buf_init(&stored, BUNDLE_DELTA_DECODE_MAX_BYTES);
        r = pack_delta_squeeze(buf_slice(&c->streams[i]),
                               i == BUNDLE_DELTA_LITERALS ? PACK_DELTA_SQUEEZE_CONTENTS
                                                          : PACK_DELTA_SQUEEZE_NUMBERS,
                               &stored, &compressor, e);
        lengths[0] = compressor;
        size_t n = 1 + bundle_delta_put_varint(stored.len, lengths + 1);
        n += bundle_delta_put_varint(c->streams[i].len, lengths + n);
        if (r == 0 &&
            (buf_add(ret, lengths, n, e) < 0 || buf_add(ret, stored.data, stored.len, e) < 0))
            r = -1;
        buf_clear(&stored);
    }
    return r;
}

uint64_t pack_delta_frame_out(const struct pack_delta_frame *frame) {
    uint64_t out = 0;
    for (size_t i = 0; i < frame->n; i++)
        out += frame->spans[i].copy + frame->spans[i].literal;
    return out;
}

int pack_delta_frame_encode(const struct pack_delta_frame *frame, struct buf *ret, struct err *e) {
    struct encoder *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, &err_memory, "making a frame: no memory");
    c->frame = frame;
    for (int i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        buf_init(&c->streams[i], BUNDLE_DELTA_DECODE_MAX_BYTES);
    c->pieces = calloc(PIECES_MAX, sizeof *c->pieces);
    int r = c->pieces ? 0 : err_set(e, &err_memory, "making a frame: no memory");
    if (r == 0)
        r = open_map(c, e);
    if (r == 0)
        r = add_spans(c, e);
    if (r == 0)
        r = squeeze_streams(c, ret, e);
    delta_predict_close(c->map);
    for (int i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        buf_clear(&c->streams[i]);
    free(c->pieces);
    free(c);
    return r;
}

int pack_delta_frame_prefix(const struct pack_delta_frame *frame, struct buf *ret, struct err *e) {
    const struct pack_delta_item *item = frame->spans[0].item;
    const struct slice raw = {frame->spans[0].new_bytes, pack_delta_frame_out(frame)};
    uint8_t begin[1 + 2 * BUNDLE_DELTA_VARINT_BYTES] = {BUNDLE_DELTA_PREFIX};
    if (item->old.len == 0 || item->old.len > BUNDLE_DELTA_PREFIX_MAX_BYTES ||
        frame->spans[frame->n - 1].item != item || raw.len > BUNDLE_DELTA_PREFIX_MAX_BYTES)
        return PACK_DELTA_FRAME_NONE;
    size_t n = 1 + bundle_delta_put_varint(item->old_address, begin + 1);
    n += bundle_delta_put_varint(item->old.len, begin + n);
    return buf_add(ret, begin, n, e) < 0 ? -1 : pack_delta_squeeze_prefix(item->old, raw, ret, e);
}

int pack_delta_frame_plain(struct slice bytes, struct buf *ret, struct err *e) {
    struct buf stored;
    uint8_t begin[2] = {BUNDLE_DELTA_PLAIN, 0};
    buf_init(&stored, BUNDLE_DELTA_DECODE_MAX_BYTES);
    int r = pack_delta_squeeze(bytes, PACK_DELTA_SQUEEZE_CONTENTS, &stored, &begin[1], e);
    if (r == 0 &&
        (buf_add(ret, begin, sizeof begin, e) < 0 || buf_add(ret, stored.data, stored.len, e) < 0))
        r = -1;
    buf_clear(&stored);
    return r;
}
