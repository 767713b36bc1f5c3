// SPDX-License-Identifier: Apache-2.0
//
// When two roots give a role to the same keys: what fast-forward recovery asks.
#include <criterion/criterion.h>

#include "base/own.h"
#include "tests/unit/keys/tuf/parts.h"
#include "tests/unit/keys/tuf/verified.h"

Test(metadata, a_role_is_the_same_when_its_keys_ids_and_threshold_are) {
    static const struct {
        const char *keys;
        unsigned threshold;
        bool same;
    } cases[] = {
        {"23", 1, true}, {"32", 1, true}, {"23", 2, false}, {"2", 1, false}, {"24", 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        tuf_repo_make(&repo);
        tuf_repo_trust(&repo, "timestamp", "23", 1);
        OWN(tuf_metadata) struct tuf_metadata *a = verified_root(&repo);
        tuf_repo_trust(&repo, "timestamp", cases[i].keys, cases[i].threshold);
        OWN(tuf_metadata) struct tuf_metadata *b = verified_root(&repo);
        cr_assert_eq(tuf_metadata_same_role(a, b, TUF_TIMESTAMP), cases[i].same, "%zu", i);
        cr_assert_eq(tuf_metadata_same_role(b, a, TUF_TIMESTAMP), cases[i].same, "%zu", i);
        cr_assert(tuf_metadata_same_role(a, b, TUF_TARGETS));
    }
}

// The root of a fresh repository whose timestamp role names an id `x` with this KEY, or none.
static struct tuf_metadata *root_with_x(const char *key) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    json_t *root = tuf_repo_role(&repo, "root");
    parts_put(root, "roles/timestamp/keyids", "[\"x\"]");
    if (key)
        parts_put(root, "keys/x", key);
    return verified_root(&repo);
}

Test(metadata, another_key_under_the_same_id_is_another_role) {
    static const char one[] =
        "{\"keytype\":\"x\",\"scheme\":\"x\",\"keyval\":{\"public\":\"one\"}}";
    static const char two[] =
        "{\"keytype\":\"x\",\"scheme\":\"x\",\"keyval\":{\"public\":\"two\"}}";
    const char *const keys[] = {NULL, one, two};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            OWN(tuf_metadata) struct tuf_metadata *a = root_with_x(keys[i]);
            OWN(tuf_metadata) struct tuf_metadata *b = root_with_x(keys[j]);
            cr_assert_eq(tuf_metadata_same_role(a, b, TUF_TIMESTAMP), i == j, "%zu %zu", i, j);
        }
    }
}
