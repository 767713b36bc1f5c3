// SPDX-License-Identifier: Apache-2.0
//
// Pages of the index that are needed.
#include "bundle/unpack/plan/pages.h"

#include <string.h>

#define GAP_PAGES (UNPACK_PLAN_GAP_BYTES / BUNDLE_INDEX_PAGE_BYTES)

void plan_pages_mark(struct unpack_plan *p, uint64_t page) {
    p->pages[page / 8] |= (uint8_t)(1U << (page % 8));
}

static bool is_marked(const struct unpack_plan *p, uint64_t page) {
    return (p->pages[page / 8] >> (page % 8) & 1) != 0;
}

static int mark_frames(struct unpack_plan *p, uint64_t raw, uint64_t end, struct err *e) {
    struct bundle_index_reader *index = unpack_stream_index(p->stream);
    uint64_t first = 0, last = 0;
    if (raw >= end)
        return 0;
    if (bundle_index_page_of_raw(index, raw, &first, e) < 0 ||
        bundle_index_page_of_raw(index, end - 1, &last, e) < 0)
        return -1;
    for (uint64_t page = first; page <= last; page++)
        plan_pages_mark(p, page);
    return 0;
}

int plan_pages_mark_content(struct unpack_plan *p, uint64_t stream, uint64_t bytes, struct err *e) {
    struct bundle_index_reader *index = unpack_stream_index(p->stream);
    uint64_t first = 0, last = 0;
    if (bytes == 0)
        return 0;
    if (bundle_index_page_of_stream(index, stream, &first, e) < 0 ||
        bundle_index_page_of_stream(index, stream + bytes - 1, &last, e) < 0)
        return -1;
    for (uint64_t page = first; page <= last; page++) {
        struct bundle_index_page row;
        uint64_t end[3];
        if (is_marked(p, page))
            continue;
        plan_pages_mark(p, page);
        if (bundle_index_page(index, page, &row, end, e) < 0 ||
            mark_frames(p, row.at[BUNDLE_INDEX_AT_KNOWN], end[BUNDLE_INDEX_AT_KNOWN], e) < 0 ||
            mark_frames(p, row.at[BUNDLE_INDEX_AT_FRESH], end[BUNDLE_INDEX_AT_FRESH], e) < 0)
            return -1;
    }
    return 0;
}

int plan_pages_fetch(struct unpack_plan *p, struct err *e) {
    uint64_t n = bundle_index_pages(unpack_stream_index(p->stream));
    for (uint64_t page = 0; page < n; page++) {
        if (!is_marked(p, page))
            continue;
        uint64_t last = page;
        for (uint64_t next = page + 1; next < n && next - last <= GAP_PAGES + 1; next++)
            if (is_marked(p, next))
                last = next;
        if (unpack_stream_fetch(p->stream, page, last - page + 1, e) < 0)
            return -1;
        page = last;
    }
    memset(p->pages, 0, n / 8 + 1);
    return 0;
}
