// SPDX-License-Identifier: Apache-2.0
//
// Frames of weights: whatever the code says, reads of the old stream go forward within a section
// and lie inside it, the sink gets no more than was declared, and a frame that decodes made all of
// it. The first two bytes are how much the frame shall make.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bundle/tensor/decode.h"

#define OLD_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_old(void *context, uint64_t address, void *to, size_t len, struct err *e) {
    (void)context;
    (void)e;
    if (len == 0 || address > OLD_BYTES || len > OLD_BYTES - address)
        abort();
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)to)[i] = (uint8_t)((address + i) * 0x9e3779b9U >> 13);
    return 0;
}

static int write_new(void *context, const void *bytes, size_t len, struct err *e) {
    uint64_t *left = context;
    (void)bytes;
    (void)e;
    if (len == 0 || len > *left)
        abort();
    *left -= len;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = ERR_NONE;
    if (size < 2)
        return 0;
    uint64_t out_bytes = data[0] | (uint64_t)data[1] << 8, left = out_bytes;
    const struct delta_base base = {.read = read_old, .bytes = OLD_BYTES};
    const struct delta_sink sink = {.write = write_new, .context = &left};
    int r = tensor_decode((struct slice){data + 2, size - 2}, out_bytes, &base, &sink, &e);
    if ((r == 0 && left != 0) || (r < 0) != (e.kind != NULL))
        abort();
    return 0;
}
