// SPDX-License-Identifier: Apache-2.0
//
// The map of a delta, read from a file record by record: a varint for each content of NEW in stream
// order. 0: coded. 2k+1: the base content whose number is (that of the last one named + 1, at first
// 0) plus k as a zigzag number. 2k+2: the content of NEW that stands k+1 places before.
#pragma once

#include "bundle/delta.h"

#define DELTA_MAP_WINDOW_BYTES 4096

struct delta_map {
    int fd;            // the caller's
    uint64_t at, size; // of the next byte to be taken into the window; of the map
    uint64_t next_base;
    size_t begin, end; // of what the window still holds
    uint8_t window[DELTA_MAP_WINDOW_BYTES];
};

enum delta_map_way { DELTA_MAP_CODED, DELTA_MAP_BASE, DELTA_MAP_REPEAT };

void delta_map_init(struct delta_map *m, int fd, uint64_t size) __attribute__((nonnull));
// The record of content `number`. *ret_other is below `number` for a repeat; whether the base has
// such a content is the caller's to see. Kind bad_delta.
int delta_map_next(struct delta_map *m, uint64_t number, enum delta_map_way *ret,
                   uint64_t *ret_other, struct err *e) __attribute__((nonnull));
// Whether all of it was read. Kind bad_delta.
int delta_map_end(const struct delta_map *m, struct err *e) __attribute__((nonnull));
