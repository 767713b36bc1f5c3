// SPDX-License-Identifier: Apache-2.0
//
// A bundle whose manifest is verified.
#include <stdlib.h>

#include "bundle/unpack/candidate.h"

void unpack_bundle_free(struct unpack_bundle *bundle) {
    if (!bundle)
        return;
    bundle_manifest_free(bundle->manifest);
    free(bundle);
}

const struct bundle_manifest *unpack_bundle_manifest(const struct unpack_bundle *bundle) {
    return bundle->manifest;
}

const struct bundle_skeleton *unpack_bundle_skeleton(const struct unpack_bundle *bundle) {
    return &bundle->skeleton;
}
