// SPDX-License-Identifier: Apache-2.0
//
// The root of a repository as it stands, verified by itself.
#pragma once

#include <criterion/criterion.h>

#include "base/own.h"
#include "keys/tuf/metadata.h"
#include "tests/support/tuf_repo.h"

static inline struct tuf_metadata *verified_root(struct tuf_repo *repo) {
    struct tuf_metadata_candidate *candidate = NULL;
    struct tuf_metadata *root = NULL;
    struct err e = ERR_NONE;
    OWN(buf) struct buf raw;
    buf_init(&raw, TUF_ROOT_MAX_BYTES);
    tuf_repo_sign(tuf_repo_role(repo, "root"), json_object_get(repo->signers, "root"), &raw);
    cr_assert_eq(tuf_metadata_parse(buf_slice(&raw), TUF_ROOT, "root", &candidate, &e), 0, "%s",
                 e.text);
    cr_assert_eq(tuf_metadata_verify_root(&candidate, NULL, &root, &e), 0, "%s", e.text);
    cr_assert_null(candidate);
    return root;
}
