// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a check-in.
#include "tests/fuzz/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool rewrite(json_t *document, struct buf *ret) {
    struct bundle_checkin m;
    struct err e = ERR_NONE;
    if (bundle_checkin_parse(document, &m, &e) < 0) {
        assert(e.kind && *e.text);
        return false;
    }
    int failed = bundle_checkin_format(&m, ret, &e);
    bundle_checkin_clear(&m);
    return !failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    message_try((struct slice){data, size}, rewrite);
    return 0;
}
