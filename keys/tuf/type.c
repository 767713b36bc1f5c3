// SPDX-License-Identifier: Apache-2.0
//
// The four types of metadata: their names and ceilings.
#include "keys/tuf/metadata.h"

const char *const tuf_type_names[TUF_TYPES] = {
    [TUF_ROOT] = "root",
    [TUF_TIMESTAMP] = "timestamp",
    [TUF_SNAPSHOT] = "snapshot",
    [TUF_TARGETS] = "targets",
};

size_t tuf_type_max_bytes(enum tuf_type type) {
    static const size_t max_bytes[TUF_TYPES] = {
        [TUF_ROOT] = TUF_ROOT_MAX_BYTES,
        [TUF_TIMESTAMP] = TUF_TIMESTAMP_MAX_BYTES,
        [TUF_SNAPSHOT] = TUF_SNAPSHOT_MAX_BYTES,
        [TUF_TARGETS] = TUF_TARGETS_MAX_BYTES,
    };
    return max_bytes[type];
}
