// SPDX-License-Identifier: Apache-2.0
//
// The copy codec: one loop over operations that fills one block after another for the sink.
#include "bundle/unpack/delta/copy.h"

#include <inttypes.h>
#include <stdlib.h>

#include "bundle/kind.h"
#include "bundle/unpack/delta/frame.h"

#define BLOCK_BYTES      (UNPACK_DELTA_FRAME_BYTES / 2)
#define OPERATION_BITS   3
#define VARINTS_PER_BYTE BUNDLE_DELTA_VARINT_BYTES

static const char *const stream_names[BUNDLE_DELTA_STREAMS] = {
    [BUNDLE_DELTA_OPERATIONS] = "operations",
    [BUNDLE_DELTA_SEEKS] = "seeks",
    [BUNDLE_DELTA_DIFFERENCES] = "differences",
    [BUNDLE_DELTA_LITERALS] = "literals",
};

// Numbers are taken one by one, so theirs are read ahead.
struct numbers {
    size_t at, len;
    uint8_t bytes[UNPACK_DELTA_FRAME_STREAM_BYTES];
};

struct copy {
    const struct delta_base *base;
    const struct delta_sink *sink;
    struct unpack_delta_press *streams[BUNDLE_DELTA_STREAMS];
    struct numbers numbers[BUNDLE_DELTA_SEEKS + 1]; // of operations and seeks
    uint64_t address;                               // where the copy before ended
    uint64_t left;                                  // bytes still to be made
    size_t filled;
    uint8_t block[BLOCK_BYTES];
    uint8_t differences[BLOCK_BYTES];
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
    // A byte of output needs one operation and one seek at most; out_bytes is at most 2^32.
    if (raw > out_bytes * VARINTS_PER_BYTE)
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

static int take_number(struct copy *c, enum bundle_delta_stream which, uint64_t *ret,
                       struct err *e) {
    struct numbers *n = &c->numbers[which];
    struct unpack_delta_press *press = c->streams[which];
    if (n->len - n->at < BUNDLE_DELTA_VARINT_BYTES && unpack_delta_press_left(press) > 0) {
        size_t kept = n->len - n->at, room = sizeof n->bytes - kept;
        uint64_t left = unpack_delta_press_left(press);
        size_t more = left < room ? (size_t)left : room;
        for (size_t i = 0; i < kept; i++)
            n->bytes[i] = n->bytes[n->at + i];
        if (unpack_delta_press_read(press, n->bytes + kept, more, e) < 0)
            return err_prefix(e, "%s", stream_names[which]);
        n->at = 0;
        n->len = kept + more;
    }
    struct slice rest = {n->bytes + n->at, n->len - n->at};
    if (bundle_delta_get_varint(&rest, ret, e) < 0)
        return err_prefix(e, "%s", stream_names[which]);
    n->at = n->len - rest.len;
    return 0;
}

static int seek(struct copy *c, struct err *e) {
    uint64_t number = 0;
    if (take_number(c, BUNDLE_DELTA_SEEKS, &number, e) < 0)
        return -1;
    // Both are below 2^63 in size, so the sum is within what the type holds, or the check sees it.
    int64_t to;
    if (__builtin_add_overflow((int64_t)c->address, bundle_delta_unzigzag(number), &to) || to < 0 ||
        (uint64_t)to > c->base->bytes)
        return err_set(e, &err_bad_delta, "it seeks to a place outside the old contents");
    c->address = (uint64_t)to;
    return 0;
}

static int fill_copy(struct copy *c, uint8_t *to, size_t n, bool add, struct err *e) {
    if (c->base->read(c->base->context, c->address, to, n, e) < 0)
        return -1;
    c->address += n;
    if (!add)
        return 0;
    if (unpack_delta_press_read(c->streams[BUNDLE_DELTA_DIFFERENCES], c->differences, n, e) < 0)
        return err_prefix(e, "%s", stream_names[BUNDLE_DELTA_DIFFERENCES]);
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(to[i] + c->differences[i]);
    return 0;
}

static int fill(struct copy *c, enum bundle_delta_operation what, uint64_t len, struct err *e) {
    while (len > 0) {
        size_t room = sizeof c->block - c->filled, n = len < room ? (size_t)len : room;
        uint8_t *to = c->block + c->filled;
        int r =
            what == BUNDLE_DELTA_LITERAL
                ? unpack_delta_press_read(c->streams[BUNDLE_DELTA_LITERALS], to, n, e)
                : fill_copy(c, to, n, what == BUNDLE_DELTA_ADD || what == BUNDLE_DELTA_ADD_SEEK, e);
        if (r < 0)
            return -1;
        c->filled += n;
        len -= n;
        if (c->filled == sizeof c->block) {
            c->filled = 0;
            if (c->sink->write(c->sink->context, c->block, sizeof c->block, e) < 0)
                return -1;
        }
    }
    return 0;
}

static int run_operation(struct copy *c, struct err *e) {
    uint64_t number = 0;
    if (take_number(c, BUNDLE_DELTA_OPERATIONS, &number, e) < 0)
        return -1;
    uint64_t len = number >> OPERATION_BITS;
    unsigned what = number & ((1U << OPERATION_BITS) - 1);
    if (what >= BUNDLE_DELTA_OPERATIONS_MAX || len == 0)
        return err_set(e, &err_bad_delta, "there is no operation number %u of length %" PRIu64,
                       what, len);
    if (len > c->left)
        return err_set(e, &err_bad_delta, "an operation makes more than is left of the frame");
    if ((what == BUNDLE_DELTA_EXACT_SEEK || what == BUNDLE_DELTA_ADD_SEEK) && seek(c, e) < 0)
        return -1;
    if (what != BUNDLE_DELTA_LITERAL && len > c->base->bytes - c->address)
        return err_set(e, &err_bad_delta, "it copies from outside the old contents");
    c->left -= len;
    return fill(c, what, len, e);
}

static int run(struct copy *c, struct err *e) {
    while (c->left > 0)
        if (run_operation(c, e) < 0)
            return -1;
    if (c->filled > 0 && c->sink->write(c->sink->context, c->block, c->filled, e) < 0)
        return -1;
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++) {
        if (i <= BUNDLE_DELTA_SEEKS && c->numbers[i].at < c->numbers[i].len)
            return err_set(e, &err_bad_delta, "%s: more are there than are used", stream_names[i]);
        if (unpack_delta_press_end(c->streams[i], e) < 0)
            return err_prefix(e, "%s", stream_names[i]);
    }
    return 0;
}

int unpack_delta_copy_decode(const struct unpack_delta_copy *frame, uint64_t out_bytes,
                             const struct delta_base *base, const struct delta_sink *sink,
                             struct err *e) {
    struct copy *c = calloc(1, sizeof *c);
    int r = 0;
    if (!c)
        return err_set(e, &err_memory, "decoding a frame");
    c->base = base;
    c->sink = sink;
    c->left = out_bytes;
    for (size_t i = 0; r == 0 && i < BUNDLE_DELTA_STREAMS; i++)
        if (unpack_delta_press_open(&frame->streams[i], &c->streams[i], e) < 0)
            r = err_prefix(e, "%s", stream_names[i]);
    if (r == 0)
        r = run(c, e);
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        unpack_delta_press_close(c->streams[i]);
    free(c);
    return r;
}
