// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an answer to a check-in.
#include "tests/fuzz/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool rewrite(json_t *document, struct buf *ret) {
    struct bundle_answer m;
    struct err e = ERR_NONE;
    if (bundle_checkin_parse_answer(document, &m, &e) < 0) {
        assert(e.kind && *e.text);
        return false;
    }
    int failed = bundle_checkin_format_answer(&m, ret, &e);
    bundle_checkin_clear_answer(&m);
    return !failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    message_try((struct slice){data, size}, rewrite);
    return 0;
}
