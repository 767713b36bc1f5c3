// SPDX-License-Identifier: Apache-2.0
//
// Three libraries behind one interface. Each codec is a row of a table: what it needs, how it
// begins, goes on and ends.
#include "bundle/unpack/delta/press.h"

#include <stdlib.h>
#include <string.h>

#include <bzlib.h>
#include <lzma.h>
#include <zstd.h>

#include "bundle/kind.h"

// Descriptor of a zstd frame (RFC 8878, 3.1.1): where it lies and what it says.
enum {
    ZSTD_DESCRIPTOR_AT = 4,
    ZSTD_WINDOW_AT = 5,
    ZSTD_DICTIONARY_BITS = 0x03,
    ZSTD_SINGLE_SEGMENT_BIT = 0x20
};
#define LZMA2_DICTIONARY_MIN 4096
#define BZIP2_BLOCK_BYTES    400000

struct unpack_delta_press {
    const struct codec *codec;
    struct slice rest; // stored bytes that were not handed on yet (none, zstd)
    uint64_t left;
    bool ended; // stored bytes and what they decode to
    ZSTD_DCtx *zstd;
    lzma_stream lzma;
    bz_stream bzip2;
    bool bzip2_open;
};

// decode() fills up to len bytes and returns through *ret_len how many; fewer means that it can go
// no further, and *ret_ended whether it stands at its proper end.
struct codec {
    int (*need)(const struct unpack_delta_pressed *run, uint64_t *ret, struct err *e);
    int (*open)(struct unpack_delta_press *p, const struct unpack_delta_pressed *run,
                struct err *e);
    int (*decode)(struct unpack_delta_press *p, uint8_t *data, size_t len, size_t *ret_len,
                  bool *ret_ended, struct err *e);
};

static uint64_t at_most(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static int none_need(const struct unpack_delta_pressed *run, uint64_t *ret, struct err *e) {
    if (run->stored.len != run->raw_bytes)
        return err_set(e, &err_bad_delta, "bytes that are stored as they are have another length");
    *ret = 0;
    return 0;
}

static int none_open(struct unpack_delta_press *p, const struct unpack_delta_pressed *run,
                     struct err *e) {
    (void)e;
    p->rest = run->stored;
    return 0;
}

static int none_decode(struct unpack_delta_press *p, uint8_t *data, size_t len, size_t *ret_len,
                       bool *ret_ended, struct err *e) {
    size_t n = (size_t)at_most(len, p->rest.len);
    (void)e;
    if (n > 0)
        memcpy(data, p->rest.data, n);
    p->rest = (struct slice){n > 0 ? p->rest.data + n : p->rest.data, p->rest.len - n};
    *ret_len = n;
    *ret_ended = p->rest.len == 0;
    return 0;
}

static int zstd_need(const struct unpack_delta_pressed *run, uint64_t *ret, struct err *e) {
    const struct slice s = run->stored;
    uint64_t window = run->raw_bytes;
    if (s.len <= ZSTD_WINDOW_AT || ZSTD_getFrameContentSize(s.data, s.len) != run->raw_bytes ||
        ZSTD_findFrameCompressedSize(s.data, s.len) != s.len ||
        (s.data[ZSTD_DESCRIPTOR_AT] & ZSTD_DICTIONARY_BITS))
        return err_set(e, &err_bad_delta, "it is not one zstd frame of its length");
    if (!(s.data[ZSTD_DESCRIPTOR_AT] & ZSTD_SINGLE_SEGMENT_BIT)) {
        uint64_t base = 1ULL << (10 + (s.data[ZSTD_WINDOW_AT] >> 3));
        window = at_most(window, base + base / 8 * (s.data[ZSTD_WINDOW_AT] & 7));
    }
    *ret = window + UNPACK_DELTA_PRESS_ZSTD_BYTES;
    return 0;
}

static int zstd_open(struct unpack_delta_press *p, const struct unpack_delta_pressed *run,
                     struct err *e) {
    p->rest = run->stored;
    p->zstd = ZSTD_createDCtx();
    // How large a window may be was decided by whoever asked for the need.
    if (!p->zstd ||
        ZSTD_isError(ZSTD_DCtx_setParameter(p->zstd, ZSTD_d_windowLogMax,
                                            ZSTD_dParam_getBounds(ZSTD_d_windowLogMax).upperBound)))
        return err_set(e, &err_memory, "a zstd decoder");
    if (run->prefix.len > 0 &&
        ZSTD_isError(ZSTD_DCtx_refPrefix(p->zstd, run->prefix.data, run->prefix.len)))
        return err_set(e, &err_memory, "a zstd decoder with a prefix");
    return 0;
}

static int zstd_decode(struct unpack_delta_press *p, uint8_t *data, size_t len, size_t *ret_len,
                       bool *ret_ended, struct err *e) {
    ZSTD_outBuffer out = {data, len, 0};
    ZSTD_inBuffer in = {p->rest.data, p->rest.len, 0};
    size_t before, hint = 1;
    do {
        before = in.pos + out.pos;
        hint = ZSTD_decompressStream(p->zstd, &out, &in);
        if (ZSTD_isError(hint))
            return err_set(e, &err_bad_delta, "zstd: %s", ZSTD_getErrorName(hint));
    } while (hint != 0 && out.pos < len && in.pos + out.pos > before);
    p->rest = (struct slice){p->rest.data + in.pos, p->rest.len - in.pos};
    *ret_len = out.pos;
    *ret_ended = hint == 0 && p->rest.len == 0;
    return 0;
}

static int lzma2_filter(const struct unpack_delta_pressed *run, lzma_options_lzma *ret,
                        struct err *e) {
    lzma_filter filter = {.id = LZMA_FILTER_LZMA2};
    if (run->stored.len < 1 ||
        lzma_properties_decode(&filter, NULL, run->stored.data, 1) != LZMA_OK)
        return err_set(e, &err_bad_delta, "its LZMA2 dictionary has no possible size");
    *ret = *(lzma_options_lzma *)filter.options;
    free(filter.options);
    uint64_t size = at_most(ret->dict_size, run->raw_bytes);
    ret->dict_size = size > LZMA2_DICTIONARY_MIN ? (uint32_t)size : LZMA2_DICTIONARY_MIN;
    return 0;
}

static int lzma2_need(const struct unpack_delta_pressed *run, uint64_t *ret, struct err *e) {
    lzma_options_lzma options;
    if (lzma2_filter(run, &options, e) < 0)
        return -1;
    *ret = options.dict_size + (uint64_t)UNPACK_DELTA_PRESS_LZMA2_BYTES;
    return 0;
}

static int lzma2_open(struct unpack_delta_press *p, const struct unpack_delta_pressed *run,
                      struct err *e) {
    lzma_options_lzma options;
    if (lzma2_filter(run, &options, e) < 0)
        return -1;
    const lzma_filter chain[] = {{.id = LZMA_FILTER_LZMA2, .options = &options},
                                 {.id = LZMA_VLI_UNKNOWN}};
    if (lzma_raw_decoder(&p->lzma, chain) != LZMA_OK)
        return err_set(e, &err_memory, "an LZMA2 decoder");
    p->lzma.next_in = run->stored.data + 1;
    p->lzma.avail_in = run->stored.len - 1;
    return 0;
}

static int lzma2_decode(struct unpack_delta_press *p, uint8_t *data, size_t len, size_t *ret_len,
                        bool *ret_ended, struct err *e) {
    lzma_ret r;
    p->lzma.next_out = data;
    p->lzma.avail_out = len;
    do {
        r = lzma_code(&p->lzma, LZMA_RUN);
    } while (r == LZMA_OK && p->lzma.avail_out > 0);
    // No progress is what a cut run looks like; the caller sees that too little came.
    if (r != LZMA_OK && r != LZMA_STREAM_END && r != LZMA_BUF_ERROR)
        return err_set(e, r == LZMA_MEM_ERROR ? &err_memory : &err_bad_delta,
                       "LZMA2: it does not decode (%d)", (int)r);
    *ret_len = len - p->lzma.avail_out;
    *ret_ended = r == LZMA_STREAM_END && p->lzma.avail_in == 0;
    return 0;
}

static int bzip2_need(const struct unpack_delta_pressed *run, uint64_t *ret, struct err *e) {
    const struct slice s = run->stored;
    if (s.len < 4 || memcmp(s.data, "BZh", 3) != 0 || s.data[3] < '1' || s.data[3] > '9')
        return err_set(e, &err_bad_delta, "it is no bzip2 stream");
    *ret = (uint64_t)(s.data[3] - '0') * BZIP2_BLOCK_BYTES + UNPACK_DELTA_PRESS_BZIP2_BYTES;
    return 0;
}

static int bzip2_open(struct unpack_delta_press *p, const struct unpack_delta_pressed *run,
                      struct err *e) {
    if (BZ2_bzDecompressInit(&p->bzip2, 0, 0) != BZ_OK)
        return err_set(e, &err_memory, "a bzip2 decoder");
    p->bzip2_open = true;
    // Frames are at most 4 MiB. The library's pointer is not const, and it does not write there.
    memcpy(&p->bzip2.next_in, &run->stored.data, sizeof p->bzip2.next_in);
    p->bzip2.avail_in = (unsigned)run->stored.len;
    return 0;
}

static int bzip2_decode(struct unpack_delta_press *p, uint8_t *data, size_t len, size_t *ret_len,
                        bool *ret_ended, struct err *e) {
    int r;
    unsigned in, out;
    p->bzip2.next_out = (char *)data;
    p->bzip2.avail_out = (unsigned)len;
    do {
        in = p->bzip2.avail_in;
        out = p->bzip2.avail_out;
        r = BZ2_bzDecompress(&p->bzip2);
    } while (r == BZ_OK && p->bzip2.avail_out > 0 &&
             (p->bzip2.avail_in != in || p->bzip2.avail_out != out));
    if (r != BZ_OK && r != BZ_STREAM_END)
        return err_set(e, r == BZ_MEM_ERROR ? &err_memory : &err_bad_delta,
                       "bzip2: it does not decode (%d)", r);
    *ret_len = len - p->bzip2.avail_out;
    *ret_ended = r == BZ_STREAM_END && p->bzip2.avail_in == 0;
    return 0;
}

static const struct codec codecs[BUNDLE_DELTA_COMPRESSORS] = {
    [BUNDLE_DELTA_NONE] = {none_need, none_open, none_decode},
    [BUNDLE_DELTA_ZSTD] = {zstd_need, zstd_open, zstd_decode},
    [BUNDLE_DELTA_LZMA2] = {lzma2_need, lzma2_open, lzma2_decode},
    [BUNDLE_DELTA_BZIP2] = {bzip2_need, bzip2_open, bzip2_decode},
};

int unpack_delta_press_bytes(const struct unpack_delta_pressed *run, uint64_t *ret, struct err *e) {
    if (run->compressor >= BUNDLE_DELTA_COMPRESSORS)
        return err_set(e, &err_bad_delta, "there is no compressor number %u", run->compressor);
    return codecs[run->compressor].need(run, ret, e);
}

int unpack_delta_press_open(const struct unpack_delta_pressed *run, struct unpack_delta_press **ret,
                            struct err *e) {
    uint64_t need = 0;
    if (unpack_delta_press_bytes(run, &need, e) < 0)
        return -1;
    struct unpack_delta_press *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, &err_memory, "a decoder");
    p->codec = &codecs[run->compressor];
    p->left = run->raw_bytes;
    if (p->codec->open(p, run, e) < 0) {
        unpack_delta_press_close(p);
        return -1;
    }
    *ret = p;
    return 0;
}

void unpack_delta_press_close(struct unpack_delta_press *press) {
    if (!press)
        return;
    (void)ZSTD_freeDCtx(press->zstd);
    lzma_end(&press->lzma);
    if (press->bzip2_open)
        (void)BZ2_bzDecompressEnd(&press->bzip2);
    free(press);
}

uint64_t unpack_delta_press_left(const struct unpack_delta_press *press) {
    return press->left;
}

int unpack_delta_press_read(struct unpack_delta_press *press, void *data, size_t len,
                            struct err *e) {
    size_t got = 0;
    if (len == 0)
        return 0;
    if (len > press->left)
        return err_set(e, &err_bad_delta, "more bytes are used than are there");
    if (press->codec->decode(press, data, len, &got, &press->ended, e) < 0)
        return -1;
    if (got < len)
        return err_set(e, &err_bad_delta, "it decodes to fewer bytes than it says");
    press->left -= len;
    return 0;
}

int unpack_delta_press_end(struct unpack_delta_press *press, struct err *e) {
    uint8_t more;
    size_t got = 0;
    if (press->left > 0)
        return err_set(e, &err_bad_delta, "more bytes are there than are used");
    // Some decoders see the end that follows the last byte only when asked for one more.
    if (!press->ended && press->codec->decode(press, &more, 1, &got, &press->ended, e) < 0)
        return -1;
    if (got > 0 || !press->ended)
        return err_set(e, &err_bad_delta,
                       "it decodes to more bytes than it says, or something "
                       "follows them");
    return 0;
}
