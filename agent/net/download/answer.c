// SPDX-License-Identifier: Apache-2.0
//
// What answers to a Range request are good for.
#include "agent/net/download/answer.h"

#include <inttypes.h>

#include "agent/kind.h"
#include "bundle/kind.h"

static int check_total(struct download_answer *a, uint64_t total, struct err *e) {
    if (a->total == 0)
        a->total = total;
    if (total == a->total)
        return 0;
    return err_set(e, total > a->total ? &err_too_much : &err_truncated,
                   "the server's file has %" PRIu64 " bytes, the bundle %" PRIu64, total, a->total);
}

static int check_range(const struct net_handle_headers *h, curl_off_t length,
                       struct download_answer *a, struct err *e) {
    if (!h->has_range || h->bad_range)
        return err_set(e, &err_garbage, "a partial answer without a usable Content-Range");
    if (h->range_first != a->from)
        return err_set(e, &err_garbage, "asked for bytes from %" PRIu64 ", answered from %" PRIu64,
                       a->from, h->range_first);
    if (length >= 0 && (uint64_t)length != h->range_last - h->range_first + 1)
        return err_set(e, &err_garbage,
                       "the answer has %" PRIu64 " bytes and its Content-Range names %" PRIu64,
                       (uint64_t)length, h->range_last - h->range_first + 1);
    a->ends_at = h->range_last + 1;
    return check_total(a, h->range_total, e);
}

int download_answer_check(CURL *stream, const struct net_handle_headers *headers,
                          struct download_answer *a, struct err *e) {
    long status = 0;
    curl_off_t length = -1;
    curl_easy_getinfo(stream, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(stream, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    a->transient = status < 200 || status == 408 || status == 429 || status >= 500;
    a->whole = status == 200;
    a->ends_at = UINT64_MAX;
    if (status < 200) // an interim answer was the last; libcurl is content with it
        return err_set(e, &err_unreachable, "the connection ended before the answer");
    if (status == 416)
        return err_set(e, &err_truncated, "the server's file ends before byte %" PRIu64, a->from);
    if (status != 200 && status != 206)
        return err_set(e, &err_http, "the %s answered with status %ld",
                       a->near ? "site cache" : "server", status);
    if (headers->encoded)
        return err_set(e, &err_garbage, "the answer has a content coding that was not asked for");
    if (net_handle_is_ambiguous(headers))
        return err_set(e, &err_garbage, "the answer says in two ways where it ends");
    if (status == 206)
        return check_range(headers, length, a, e);
    return length < 0 ? 0 : check_total(a, (uint64_t)length, e);
}
