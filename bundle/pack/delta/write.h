// SPDX-License-Identifier: Apache-2.0
//
// The container of a delta that is being made: head, frame table, frames; and the trial of it, by
// what a device would do.
#pragma once

#include "bundle/delta.h"
#include "bundle/pack/delta.h"
#include "bundle/pack/delta/cut.h"
#include "bundle/pack/delta/side.h"

enum {
    PACK_DELTA_WRITE_TREES,
    PACK_DELTA_WRITE_MAP,
    PACK_DELTA_WRITE_CONTENTS,
    PACK_DELTA_WRITE_KINDS
};

struct pack_delta_write {
    const struct pack_delta_build *how;
    const struct pack_delta_side *old_side;
    uint64_t frame_bytes;
    const struct pack_delta_frames *frames[PACK_DELTA_WRITE_KINDS];
};

// Fills in what ret says of the file. As pack_delta_build.
int pack_delta_write(const struct pack_delta_write *write, const char *path,
                     struct pack_delta_result *ret, struct err *e) __attribute__((nonnull));
