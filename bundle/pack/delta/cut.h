// SPDX-License-Identifier: Apache-2.0
//
// Cutting a run of the new stream into frames. Where to cut is guessed from the matches; a frame
// that turns out too large, stored or in what decoding it needs, is cut in two and made again. The
// result does not depend on the number of threads. Every frame is decoded by the device's code and
// compared before it counts as made.
#pragma once

#include "bundle/pack/delta/frame.h"

struct pack_delta_made {
    struct buf stored;
    uint64_t out_bytes;
    uint64_t decode_bytes;
};

struct pack_delta_frames {
    size_t n, max;
    struct pack_delta_made *list; // owned
};

struct pack_delta_cut {
    struct slice old;                   // the whole old stream
    uint64_t frame_bytes, decode_bytes; // ceilings
    unsigned threads;
};

// Splits what is too long for one frame and appends frames that make the spans' bytes, in order.
// Kinds: memory, limit, internal (a frame does not decode to what went in).
int pack_delta_cut_spans(const struct pack_delta_cut *how, const struct pack_delta_span *spans,
                         size_t n, struct pack_delta_frames *ret, struct err *e)
    __attribute__((nonnull));
// Appends plain frames.
int pack_delta_cut_plain(const struct pack_delta_cut *how, struct slice bytes,
                         struct pack_delta_frames *ret, struct err *e) __attribute__((nonnull));
void pack_delta_cut_clear(struct pack_delta_frames *frames) __attribute__((nonnull));
