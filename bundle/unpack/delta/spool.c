// SPDX-License-Identifier: Apache-2.0
//
// Old contents that lie in one file, end to end.
#include <inttypes.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/base.h"

#define HASH_BYTES 65536

static int hash_part(int fd, uint64_t from, uint64_t bytes, struct keys_digest *ret,
                     struct err *e) {
    struct keys_digest_state state;
    OWN(mem) uint8_t *buffer = malloc(HASH_BYTES);
    if (!buffer)
        return err_set(e, &err_memory, "reading an old tree");
    keys_digest_init(&state);
    for (uint64_t done = 0; done < bytes;) {
        size_t n = bytes - done < HASH_BYTES ? (size_t)(bytes - done) : HASH_BYTES, got = 0;
        if (fs_pread(fd, buffer, n, from + done, &got, e) < 0)
            return -1;
        if (got < n)
            return err_set(e, &err_wrong_base, "the old contents end too early");
        keys_digest_add(&state, buffer, n);
        done += n;
    }
    keys_digest_final(&state, ret);
    return 0;
}

static int add_component(struct unpack_delta_base *base, size_t number, struct err *e) {
    const struct bundle_delta_component *c = &base->head->components[number];
    struct delta_base_component *place = &base->components[number];
    struct keys_digest found;
    if (c->type == BUNDLE_COMPONENT_FILES) {
        place->tree = base->spool;
        place->tree_borrowed = true;
        place->tree_at = place->from;
        if (hash_part(base->spool, place->from, c->size, &found, e) < 0)
            return -1;
        if (!keys_digest_equal(&found, &c->digest))
            return err_set(e, &err_wrong_base,
                           "its tree is not the one that the delta starts from");
    }
    return delta_base_add(base, number, e);
}

int unpack_delta_base_spool(const struct unpack_delta *delta, int spool_fd, int table_fd,
                            struct unpack_delta_base **ret, struct err *e) {
    OWN(delta_base) struct unpack_delta_base *base = NULL;
    uint64_t bytes = 0;
    if (delta_base_new(unpack_delta_head(delta), table_fd, &base, e) < 0 ||
        fs_size(spool_fd, &bytes, e) < 0)
        return -1;
    base->spool = spool_fd;
    if (bytes != base->bytes)
        return err_set(e, &err_wrong_base,
                       "the old contents have %" PRIu64 " bytes, the delta starts from %" PRIu64,
                       bytes, base->bytes);
    for (size_t i = 0; i < base->head->n_components; i++)
        if (add_component(base, i, e) < 0)
            return err_prefix(e, "old component %s", base->head->components[i].name);
    *ret = own_take(&base);
    return 0;
}
