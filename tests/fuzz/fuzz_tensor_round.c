// SPDX-License-Identifier: Apache-2.0
//
// Any two arrays of any shape: what the encoder makes of them, the decoder makes them of. The first
// byte is the type, the second the columns, the third whether there is an old array, which is then
// the first half of the rest.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/tensor/decode.h"
#include "bundle/tensor/encode.h"

#define BYTES_MAX 65536
#define ROOM      (8UL << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_old(void *context, uint64_t address, void *to, size_t len, struct err *e) {
    const struct slice *old = context;
    (void)e;
    if (address > old->len || len > old->len - address)
        abort();
    memcpy(to, old->data + address, len);
    return 0;
}

static int check_new(void *context, const void *bytes, size_t len, struct err *e) {
    struct slice *left = context;
    (void)e;
    if (len > left->len || memcmp(bytes, left->data, len) != 0)
        abort();
    left->data += len;
    left->len -= len;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(buf) struct buf coded;
    struct err e = ERR_NONE;
    size_t taken = 0;
    if (size < 3)
        return 0;
    struct tensor_shape shape = {.type = (enum tensor_type)(data[0] % TENSOR_TYPES_COUNT),
                                 .columns = data[1]};
    bool based = data[2] & 1;
    size_t len = (size - 3) / (based ? 2 : 1);
    len = len > BYTES_MAX ? BYTES_MAX : len;
    len -= len % tensor_shape_bytes(shape.type);
    struct slice old = {based ? data + 3 : NULL, based ? len : 0};
    struct slice left = {data + 3 + old.len, len};
    if (len == 0)
        return 0;
    buf_init(&coded, ROOM);
    if (tensor_encode(&shape, old, 0, left, ROOM, &coded, &taken, &e) < 0 || taken != len)
        abort();
    const struct delta_base base = {.read = read_old, .bytes = old.len, .context = &old};
    const struct delta_sink sink = {.write = check_new, .context = &left};
    if (tensor_decode(buf_slice(&coded), len, &base, &sink, &e) < 0 || left.len != 0)
        abort();
    return 0;
}
