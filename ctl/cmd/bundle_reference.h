// SPDX-License-Identifier: Apache-2.0
//
// Bundles that `edgectl bundle create` is given as references: opened, and verified as a device verifies them, because their contents are read.
#pragma once

#include "bundle/pack/reference.h"
#include "ctl/cmd/bundle.h"

struct cmd_bundle_reference {
    size_t n;
    struct cmd_bundle_file files[PACK_REFERENCES_MAX];
    struct unpack_bundle *bundles[PACK_REFERENCES_MAX];
    struct pack_reference_from from[PACK_REFERENCES_MAX]; // what pack_build takes
};

// Opens those that --reference names, else those of a description. Cleared by the caller, on failure too. Kinds: usage (no --root and no
// --workspace to verify them by), limit, those of cmd_bundle_verify.
int cmd_bundle_reference_open(const struct opt_args *args, const char *const *described,
                              size_t n_described, struct cmd_bundle_reference *ret, struct err *e)
    __attribute__((nonnull(1, 4, 5)));
void cmd_bundle_reference_clear(struct cmd_bundle_reference *references) __attribute__((nonnull));
