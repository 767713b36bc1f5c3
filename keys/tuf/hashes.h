// SPDX-License-Identifier: Apache-2.0
//
// A `hashes` object: {"sha256": "<hex>", …}. Which algorithms are known here, and what of it may be
// used as a name. tuf_hashes_check is in metadata.h.
#pragma once

#include "keys/tuf/metadata.h"

// The first hash that is of a known algorithm and of its form, so that it can stand in a file's
// name; NULL when there is none. Borrowed from the document.
const char *tuf_hashes_first(struct tuf_json_at hashes);
