// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an answer to a check-in: refused, or written and read again to the same bytes.
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/own.h"
#include "bundle/checkin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *document_of(struct slice text) {
    struct err e = ERR_NONE;
    json_t *document = NULL;
    return doc_parse(text, "fuzz", &bundle_checkin_limits, &document, &e) < 0 ? NULL : document;
}

// Reads it and writes it again; false when it is refused, or too long once written.
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
    OWN(json) json_t *document = document_of((struct slice){data, size});
    if (!document)
        return 0;
    OWN(buf) struct buf first, second;
    buf_init(&first, BUNDLE_MESSAGE_MAX_BYTES);
    buf_init(&second, BUNDLE_MESSAGE_MAX_BYTES);
    if (!rewrite(document, &first))
        return 0;
    OWN(json) json_t *written = document_of(buf_slice(&first));
    if (!written)
        return 0; // more values than a message may have
    bool again = rewrite(written, &second);
    assert(again && first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    (void)again;
    return 0;
}
