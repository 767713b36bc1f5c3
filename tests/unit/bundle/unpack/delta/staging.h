// SPDX-License-Identifier: Apache-2.0
//
// What the tests of deltas share: the scene's delta, the honest generation that it starts from, and a
// directory where it is staged.
#pragma once

#include "base/own.h"
#include "bundle/unpack/stage.h"
#include "tests/support/delta_scene.h"
#include "tests/support/tmp.h"

struct staging {
    struct tmp_dir base, target;
    struct delta_scene scene;
    struct buf bytes;                  // the delta
    struct unpack_stage_result result; // of the last staging_stage()
    struct err e;
};

// `change` is made to the scene after the generation was, and before the delta is written; NULL: none.
static inline void staging_make(struct staging *t, void (*change)(struct delta_scene *)) {
    *t = (struct staging){.base = tmp_dir_make(), .target = tmp_dir_make(), .e = ERR_NONE};
    delta_scene_make(&t->scene);
    delta_scene_generation(&t->scene, t->base.fd);
    if (change)
        change(&t->scene);
    delta_scene_write(&t->scene, &t->bytes);
}

static inline void own_drop_staging(struct staging *t) {
    buf_clear(&t->bytes);
    delta_scene_clear(&t->scene);
    tmp_dir_remove(&t->target);
    tmp_dir_remove(&t->base);
}

static inline int staging_check(const struct staging *t, struct err *e) {
    return delta_scene_check(buf_slice(&t->bytes), t->base.fd, e);
}

static inline int staging_stage(struct staging *t, bool resume) {
    return delta_scene_stage(buf_slice(&t->bytes), t->base.fd, t->target.fd, resume, 0, &t->result,
                             &t->e);
}
