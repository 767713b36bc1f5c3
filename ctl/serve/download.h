// SPDX-License-Identifier: Apache-2.0
//
// GET and HEAD /bundles/<id>.edge and /bundles/<head>.delta: a published file, whole or in part (one
// range), with an ETag that names its bytes.
// Anyone who knows the id may have it: it is 256 bits that nobody can guess, and what a device
// believes is signed.
#pragma once

#include "ctl/serve/call.h"

int serve_download_prepare(struct serve_call *call, struct err *e) __attribute__((nonnull));
int serve_download_delta(struct serve_call *call, struct err *e) __attribute__((nonnull));
int serve_download_mandate(struct serve_call *call, struct err *e) __attribute__((nonnull));
// Answers with the open file of call->file as the conditions want it; its total and etag are set
// here. Kind io.
int serve_download_answer(struct serve_call *call, struct err *e) __attribute__((nonnull));
// Answers {"status":"ok"} (GET /healthz).
int serve_download_health(struct serve_call *call, struct err *e) __attribute__((nonnull));

struct serve_download_range {
    uint64_t first, len;
};
// What a Range header asks of `total` bytes: 0 and one range; SERVE_DOWNLOAD_ALL when there is
// none, or one that is not understood or has several parts; SERVE_DOWNLOAD_OUTSIDE when nothing of
// it is there.
enum { SERVE_DOWNLOAD_ALL = 1, SERVE_DOWNLOAD_OUTSIDE = 2 };
int serve_download_range(const char *header, uint64_t total, struct serve_download_range *ret)
    __attribute__((nonnull));
