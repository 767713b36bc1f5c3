// SPDX-License-Identifier: Apache-2.0
//
// A target that was found: its bytes, and where they are served.
#include <inttypes.h>
#include <string.h>

#include "keys/kind.h"
#include "keys/tuf/client_file.h"
#include "keys/tuf/hashes.h"

int tuf_target_check(const struct tuf_target *target, struct slice bytes, const char *what,
                     struct err *e) {
    if (bytes.len != target->length)
        return err_set(e, &err_digest_mismatch, "%s: it has %zu bytes, %" PRIu64 " were signed",
                       what, bytes.len, target->length);
    return tuf_hashes_check(target->hashes, bytes, what, e);
}

int tuf_target_file(const struct tuf_client *client, const struct tuf_target *target,
                    const char *path, struct buf *ret, struct err *e) {
    if (!tuf_metadata_is_consistent(client->trusted[TUF_ROOT]))
        return buf_add_text(ret, path, e);
    const char *hash = tuf_hashes_first(target->hashes);
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!hash)
        return err_set(e, &err_digest_mismatch,
                       "the target has no hash of a known kind and form to be found by");
    return buf_add_format(ret, e, "%.*s%s.%s", (int)(name - path), path, hash, name);
}
