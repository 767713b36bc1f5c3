// SPDX-License-Identifier: Apache-2.0
//
// Content-defined cuts.
#include "bundle/chunker.h"

#include <string.h>

#include "bundle/limits.h"
#include "keys/digest.h"

#define SEED   "edge gear"
#define WINDOW 64 // bytes that the top of fp depends on
#define RARE   (0x7fffULL << 49)
#define OFTEN  (0x7ffULL << 53)

void bundle_chunker_init(struct bundle_chunker *chunker) {
    uint8_t text[sizeof SEED]; // the terminator's place takes the byte
    memcpy(text, SEED, sizeof SEED);
    for (unsigned i = 0; i < 256; i++) {
        struct keys_digest digest;
        text[sizeof SEED - 1] = (uint8_t)i;
        keys_digest_of(text, sizeof text, &digest);
        uint64_t value = 0;
        for (int k = 7; k >= 0; k--)
            value = value << 8 | digest.bytes[k];
        chunker->gear[i] = value;
    }
}

size_t bundle_chunker_cut(const struct bundle_chunker *chunker, const uint8_t *data, size_t len) {
    const uint64_t *gear = chunker->gear;
    size_t end = len < BUNDLE_CHUNK_MAX_BYTES ? len : BUNDLE_CHUNK_MAX_BYTES;
    size_t middle = end < BUNDLE_CHUNK_AVG_BYTES ? end : BUNDLE_CHUNK_AVG_BYTES;
    size_t i = BUNDLE_CHUNK_MIN_BYTES - WINDOW;
    uint64_t fp = 0;
    if (end <= BUNDLE_CHUNK_MIN_BYTES)
        return end;
    for (; i < BUNDLE_CHUNK_MIN_BYTES - 1; i++)
        fp = (fp << 1) + gear[data[i]];
    // Two bytes at a step: the sum is the same, and the processor waits half as often for the one
    // before.
    for (; i + 1 < middle; i += 2) {
        uint64_t first = (fp << 1) + gear[data[i]];
        fp = (fp << 2) + ((gear[data[i]] << 1) + gear[data[i + 1]]);
        if (!(first & RARE))
            return i + 1;
        if (!(fp & RARE))
            return i + 2;
    }
    for (; i < middle; i++) {
        fp = (fp << 1) + gear[data[i]];
        if (!(fp & RARE))
            return i + 1;
    }
    for (; i < end; i++) {
        fp = (fp << 1) + gear[data[i]];
        if (!(fp & OFTEN))
            return i + 1;
    }
    return end;
}
