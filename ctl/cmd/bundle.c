// SPDX-License-Identifier: Apache-2.0
//
// The verbs of `edgectl bundle`, and the shorter ones of them: sign and verify.
#include "ctl/cmd/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/unpack/stage.h"
#include "bundle/unpack/stream.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/signers.h"

static const struct opt sign_options[] = {CMD_SIGNERS_OPTIONS, CMD_WORKSPACE_OPTION,
                                          CMD_PASSPHRASE_OPTION, CMD_OPTION_END};
static const struct opt verify_options[] = {
    CMD_BUNDLE_ROOT_OPTION,
    CMD_WORKSPACE_OPTION,
    {.name = "base", .value = "FILE", .help = "Of a delta: the bundle that it starts from"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};

int cmd_bundle_open(const char *path, struct cmd_bundle_file *ret, struct err *e) {
    OWN(fd) int fd = -1;
    ret->path = path;
    if (fs_open_read(AT_FDCWD, path, &fd, e) < 0)
        return err_prefix(e, "opening the bundle");
    if (unpack_source_from_file(fd, &ret->state, &ret->source, e) < 0)
        return err_prefix(e, "%s", path);
    ret->fd = own_take_fd(&fd);
    return 0;
}

void cmd_bundle_close(struct cmd_bundle_file *file) {
    own_drop_fd(&file->fd);
    file->fd = -1;
}

int cmd_bundle_root(const struct opt_args *args, struct keys_root **ret, struct err *e) {
    const char *root = opt_get(args, "root");
    const char *workspace = opt_get(args, "workspace");
    if (root)
        return cmd_workspace_open_root(AT_FDCWD, root, ret, e);
    if (workspace)
        return cmd_workspace_root(workspace, ret, e);
    return CMD_BUNDLE_NO_ROOT;
}

int cmd_bundle_verify(const struct cmd_bundle_file *file, const struct keys_root *root,
                      struct unpack_bundle **ret, struct err *e) {
    OWN(unpack_candidate) struct unpack_candidate *candidate = NULL;
    if (unpack_open(&file->source, &candidate, e) < 0 ||
        unpack_verify_root(&candidate, root, ret, e) < 0)
        return err_prefix(e, "%s", file->path);
    return 0;
}

static int read_tree(struct unpack_stream *stream, const struct bundle_component *component, int fd,
                     struct err *e) {
    struct keys_digest_state state;
    struct keys_digest digest;
    keys_digest_init(&state);
    for (uint64_t done = 0; done < component->size;) {
        struct unpack_piece piece;
        const uint8_t *bytes = NULL;
        if (unpack_stream_next(stream, component->size - done, &piece, e) < 0 ||
            (piece.repeat ? unpack_stream_again : unpack_stream_bytes)(stream, &piece, &bytes, e) <
                0 ||
            fs_pwrite(fd, bytes, piece.bytes, done, e) < 0)
            return -1;
        keys_digest_add(&state, bytes, piece.bytes);
        done += piece.bytes;
    }
    keys_digest_final(&state, &digest);
    if (!keys_digest_equal(&digest, &component->digest))
        return err_set(e, &err_bad_tree, "the tree of %s is not the one that was signed",
                       component->name);
    return 0;
}

static int memory_file(int *ret, struct err *e) {
    int fd = memfd_create("edgectl", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "making a file in memory");
    *ret = fd;
    return 0;
}

int cmd_bundle_trees(const struct unpack_bundle *bundle, const struct unpack_source *source,
                     int ret_trees[static BUNDLE_COMPONENTS_MAX], struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(unpack_bundle_manifest(bundle));
    struct unpack_stream *stream = NULL;
    int trees[BUNDLE_COMPONENTS_MAX];
    OWN(fd) int index = -1;
    memset(trees, 0xff, sizeof trees); // -1 each
    int r = 0;
    if (memory_file(&index, e) < 0 ||
        unpack_stream_open(bundle, source, UNPACK_STREAM_FORWARD, index, BUNDLE_FRAME_MAX_BYTES,
                           &stream, e) < 0)
        return -1;
    for (size_t i = 0; r == 0 && i < view->n_components; i++)
        if (view->components[i].type == BUNDLE_COMPONENT_FILES &&
            (memory_file(&trees[i], e) < 0 ||
             read_tree(stream, &view->components[i], trees[i], e) < 0))
            r = -1;
    unpack_stream_close(stream);
    if (r < 0) {
        for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++)
            own_drop_fd(&trees[i]);
        return -1;
    }
    memcpy(ret_trees, trees, sizeof trees);
    return 0;
}

static int run_sign(void *context, const struct opt_args *args, struct err *e) {
    const struct cmd_context *c = context;
    const char *path = opt_operand(args, 0);
    OWN(signers) struct cmd_signers signers = CMD_SIGNERS_NONE;
    OWN(passphrase) struct cmd_passphrase passphrase;
    cmd_passphrase_init(&passphrase, args);
    if (cmd_signers_collect(&signers, &passphrase, args, c->clock, opt_get(args, "workspace"),
                            KEYS_ROOT_ROLE_BUNDLE, e) < 0)
        return err_prefix(e, "signing %s", path);
    for (size_t i = 0; i < signers.n; i++) {
        if (pack_build_add_signature(path, signers.list[i], e) < 0)
            return err_prefix(e, "signing %s", path);
        (void)printf("signed by %s\n", sign_signer_pub(signers.list[i])->id);
    }
    return 0;
}

static int print_verified(const struct opt_args *args, const struct bundle_manifest *manifest,
                          uint64_t bytes, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    char id[KEYS_DIGEST_HEX], size[NUM_SIZE_TEXT];
    keys_digest_hex(bundle_manifest_id(manifest), id);
    if (!opt_given(args, "json")) {
        (void)printf("%s: trusted. %s %s%s%s, %zu component%s, %s, id %s\n", opt_operand(args, 0),
                     view->name, view->release, *view->variant ? " " : "", view->variant,
                     view->n_components, view->n_components == 1 ? "" : "s",
                     num_format_size(bytes, size), id);
        return 0;
    }
    OWN(json)
    json_t *said =
        json_pack("{s:b,s:s,s:s,s:s,s:s,s:I}", "trusted", 1, "id", id, "name", view->name,
                  "release", view->release, "variant", view->variant, "bytes", (json_int_t)bytes);
    if (!said)
        return err_set(e, &err_memory, "printing the result: no memory");
    cmd_print_json(said);
    return 0;
}

static int run_verify(void *context, const struct opt_args *args, struct err *e) {
    const struct cmd_context *c = context;
    OWN(root) struct keys_root *root = NULL;
    OWN(bundle_file) struct cmd_bundle_file file = CMD_BUNDLE_FILE_NONE;
    OWN(unpack_bundle) struct unpack_bundle *bundle = NULL;
    int found = cmd_bundle_root(args, &root, e);
    if (found < 0)
        return -1;
    if (found == CMD_BUNDLE_NO_ROOT)
        return err_set(e, &err_usage,
                       "bundle verify: trusted by whom? Give --root FILE (the "
                       "root.json of the devices) or --workspace DIR");
    if (cmd_bundle_open(opt_operand(args, 0), &file, e) < 0)
        return -1;
    int64_t now_s = chrono_wall_ms(c->clock) / 1000;
    int r = cmd_bundle_delta_verify(args, &file, root, now_s, e);
    if (r != CMD_BUNDLE_NO_DELTA)
        return r;
    if (cmd_bundle_verify(&file, root, &bundle, e) < 0)
        return -1;
    const struct bundle_manifest *manifest = unpack_bundle_manifest(bundle);
    if (unpack_check(bundle, &file.source, BUNDLE_FRAME_MAX_BYTES, e) < 0 ||
        keys_envelope_check_expiry(&bundle_manifest_view(manifest)->header, "the bundle", now_s,
                                   e) < 0)
        return err_prefix(e, "%s", file.path);
    return print_verified(args, manifest, unpack_bundle_skeleton(bundle)->total, e);
}

const struct opt_command cmd_bundle[] = {
    {.name = "bundle create",
     .operands = "",
     .help = "Make a signed bundle from folders, files, archives or a description",
     .options = cmd_bundle_create_options,
     .run = cmd_bundle_create},
    {.name = "bundle sign",
     .operands = "FILE",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Add signatures to a bundle; those it has stay",
     .options = sign_options,
     .run = run_sign},
    {.name = "bundle inspect",
     .operands = "FILE",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Say what a bundle claims to be; verifies only with a root",
     .options = cmd_bundle_inspect_options,
     .run = cmd_bundle_inspect},
    {.name = "bundle verify",
     .operands = "FILE",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Read every byte as a device would; exit status 0 when it can be trusted",
     .options = verify_options,
     .run = run_verify},
    {.name = "bundle diff",
     .operands = "OLD NEW",
     .operands_min = 2,
     .operands_max = 2,
     .help = "Say what changes from one bundle to another",
     .options = cmd_bundle_diff_options,
     .run = cmd_bundle_diff},
    {.name = "bundle delta",
     .operands = "OLD NEW",
     .operands_min = 2,
     .operands_max = 2,
     .help = "Make what a device with OLD needs to get to NEW",
     .options = cmd_bundle_delta_options,
     .run = cmd_bundle_delta},
    {.name = NULL}};
