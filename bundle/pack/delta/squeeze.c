// SPDX-License-Identifier: Apache-2.0
//
// Trying compressors.
#include "bundle/pack/delta/squeeze.h"

#include <bzlib.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define ZSTD_LEVEL 19
// Below so many bytes every compressor's own header outweighs what bzip2 could gain.
#define BZIP2_FROM_BYTES 4096
#define BZIP2_BLOCK_BYTES                                                                          \
    100000 // of each of its nine block sizes, which decide what decoding needs

// Bits of literal context, literal position and position of LZMA.
struct bits {
    uint32_t lc, lp, pb;
};
static const struct bits contents_bits[] = {{3, 0, 2}, {4, 0, 0}, {1, 1, 1}};
static const struct bits numbers_bits[] = {{1, 0, 0}, {4, 0, 0}, {0, 0, 0}, {3, 0, 2}};

// The smallest result yet. Both buffers have room for more than the raw bytes.
struct best {
    struct slice raw;
    uint8_t *bytes, *trial;
    size_t room, len;
    uint8_t compressor;
};

static void offer(struct best *b, enum bundle_delta_compressor compressor, size_t len) {
    if (len >= b->len)
        return;
    uint8_t *bytes = b->bytes;
    b->bytes = b->trial;
    b->trial = bytes;
    b->len = len;
    b->compressor = (uint8_t)compressor;
}

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "compressing: no memory");
}

static int try_zstd(struct best *b, struct err *e) {
    size_t len = ZSTD_compress(b->trial, b->room, b->raw.data, b->raw.len, ZSTD_LEVEL);
    if (ZSTD_isError(len))
        return ZSTD_getErrorCode(len) == ZSTD_error_dstSize_tooSmall ? 0 : no_memory(e);
    offer(b, BUNDLE_DELTA_ZSTD, len);
    return 0;
}

// The byte of .xz for the least dictionary that holds the whole run, if it may be so large.
static uint8_t dictionary_byte(size_t len, uint32_t *ret_size) {
    for (uint8_t byte = 0;; byte++) {
        *ret_size = (2U | (byte & 1U)) << (byte / 2 + 11);
        if (*ret_size >= len || *ret_size >= PACK_DELTA_SQUEEZE_DICTIONARY_BYTES)
            return byte;
    }
}

static int try_lzma2(struct best *b, const struct bits *bits, struct err *e) {
    lzma_options_lzma options;
    uint32_t dictionary = 0;
    size_t len = 1;
    if (lzma_lzma_preset(&options, 9 | LZMA_PRESET_EXTREME))
        return no_memory(e);
    b->trial[0] = dictionary_byte(b->raw.len, &dictionary);
    options.dict_size = dictionary;
    options.lc = bits->lc;
    options.lp = bits->lp;
    options.pb = bits->pb;
    const lzma_filter filters[] = {{.id = LZMA_FILTER_LZMA2, .options = &options},
                                   {.id = LZMA_VLI_UNKNOWN, .options = NULL}};
    lzma_ret r =
        lzma_raw_buffer_encode(filters, NULL, b->raw.data, b->raw.len, b->trial, &len, b->room);
    if (r == LZMA_BUF_ERROR)
        return 0; // larger than what there is already
    if (r != LZMA_OK)
        return no_memory(e);
    offer(b, BUNDLE_DELTA_LZMA2, len);
    return 0;
}

static int try_bzip2(struct best *b, struct err *e) {
    unsigned len = (unsigned)b->room;
    size_t blocks = b->raw.len / BZIP2_BLOCK_BYTES + 1;
    int r = BZ2_bzBuffToBuffCompress((char *)b->trial, &len, (char *)(uintptr_t)b->raw.data,
                                     (unsigned)b->raw.len, blocks < 9 ? (int)blocks : 9, 0, 0);
    if (r == BZ_OUTBUFF_FULL)
        return 0;
    if (r != BZ_OK)
        return no_memory(e);
    offer(b, BUNDLE_DELTA_BZIP2, len);
    return 0;
}

static int try_all(struct best *b, enum pack_delta_squeeze_kind kind, struct err *e) {
    const struct bits *bits = kind == PACK_DELTA_SQUEEZE_NUMBERS ? numbers_bits : contents_bits;
    size_t n = kind == PACK_DELTA_SQUEEZE_NUMBERS ? sizeof numbers_bits / sizeof *bits
                                                  : sizeof contents_bits / sizeof *bits;
    if (try_zstd(b, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (try_lzma2(b, &bits[i], e) < 0)
            return -1;
    return b->raw.len >= BZIP2_FROM_BYTES ? try_bzip2(b, e) : 0;
}

int pack_delta_squeeze(struct slice raw, enum pack_delta_squeeze_kind kind, struct buf *ret,
                       uint8_t *ret_compressor, struct err *e) {
    struct best b = {
        .raw = raw, .room = raw.len + 64, .len = raw.len, .compressor = BUNDLE_DELTA_NONE};
    if (raw.len == 0) {
        *ret_compressor = BUNDLE_DELTA_NONE;
        return 0;
    }
    if (raw.len > BUNDLE_DELTA_DECODE_MAX_BYTES)
        return err_set(e, &err_limit, "a run of %zu bytes is too long to be compressed", raw.len);
    b.bytes = malloc(b.room);
    b.trial = malloc(b.room);
    int r = b.bytes && b.trial ? try_all(&b, kind, e) : no_memory(e);
    if (r == 0) {
        r = buf_add(ret, b.compressor == BUNDLE_DELTA_NONE ? raw.data : b.bytes, b.len, e);
        *ret_compressor = b.compressor;
    }
    free(b.bytes);
    free(b.trial);
    return r;
}

int pack_delta_squeeze_prefix(struct slice prefix, struct slice raw, struct buf *ret,
                              struct err *e) {
    size_t room = ZSTD_compressBound(raw.len);
    uint8_t *to = NULL;
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    int r = zstd ? buf_reserve(ret, room, &to, e) : no_memory(e);
    if (r == 0 &&
        (ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
         ZSTD_isError(ZSTD_CCtx_refPrefix(zstd, prefix.data, prefix.len))))
        r = no_memory(e);
    if (r == 0) {
        size_t len = ZSTD_compress2(zstd, to, room, raw.data, raw.len);
        if (ZSTD_isError(len))
            r = no_memory(e);
        else
            buf_commit(ret, len);
    }
    (void)ZSTD_freeCCtx(zstd);
    return r;
}
