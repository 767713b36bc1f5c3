// SPDX-License-Identifier: Apache-2.0
//
// What stands behind the two types of unpack/open.h; for the files that make one of the other.
#pragma once

#include "bundle/unpack/open.h"

struct unpack_candidate {
    struct bundle_skeleton skeleton; // sizes of manifest and index; the rest 0
    uint64_t source_size;            // UINT64_MAX: unknown
    struct buf manifest;
};

struct unpack_bundle {
    struct bundle_skeleton skeleton;
    struct bundle_manifest *manifest;
};
