// SPDX-License-Identifier: Apache-2.0
//
// The references of `edgectl bundle create`.
#include "ctl/cmd/bundle_reference.h"

#include "base/own.h"

static int open_one(const char *path, const struct keys_root *root,
                    struct cmd_bundle_reference *ret, struct err *e) {
    size_t n = ret->n;
    ret->files[n] = (struct cmd_bundle_file)CMD_BUNDLE_FILE_NONE;
    ret->n++;
    if (cmd_bundle_open(path, &ret->files[n], e) < 0 ||
        cmd_bundle_verify(&ret->files[n], root, &ret->bundles[n], e) < 0)
        return err_prefix(e, "a reference");
    ret->from[n] =
        (struct pack_reference_from){.bundle = ret->bundles[n], .source = &ret->files[n].source};
    return 0;
}

int cmd_bundle_reference_open(const struct opt_args *args, const char *const *described,
                              size_t n_described, struct cmd_bundle_reference *ret, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    size_t given = opt_count(args, "reference"), n = given ? given : n_described;
    if (n == 0)
        return 0;
    if (n > PACK_REFERENCES_MAX)
        return err_set(e, &err_limit, "--reference: more than %d bundles", PACK_REFERENCES_MAX);
    int found = cmd_bundle_root(args, &root, e);
    if (found < 0)
        return -1;
    if (found == CMD_BUNDLE_NO_ROOT)
        return err_set(e, &err_usage,
                       "--reference: contents are read, and only trusted ones: give --root FILE "
                       "(the root.json of the devices) or --workspace DIR");
    for (size_t i = 0; i < n; i++)
        if (open_one(given ? opt_get_at(args, "reference", i) : described[i], root, ret, e) < 0)
            return -1;
    return 0;
}

void cmd_bundle_reference_clear(struct cmd_bundle_reference *references) {
    for (size_t i = 0; i < references->n; i++) {
        unpack_bundle_free(references->bundles[i]);
        cmd_bundle_close(&references->files[i]);
    }
    references->n = 0;
}
