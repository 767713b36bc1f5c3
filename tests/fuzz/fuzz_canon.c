// SPDX-License-Identifier: Apache-2.0
//
// Canonical JSON: what is accepted is written again as the same bytes.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "keys/canon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct doc_limits limits = {
        .bytes = 1 << 16, .depth = DOC_DEPTH_MAX, .values = 1 << 14};
    OWN(json) json_t *value = NULL;
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, 1 << 16);
    if (keys_canon_parse((struct slice){data, size}, "input", &limits, &value, &e) < 0) {
        if (!e.kind || value)
            abort();
        return 0;
    }
    if (keys_canon_format(value, &text, &e) < 0 || text.len != size ||
        memcmp(text.data, data, size) != 0)
        abort();
    return 0;
}
