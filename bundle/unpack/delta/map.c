// SPDX-License-Identifier: Apache-2.0
//
// Records of the map.
#include "bundle/unpack/delta/map.h"

#include <inttypes.h>
#include <string.h>

#include "base/fs.h"
#include "bundle/kind.h"

void delta_map_init(struct delta_map *m, int fd, uint64_t size) {
    m->fd = fd;
    m->size = size;
    m->at = m->next_base = 0;
    m->begin = m->end = 0;
}

static int fill(struct delta_map *m, struct err *e) {
    size_t kept = m->end - m->begin, room = sizeof m->window - kept, got = 0;
    uint64_t left = m->size - m->at;
    size_t n = left < room ? (size_t)left : room;
    memmove(m->window, m->window + m->begin, kept);
    m->begin = 0;
    m->end = kept;
    if (fs_pread(m->fd, m->window + kept, n, m->at, &got, e) < 0)
        return err_prefix(e, "reading the map");
    if (got < n)
        return err_set(e, &err_io, "the map's scratch file was cut short");
    m->end += n;
    m->at += n;
    return 0;
}

static int next_number(struct delta_map *m, uint64_t *ret, struct err *e) {
    if (m->end - m->begin < BUNDLE_DELTA_VARINT_BYTES && m->at < m->size && fill(m, e) < 0)
        return -1;
    struct slice rest = {m->window + m->begin, m->end - m->begin};
    if (bundle_delta_get_varint(&rest, ret, e) < 0)
        return err_prefix(e, "the map");
    m->begin = m->end - rest.len;
    return 0;
}

int delta_map_next(struct delta_map *m, uint64_t number, enum delta_map_way *ret,
                   uint64_t *ret_other, struct err *e) {
    uint64_t record = 0;
    if (next_number(m, &record, e) < 0)
        return -1;
    if (record == 0) {
        *ret = DELTA_MAP_CODED;
        *ret_other = 0;
    } else if (record & 1) {
        int64_t step = bundle_delta_unzigzag(record >> 1), to;
        // Numbers of contents are small; what is not is refused before anything is added to it.
        if (step < -(int64_t)m->next_base || step > INT32_MAX)
            return err_set(e, &err_bad_delta, "the map names an old content that cannot be");
        to = (int64_t)m->next_base + step;
        m->next_base = (uint64_t)to + 1;
        *ret = DELTA_MAP_BASE;
        *ret_other = (uint64_t)to;
    } else {
        uint64_t back = record / 2; // k + 1
        if (back > number)
            return err_set(e, &err_bad_delta,
                           "the map repeats a content %" PRIu64 " places before number %" PRIu64,
                           back, number);
        *ret = DELTA_MAP_REPEAT;
        *ret_other = number - back;
    }
    return 0;
}

int delta_map_end(const struct delta_map *m, struct err *e) {
    if (m->begin == m->end && m->at == m->size)
        return 0;
    return err_set(e, &err_bad_delta, "the map has more records than there are contents");
}
