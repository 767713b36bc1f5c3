// SPDX-License-Identifier: Apache-2.0
//
// Messages of a check-in under fuzzing: any bytes are refused, or written and read again to the
// same bytes.
#pragma once

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/own.h"
#include "bundle/checkin.h"

// Reads a document and writes it again; false when it is refused, or too long once written.
typedef bool (*message_rewrite)(json_t *document, struct buf *ret);

static inline json_t *message_document(struct slice text) {
    struct err e = ERR_NONE;
    json_t *document = NULL;
    return doc_parse(text, "fuzz", &bundle_checkin_limits, &document, &e) < 0 ? NULL : document;
}

static inline void message_try(struct slice text, message_rewrite rewrite) {
    OWN(json) json_t *document = message_document(text);
    if (!document)
        return;
    OWN(buf) struct buf first, second;
    buf_init(&first, BUNDLE_MESSAGE_MAX_BYTES);
    buf_init(&second, BUNDLE_MESSAGE_MAX_BYTES);
    if (!rewrite(document, &first))
        return;
    OWN(json) json_t *written = message_document(buf_slice(&first));
    if (!written)
        return; // more values than a message may have
    bool again = rewrite(written, &second);
    assert(again && first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    (void)again;
}
