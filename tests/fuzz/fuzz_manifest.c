// SPDX-License-Identifier: Apache-2.0
//
// Signed parts of manifests, as anybody could have signed them: read by the rules or refused with a
// kind; a builder's check and a reader's agree; nothing verifies unsigned.
#include <stdint.h>
#include <stdlib.h>

#include "base/own.h"
#include "bundle/manifest.h"
#include "tests/support/forge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct keys_role role;
    if (role.n_keys == 0)
        forge_role(1, 1, &role);
    const struct slice signed_part = {data, size};
    struct bundle_manifest *manifest = NULL;
    struct bundle_manifest_unverified *peeked = NULL;
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE, late = ERR_NONE;
    buf_init(&raw, 2 * BUNDLE_MANIFEST_MAX_BYTES);
    if (size > BUNDLE_MANIFEST_MAX_BYTES - 512)
        return 0;
    if (bundle_manifest_verify(signed_part, &role, &manifest, &e) == 0)
        abort();
    err_clear(&e);
    int checked = bundle_manifest_check(signed_part, &e);
    if (checked < 0 && !e.kind)
        abort();
    forge_envelope(signed_part, &raw);
    int read = bundle_manifest_verify(buf_slice(&raw), &role, &manifest, &late);
    if ((checked == 0) != (read == 0))
        abort();
    if (read == 0 && bundle_manifest_peek(buf_slice(&raw), &peeked, &late) < 0)
        abort();
    bundle_manifest_peek_free(peeked);
    bundle_manifest_free(manifest);
    return 0;
}
