// SPDX-License-Identifier: Apache-2.0
//
// Looking at a delta as it is stored.
#include "bundle/unpack/delta/stored.h"

#include "bundle/unpack/delta/stream.h"

static int look(struct delta_stream *s, struct err *e) {
    for (uint64_t i = 0; i < s->n; i++)
        if (delta_stream_look(s, i, e) < 0)
            return -1;
    return delta_stream_end(s, e);
}

int unpack_delta_check_stored(const struct unpack_delta *delta, const struct unpack_source *source,
                              struct err *e) {
    const struct delta_base none = {.bytes = 0};
    struct delta_stream stream;
    int r = delta_stream_open(&stream, delta, source, &none, BUNDLE_DELTA_DECODE_MAX_BYTES, e);
    if (r == 0)
        r = look(&stream, e);
    delta_stream_close(&stream);
    return r;
}
