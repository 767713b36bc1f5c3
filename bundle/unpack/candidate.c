// SPDX-License-Identifier: Apache-2.0
//
// A bundle of which nothing is verified.
#include "bundle/unpack/candidate.h"

#include <stdlib.h>

void unpack_candidate_free(struct unpack_candidate *candidate) {
    if (!candidate)
        return;
    buf_clear(&candidate->manifest);
    free(candidate);
}

struct slice unpack_candidate_manifest(const struct unpack_candidate *candidate) {
    return buf_slice(&candidate->manifest);
}

const struct bundle_skeleton *unpack_candidate_skeleton(const struct unpack_candidate *candidate) {
    return &candidate->skeleton;
}
