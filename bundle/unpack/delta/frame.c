// SPDX-License-Identifier: Apache-2.0
//
// A frame by its codec.
#include "bundle/unpack/delta/frame.h"

#include <inttypes.h>
#include <stdlib.h>

#include "bundle/kind.h"
#include "bundle/tensor/decode.h"
#include "bundle/unpack/delta/copy.h"
#include "bundle/unpack/delta/press.h"

#define BLOCK_BYTES (UNPACK_DELTA_FRAME_BYTES / 2)

struct codec {
    int (*need)(struct slice coded, uint64_t out_bytes, uint64_t *ret, struct err *e);
    int (*decode)(struct slice coded, uint64_t out_bytes, const struct delta_base *base,
                  const struct delta_sink *sink, struct err *e);
};

static int plain_run(struct slice coded, uint64_t out_bytes, struct unpack_delta_pressed *ret,
                     struct err *e) {
    if (coded.len == 0)
        return err_set(e, &err_bad_delta, "it is cut short");
    *ret = (struct unpack_delta_pressed){.compressor = coded.data[0],
                                         .stored = {coded.data + 1, coded.len - 1},
                                         .raw_bytes = out_bytes};
    return 0;
}

static int plain_need(struct slice coded, uint64_t out_bytes, uint64_t *ret, struct err *e) {
    struct unpack_delta_pressed run;
    return plain_run(coded, out_bytes, &run, e) < 0 ? -1 : unpack_delta_press_bytes(&run, ret, e);
}

static int plain_pass(struct unpack_delta_press *press, uint64_t out_bytes,
                      const struct delta_sink *sink, struct err *e) {
    uint8_t *block = malloc(BLOCK_BYTES);
    int r = block ? 0 : err_set(e, &err_memory, "decoding a frame");
    for (uint64_t left = out_bytes; r == 0 && left > 0;) {
        size_t n = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        r = unpack_delta_press_read(press, block, n, e);
        if (r == 0)
            r = sink->write(sink->context, block, n, e);
        left -= n;
    }
    free(block);
    return r < 0 ? -1 : unpack_delta_press_end(press, e);
}

static int decode_run(const struct unpack_delta_pressed *run, const struct delta_sink *sink,
                      struct err *e) {
    struct unpack_delta_press *press = NULL;
    if (unpack_delta_press_open(run, &press, e) < 0)
        return -1;
    int r = plain_pass(press, run->raw_bytes, sink, e);
    unpack_delta_press_close(press);
    return r;
}

static int plain_decode(struct slice coded, uint64_t out_bytes, const struct delta_base *base,
                        const struct delta_sink *sink, struct err *e) {
    struct unpack_delta_pressed run;
    (void)base;
    return plain_run(coded, out_bytes, &run, e) < 0 ? -1 : decode_run(&run, sink, e);
}

static int prefix_run(struct slice coded, uint64_t out_bytes, struct unpack_delta_pressed *ret,
                      uint64_t *ret_address, uint64_t *ret_bytes, struct err *e) {
    if (bundle_delta_get_varint(&coded, ret_address, e) < 0 ||
        bundle_delta_get_varint(&coded, ret_bytes, e) < 0)
        return -1;
    if (*ret_bytes == 0 || *ret_bytes > BUNDLE_DELTA_PREFIX_MAX_BYTES)
        return err_set(e, &err_bad_delta, "a prefix has 1 to %" PRIu64 " bytes, not %" PRIu64,
                       (uint64_t)BUNDLE_DELTA_PREFIX_MAX_BYTES, *ret_bytes);
    *ret = (struct unpack_delta_pressed){
        .compressor = BUNDLE_DELTA_ZSTD, .stored = coded, .raw_bytes = out_bytes};
    return 0;
}

static int prefix_need(struct slice coded, uint64_t out_bytes, uint64_t *ret, struct err *e) {
    struct unpack_delta_pressed run;
    uint64_t address = 0, bytes = 0, need = 0;
    if (prefix_run(coded, out_bytes, &run, &address, &bytes, e) < 0 ||
        unpack_delta_press_bytes(&run, &need, e) < 0)
        return -1;
    *ret = need + bytes;
    return 0;
}

static int prefix_decode(struct slice coded, uint64_t out_bytes, const struct delta_base *base,
                         const struct delta_sink *sink, struct err *e) {
    struct unpack_delta_pressed run;
    uint64_t address = 0, bytes = 0;
    if (prefix_run(coded, out_bytes, &run, &address, &bytes, e) < 0)
        return -1;
    if (address > base->bytes || bytes > base->bytes - address)
        return err_set(e, &err_bad_delta, "a prefix lies outside the old contents");
    uint8_t *prefix = malloc((size_t)bytes);
    int r = prefix ? 0 : err_set(e, &err_memory, "decoding a frame");
    if (r == 0)
        r = base->read(base->context, address, prefix, (size_t)bytes, e);
    run.prefix = (struct slice){prefix, (size_t)bytes};
    if (r == 0)
        r = decode_run(&run, sink, e);
    free(prefix);
    return r;
}

static int copy_need(struct slice coded, uint64_t out_bytes, uint64_t *ret, struct err *e) {
    struct unpack_delta_copy frame;
    return unpack_delta_copy_parse(coded, out_bytes, &frame, e) < 0
               ? -1
               : unpack_delta_copy_bytes(&frame, ret, e);
}

static int copy_decode(struct slice coded, uint64_t out_bytes, const struct delta_base *base,
                       const struct delta_sink *sink, struct err *e) {
    struct unpack_delta_copy frame;
    if (unpack_delta_copy_parse(coded, out_bytes, &frame, e) < 0)
        return -1;
    return unpack_delta_copy_decode(&frame, out_bytes, base, sink, e);
}

static int tensor_need(struct slice coded, uint64_t out_bytes, uint64_t *ret, struct err *e) {
    (void)coded;
    (void)out_bytes;
    (void)e;
    *ret = TENSOR_DECODE_BYTES;
    return 0;
}

static const struct codec codecs[BUNDLE_DELTA_CODECS] = {
    [BUNDLE_DELTA_PLAIN] = {plain_need, plain_decode},
    [BUNDLE_DELTA_COPY] = {copy_need, copy_decode},
    [BUNDLE_DELTA_TENSOR] = {tensor_need, tensor_decode},
    [BUNDLE_DELTA_PREFIX] = {prefix_need, prefix_decode},
};

static int split(struct slice stored, const struct codec **ret_codec, struct slice *ret_coded,
                 struct err *e) {
    if (stored.len == 0 || stored.data[0] >= BUNDLE_DELTA_CODECS)
        return err_set(e, &err_bad_delta, "there is no codec of its number");
    *ret_codec = &codecs[stored.data[0]];
    *ret_coded = (struct slice){stored.data + 1, stored.len - 1};
    return 0;
}

int unpack_delta_frame_bytes(struct slice stored, uint64_t out_bytes, uint64_t *ret,
                             struct err *e) {
    const struct codec *codec = NULL;
    struct slice coded;
    uint64_t need = 0;
    if (split(stored, &codec, &coded, e) < 0 || codec->need(coded, out_bytes, &need, e) < 0)
        return -1;
    *ret = need + stored.len + UNPACK_DELTA_FRAME_BYTES;
    return 0;
}

int unpack_delta_frame(struct slice stored, uint64_t out_bytes, uint64_t decode_max_bytes,
                       const struct delta_base *base, const struct delta_sink *sink,
                       struct err *e) {
    const struct codec *codec = NULL;
    struct slice coded;
    uint64_t need = 0;
    if (unpack_delta_frame_bytes(stored, out_bytes, &need, e) < 0 ||
        split(stored, &codec, &coded, e) < 0)
        return -1;
    if (need > decode_max_bytes)
        return err_set(e, &err_decode_memory,
                       "decoding it needs %" PRIu64 " bytes of memory, %" PRIu64 " are allowed",
                       need, decode_max_bytes);
    return codec->decode(coded, out_bytes, base, sink, e);
}
