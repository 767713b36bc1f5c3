// SPDX-License-Identifier: Apache-2.0
//
// `edgectl bundle`: what its verbs, each in a file of its own, have in common. What looks at a
// bundle without a root sees the manifest alone; whatever reads contents verifies first.
#pragma once

#include "bundle/unpack/open.h"
#include "ctl/cmd/nouns.h"
#include "ctl/cmd/workspace.h"

#define CMD_BUNDLE_ROOT_OPTION                                                                     \
    { .name = "root", .value = "FILE", .help = "The root.json to trust" }

extern const struct opt cmd_bundle_create_options[], cmd_bundle_inspect_options[],
    cmd_bundle_diff_options[], cmd_bundle_delta_options[];
int cmd_bundle_create(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_bundle_inspect(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_bundle_diff(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_bundle_delta(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));

// An open bundle file. Descriptor and source are valid until clear.
struct cmd_bundle_file {
    const char *path; // borrowed
    int fd;
    struct unpack_source_file state;
    struct unpack_source source;
};
#define CMD_BUNDLE_FILE_NONE                                                                       \
    { .fd = -1 }
int cmd_bundle_open(const char *path, struct cmd_bundle_file *ret, struct err *e)
    __attribute__((nonnull));
void cmd_bundle_close(struct cmd_bundle_file *file) __attribute__((nonnull));
#define own_drop_bundle_file cmd_bundle_close

// Deltas under inspect and verify. CMD_BUNDLE_NO_DELTA: the file is none, nothing was said.
enum { CMD_BUNDLE_NO_DELTA = 1 };
// Prints what the head of a delta claims; nothing is verified.
int cmd_bundle_delta_inspect(const struct opt_args *args, const struct cmd_bundle_file *file,
                             struct err *e) __attribute__((nonnull));
// Verifies manifest and head by the root, decodes everything with the contents of the bundle that
// --base names, and prints the result. Kinds: wrong_base, those of unpack_delta_check.
int cmd_bundle_delta_verify(const struct opt_args *args, const struct cmd_bundle_file *file,
                            const struct keys_root *root, int64_t now_s, struct err *e)
    __attribute__((nonnull));

// The root that --root or --workspace names; 1 and *ret untouched when neither is given.
enum { CMD_BUNDLE_NO_ROOT = 1 };
int cmd_bundle_root(const struct opt_args *args, struct keys_root **ret, struct err *e)
    __attribute__((nonnull));
// Verifies the manifest of an open bundle as a device does: by the root's role `bundle`, or by one
// of its delegations. *ret is the caller's (unpack_bundle_free).
int cmd_bundle_verify(const struct cmd_bundle_file *file, const struct keys_root *root,
                      struct unpack_bundle **ret, struct err *e) __attribute__((nonnull));
static inline void own_drop_unpack_bundle(struct unpack_bundle **bundle) {
    unpack_bundle_free(*bundle);
    *bundle = NULL;
}
static inline void own_drop_unpack_candidate(struct unpack_candidate **candidate) {
    unpack_candidate_free(*candidate);
    *candidate = NULL;
}

// The trees of a verified bundle's components, each in a file in memory: trees[i] belongs to
// component i, and is -1 for an image. The caller closes them.
int cmd_bundle_trees(const struct unpack_bundle *bundle, const struct unpack_source *source,
                     int ret_trees[static BUNDLE_COMPONENTS_MAX], struct err *e)
    __attribute__((nonnull));
