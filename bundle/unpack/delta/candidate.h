// SPDX-License-Identifier: Apache-2.0
//
// What stands behind the first two types of bundle/unpack/delta.h; for the files that make one of
// the other.
#pragma once

#include "bundle/unpack/delta.h"

struct unpack_delta_candidate {
    struct bundle_skeleton_delta skeleton; // sizes of manifest, head and index; the rest 0
    uint64_t source_size;                  // UINT64_MAX: unknown
    struct buf manifest, head;
};

struct unpack_delta {
    struct bundle_skeleton_delta skeleton;
    struct bundle_manifest *manifest;
    struct bundle_delta_head head;
};
