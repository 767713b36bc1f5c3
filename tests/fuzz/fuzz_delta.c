// SPDX-License-Identifier: Apache-2.0
//
// Deltas under a good signature: a head from the input by itself, then frames whose stored bytes
// come from the input, so that map and decoders are reached behind every digest. What comes out is
// the content that was signed or nothing.
#include <stdint.h>
#include <stdlib.h>

#include "base/own.h"
#include "tests/support/delta_scene.h"
#include "tests/support/tmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_head(struct slice text) {
    struct err e = ERR_NONE;
    OWN(mem) struct bundle_delta_head *head = calloc(1, sizeof *head);
    OWN(buf) struct buf again;
    buf_init(&again, BUNDLE_DELTA_HEAD_MAX_BYTES);
    if (!head || bundle_delta_parse(text, head, &e) < 0)
        return;
    // What was read can be written; members that are ignored are not.
    if (bundle_delta_format(head, &again, &e) < 0)
        abort();
}

static void apply(const struct delta_scene *s, int generation) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf bytes;
    delta_scene_write(s, &bytes);
    if (delta_scene_check(buf_slice(&bytes), generation, &e) < 0 && !e.kind)
        abort();
}

// Input: which frame it replaces (4: the head), then its stored bytes.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct tmp_dir base;
    static struct delta_scene s;
    struct err e = ERR_NONE;
    if (!s.n_frames) {
        delta_scene_make(&s);
        base = tmp_dir_make();
        delta_scene_generation(&s, base.fd);
    }
    if (size < 2 || size > 1 << 16)
        return 0;
    size_t frame = data[0] % (s.n_frames + 1);
    struct slice rest = {data + 1, size - 1};
    if (frame == s.n_frames) {
        parse_head(rest);
        return 0;
    }
    struct buf honest = s.stored[frame];
    buf_init(&s.stored[frame], 1 << 20);
    if (buf_add(&s.stored[frame], rest.data, rest.len, &e) == 0)
        apply(&s, base.fd);
    buf_clear(&s.stored[frame]);
    s.stored[frame] = honest;
    return 0;
}
